// The waker of a readiness model (common/library/wake_queue.h).
#include "common/library/wake_queue.h"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

#include "common/os/select.h"
#include <ladder/server.h>

using namespace ladder;

namespace {

using Ids = std::vector<ConnectionId>;

bool heard(const WakeQueue& wakes, Milliseconds patience = Milliseconds{0}) {
  fd_set readers;
  FD_ZERO(&readers);
  FD_SET(wakes.handle(), &readers);
  timeval at_most = os::to_timeval(patience);
  return ::select(static_cast<int>(wakes.handle() + 1), &readers, nullptr, nullptr, &at_most) == 1;
}

}  // namespace

TEST_CASE("wake_queue: heard until the ids are taken, which come in order") {
  WakeQueue wakes;
  CHECK_FALSE(heard(wakes));
  wakes.notify({1});
  wakes.notify({2});
  CHECK(heard(wakes));
  CHECK(wakes.take() == Ids{{1}, {2}});
  CHECK_FALSE(heard(wakes));
  CHECK(wakes.take().empty());
  wakes.notify({1});
  CHECK(heard(wakes));
}

TEST_CASE("wake_queue: notified for good, they are heard by all who come, and ids still pass") {
  WakeQueue quiet;
  quiet.notify_for_good();
  CHECK(heard(quiet));
  CHECK(quiet.take().empty());
  CHECK(heard(quiet));

  WakeQueue wakes;
  wakes.notify({1});
  wakes.notify_for_good();
  CHECK(wakes.take() == Ids{{1}});
  CHECK(heard(wakes));
  wakes.notify({2});
  CHECK(wakes.take() == Ids{{2}});
  CHECK(heard(wakes));
}

TEST_CASE("wake_queue: taken one at a time they come in order, and it is heard while there are more") {
  WakeQueue wakes;
  CHECK_FALSE(wakes.take_one());
  wakes.notify({1});
  wakes.notify({2});
  CHECK(wakes.take_one() == ConnectionId{1});
  CHECK(heard(wakes));
  CHECK(wakes.take_one() == ConnectionId{2});
  CHECK_FALSE(wakes.take_one());
}

TEST_CASE("wake_queue: of many threads' rings none is missed by one who sleeps until it hears") {
  WakeQueue wakes;
  constexpr std::uint64_t each = 20'000;
  std::vector<int> came(3 * each + 1);
  const auto notify = [&](std::uint64_t first) {
    for (std::uint64_t i = 0; i < each; ++i)
      wakes.notify({first + i});
  };
  const std::jthread one(notify, 1), two(notify, 1 + each), three(notify, 1 + 2 * each);
  for (std::size_t left = 3 * each; left > 0;) {
    REQUIRE(heard(wakes, std::chrono::seconds{10}));
    for (const ConnectionId id : wakes.take()) {
      ++came[id.value];
      --left;
    }
  }
  CHECK(came == [] {
    std::vector<int> once(3 * each + 1, 1);
    once[0] = 0;
    return once;
  }());
}
