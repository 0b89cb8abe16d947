// A slow server's callbacks take their time: they stand for one that computes, or asks a database.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <span>
#include <string_view>
#include <thread>

namespace bench {

inline constexpr std::chrono::milliseconds slow_time{200};

/// Of the connections of this process the first one takes its time to open.
inline void open_slowly() {
  static std::atomic<bool> first = true;
  if (first.exchange(false)) std::this_thread::sleep_for(slow_time);
}

/// So does a message that begins with 's'.
inline void answer_slowly(char first) {
  if (first == 's') std::this_thread::sleep_for(slow_time);
}

/// Whether one of a peer's arguments is this word.
inline bool asked_for(std::string_view word, int argc, char** argv) {
  const std::span<char* const> words(argv, static_cast<std::size_t>(argc));
  return std::find(words.begin(), words.end(), word) != words.end();
}

}  // namespace bench
