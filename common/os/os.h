// The operating system, as far as the ladder needs it: the only place where Linux and Windows differ.
// linux.cpp and windows.cpp implement it. Nothing here knows a server, a service or a model.
//
// Errors come back as std::error_code in the system's category; functions that cannot go on throw
// std::system_error. No call raises SIGPIPE.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <ladder/server.h>

#ifdef _WIN32
#include <condition_variable>
#include <functional>
#include <mutex>

struct sockaddr;
struct _OVERLAPPED;
#endif

namespace ladder::os {

#ifdef _WIN32
using Handle = std::uintptr_t;  // a SOCKET
#else
using Handle = int;
#endif
inline constexpr Handle no_handle = static_cast<Handle>(-1);

/// Owns a socket, or on POSIX any descriptor: an epoll instance, an eventfd.
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

/// A system's error by its number alone: a std::error_code is made only where there is an error, not with each message.
struct Error {
  int number = 0;
  explicit operator bool() const { return number != 0; }
  operator std::error_code() const;
};

/// What a receive or a send came to.
struct Result {
  std::size_t bytes = 0;
  Error error{};             ///< set: nothing was moved, and the connection is over
  bool would_block = false;  ///< set: nothing was moved; try again when the system says so
};

enum class Mode { blocking, non_blocking };

struct Accepted {
  Descriptor socket{};  ///< empty without an error: nobody waits
  Endpoint peer{};
  std::error_code error{};  ///< out of descriptors or memory: pause, then try again
};

bool is_numeric_address(const std::string& host);  ///< "127.0.0.1", "::1"
Endpoint local_endpoint(Handle socket);

/// How long a silent peer is left alone, as every system takes it: in whole seconds, from 1 to 32 767 (tcp(7)).
inline int probe_seconds(Milliseconds silence) {
  return static_cast<int>(
      std::clamp<std::int64_t>(std::chrono::ceil<std::chrono::seconds>(silence).count(), 1, 32'767));
}

/// A socket that listens. stop() may come from any thread, the rest from the model's.
class Listener {
 public:
  /// Port 0 takes a free one. Throws std::system_error whose text names the address, if it is taken by another
  /// or cannot be had.
  /// Accepted sockets probe a silent peer as Options::keep_alive says.
  Listener(const std::string& host, std::uint16_t port, int backlog, Mode mode, Milliseconds keep_alive);

  /// To watch it by. It keeps its value even when stop() has closed it.
  Handle handle() const { return handle_; }

  /// One connection from the backlog. Sleeps for it if the listener is blocking, until stop(). A connection that
  /// died in the backlog is passed over, but not for ever: after many in a row its error is returned, and then each
  /// time (Windows: after as many again), until one is accepted or nobody waits. A firewall's EPERM or a network that is
  /// down looks like a dead connection, and stays (FAULT-12). The socket is made with the listener's mode, without Nagle's delay, and not
  /// inherited by children. Any thread may call it.
  Accepted accept();

  /// No new connection from now on: those in the backlog are reset, accept() returns none, and those
  /// that watch the handle are told.
  void stop();

#ifdef _WIN32
  Milliseconds keep_alive() const { return keep_alive_; }  ///< of accepted sockets

  /// For an operation that ends later (AcceptEx): `start` is called unless the listener was stopped. True: it
  /// has begun, and let_go() is due when it has ended. stop() cancels it.
  bool begin(const std::function<bool()>& start);
  void let_go();  ///< after a stop the last one closes the listener
#endif

 private:
  /// So many accept() passes over: a storm of resets brings some (CONC-05).
  static constexpr int dead_in_a_row = 256;

  Descriptor socket_;
  const Mode mode_;
  const Handle handle_;
  std::atomic<int> dead_ = 0;  // in a row
#ifdef _WIN32
  const Milliseconds keep_alive_;
  // No call makes a socket deaf there but closing it, and that must not be done under the feet of an accept.
  std::mutex mutex_;
  std::condition_variable ended_;
  int under_way_ = 0;
  bool stopped_ = false;
#endif
};

/// Sleeps if the socket is blocking. 0 bytes without error or would_block: the peer's FIN. On Windows a blocking
/// one may say would_block too, while another thread is in send_now.
Result receive(Handle socket, std::span<std::byte> into);
Result wait_for_bytes(Handle socket);         ///< as receive, but takes nothing (MSG_PEEK)
Result send(Handle socket, Bytes bytes);      ///< sleeps if the socket is blocking
Result send_now(Handle socket, Bytes bytes);  ///< never sleeps, whatever the socket's mode

void finish_sending(Handle socket);  ///< FIN, behind what was sent
void wake_receiver(Handle socket);   ///< for good: a thread that sleeps for bytes returns; sends nothing
void wake_sender(Handle socket);     ///< for good: a thread asleep in send() returns
void reset_on_close(Handle socket);  ///< the next close sends RST and drops what is unsent (SO_LINGER 0)
/// Bytes that the peer has acknowledged since the connection began: more than before is progress (TCP_INFO, tcp(7);
/// SIO_TCP_INFO). Where the system does not tell (Wine), always 0: a peer counts as taking nothing while no send succeeds.
struct Acknowledged {
  std::uint64_t bytes = 0;
  Milliseconds ago{
      0};  ///< since data last left for the peer, which then acknowledged it; 0 if the system does not tell
};
Acknowledged acknowledged(Handle socket);
std::error_code pending_error(Handle socket);  ///< and takes it away (SO_ERROR)
/// Bytes, a FIN among them, handed to the system that the peer has not acknowledged (SIOCOUTQ, tcp(7)). Windows tells of
/// those that are under way alone, so never of none.
std::optional<std::size_t> unacknowledged(Handle socket);
#ifdef _WIN32
inline constexpr bool tells_of_unacknowledged = false;
#else
inline constexpr bool tells_of_unacknowledged = true;
#endif
bool unread(Handle socket);  ///< input lies there that nobody has read
/// Of the last call that failed (errno; of Winsock as std::errc where that has a word for it).
Error last_error();

#ifdef _WIN32
/// For a model that starts operations of its own.
Descriptor make_socket(int family, int type);  ///< overlapped, not inherited. Throws std::system_error
/// What accept() does for a new socket, if AcceptEx has made it. False: last_error() says why.
bool prepare_accepted(Handle socket, Mode mode, Milliseconds keep_alive);
/// Why an accept failed: its client died in the backlog. Of no concern to the next one.
bool died_in_backlog(const std::error_code&);
/// What an operation that is done came to.
Result finish(Handle socket, _OVERLAPPED& operation);
#endif

/// Wakes threads that watch sockets: its own is readable from notify() until clear(). An eventfd(2); on Windows, where
/// select takes nothing but sockets, one for datagrams that is connected to itself.
class Waker {
 public:
  Waker();
  Handle handle() const { return descriptor_.get(); }
  void notify() noexcept;
  void clear() noexcept;

 private:
  Descriptor descriptor_;
};

/// Whether select may watch it beside so many others. POSIX limits the descriptor's value, to below FD_SETSIZE
/// (select(2)); Windows the number of sockets in a set, to FD_SETSIZE (Winsock: select).
bool fits_select(Handle, std::size_t others);

/// Sleeps while `value` is `seen`; may wake for nothing. std::atomic's own wait, but for MinGW-w64's library, whose
/// notify does not take the lock under which its wait decides to sleep: now and then a wake-up is lost.
template <class Number>  // std::uint8_t, std::uint32_t
void wait_while(const std::atomic<Number>& value, Number seen);
template <class Number>
void wake_all(std::atomic<Number>& value);

std::string_view platform();  ///< "linux", "windows"
unsigned cores();
std::uint64_t process_id();
bool is_terminal_output();  ///< whether standard output goes to a person

/// Writes a line to standard error, if that can be done without waiting: a log that nobody reads holds up no
/// server.
void write_log_line(std::string_view line) noexcept;

/// For a program's main, before it opens anything or makes a thread. Afterwards descriptors 0, 1 and 2 are open (else a
/// client would become one of them and get our log); output that nobody takes ends or stops no process (SIGPIPE, SIGXFSZ,
/// SIGTTOU); the signals that ask for an end wait for wait_for_stop_signal(); the process may have as many descriptors as
/// the system lets it; and this thread, and those made from now on, have a stack of stack_needed bytes at least. Throws
/// std::system_error, std::runtime_error.
void prepare_process();
/// The models keep a buffer of 64 KiB on a stack. LIM-10
inline constexpr std::size_t stack_needed = 256 * 1024;
std::size_t usual_stack();       ///< of a thread that is made with no size of its own, in bytes
std::size_t descriptor_limit();  ///< how many this process may have open, the first three among them
/// From now on what asks for an end does nothing by itself: it waits for wait_for_stop_signal(). Throws std::system_error.
void catch_stop_signals();
struct StopSignal {
  Time received{};
  Milliseconds at_most = Milliseconds::max();  ///< for a drain: Windows ends a process soon after its console
};
/// Sleeps until one of SIGINT, SIGTERM, SIGHUP (Windows: Ctrl-C, Ctrl-Break, console close, shutdown) is received at
/// `from` or later; those before it are dropped. One thread at a time.
StopSignal wait_for_stop_signal(Time from = {});
[[noreturn]] void exit_at_once(int status) noexcept;

}  // namespace ladder::os
