// A client's end of one connection: its own steps, what it sees of the server, and the log of both.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tests/conformance/platform.h"
#include "tests/conformance/sockets.h"

namespace conformance {

/// What went over the wire, as the clients saw it: "+0.000 C1>S 65536".
class WireLog {
 public:
  enum class Direction { to_server, from_server };
  void bytes(std::size_t peer, Direction, std::size_t count);
  void event(std::size_t peer, Direction, std::string_view what);
  std::string text() const;  ///< a long one without its middle

 private:
  struct Entry {
    Duration at{};
    std::size_t peer = 0;
    Direction direction{};
    std::size_t count = 0;
    std::string what{};
  };
  std::string line(const Entry&) const;

  Time started_ = Clock::now();
  std::vector<Entry> entries_{};
};

std::string to_string(const Target&);  ///< "127.0.0.1:4711", "[::1]:4711"

/// A port of 127.0.0.1 that we hold, and nobody else can.
class HeldPort {
 public:
  std::uint16_t port() const { return socket_.local_port(); }

 private:
  Socket socket_ = Socket::listen("127.0.0.1");
};
/// A port that nobody holds.
inline std::uint16_t free_port() {
  return HeldPort().port();
}
bool has_ipv6();  ///< this machine can listen on ::1

/// How a stream ends, or that it has not.
enum class End { open, fin, reset };

struct Received {
  std::size_t bytes = 0;
  End end = End::open;
};

class Peer {
 public:
  /// Begins to connect, as Socket::dial() does.
  Peer(WireLog&, std::size_t number, const Target&, int receive_buffer = 0, const std::string& source = {});
  Peer(Peer&&) noexcept = default;
  Peer& operator=(Peer&&) noexcept;
  ~Peer();

  bool connected(Duration patience);  ///< false: nobody answers yet; throws Failed when refused
  bool refused(Duration patience);

  // Steps that never wait.
  std::size_t offer(std::string_view bytes);  ///< sends what the system takes; 0 after a reset
  Received take(std::span<char> into);        ///< 0 bytes and End::open: nothing is there
  End end() const { return end_; }            ///< what the steps above have seen of it

  // Steps with patience; they throw Failed when it ends.
  void send(std::string_view bytes);
  void send_urgent(char);
  std::string receive(std::size_t count);

  void finish();   ///< FIN, behind what was sent
  void reset();    ///< RST, at once
  void close();    ///< a FIN, or a reset if input lies unread
  void vanish();   ///< without a word
  void cut_off();  ///< as if its cable were cut: nothing reaches it any more, and nobody is told

  bool readable(Duration patience);
  bool writable(Duration patience);
  std::size_t unread() const { return socket_.unread(); }  ///< bytes that arrived and that nobody has taken
  Socket& socket() { return socket_; }
  const Socket& socket() const { return socket_; }
  std::string name() const { return "C" + std::to_string(number_); }
  std::uint16_t local_port() const { return socket_.local_port(); }

 private:
  WireLog* log_;
  std::size_t number_ = 0;
  Socket socket_{};
  End end_ = End::open;
};

inline constexpr std::size_t uncut = 1 << 20;  ///< a slice no smaller than a system takes at once

/// One client's share of a conversation: `out` is sent, at most `slice` bytes a time, while `in` is expected
/// back.
struct Talk {
  Peer* peer;
  std::string_view out;
  std::string_view in;
  std::size_t slice = uncut;
};
/// Plays them all at once, both directions; throws Failed at the first wrong byte, at an early end, and when
/// nothing moves for patience().
void talk(std::span<Talk>);

/// Reproducible bytes: equal seeds make equal streams, and no two stretches are alike.
std::string noise(std::uint64_t seed, std::size_t size);

/// Sends until the connection takes no more, or all has been sent: how much it took.
std::size_t push_until_blocked(Peer&, std::string_view bytes);
/// The same bytes from each of them, all at once.
std::vector<std::size_t> push_until_blocked(std::span<Peer>, std::string_view bytes);

}  // namespace conformance
