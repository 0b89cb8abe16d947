// A server's log: whole lines, a few kinds of them, never a flood.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "common/server.h"

namespace ladder {

/// Any thread may write. The sink gets one line at a time, without its newline; it must not throw, nor write
/// to this log itself.
class Log {
 public:
  /// Without a sink the lines go to standard error.
  explicit Log(std::function<void(std::string_view)> sink = {});

  void line(std::string_view text);

  /// At most one line a second of each kind; the next one tells how many were left out.
  /// OBS-04: a server that is out of descriptors meets the same trouble thousands of times a second.
  void limited(std::string_view kind, Time now, std::string_view text);

 private:
  struct Kind {
    Time next{};
    std::uint64_t left_out = 0;
  };
  std::function<void(std::string_view)> sink_;
  std::mutex mutex_;  // held while the sink writes: lines never interleave (OBS-05)
  std::map<std::string, Kind, std::less<>> kinds_;
};

}  // namespace ladder
