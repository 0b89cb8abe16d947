#include "tests/conformance/scene.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tests/conformance/platform.h"
#include "tests/conformance/sockets.h"
#include "tests/conformance/subject.h"
#include "tests/conformance/suite.h"

namespace conformance {

Server& Scene::start(const StartOptions& how) {
  own_.push_back(subject_.start(how));
  return *own_.back();
}

/// A connection that is only begun, and whether the server's full backlog made the system throw it away: then
/// no answer will come before it tries again, in a second.
struct Scene::Attempt {
  Attempt(Scene& in, const Target& target, int receive_buffer)
      : scene(in), peer(in.log_, ++in.peers_, target, receive_buffer) {}
  bool connected() { return peer.connected(milliseconds(50)); }
  bool dropped() {  // asked only of one that is not connected: the count is dear
    const std::uint64_t before = std::exchange(scene.overflows_, overflows());
    return scene.overflows_ > before;
  }

  Scene& scene;
  Peer peer;
};

std::uint64_t Scene::overflows() {
  return settings().private_network ? counters().listen_overflows : 0;
}

Peer Scene::connect(const Server& server, int receive_buffer) {
  const Time until = Clock::now() + patience();
  while (true) {
    Attempt attempt(*this, server.target(), receive_buffer);
    while (!attempt.connected() && !attempt.dropped())
      expect(Clock::now() < until, "a connection for " + attempt.peer.name(), "no answer");
    if (attempt.connected()) return std::move(attempt.peer);
    expect(Clock::now() < until, "a connection for " + attempt.peer.name(), "a backlog that stays full");
  }
}

std::vector<Peer> Scene::connect_many(std::size_t count, const Server& server) {
  std::vector<Peer> peers;
  for (std::size_t i = 0; i < count; ++i)
    peers.push_back(connect(server));
  return peers;
}

std::vector<Peer> Scene::fill_backlog(std::size_t most, const Server& server) {
  const Time until = Clock::now() + patience();
  std::vector<Peer> peers;
  for (bool full = false; !full && peers.size() < most;) {
    Attempt attempt(*this, server.target(), 0);
    while (!attempt.connected() && !full)
      full = attempt.dropped() || Clock::now() >= until;
    if (!full) peers.push_back(std::move(attempt.peer));
  }
  expect(!peers.empty(), "a backlog that holds a client", "no connection");
  return peers;
}

std::size_t Scene::served_at_once(std::size_t clients) {
  const std::size_t most = fitting(clients);
  if (most == clients) return clients;
  limit("serves " + std::to_string(most) + " at a time, as declared: the others wait, then are served whole");
  return most;
}

}  // namespace conformance
