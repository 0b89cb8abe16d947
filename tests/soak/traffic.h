// What the clients of a soak do. A role is one kind of client: it comes, does its part and leaves, again and again.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "tests/conformance/peer.h"
#include "tests/conformance/platform.h"
#include "tests/conformance/sockets.h"
#include "tests/conformance/subject.h"

namespace soak {

/// What all clients of one server have done. Of bytes: what the system took from them, and what they got.
struct Tally {
  std::atomic<std::uint64_t> clients = 0, sent = 0, received = 0;
};

/// Plays one role at one server, in a thread of its own.
class Visitor {
 public:
  /// `alone`: the server has time for one client. `until`: then it leaves.
  Visitor(const conformance::Server& server, Tally& tally, std::uint64_t seed, bool alone,
          conformance::Time until)
      : server_(server), tally_(tally), random_(seed), alone_(alone), until_(until) {}

  /// A connection that stands; throws Failed. `receive_buffer`: SO_RCVBUF; 0 leaves it to the system.
  conformance::Peer connect(int receive_buffer = 0);
  void forget() { log_ = {}; }  ///< what went over the wire, when no Peer is left
  std::string wire() const { return log_.text(); }

  const conformance::Target& target() const { return server_.target(); }
  bool alone() const { return alone_; }
  conformance::Duration left() const;
  bool over() const { return left() == conformance::Duration::zero(); }
  std::size_t any(std::size_t below) { return random_() % below; }
  std::string_view some(std::size_t size);  ///< of one large noise, from anywhere in it

  void came(std::uint64_t clients) { tally_.clients += clients; }
  void sent(std::uint64_t bytes) { tally_.sent += bytes; }
  void received(std::uint64_t bytes) { tally_.received += bytes; }
  void echoed(std::uint64_t bytes) { sent(bytes), received(bytes); }

 private:
  const conformance::Server& server_;
  Tally& tally_;
  std::mt19937_64 random_;
  bool alone_;
  conformance::Time until_;
  conformance::WireLog log_{};
};

struct Role {
  std::string_view name;
  std::string_view kind;   ///< of server; empty: any
  void (*play)(Visitor&);  ///< throws Failed when it was not served as it should be
};
/// What goes on at a server of this kind: "echo", "http", "chat", or "timeouts", an echo that cuts off who is slow.
std::vector<Role> roles_of(std::string_view kind);

std::string beside_us(const std::string& program);  ///< its path: they are built into one folder

}  // namespace soak
