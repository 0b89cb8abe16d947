// client hold: opens N connections, holds them, and proves by an echo as each opens and by another at the end
// that the server serves them all. A connection without an answer in time counts as waiting, one that is
// turned away as refused.
//
// The client closes first, and in order: half-close, then the server's end. So the server's statistics
// show peers that left, not resets, and those still waiting are answered as the others leave. The price is a
// minute of TIME_WAIT for each of our ports; the dialer has several source addresses, so that run after run
// finds free ones.

#include <array>
#include <cstddef>
#include <cstdio>
#include <string>

#include "common/client/client.h"
#include "common/client/net.h"
#include "common/client/swarm.h"

namespace ladder::client {

int hold(const Options& options, Dialer& dialer) {
  using State = Swarm::State;
  constexpr std::size_t proof = 1024;
  const Time start = Clock::now();
  Swarm swarm(options, dialer, proof);
  swarm.open();
  if (swarm.count(State::served) > 0) {
    swarm.hold();
    swarm.prove();
  }
  swarm.leave();

  const double took = seconds(Clock::now() - start), rate = swarm.opened_a_second();
  const std::size_t served = swarm.count(State::served), waiting = swarm.count(State::waiting),
                    refused = swarm.count(State::refused), wrong = swarm.count(State::wrong);
  std::array<char, 512> text{};
  if (options.json) {
    std::snprintf(text.data(), text.size(),
                  "{\"connections\":%zu,\"served\":%zu,\"waiting\":%zu,\"refused\":%zu,\"wrong\":%zu,"
                  "\"connects_per_second\":%.1f,\"seconds\":%.3f,\"reasons\":",
                  options.connections, served, waiting, refused, wrong, rate, took);
    print(text.data() + swarm.failures().json() + "}\n");
  } else {
    std::snprintf(text.data(), text.size(),
                  "\n  served   %8zu   opened and answered at %.0f a second\n"
                  "  waiting  %8zu\n  refused  %8zu\n  wrong    %8zu\n  seconds  %8.2f\n",
                  served, rate, waiting, refused, wrong, took);
    print(std::to_string(options.connections) + " connections to " + options.target + text.data());
  }
  swarm.failures().print(options.target);
  return served == options.connections ? 0 : 1;
}

}  // namespace ladder::client
