// The clients' sockets: TCP, and none that ever blocks. sockets_linux.cpp and sockets_windows.cpp implement
// it. None of it is shared with the servers' os.h: a mistake there must not hide by being made on both sides.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "tests/conformance/platform.h"

namespace conformance {

struct Target {
  std::string host;  ///< a numeric address
  std::uint16_t port = 0;
};

/// What a step came to.
struct Moved {
  std::size_t bytes = 0;     ///< 0 from receive(), and nothing else set: the peer's FIN
  bool would_block = false;  ///< nothing was moved: try again
  bool reset = false;        ///< the connection is over, and not in order
};

class Socket {
 public:
  Socket() = default;
  Socket(Socket&&) noexcept;
  Socket& operator=(Socket&&) noexcept;
  ~Socket() { close(); }

  /// Begins to connect, without waiting. `receive_buffer`: SO_RCVBUF; 0 leaves it to the system. `source`: the
  /// address that it comes from, with ports of its own; empty: the system's choice.
  static Socket dial(const Target&, int receive_buffer, const std::string& source = {});
  /// Listens at a free port of this address. Throws std::system_error.
  static Socket listen(const std::string& host);

  explicit operator bool() const { return handle_ != none; }
  std::optional<std::string> connect_error();  ///< why the connect failed, once that is decided
  Moved send(std::string_view);
  Moved send_urgent(char);
  Moved receive(std::span<char>);
  void finish();  ///< FIN; fails where the peer has reset the connection: the next step sees that
  void reset();   ///< closes, and sends RST at once
  void close();
  /// Closes it, and tells the other side nothing. Throws NotApplicable where that is not allowed.
  void vanish();
  /// From now on nothing reaches it, and its system acknowledges nothing: as if its cable were cut. Throws NotApplicable
  /// where the system cannot do that.
  void cut_off();

  std::size_t unread() const;  ///< bytes that arrived and that nobody has taken
  /// Bytes sent that the other side's system has not acknowledged yet. Throws NotApplicable where no system
  /// tells.
  std::size_t unacknowledged() const;
  std::uint16_t local_port() const;

 private:
  friend bool wait(std::span<struct Watch>, Duration);

  static constexpr std::intptr_t none = -1;
  explicit Socket(std::intptr_t handle) : handle_(handle) {}

  std::intptr_t handle_ = none;  // wide enough for a descriptor and for a SOCKET
  int connect_error_ = 0;
  /// wait() was told of an error: Wine tells it once, and the receive after it sees a FIN.
  [[maybe_unused]] bool broken_ = false;
};

/// A socket that is waited for. A connection that failed is both readable and writable.
struct Watch {
  Socket* socket;
  bool for_read, for_write;
  bool readable = false, writable = false;
};
/// Sleeps until one of them is ready, at most so long. False: none is.
bool wait(std::span<Watch>, Duration patience);

}  // namespace conformance
