#include "common/log.h"

#include <functional>
#include <mutex>
#include <string_view>
#include <utility>

#include "common/os.h"

namespace ladder {

Log::Log(std::function<void(std::string_view)> sink) : sink_(sink ? std::move(sink) : os::write_log_line) {}

void Log::line(std::string_view text) {
  const std::lock_guard lock(mutex_);
  sink_(text);
}

}  // namespace ladder
