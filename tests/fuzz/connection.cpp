// The bytes are a history of one connection: up to seven for the options, then two a move. A ConnectionState and the plain model of the
// contract must agree after each move (tests/unit/connection_history.h).
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tests/fuzz/fuzz.h"
#include "tests/unit/connection_history.h"
#include <ladder/server.h>

namespace {

using namespace ladder;
using namespace ladder::history;

Plan plan(std::string_view input) {
  Plan plan;
  const unsigned switches = fuzz::take(input);
  plan.listens = switches % 4 != 3;
  Options& options = plan.options;
  options.idle_timeout = Milliseconds(switches & 4 ? 0 : 20 + fuzz::take(input) % 40);
  options.write_timeout = Milliseconds(switches & 8 ? 0 : 5 + fuzz::take(input) % 40);
  options.close_timeout = Milliseconds(switches & 16 ? 0 : 5 + fuzz::take(input) % 40);
  options.low_mark = fuzz::take(input) % 8;
  options.high_mark = options.low_mark + fuzz::take(input) % 24;
  options.hard_cap = options.high_mark + fuzz::take(input) % 40;
  while (!input.empty()) {
    const Kind& kind = kinds[fuzz::take(input) % kinds.size()];
    plan.moves.push_back({&kind, fuzz::take(input)});
  }
  return plan;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Plan history = plan(fuzz::text(data, size));
  const char* const difference = play(history).difference;
  fuzz::require(!difference,
                (difference ? difference : "") + (" is the same for both: " + to_string(history)));
  return 0;
}
