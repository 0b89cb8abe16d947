// What the three commands are asked and what they share: the options, the list of failures, the progress bar.
#pragma once

#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include "common/client/net.h"
#include "common/client/stream.h"

namespace ladder::client {

inline constexpr std::uint64_t unlimited = std::numeric_limits<std::uint64_t>::max();

struct Options {
  std::string target;  // as it was given: HOST:PORT
  std::size_t connections = 1;
  Nanoseconds timeout = std::chrono::seconds(5);
  bool json = false;
  Nanoseconds hold_for = std::chrono::seconds(2);
  std::size_t size = 64;
  Nanoseconds duration{0};             // 0: messages says when to end
  std::uint64_t messages = unlimited;  // of a connection
  double rate = 0;                     // messages a second in all; 0: a closed loop
  std::uint64_t depth = 0;             // of a closed loop, messages under way on a connection
};

// Each returns the exit status.
int talk(const Options&, Dialer&);
int load(const Options&, Dialer&);
int hold(const Options&, Dialer&);

inline double seconds(Nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}

/// A line on standard error.
inline void tell(const std::string& line) {
  // Where even this cannot be written, the exit status is all that is left to say.
  const std::string text = "client: " + line + "\n";
  static_cast<void>(write_all(Standard::error, std::as_bytes(std::span(text))));
}

/// The result. Throws std::system_error: what could not be written was not delivered.
inline void print(const std::string& text) {
  if (const std::error_code error = write_all(Standard::output, std::as_bytes(std::span(text))))
    throw std::system_error(error, "standard output");
}

/// What went wrong, each reason once, with how often and where first.
class Failures {
 public:
  void add(const Trouble& trouble, std::size_t connection) {
    ++total_;
    ++reasons_.try_emplace(trouble.reason, Entry{0, connection, trouble.place}).first->second.count;
  }
  std::size_t total() const { return total_; }

  void print(const std::string& target) const {
    std::size_t lines = 0;
    for (const auto& [reason, entry] : reasons_) {
      if (++lines > 5) break;
      const bool one = entry.count == 1;
      std::string line = target + ": connection " + std::to_string(entry.first);
      if (!one) line.append(" and ").append(std::to_string(entry.count - 1)).append(" more");
      line.append(": ").append(reason);
      if (!entry.place.empty()) line.append(one ? " " : ", the first ").append(entry.place);
      tell(line);
    }
    if (lines > 5) tell("and " + std::to_string(reasons_.size() - 5) + " other reasons");
  }

  /// {"reason":count,…}; no reason holds a character that JSON would escape
  std::string json() const {
    std::string text = "{";
    for (const auto& [reason, entry] : reasons_)
      text += (text.size() > 1 ? ",\"" : "\"") + reason + "\":" + std::to_string(entry.count);
    return text + "}";
  }

 private:
  struct Entry {
    std::size_t count, first;
    std::string place;  // of the first
  };
  std::map<std::string, Entry> reasons_;
  std::size_t total_ = 0;
};

/// A bar on standard error, if a person looks at it; drawn ten times a second at the most.
class Progress {
 public:
  ~Progress() { clear(); }
  void show(Time now, double part, std::uint64_t count, const char* what) {
    if (!seen_ || now < next_) return;
    next_ = now + std::chrono::milliseconds(100);
    const std::size_t done = std::lround(std::fmin(std::fmax(part, 0), 1) * 40);
    const std::string bar = std::string(done, '#') + std::string(40 - done, ' ');
    std::fprintf(stderr, "\r[%s] %llu %s\033[K", bar.c_str(), static_cast<unsigned long long>(count), what);
  }
  void clear() {
    if (std::exchange(next_, Time{}) != Time{}) std::fputs("\r\033[K", stderr);
  }

 private:
  bool seen_ = progress_is_seen();
  Time next_{};
};

}  // namespace ladder::client
