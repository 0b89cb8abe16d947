// Random histories of one connection: a ConnectionState and a plain model of the contract (connection_history.h) are led
// through the same moves, millions of them, and must agree after each. A history that fails is shrunk to the moves it
// needs.
#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <random>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/connection_history.h"
#include <ladder/server.h>

using namespace ladder;
using namespace ladder::history;

namespace {

Plan plan(unsigned seed) {
  std::mt19937 random(seed);
  const auto any = [&](std::size_t below) { return static_cast<unsigned>(random() % below); };
  Options options;
  options.idle_timeout = any(3) == 0 ? 0ms : Milliseconds(20 + any(40));
  options.write_timeout = any(5) == 0 ? 0ms : Milliseconds(5 + any(40));
  options.close_timeout = any(5) == 0 ? 0ms : Milliseconds(5 + any(40));
  options.low_mark = any(8);
  options.high_mark = options.low_mark + any(24);
  options.hard_cap = options.high_mark + any(40);
  static const std::vector<const Kind*> urn = [] {
    std::vector<const Kind*> all;
    for (const Kind& kind : kinds)
      all.insert(all.end(), kind.weight, &kind);
    return all;
  }();
  Moves moves(20 + any(180));
  for (Move& move : moves)
    move = {urn[any(urn.size())], any(1000)};
  return {options, any(4) != 0, std::move(moves)};
}

/// Leaves out what the difference does not need.
Plan shrink(Plan plan) {
  for (std::size_t chunk = plan.moves.size(); chunk > 0; chunk /= 2)
    for (std::size_t i = 0; i + chunk <= plan.moves.size();) {
      Plan fewer = plan;
      const auto from = fewer.moves.begin() + static_cast<std::ptrdiff_t>(i);
      fewer.moves.erase(from, from + static_cast<std::ptrdiff_t>(chunk));
      if (play(fewer).difference)
        plan = std::move(fewer);
      else
        ++i;
    }
  return plan;
}

std::string report(unsigned seed, const Outcome& first) {
  Plan needed = plan(seed);
  needed.moves.resize(first.made);
  needed = shrink(std::move(needed));
  const char* again = play(needed).difference;
  std::ostringstream text;
  text << "seed " << seed << ", move " << first.made << ": " << first.difference << " differs\n  shrunk ("
       << (again ? again : "no difference the second time") << "): " << to_string(needed);
  return text.str();
}

}  // namespace

TEST_CASE("connection_state: random histories agree with a plain model of the contract, move by move") {
  constexpr std::size_t enough = 3'000'000;
  const auto give_up =
      std::chrono::steady_clock::now() + 5s;  // a sanitizer makes it slow: fewer will do then
  std::size_t moves = 0;
  std::array<unsigned, close_reasons> reasons{};
  std::array<unsigned, 4> steps{};
  for (unsigned seed = 1; moves < enough; ++seed) {
    if (seed % 256 == 0 && seed > 5000 && std::chrono::steady_clock::now() > give_up) break;
    const Outcome outcome = play(plan(seed));
    if (outcome.difference) FAIL(report(seed, outcome));
    moves += outcome.made;
    ++steps[static_cast<std::size_t>(outcome.last.next())];
    if (!outcome.last.open()) ++reasons[static_cast<std::size_t>(outcome.last.reason)];
  }
  CAPTURE(moves);
  for (const unsigned count : steps)  // the histories come to every end there is
    CHECK(count > 20);
  for (const CloseReason reason :
       {CloseReason::peer, CloseReason::local, CloseReason::reset, CloseReason::idle_timeout,
        CloseReason::write_timeout, CloseReason::stopping})
    CHECK(reasons[static_cast<std::size_t>(reason)] > 20);
}
