// What expires next. Cheap where it counts: a deadline that only moves later (each byte does that to an idle
// timeout) touches nothing here; it is looked at again when the old one fires. So an entry is a promise to
// look, not a verdict.
#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <vector>

#include "common/server.h"

namespace ladder {

class Deadlines {
 public:
  Deadlines() { heap_.reserve(64); }

  /// True if this is earlier than all others: whoever sleeps for the next one should be told. The last free place is
  /// kept for an id of 0, of which one waits at a time: that push never lacks memory. LIM-08
  bool push(Time time, ConnectionId id) {
    const std::lock_guard lock(mutex_);
    if (id != ConnectionId{} && heap_.size() + 1 >= heap_.capacity()) heap_.reserve(2 * heap_.capacity());
    const bool earliest = time < next_.load();
    heap_.push_back({time, id});
    std::ranges::push_heap(heap_, std::greater{});
    next_ = heap_.front().time;
    return earliest;
  }

  Time next() const { return next_; }  ///< Time::max(): none

  /// Takes out the earliest, if it is due at `now`.
  std::optional<ConnectionId> expired(Time now) {
    if (next() > now) return std::nullopt;
    const std::lock_guard lock(mutex_);
    if (heap_.empty() || heap_.front().time > now) return std::nullopt;
    std::ranges::pop_heap(heap_, std::greater{});
    const ConnectionId id = heap_.back().id;
    heap_.pop_back();
    next_ = heap_.empty() ? Time::max() : heap_.front().time;
    return id;
  }

 private:
  struct Entry {
    Time time;
    ConnectionId id;
    bool operator>(const Entry& other) const { return time > other.time; }
  };
  std::mutex mutex_;
  std::vector<Entry> heap_;  // the earliest in front
  std::atomic<Time> next_ = Time::max();
};

}  // namespace ladder
