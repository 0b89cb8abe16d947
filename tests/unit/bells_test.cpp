// The bell of a readiness model (common/bells.h).
#include "common/bells.h"

#include <doctest/doctest.h>
#include <poll.h>

#include <thread>
#include <vector>

using namespace ladder;

namespace {

using Ids = std::vector<ConnectionId>;

bool heard(const Bells& bells) {
  pollfd watch{.fd = bells.handle(), .events = POLLIN, .revents = 0};
  return ::poll(&watch, 1, 0) == 1;
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
    pollfd watch{.fd = bells.handle(), .events = POLLIN, .revents = 0};
    REQUIRE(::poll(&watch, 1, 10'000) == 1);
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
