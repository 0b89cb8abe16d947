// What the client asks of the operating system: sockets, a poller of its own, its process. net_posix.cpp
// answers, or net_windows.cpp. None of it is shared with the servers' os.h: a mistake there must not hide by
// being made on both sides.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace ladder::client {

using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;
using Nanoseconds = std::chrono::nanoseconds;

#ifdef _WIN32
using Handle = std::uintptr_t;  // a SOCKET
#else
using Handle = int;
#endif
inline constexpr Handle no_handle = static_cast<Handle>(-1);

class Socket {
 public:
  Socket() = default;
  explicit Socket(Handle handle) : handle_(handle) {}
  Socket(Socket&& other) noexcept : handle_(std::exchange(other.handle_, no_handle)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Socket() { close(); }
  void close();
  Handle get() const { return handle_; }
  explicit operator bool() const { return handle_ != no_handle; }

 private:
  Handle handle_ = no_handle;
};

struct Moved {
  std::size_t bytes = 0;  ///< 0 from receive() with nothing else set: the server has finished
  bool would_block = false;
  std::error_code error{};
};
Moved receive(const Socket&, std::span<std::byte> into);
Moved send(const Socket&, std::span<const std::byte> bytes);
void finish_sending(const Socket&);             ///< half-close: FIN behind what was sent
void reset_on_close(const Socket&);             ///< SO_LINGER 0
void make_blocking(const Socket&);              ///< for talk; all others never block
std::error_code connect_result(const Socket&);  ///< once a connect under way is decided

struct Address {  ///< a sockaddr, as the system wants it; of size 0: any
  std::array<std::uint64_t, 16> words{};
  unsigned size = 0;
};
/// Throws std::runtime_error if a name is unknown; of a name with several addresses IPv4 goes first.
Address resolve(std::string_view host, std::string_view port);
bool is_loopback4(const Address&);  ///< 127.0.0.1 and its neighbours
/// A connect under way: the socket turns writable when it is decided. Empty: see the error.
Socket start_connect(const Address& server, const Address& source, std::error_code& error);

/// Dials one server. Who closes first keeps the connection's local port for a minute (TIME_WAIT, RFC
/// 9293, 3.6.1), and a source address has some 28 000 of them (ip(7), ip_local_port_range); Linux finds a
/// free one quickly while half are free. So for a server on this machine each 1 000 connections come from the
/// next of 16 addresses: 127.0.0.1, .2, …
class Dialer {
 public:
  /// `from`: the only source address; may be empty. Throws as resolve() does.
  Dialer(std::string_view host, std::string_view port, const std::string& from);
  Socket dial(std::error_code& error);  ///< as start_connect()

 private:
  Address server_;
  std::vector<Address> sources_;
  std::size_t dialed_ = 0;
};

struct Ready {
  std::uint32_t token;
  bool read, write;  ///< both if the connection has failed: receive() says how
};

/// Level-triggered.
class Poller {
 public:
  Poller();
  ~Poller();
  enum class Want { read, write, both };
  void add(const Socket&, std::uint32_t token, Want);
  void change(const Socket&, std::uint32_t token, Want);
  void remove(const Socket&);
  std::span<const Ready> wait(Nanoseconds at_most);  ///< up to 64; valid until the next wait

 private:
  struct System;  // epoll, or the list for WSAPoll
  std::unique_ptr<System> system_;
  std::array<Ready, 64> ready_{};
};

Moved read_input(std::span<std::byte> into);                     ///< standard input; blocks
std::error_code write_output(std::span<const std::byte> bytes);  ///< standard output, all of it; blocks
bool progress_is_seen();                                         ///< standard error goes to a person

/// Before anything is opened: 0, 1 and 2 are taken, so that no connection becomes one of them; no SIGPIPE.
void prepare_process();
/// Raises the limit of open descriptors as far as it goes, and says how many more can be opened.
std::size_t free_descriptors();

}  // namespace ladder::client
