// What expires next. Cheap where it counts: a deadline that only moves later (each byte does that to an idle
// timeout) touches nothing here; it is looked at again when the old one fires. So an entry is a promise to
// look, not a verdict.
#pragma once

#include <atomic>
#include <mutex>
#include <queue>
#include <vector>

#include "common/server.h"

namespace ladder {

class Deadlines {
 public:
  /// True if this is earlier than all others: whoever sleeps for the next one should be told.
  bool push(Time time, ConnectionId id) {
    const std::lock_guard lock(mutex_);
    const bool earliest = time < next_.load();
    heap_.push({time, id});
    next_ = heap_.top().time;
    return earliest;
  }

  Time next() const { return next_; }  ///< Time::max(): none

  /// Takes out what is due at `now`.
  std::vector<ConnectionId> expired(Time now) {
    std::vector<ConnectionId> ids;
    if (next() > now) return ids;
    const std::lock_guard lock(mutex_);
    for (; !heap_.empty() && heap_.top().time <= now; heap_.pop())
      ids.push_back(heap_.top().id);
    next_ = heap_.empty() ? Time::max() : heap_.top().time;
    return ids;
  }

 private:
  struct Entry {
    Time time;
    ConnectionId id;
    bool operator>(const Entry& other) const { return time > other.time; }
  };
  std::mutex mutex_;
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> heap_;
  std::atomic<Time> next_ = Time::max();
};

}  // namespace ladder
