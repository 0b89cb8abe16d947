#include "common/log.h"

#include <utility>

#include "common/os.h"

namespace ladder {

Log::Log(std::function<void(std::string_view)> sink) : sink_(sink ? std::move(sink) : os::write_log_line) {}

void Log::line(std::string_view text) {
  const std::lock_guard lock(mutex_);
  sink_(text);
}

void Log::limited(std::string_view kind, Time now, std::string_view text) {
  const std::lock_guard lock(mutex_);
  auto found = kinds_.find(kind);
  if (found == kinds_.end()) found = kinds_.emplace(kind, Kind{.next = now}).first;
  auto& [next, left_out] = found->second;
  if (now < next) {
    ++left_out;
    return;
  }
  std::string line(text);
  if (left_out) line += " (" + std::to_string(left_out) + " more like it were left out)";
  left_out = 0;
  next = now + std::chrono::seconds(1);
  sink_(line);
}

}  // namespace ladder
