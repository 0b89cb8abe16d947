// Threads that come and go (common/crew.h).
#include "common/crew.h"

#include <doctest/doctest.h>

#include <atomic>
#include <exception>
#include <latch>
#include <memory>
#include <stdexcept>

using namespace ladder;

TEST_CASE("crew: join() waits for all, those that others of them started included") {
  std::atomic<int> done = 0;
  Crew crew;
  crew.join();  // nobody is there
  std::latch all_started(20);
  for (int i = 0; i < 20; ++i)
    crew.start([&] {
      all_started.arrive_and_wait();  // so that all are there at once
      crew.start([&] { ++done; });
      ++done;
    });
  crew.join();
  CHECK(done == 40);
  crew.start([&] { ++done; });  // and again
  crew.join();
  CHECK(done == 41);
}

TEST_CASE("crew: its end joins, and what a thread worked with is gone then") {
  const auto kept = std::make_shared<int>(0);
  {
    Crew crew;
    for (int i = 0; i < 5; ++i)
      crew.start([kept] {});
  }
  CHECK(kept.use_count() == 1);
}

TEST_CASE("crew: a thread that cannot be made leaves the others and join() in order") {
  struct Work {
    Work() = default;
    Work(const Work&) {  // stands for the EAGAIN of pthread_create(3)
      std::rethrow_exception(std::make_exception_ptr(std::runtime_error("no thread")));
    }
    Work& operator=(const Work&) = delete;
    void operator()() const {}
  };
  std::atomic<int> done = 0;
  Crew crew;
  crew.start([&] { ++done; });
  CHECK_THROWS_AS(crew.start(Work()), std::runtime_error);
  crew.start([&] { ++done; });
  crew.join();
  CHECK(done == 2);
}
