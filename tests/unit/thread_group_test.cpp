// Threads that come and go (common/library/thread_group.h).
#include "common/library/thread_group.h"

#include <doctest/doctest.h>

#include <atomic>
#include <exception>
#include <latch>
#include <memory>
#include <stdexcept>

using namespace ladder;

TEST_CASE("thread_group: join() waits for all, those that others of them started included") {
  std::atomic<int> done = 0;
  ThreadGroup group;
  group.join();  // nobody is there
  std::latch all_started(20);
  for (int i = 0; i < 20; ++i)
    group.start([&] {
      all_started.arrive_and_wait();  // so that all are there at once
      group.start([&] { ++done; });
      ++done;
    });
  group.join();
  CHECK(done == 40);
  group.start([&] { ++done; });  // and again
  group.join();
  CHECK(done == 41);
}

TEST_CASE("thread_group: its end joins, and what a thread worked with is gone then") {
  const auto kept = std::make_shared<int>(0);
  {
    ThreadGroup group;
    for (int i = 0; i < 5; ++i)
      group.start([kept] {});
  }
  CHECK(kept.use_count() == 1);
}

TEST_CASE("thread_group: a failure to create a thread leaves the others and join() in order") {
  struct Work {
    Work() = default;
    Work(const Work&) {  // stands for the EAGAIN of pthread_create(3)
      std::rethrow_exception(std::make_exception_ptr(std::runtime_error("no thread")));
    }
    Work& operator=(const Work&) = delete;
    void operator()() const {}
  };
  std::atomic<int> done = 0;
  ThreadGroup group;
  group.start([&] { ++done; });
  CHECK_THROWS_AS(group.start(Work()), std::runtime_error);
  group.start([&] { ++done; });
  group.join();
  CHECK(done == 2);
}
