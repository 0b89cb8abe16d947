// SCALE: many connections at once, and again.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tests/conformance/expect.h"
#include "tests/conformance/peer.h"
#include "tests/conformance/platform.h"
#include "tests/conformance/scene.h"
#include "tests/conformance/subject.h"
#include "tests/conformance/suite.h"

namespace conformance {
namespace {

/// Many clients of one server, and what the model has declared of them.
class Crowd {
 public:
  Crowd(Scene& scene, std::size_t clients) : scene_(scene), clients_(clients) {
    constexpr std::size_t others = 200;
    if (const std::size_t most = most_descriptors(); most < clients + others)
      throw NotApplicable(std::to_string(clients) + " connections need as many descriptors and " +
                          std::to_string(others) + " more; " + std::to_string(most) + " are allowed here");
    const Profile& profile = scene.profile();
    room_ = std::min({clients, profile.clients_at_once.value_or(clients), profile.ceiling.value_or(clients)});
    rest_wait_ = room_ < clients && profile.above == "wait";
  }

  Server& server() { return server_; }

  /// Connects all of them.
  std::vector<Peer> come() {
    std::vector<Peer> peers;
    while (peers.size() < clients_) {
      peers.push_back(scene_.dial(server_.target(), address()));
      constexpr std::size_t at_a_time = 200;  // fewer than a backlog holds
      if (rest_wait_ || peers.size() % at_a_time) continue;
      for (Peer& peer : std::span(peers).last(at_a_time))
        expect(peer.connected(patience()), "a connection for " + peer.name(), "none");
    }
    return peers;
  }

  /// As many as there is room for are answered, the others wait or are closed, as declared.
  void expect_answers(std::vector<Peer>& peers) {
    const std::size_t rest = clients_ - room_;
    const Answers answers = rest_wait_ ? ask(askers(peers)) : ask(askers(peers), patience());
    expect_counts(answers, room_, rest_wait_ ? 0 : rest, rest_wait_ ? rest : 0);
    if (rest == 0) return;
    if (!rest_wait_) expect(!server_.process().log().empty(), "a line about it on standard error", "none");
    scene_.limit("as declared (" + scene_.profile().set_by + "): " + std::to_string(room_) + " are served, " +
                 std::to_string(rest) + (rest_wait_ ? " wait" : " are closed at once"));
  }

  /// All leave, those too who still wait: the server comes to each of them in its turn before the next client's.
  void leave(std::vector<Peer>& peers) {
    peers.clear();
    server_.expect_closed_what_was_left();
    server_.expect_holdings_returned();
  }

  std::size_t room() const { return room_; }

 private:
  /// Each address has ports of its own, and lends one for a minute to each connection that it has closed first
  /// (TIME_WAIT).
  std::string address() {
    constexpr std::size_t for_each = 5000;
    return "127.0.0." + std::to_string(2 + dialed_++ / for_each);
  }

  Scene& scene_;
  const std::size_t clients_;
  std::size_t room_ = 0, dialed_ = 0;
  bool rest_wait_ = false;
  Server& server_ = scene_.start();
};

std::string each(std::uint64_t now, std::uint64_t before, std::size_t count) {
  return std::to_string((now > before ? now - before : 0) / count);
}

void hold(Scene& scene, std::size_t clients) {
  if (clients > 1000) need_threads_that_take_no_descriptor(scene);  // some 5 000 there
  Crowd crowd(scene, clients);
  Process& process = crowd.server().process();
  const std::uint64_t memory = process.memory();
  const std::size_t threads = process.threads();
  const Time begun = Clock::now();
  std::vector<Peer> peers = crowd.come();
  const std::chrono::duration<double> took = Clock::now() - begun;
  crowd.expect_answers(peers);
  scene.note(std::to_string(static_cast<std::size_t>(static_cast<double>(clients) / took.count())) +
             " connects/s; a connection: " + each(process.memory(), memory, crowd.room()) +
             " bytes of memory, " + each(process.threads(), threads, crowd.room()) + " threads");
  crowd.server().expect_rest();
  if (crowd.room() == clients) crowd.expect_answers(peers);
  crowd.leave(peers);
}

Case held(std::string_view requirement) {
  return {
      .requirement = requirement,
      .source = "contract, points 12 and 13",
      .catches =
          "a table of fixed size; a step whose cost grows with all who are connected; a limit of descriptors "
          "or threads that nobody has declared",
      .needs = Needs::ours};
}

TEST_CASE("SCALE-01 1 000 connections at once") {
  judge(held("1 000 are served at once, or as many as declared"), [](Scene& scene) { hold(scene, 1000); });
}

TEST_CASE("SCALE-02 6 000 connections at once") {
  judge(held("6 000 are served at once, or as many as declared"), [](Scene& scene) { hold(scene, 6000); });
}

TEST_CASE("SCALE-03 10 000 connections at once") {
  judge(held("10 000 are served at once, or as many as declared"), [](Scene& scene) { hold(scene, 10'000); });
}

TEST_CASE("SCALE-04 19 000 connections at once") {
  judge(held("19 000 are served at once, or as many as declared"), [](Scene& scene) { hold(scene, 19'000); });
}

TEST_CASE("SCALE-05 6 000 connections, ten times in a row on one port") {
  judge({.requirement = "when all have left, as many can come again, and again",
         .source = "RFC 9293, 3.6.1 (TIME-WAIT); contract, point 2",
         .catches = "a slot, a descriptor or a port that comes back too late, or not at all",
         .needs = Needs::ours},
        [](Scene& scene) {
          need_threads_that_take_no_descriptor(scene);
          Crowd crowd(scene, 6000);
          for (int round = 0; round < 10; ++round) {
            std::vector<Peer> peers = crowd.come();
            crowd.expect_answers(peers);
            crowd.leave(peers);
          }
        });
}

}  // namespace
}  // namespace conformance
