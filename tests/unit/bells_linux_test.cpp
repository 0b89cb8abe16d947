// The bell as 05's workers hear it: by epoll, edge-triggered.
#include <doctest/doctest.h>
#include <sys/epoll.h>

#include "common/bells.h"
#include "common/os.h"
#include "common/server.h"

using namespace ladder;

TEST_CASE("bells: watched edge-triggered, each ring wakes one, and one that takes the first wakes the next") {
  Bells bells;
  const os::Descriptor epoll(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{.events = EPOLLIN | EPOLLET, .data = {}};
  REQUIRE(::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, bells.handle(), &event) == 0);
  const auto woken = [&] { return ::epoll_wait(epoll.get(), &event, 1, 0) == 1; };
  CHECK_FALSE(woken());
  bells.ring({1});
  bells.ring({2});
  bells.ring({3});
  CHECK(woken());
  CHECK_FALSE(woken());  // an edge is told once
  for (const ConnectionId id : {ConnectionId{1}, ConnectionId{2}}) {
    CHECK(bells.take_one() == id);
    CHECK(woken());
  }
  CHECK(bells.take_one() == ConnectionId{3});
  CHECK_FALSE(woken());
  bells.ring({4});  // the first of its kind again
  CHECK(woken());
  CHECK(bells.take_one() == ConnectionId{4});
}
