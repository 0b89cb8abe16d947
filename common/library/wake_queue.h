// How other threads wake a readiness model's: the ids that something is pending for, and a descriptor that its thread
// watches.
#pragma once

#include <cstddef>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "common/os/os.h"
#include <ladder/server.h>

namespace ladder {

class WakeQueue {
 public:
  os::Handle handle() const { return waker_.handle(); }

  /// Throws std::bad_alloc; then no id was added.
  void notify(ConnectionId id) {
    const std::lock_guard lock(mutex_);
    ids_.push_back(id);
    if (ids_.size() == 1) waker_.notify();
  }

  /// Wakes all who watch, and stays notified.
  void notify_for_good() {
    const std::lock_guard lock(mutex_);
    for_good_ = true;
    waker_.notify();
  }

  std::vector<ConnectionId> take() {
    const std::lock_guard lock(mutex_);
    if (!for_good_) waker_.clear();
    drop_taken();
    return std::exchange(ids_, {});
  }

  /// For several threads that are told of the waker edge-triggered, so that one notification wakes one of them: the first id.
  /// If there are more, it notifies again, and another thread takes the next while this one is busy.
  std::optional<ConnectionId> take_one() {
    const std::lock_guard lock(mutex_);
    if (ids_.empty()) return std::nullopt;
    const ConnectionId id = ids_[taken_++];
    if (2 * taken_ >= ids_.size()) drop_taken();  // so that each is moved once at the most
    if (!ids_.empty()) waker_.notify();
    return id;
  }

 private:
  void drop_taken() {
    ids_.erase(ids_.begin(), ids_.begin() + static_cast<std::ptrdiff_t>(taken_));
    taken_ = 0;
  }

  os::Waker waker_;
  std::mutex mutex_;
  std::vector<ConnectionId> ids_;  // not a deque, whose moved-from state needs memory. LIM-08
  std::size_t taken_ = 0;          // the first so many are with take_one()'s callers
  bool for_good_ = false;
};

}  // namespace ladder
