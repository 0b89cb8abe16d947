// A mutex of one byte, where std::mutex has forty: each connection has one, and a message locks it twice.
#pragma once

#include <atomic>
#include <cstdint>

#include "common/os/os.h"

namespace ladder {

/// For std::lock_guard. Held for a few instructions at a time, so whoever unlocks it wakes all who wait.
class ByteLock {
 public:
  void lock() {
    std::uint8_t seen = open;
    if (byte_.compare_exchange_strong(seen, locked, std::memory_order_acquire)) return;
    while (byte_.exchange(awaited, std::memory_order_acquire) != open)
      os::wait_while(byte_, awaited);  // sleeps here
  }
  void unlock() {
    if (byte_.exchange(open, std::memory_order_release) == awaited) os::wake_all(byte_);
  }

 private:
  static constexpr std::uint8_t open = 0, locked = 1, awaited = 2;
  std::atomic<std::uint8_t> byte_ = open;
};

}  // namespace ladder
