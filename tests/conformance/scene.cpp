#include "tests/conformance/scene.h"

namespace conformance {

Server& Scene::start(const StartOptions& how) {
  own_.push_back(subject_.start(how));
  return *own_.back();
}

/// A full backlog drops what comes; the system would try again in a second, and we sooner.
Peer Scene::connect(const Server& server, int receive_buffer) {
  const Time until = Clock::now() + patience();
  while (true) {
    Peer peer(log_, ++peers_, server.target(), receive_buffer);
    if (peer.connected(milliseconds(50))) return peer;
    expect(Clock::now() < until, "a connection for " + peer.name(), "no answer");
    --peers_;
  }
}

std::vector<Peer> Scene::connect_many(std::size_t count, const Server& server) {
  std::vector<Peer> peers;
  for (std::size_t i = 0; i < count; ++i)
    peers.push_back(connect(server));
  return peers;
}

std::vector<Peer> Scene::fill_backlog(std::size_t most) {
  std::vector<Peer> peers;
  while (peers.size() < most) {
    Peer peer = dial(server().target());
    if (!peer.connected(milliseconds(50))) break;
    peers.push_back(std::move(peer));
  }
  expect(!peers.empty(), "a backlog that holds a client", "no connection");
  return peers;
}

std::size_t Scene::served_at_once(std::size_t clients) {
  const std::size_t most = profile().clients_at_once.value_or(clients);
  if (most >= clients) return clients;
  limit("serves " + std::to_string(most) + " at a time, as declared: the others wait, then are served whole");
  return most;
}

}  // namespace conformance
