// When a connection's messages left, against a plain list.
#include "common/client/departures.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <deque>
#include <random>

#include "common/client/net.h"

using ladder::client::Departures;
using ladder::client::Time;

TEST_CASE("departures: the oldest that is under way, as a plain list tells it") {
  for (unsigned seed = 0; seed < 200; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    const auto below = [&](unsigned n) { return random() % n; };
    const std::size_t depth = 1 + below(50);
    Departures departures;
    std::deque<Time> plain;
    Time now{};
    for (int step = 0; step < 2000; ++step) {
      now += std::chrono::nanoseconds(1);
      const std::size_t count = below(2) ? below(static_cast<unsigned>(depth - plain.size()) + 1) : 0;
      departures.leave(now, count);
      plain.insert(plain.end(), count, now);
      for (std::size_t back = below(static_cast<unsigned>(plain.size()) + 1); back > 0; --back) {
        REQUIRE(departures.oldest() == plain.front());
        departures.arrive();
        plain.pop_front();
      }
      REQUIRE(departures.entries() <= 2 * depth);
    }
  }
}

TEST_CASE(
    "departures: a million that leave together are one entry, and one by one no more than are under way") {
  Departures together, in_turns;
  together.leave(Time{}, 1'000'000);
  CHECK(together.entries() == 1);
  for (int message = 0; message < 1000; ++message) {
    in_turns.leave(Time{} + std::chrono::nanoseconds(message), 1);
    CHECK(in_turns.oldest() == Time{} + std::chrono::nanoseconds(message));
    in_turns.arrive();
    REQUIRE(in_turns.entries() == 0);
  }
}
