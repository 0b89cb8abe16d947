// What expires next (common/deadlines.h).
#include "common/deadlines.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "common/server.h"

using namespace ladder;
using namespace std::chrono_literals;

namespace {
constexpr Time start{1h};
constexpr ConnectionId a{1}, b{2}, c{3};
using Ids = std::vector<ConnectionId>;

Ids sorted(Ids ids) {
  std::ranges::sort(ids, {}, &ConnectionId::value);
  return ids;
}

Ids expired(Deadlines& deadlines, Time now) {
  Ids ids;
  while (const auto id = deadlines.expired(now))
    ids.push_back(*id);
  return ids;
}
}  // namespace

TEST_CASE("deadlines: come out when they are due, the earliest first") {
  Deadlines deadlines;
  CHECK(deadlines.next() == Time::max());
  CHECK(expired(deadlines, start).empty());
  deadlines.push(start + 3ms, c);
  deadlines.push(start + 1ms, a);
  deadlines.push(start + 2ms, b);
  CHECK(deadlines.next() == start + 1ms);
  CHECK(expired(deadlines, start + 1ms - 1ns).empty());
  CHECK(expired(deadlines, start + 1ms) == Ids{a});
  CHECK(deadlines.next() == start + 2ms);
  CHECK(expired(deadlines, start + 1h) == Ids{b, c});
  CHECK(deadlines.next() == Time::max());
  CHECK(expired(deadlines, start + 1h).empty());
}

TEST_CASE("deadlines: equal times come out together, and one id may have several") {
  Deadlines deadlines;
  deadlines.push(start, a);
  deadlines.push(start, b);
  deadlines.push(start + 1ms, a);
  CHECK(sorted(expired(deadlines, start)) == Ids{a, b});
  CHECK(deadlines.next() == start + 1ms);
  CHECK(expired(deadlines, start + 1ms) == Ids{a});
}

TEST_CASE("deadlines: who sleeps is told of an earlier one, and not of a later one") {
  Deadlines deadlines;
  CHECK(deadlines.push(start + 5ms, a));
  CHECK_FALSE(deadlines.push(start + 6ms, b));
  CHECK(deadlines.push(start + 4ms, c));
  CHECK_FALSE(deadlines.push(start + 5ms, b));
  CHECK(deadlines.push(start + 3ms, c));  // an id that has a later one too
  CHECK(sorted(expired(deadlines, start + 4ms)) == Ids{c, c});
  CHECK(deadlines.push(start + 4ms, b));
  expired(deadlines, start + 1h);
  CHECK(deadlines.push(start + 2h, a));
}

TEST_CASE("deadlines: random ones, beside a sorted map") {
  std::mt19937 random(1);
  Deadlines deadlines;
  std::multimap<Time, ConnectionId> plain;
  Time now = start;
  for (int step = 0; step < 100'000; ++step) {
    if (random() % 3 != 0) {
      const Time time = now + Milliseconds(random() % 50);
      const ConnectionId id{1 + step % 7919u};
      const bool earlier = plain.empty() || time < plain.begin()->first;
      plain.emplace(time, id);
      const bool told = deadlines.push(time, id);
      REQUIRE((told || !earlier));
    } else {
      now += Milliseconds(random() % 5);
      Ids due;
      for (; !plain.empty() && plain.begin()->first <= now; plain.erase(plain.begin()))
        due.push_back(plain.begin()->second);
      REQUIRE(sorted(expired(deadlines, now)) == sorted(due));
    }
    REQUIRE(deadlines.next() == (plain.empty() ? Time::max() : plain.begin()->first));
  }
}

TEST_CASE("deadlines: of many threads each comes out once") {
  Deadlines deadlines;
  constexpr std::uint64_t each = 20'000;
  std::vector<Ids> out(3);
  const auto work = [&](std::size_t worker) {
    std::mt19937 random(static_cast<unsigned>(worker));
    for (std::uint64_t i = 0; i < each; ++i) {
      deadlines.push(start + Milliseconds(random() % 1000), {1 + worker * each + i});
      const Ids due = expired(deadlines, start + Milliseconds(i * 1000 / each));
      out[worker].insert(out[worker].end(), due.begin(), due.end());
    }
  };
  { const std::jthread one(work, 0), two(work, 1), three(work, 2); }
  Ids all = expired(deadlines, start + 1h);
  for (const Ids& some : out)
    all.insert(all.end(), some.begin(), some.end());
  REQUIRE(all.size() == 3 * each);
  all = sorted(std::move(all));
  for (std::uint64_t i = 0; i < all.size(); ++i)
    if (all[i].value != i + 1) FAIL("id " << i + 1 << " came twice, or never");
}
