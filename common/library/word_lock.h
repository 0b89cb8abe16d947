// A mutex of four bytes, where std::mutex has forty: each connection has one, and a message locks it twice.
#pragma once

#include <atomic>
#include <cstdint>

#include "common/os/os.h"

namespace ladder {

/// For std::lock_guard. Held for a few instructions at a time, so whoever unlocks it wakes all who wait.
class WordLock {
 public:
  void lock() {
    std::uint32_t seen = open;
    if (word_.compare_exchange_strong(seen, locked, std::memory_order_acquire)) return;
    while (word_.exchange(awaited, std::memory_order_acquire) != open)
      os::wait_while(word_, awaited);  // sleeps here
  }
  void unlock() {
    if (word_.exchange(open, std::memory_order_release) == awaited) os::wake_all(word_);
  }

 private:
  static constexpr std::uint32_t open = 0, locked = 1, awaited = 2;
  std::atomic<std::uint32_t> word_ = open;
};

}  // namespace ladder
