// The waker as 05's workers hear it: by epoll, edge-triggered.
#include <doctest/doctest.h>
#include <sys/epoll.h>

#include "common/library/wake_queue.h"
#include "common/os/os.h"
#include <ladder/server.h>

using namespace ladder;

TEST_CASE(
    "wake_queue: watched edge-triggered, each notify wakes one, and one that takes the first wakes the "
    "next") {
  WakeQueue wakes;
  const os::Descriptor epoll(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{.events = EPOLLIN | EPOLLET, .data = {}};
  REQUIRE(::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, wakes.handle(), &event) == 0);
  const auto woken = [&] { return ::epoll_wait(epoll.get(), &event, 1, 0) == 1; };
  CHECK_FALSE(woken());
  wakes.notify({1});
  wakes.notify({2});
  wakes.notify({3});
  CHECK(woken());
  CHECK_FALSE(woken());  // an edge is told once
  for (const ConnectionId id : {ConnectionId{1}, ConnectionId{2}}) {
    CHECK(wakes.take_one() == id);
    CHECK(woken());
  }
  CHECK(wakes.take_one() == ConnectionId{3});
  CHECK_FALSE(woken());
  wakes.notify({4});  // the first of its kind again
  CHECK(woken());
  CHECK(wakes.take_one() == ConnectionId{4});
}
