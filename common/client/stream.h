// One connection to an echo server. It sends byte = f(seed of the connection, offset): no two
// connections send alike and no part of a stream repeats, so that a byte lost, doubled, out of place or of
// another connection is seen where it arrives, and nothing of what was sent has to be kept.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "common/client/net.h"

namespace ladder::client {

/// The connection's seed. Each process draws its own base, so that two clients of one server differ as well.
std::uint64_t seed_of(std::uint64_t connection);

/// A failure. Those with one reason are counted as one, whatever the place: a thousand connections may each end elsewhere.
struct Trouble {
  std::string reason{};
  std::string place{};  ///< "after 64 of 128 bytes"
};

struct Stream {
  enum class Came { nothing, bytes, end, failure, wrong };

  Socket socket{};
  std::uint64_t seed = 0;
  std::uint64_t sent = 0;      // bytes that the system has taken
  std::uint64_t received = 0;  // bytes that have come back, all of them right

  /// Sends on, up to that offset, as far as the system takes it. False: a failure, told in `trouble`.
  bool send_up_to(std::uint64_t offset, std::span<std::byte> buffer, Trouble& trouble);
  /// Receives once and verifies it. `failure` and `wrong` are told in `trouble`.
  Came receive(std::span<std::byte> buffer, Trouble& trouble);
  std::string place() const;  ///< "after 64 of 128 bytes"
};

}  // namespace ladder::client
