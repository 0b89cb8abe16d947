#include "tests/conformance/scene.h"

namespace conformance {

Server& Scene::start(const StartOptions& how) {
  own_.push_back(subject_.start(how));
  return *own_.back();
}

Peer Scene::connect(const Server& server, int receive_buffer) {
  Peer peer(log_, ++peers_, server.target(), receive_buffer);
  expect(peer.connected(patience()), "a connection for " + peer.name(), "none after patience ran out");
  return peer;
}

std::vector<Peer> Scene::connect_many(std::size_t count, const Server& server) {
  std::vector<Peer> peers;
  for (std::size_t i = 0; i < count; ++i)
    peers.push_back(connect(server));
  return peers;
}

std::size_t Scene::served_at_once(std::size_t clients) {
  const std::size_t most = profile().clients_at_once.value_or(clients);
  if (most >= clients) return clients;
  limit("serves " + std::to_string(most) + " at a time, as declared: the others wait, then are served whole");
  return most;
}

}  // namespace conformance
