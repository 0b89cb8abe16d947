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
/// All that a name stands for, at least one: IPv4 first. Throws std::runtime_error if the name is unknown.
std::vector<Address> resolve(std::string_view host, std::string_view port);
bool is_loopback4(const Address&);  ///< 127.0.0.1 and its neighbours
/// A connect under way: the socket turns writable when it is decided. Empty: see the error.
Socket start_connect(const Address& server, const Address& source, std::error_code& error);

/// Which of a name's addresses a connection tries.
struct Route {
  std::size_t address = 0;
  std::error_code error{};  ///< of the first address that failed
};

/// Dials one server. A name may have several addresses, and the server may listen at any of them (localhost is
/// 127.0.0.1 and ::1): a connection tries one after the other, and once one has answered, all go there.
///
/// The side that closes first keeps the connection's local port for a minute (TIME_WAIT, RFC
/// 9293, 3.6.1), and a source address has some 28 000 of them (ip(7), ip_local_port_range); Linux finds a
/// free one quickly while half are free. So for a server on this machine each 1 000 connections come from the
/// next of 16 addresses: 127.0.0.1, .2, …
class Dialer {
 public:
  /// `from`: the only source address; may be empty. Throws as resolve() does.
  Dialer(std::string_view host, std::string_view port, const std::string& from);
  /// As start_connect(), to the first address that may answer; to a later one if the system refuses it at once.
  Socket dial(Route&, std::error_code& error);
  /// The connect has failed. True: another address is left, so dial again. False: route.error tells why it is over.
  bool try_another(Route&, std::error_code error);
  void answered(const Route&);

 private:
  struct Way {
    Address server;
    std::vector<Address> sources;
  };
  Socket dial(const Way&, std::error_code& error);

  std::vector<Way> ways_;             // one for each address of the name
  std::size_t first_ = 0, last_ = 0;  // of ways_: those that may answer
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

enum class Standard { output = 1, error = 2 };  // the descriptors' numbers

// Both wait, even if another program has made the descriptor non-blocking: it may be shared with that program.
Moved read_input(std::span<std::byte> into);  ///< standard input
std::error_code write_all(Standard where, std::span<const std::byte> bytes);
bool progress_is_seen();  ///< standard error goes to a person

/// Before anything is opened: 0, 1 and 2 are taken, so that no connection becomes one of them; no SIGPIPE.
void prepare_process();
/// Raises the limit of open descriptors as far as it goes, and says how many more can be opened.
std::size_t free_descriptors();

}  // namespace ladder::client
