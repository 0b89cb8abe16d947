#include "common/library/log.h"

#include <functional>
#include <mutex>
#include <string_view>
#include <utility>

#include "common/os/os.h"

namespace ladder {

Log::Log(std::function<void(std::string_view)> sink) : sink_(sink ? std::move(sink) : os::write_log_line) {}

void Log::line(std::string_view text) {
  const std::lock_guard lock(mutex_);
  write(text);
}

void Log::write(std::string_view text) noexcept {
  try {
    sink_(text);
  } catch (...) {  // the user's. There is nobody to tell, and the thread has connections to serve
  }
}

}  // namespace ladder
