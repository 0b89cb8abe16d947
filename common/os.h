// The operating system, as far as the ladder needs it: the only place where Linux and Windows differ.
// os_posix.cpp and os_windows.cpp implement it. Nothing here knows a server, a service or a model.
//
// Errors come back as std::error_code in the system's category; functions that cannot go on throw
// std::system_error. No call raises SIGPIPE.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "common/server.h"

namespace ladder::os {

using Handle = int;
inline constexpr Handle no_handle = -1;

/// Owns a descriptor: a socket, an epoll instance, an eventfd.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(Handle handle) : handle_(handle) {}
  Descriptor(Descriptor&& other) noexcept : handle_(std::exchange(other.handle_, no_handle)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    if (this != &other) {
      reset();
      handle_ = std::exchange(other.handle_, no_handle);
    }
    return *this;
  }
  ~Descriptor() { reset(); }
  Handle get() const { return handle_; }
  explicit operator bool() const { return handle_ != no_handle; }
  void reset();  ///< closes it

 private:
  Handle handle_ = no_handle;
};

/// What a receive or a send came to.
struct Result {
  std::size_t bytes = 0;
  std::error_code error{};   ///< set: nothing was moved, and the connection is over
  bool would_block = false;  ///< set: nothing was moved; try again when the system says so
};

enum class Mode { blocking, non_blocking };

struct Accepted {
  Descriptor socket{};  ///< empty without an error: nobody waits
  Endpoint peer{};
  std::error_code error{};  ///< out of descriptors or memory: pause, then try again
};

bool is_numeric_address(const std::string& host);  ///< "127.0.0.1", "::1"
/// Binds and listens; port 0 takes a free one. Throws std::system_error whose text names the address.
Descriptor listen(const std::string& host, std::uint16_t port, int backlog, Mode mode);
Endpoint local_endpoint(Handle socket);

/// One connection from the backlog. Sleeps for it if the listener is blocking. A connection that died in the
/// backlog is passed over. The socket is made with `mode`, without Nagle's delay, and not inherited by
/// children.
Accepted accept(Handle listener, Mode mode);
/// No new connection from now on: those in the backlog are reset, and a sleeping accept() returns
/// (shutdown(2) on a listener, as Linux understands it).
void stop_listening(Handle listener);

Result receive(Handle socket,
               std::span<std::byte> into);    ///< 0 bytes without error or would_block: the peer's FIN
Result send(Handle socket, Bytes bytes);      ///< sleeps if the socket is blocking
Result send_now(Handle socket, Bytes bytes);  ///< never sleeps, whatever the socket's mode

void finish_sending(Handle socket);  ///< FIN, behind what was sent
void wake_receiver(Handle socket);   ///< for good: a thread asleep in receive() returns; sends nothing
void wake_sender(Handle socket);     ///< for good: a thread asleep in send() returns
void reset_on_close(Handle socket);  ///< the next close sends RST and drops what is unsent (SO_LINGER 0)
/// Bytes that the peer has acknowledged since the connection began: only grows (TCP_INFO, tcp(7)).
std::uint64_t acknowledged(Handle socket);
/// Bytes, a FIN among them, handed to the system that the peer has not acknowledged (SIOCOUTQ, tcp(7)).
std::size_t unacknowledged(Handle socket);
bool unread(Handle socket);  ///< input lies there that nobody has read

/// Wakes threads that watch descriptors: its own is readable from ring() until quiet().
class Bell {
 public:
  Bell();
  Handle handle() const { return descriptor_.get(); }
  void ring() noexcept;
  void quiet() noexcept;

 private:
  Descriptor descriptor_;  // an eventfd(2)
};

/// Whether select may watch it: POSIX limits the descriptor's value, to below FD_SETSIZE (select(2)).
bool fits_select(Handle);

std::string_view platform();  ///< "linux"
unsigned cores();
std::uint64_t process_id();
bool is_terminal_output();  ///< whether standard output goes to a person

/// Writes a line to standard error, if that can be done without waiting: a log that nobody reads holds up no
/// server.
void write_log_line(std::string_view line) noexcept;

/// For a program's main, before it opens anything or makes a thread: descriptors 0, 1 and 2 are open
/// afterwards (else a client would become one of them and get our log), SIGPIPE is ignored, and the signals
/// that ask for an end wait for wait_for_stop_signal().
void prepare_process();
/// Sleeps until one of SIGINT, SIGTERM (Windows: Ctrl-C, Ctrl-Break, console close).
void wait_for_stop_signal();
[[noreturn]] void exit_at_once(int status) noexcept;

}  // namespace ladder::os
