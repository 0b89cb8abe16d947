// The bell of a readiness model (common/bells.h).
#include "common/bells.h"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

#include "common/os_select.h"
#include "common/server.h"

using namespace ladder;

namespace {

using Ids = std::vector<ConnectionId>;

bool heard(const Bells& bells, Milliseconds patience = Milliseconds{0}) {
  fd_set readers;
  FD_ZERO(&readers);
  FD_SET(bells.handle(), &readers);
  timeval at_most = os::to_timeval(patience);
  return ::select(static_cast<int>(bells.handle() + 1), &readers, nullptr, nullptr, &at_most) == 1;
}

}  // namespace

TEST_CASE("bells: heard until the ids are taken, which come in order") {
  Bells bells;
  CHECK_FALSE(heard(bells));
  bells.ring({1});
  bells.ring({2});
  CHECK(heard(bells));
  CHECK(bells.take() == Ids{{1}, {2}});
  CHECK_FALSE(heard(bells));
  CHECK(bells.take().empty());
  bells.ring({1});
  CHECK(heard(bells));
}

TEST_CASE("bells: rung for good, they are heard by all who come, and ids still pass") {
  Bells quiet;
  quiet.ring_for_good();
  CHECK(heard(quiet));
  CHECK(quiet.take().empty());
  CHECK(heard(quiet));

  Bells bells;
  bells.ring({1});
  bells.ring_for_good();
  CHECK(bells.take() == Ids{{1}});
  CHECK(heard(bells));
  bells.ring({2});
  CHECK(bells.take() == Ids{{2}});
  CHECK(heard(bells));
}

TEST_CASE("bells: taken one at a time they come in order, and it is heard while there are more") {
  Bells bells;
  CHECK_FALSE(bells.take_one());
  bells.ring({1});
  bells.ring({2});
  CHECK(bells.take_one() == ConnectionId{1});
  CHECK(heard(bells));
  CHECK(bells.take_one() == ConnectionId{2});
  CHECK_FALSE(bells.take_one());
}

TEST_CASE("bells: of many threads' rings none is missed by one who sleeps until it hears") {
  Bells bells;
  constexpr std::uint64_t each = 20'000;
  std::vector<int> came(3 * each + 1);
  const auto ring = [&](std::uint64_t first) {
    for (std::uint64_t i = 0; i < each; ++i)
      bells.ring({first + i});
  };
  const std::jthread one(ring, 1), two(ring, 1 + each), three(ring, 1 + 2 * each);
  for (std::size_t left = 3 * each; left > 0;) {
    REQUIRE(heard(bells, std::chrono::seconds{10}));
    for (const ConnectionId id : bells.take()) {
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
