// The bell of a readiness model: the ids that were rung for, and a descriptor that the model's thread
// watches.
#pragma once

#include <mutex>
#include <utility>
#include <vector>

#include "common/os.h"
#include "common/server.h"

namespace ladder {

class Bells {
 public:
  os::Handle handle() const { return bell_.handle(); }

  void ring(ConnectionId id) {
    const std::lock_guard lock(mutex_);
    ids_.push_back(id);
    if (ids_.size() == 1) bell_.ring();
  }

  /// Wakes all who watch, and stays rung.
  void ring_for_good() {
    const std::lock_guard lock(mutex_);
    for_good_ = true;
    bell_.ring();
  }

  std::vector<ConnectionId> take() {
    const std::lock_guard lock(mutex_);
    if (!for_good_) bell_.quiet();
    return std::exchange(ids_, {});
  }

 private:
  os::Bell bell_;
  std::mutex mutex_;
  std::vector<ConnectionId> ids_;
  bool for_good_ = false;
};

}  // namespace ladder
