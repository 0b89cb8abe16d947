// A server's log: whole lines, a few kinds of them, never a flood.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <new>
#include <string>
#include <string_view>

#include <ladder/server.h>

namespace ladder {

/// Any thread may write. The sink gets one line at a time, without its newline; it must not write to this log itself.
class Log {
 public:
  /// Without a sink the lines go to standard error.
  explicit Log(std::function<void(std::string_view)> sink = {});

  void line(std::string_view text);

  /// At most one line a second of each kind; the next one tells how many were left out.
  /// OBS-04: a server that is out of descriptors meets the same trouble thousands of times a second.
  /// `text` makes the line, if one is due; where there is no memory for it, none is written.
  template <class Text>
  void limited(std::string_view kind, Time now, const Text& text);

 private:
  void write(std::string_view text) noexcept;
  struct Kind {
    Time next{};
    std::uint64_t left_out = 0;
  };
  std::function<void(std::string_view)> sink_;
  std::mutex mutex_;  // held while the sink writes: lines never interleave (OBS-05)
  std::map<std::string, Kind, std::less<>> kinds_;
};

template <class Text>
void Log::limited(std::string_view kind, Time now, const Text& text) try {
  const std::lock_guard lock(mutex_);
  auto found = kinds_.find(kind);
  if (found == kinds_.end()) found = kinds_.emplace(kind, Kind{.next = now}).first;
  auto& [next, left_out] = found->second;
  if (now < next) {
    ++left_out;
    return;
  }
  std::string line(text());
  if (left_out) line += " (" + std::to_string(left_out) + " more like it were left out)";
  left_out = 0;
  next = now + std::chrono::seconds(1);
  write(line);
} catch (const std::bad_alloc&) {  // no memory even to say so
}

}  // namespace ladder
