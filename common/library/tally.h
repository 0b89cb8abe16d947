// A count that many threads add to with each message. They do it in several places, each in a cache line of its own: one
// for all would travel from core to core.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace ladder {

class Tally {
 public:
  void add(std::uint64_t count) { lanes_[lane()].count.fetch_add(count, std::memory_order_relaxed); }
  std::uint64_t sum() const {
    std::uint64_t sum = 0;
    for (const Lane& lane : lanes_)
      sum += lane.count.load(std::memory_order_relaxed);
    return sum;
  }

 private:
  static constexpr std::size_t cache_line = 64, lanes = 8;
  struct alignas(cache_line) Lane {
    std::atomic<std::uint64_t> count = 0;
  };

  /// This thread's, for good. Threads that share one lose only speed.
  static std::size_t lane() {
    static std::atomic<std::size_t> threads = 0;
    static constinit thread_local std::size_t mine = lanes;
    if (mine == lanes) mine = threads++ % lanes;
    return mine;
  }

  std::array<Lane, lanes> lanes_{};
};

}  // namespace ladder
