// What expires next. Cheap where it counts: a deadline that only moves later (each byte does that to an idle
// timeout) touches nothing here; it is looked at again when the old one fires. So an entry is a promise to
// look, not a verdict.
//
// A connection has one entry at most, and takes it along when it goes: left here, an entry would stay as long as the
// timeout, and there would be one for each connection ever made. LEAK-06
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include <ladder/server.h>

namespace ladder {

/// One connection's entry. It stays where it is while it is in the queue.
struct Timer {
  Time due = Time::max();   ///< for whoever sets it: when it comes out, if it is not out yet
  std::uint32_t place = 0;  ///< the queue's: where in the heap it stands, from 1; 0: it is not there
};

class TimerQueue {
 public:
  TimerQueue() { heap_.reserve(64); }

  /// Puts the timer in, or moves it. True if it is earlier than all others: whoever sleeps for the next one should be
  /// told. The last free place is kept for an id of 0, of which one waits at a time: it never lacks memory. LIM-08
  bool set(Timer& timer, ConnectionId id, Time time) {
    const std::lock_guard lock(mutex_);
    const bool earliest = time < next_.load();
    if (timer.place == 0) {
      if (id != ConnectionId{} && heap_.size() + 1 >= heap_.capacity()) heap_.reserve(2 * heap_.capacity());
      heap_.push_back({time, &timer, id});
      timer.place = static_cast<std::uint32_t>(heap_.size());
    }
    heap_[timer.place - 1].time = time;
    timer.due = time;
    advance(timer.place - 1);
    return earliest;
  }

  void cancel(Timer& timer) {
    const std::lock_guard lock(mutex_);
    if (timer.place > 0) take_out(timer.place - 1);
    timer.due = Time::max();
  }

  Time next() const { return next_; }  ///< Time::max(): none

  /// Takes out the earliest, if it is due at `now`.
  std::optional<ConnectionId> expired(Time now) {
    if (next() > now) return std::nullopt;
    const std::lock_guard lock(mutex_);
    if (heap_.empty() || heap_.front().time > now) return std::nullopt;
    const ConnectionId id = heap_.front().id;
    take_out(0);
    return id;
  }

 private:
  struct Entry {
    Time time;
    Timer* timer;
    ConnectionId id;
  };

  void take_out(std::size_t at) {
    heap_[at].timer->place = 0;
    const Entry last = heap_.back();
    heap_.pop_back();
    if (at < heap_.size()) {
      put(at, last);
      advance(at);
    }
    next_ = heap_.empty() ? Time::max() : heap_.front().time;
  }

  /// Moves an entry whose time has changed to where it belongs.
  void advance(std::size_t at) {
    for (; at > 0 && heap_[at].time < heap_[(at - 1) / 2].time; at = (at - 1) / 2)
      swap(at, (at - 1) / 2);
    for (std::size_t child = 2 * at + 1; child < heap_.size(); at = child, child = 2 * at + 1) {
      if (child + 1 < heap_.size() && heap_[child + 1].time < heap_[child].time) ++child;
      if (heap_[at].time <= heap_[child].time) break;
      swap(at, child);
    }
    next_ = heap_.front().time;
  }

  void swap(std::size_t one, std::size_t other) {
    const Entry entry = heap_[one];
    put(one, heap_[other]);
    put(other, entry);
  }

  void put(std::size_t at, Entry entry) {
    heap_[at] = entry;
    entry.timer->place = static_cast<std::uint32_t>(at + 1);
  }

  std::mutex mutex_;
  std::vector<Entry> heap_;  // the earliest in front: an entry is no later than 2 i + 1 and 2 i + 2
  std::atomic<Time> next_ = Time::max();
};

}  // namespace ladder
