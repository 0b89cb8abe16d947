// Threads that come and go. Each is joined: when another starts, or by join().
#pragma once

#include <condition_variable>
#include <list>
#include <mutex>
#include <thread>
#include <utility>

namespace ladder {

class ThreadGroup {
 public:
  ~ThreadGroup() { join(); }

  /// Throws std::system_error if the system has no thread to give (EAGAIN, pthread_create(3)), or
  /// std::bad_alloc.
  template <class Work>
  void start(Work&& work) {
    join_gone();  // first: their stacks may be what the new one needs
    const std::lock_guard lock(mutex_);
    const auto self = present_.emplace(present_.begin());
    try {
      *self = std::thread([this, self, work = std::forward<Work>(work)] {
        work();
        const std::lock_guard done(mutex_);
        gone_.splice(gone_.begin(), present_, self);
        if (present_.empty()) all_gone_.notify_all();
      });
    } catch (...) {
      present_.erase(self);
      throw;
    }
  }

  /// Waits for all. Nobody starts one any more.
  void join() {
    std::unique_lock lock(mutex_);
    all_gone_.wait(lock, [this] { return present_.empty(); });
    lock.unlock();
    join_gone();
  }

 private:
  void join_gone() {
    std::list<std::thread> gone;  // joined after the lock
    {
      const std::lock_guard lock(mutex_);
      gone.swap(gone_);
    }
    for (std::thread& thread : gone)
      thread.join();
  }

  std::mutex mutex_;
  std::condition_variable all_gone_;
  std::list<std::thread> present_, gone_;
};

}  // namespace ladder
