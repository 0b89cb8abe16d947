// What expires next (common/library/timer_queue.h).
#include "common/library/timer_queue.h"

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

#include <ladder/server.h>

using namespace ladder;
using namespace std::chrono_literals;

namespace {
constexpr Time origin{1h};
constexpr ConnectionId a{1}, b{2}, c{3};
using Ids = std::vector<ConnectionId>;

Ids sorted(Ids ids) {
  std::ranges::sort(ids, {}, &ConnectionId::value);
  return ids;
}

Ids expired(TimerQueue& queue, Time now) {
  Ids ids;
  while (const auto id = queue.expired(now))
    ids.push_back(*id);
  return ids;
}
}  // namespace

TEST_CASE("timer_queue: come out when they are due, the earliest first") {
  TimerQueue queue;
  CHECK(queue.next() == Time::max());
  CHECK(expired(queue, origin).empty());
  Timer first, second, third;
  queue.set(third, c, origin + 3ms);
  queue.set(first, a, origin + 1ms);
  queue.set(second, b, origin + 2ms);
  CHECK(third.due == origin + 3ms);
  CHECK(queue.next() == origin + 1ms);
  CHECK(expired(queue, origin + 1ms - 1ns).empty());
  CHECK(expired(queue, origin + 1ms) == Ids{a});
  CHECK(queue.next() == origin + 2ms);
  CHECK(expired(queue, origin + 1h) == Ids{b, c});
  CHECK(queue.next() == Time::max());
  CHECK(expired(queue, origin + 1h).empty());
}

TEST_CASE("timer_queue: one that is set again has moved, and comes out once") {
  TimerQueue queue;
  Timer first, second;
  queue.set(first, a, origin + 2ms);
  queue.set(second, b, origin + 2ms);
  queue.set(first, a, origin + 1ms);
  CHECK(expired(queue, origin + 1ms) == Ids{a});
  queue.set(second, b, origin + 3ms);
  CHECK(expired(queue, origin + 2ms).empty());
  queue.set(first, a, origin + 3ms);  // one that is out
  CHECK(sorted(expired(queue, origin + 3ms)) == Ids{a, b});
}

TEST_CASE("timer_queue: one that is cancelled never comes out") {
  TimerQueue queue;
  Timer first, second;
  queue.cancel(first);  // one that was never set
  queue.set(first, a, origin + 1ms);
  queue.set(second, b, origin + 2ms);
  queue.cancel(first);
  CHECK(first.due == Time::max());
  CHECK(queue.next() == origin + 2ms);
  CHECK(expired(queue, origin + 1h) == Ids{b});
  queue.cancel(second);  // one that is out
  CHECK(queue.next() == Time::max());
}

TEST_CASE("timer_queue: a sleeper is told of an earlier one, and not of a later one") {
  TimerQueue queue;
  Timer first, second, third;
  CHECK(queue.set(first, a, origin + 5ms));
  CHECK_FALSE(queue.set(second, b, origin + 6ms));
  CHECK(queue.set(third, c, origin + 4ms));
  CHECK_FALSE(queue.set(second, b, origin + 5ms));
  CHECK(queue.set(third, c, origin + 3ms));
  CHECK(expired(queue, origin + 4ms) == Ids{c});
  CHECK(queue.set(second, b, origin + 4ms));
  expired(queue, origin + 1h);
  CHECK(queue.set(first, a, origin + 2h));
}

TEST_CASE("timer_queue: random ones, beside a plain map") {
  std::mt19937 random(1);
  TimerQueue queue;
  std::vector<Timer> timers(200);
  std::map<std::uint64_t, Time> plain;
  const auto earliest = [&] {
    Time time = Time::max();
    for (const auto& [each, due] : plain)
      time = std::min(time, due);
    return time;
  };
  Time now = origin;
  for (int step = 0; step < 100'000; ++step) {
    const std::size_t i = random() % timers.size();
    Timer& timer = timers[i];
    const ConnectionId id{i + 1};
    switch (random() % 4) {
      case 0:
        queue.cancel(timer);
        plain.erase(id.value);
        break;
      case 1: {
        now += Milliseconds(random() % 5);
        Ids due;
        for (const auto& [each, time] : plain)
          if (time <= now) due.push_back({each});
        std::erase_if(plain, [&](const auto& one) { return one.second <= now; });
        REQUIRE(sorted(expired(queue, now)) == due);
        break;
      }
      default:
        const Time time = now + Milliseconds(random() % 50);
        const bool earlier = time < earliest();
        plain[id.value] = time;
        const bool told = queue.set(timer, id, time);
        REQUIRE((told || !earlier));
    }
    REQUIRE(queue.next() == earliest());
  }
}

TEST_CASE("timer_queue: of many threads each comes out once") {
  TimerQueue queue;
  constexpr std::uint64_t each = 20'000;
  std::vector<Ids> out(3);
  std::vector<Timer> timers(3 * each);
  const auto work = [&](std::size_t worker) {
    std::mt19937 random(static_cast<unsigned>(worker));
    for (std::uint64_t i = 0; i < each; ++i) {
      const std::size_t at = worker * each + i;
      queue.set(timers[at], {at + 1}, origin + Milliseconds(random() % 1000));
      const Ids due = expired(queue, origin + Milliseconds(i * 1000 / each));
      out[worker].insert(out[worker].end(), due.begin(), due.end());
    }
  };
  {
    const std::jthread one(work, 0), two(work, 1), three(work, 2);
  }
  Ids all = expired(queue, origin + 1h);
  for (const Ids& some : out)
    all.insert(all.end(), some.begin(), some.end());
  REQUIRE(all.size() == 3 * each);
  all = sorted(std::move(all));
  for (std::uint64_t i = 0; i < all.size(); ++i)
    if (all[i].value != i + 1) FAIL("id " << i + 1 << " came twice, or never");
}
