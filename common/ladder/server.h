// The public API, all of it: one header for every rung of the ladder.
//
//   #include <ladder/server.h>
//   int main() {
//     ladder::make_server({.port = 7}, {.on_receive = [](ladder::Connection& c, ladder::Bytes b) { c.send(b); }})->run();
//   }
//
// The library that you link decides which model serves: ladder::blocking, ladder::thread_per_conn, ladder::select,
// ladder::iocp or ladder::epoll. ladder::server is the best one of the platform.
//
// docs/contract.md says in numbered points what holds for every model, and names the tests that hold it.
#pragma once

#if (defined(_MSVC_LANG) ? _MSVC_LANG : __cplusplus) < 202002L
#error "Socket Ladder needs C++20: -std=c++20, /std:c++20 or, in CMake, the feature cxx_std_20"
#endif

#include <algorithm>
#include <any>
#include <array>
#include <chrono>
#include <compare>  // IWYU pragma: keep (what = default of <=> returns)
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#ifdef __ELF__
#pragma GCC visibility push(default)  // a shared library shows this much, and hides the rest
#endif

namespace ladder {

using Bytes = std::span<const std::byte>;
/// The bytes as text, in place.
inline std::string_view text(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;
using Milliseconds = std::chrono::milliseconds;

/// The time that is `span` after `now`, at most a century. Milliseconds::max() is a usual way to say "for ever", and with
/// it the sum would overflow.
inline Time after(Time now, Milliseconds span) {
  return now + std::min<Milliseconds>(span, std::chrono::years{100});
}

/// A slot and its generation: an id that has outlived its connection never names a newer one. 0 names no connection.
struct ConnectionId {
  std::uint64_t value = 0;
  auto operator<=>(const ConnectionId&) const = default;
};

/// So many connections a server can have at a time, because its ids have so many slots. It closes more newcomers at once.
inline constexpr std::uint32_t most_connections = 1u << 20;

/// An internet address and a port, as a value. An IPv4 address is in the first four bytes.
struct Endpoint {
  std::array<std::uint8_t, 16> address{};
  std::uint32_t scope = 0;  ///< IPv6 zone index; 0 where there is none
  std::uint16_t port = 0;   ///< in host byte order
  bool v6 = false;
  auto operator<=>(const Endpoint&) const = default;
};
std::string to_string(const Endpoint&);  ///< "127.0.0.1:4711", "[::1]:4711"
std::string host_of(const Endpoint&);    ///< "127.0.0.1", "::1"

/// Why a connection ended.
enum class CloseReason : std::uint8_t {
  peer,           ///< the peer finished sending, and then we closed
  local,          ///< the service called close() or abort()
  reset,          ///< the peer reset the connection (RFC 9293, 3.10.7.4)
  idle_timeout,   ///< nothing moved for Options::idle_timeout, or a deadline of expire_at() passed
  write_timeout,  ///< the peer took nothing for Options::write_timeout
  stopping,       ///< the server was stopped
  exception,      ///< a callback threw
  error,          ///< any other error of the system; the error_code says which
};
inline constexpr std::size_t close_reasons = 8;
std::string_view to_string(CloseReason);

/// What became of a send.
enum class SendResult : std::uint8_t {
  queued,     ///< the bytes were taken
  congested,  ///< the bytes were taken, and please send no more until on_drained
  full,       ///< nothing was taken: no room below Options::hard_cap; on_drained tells when to try again
  too_large,  ///< nothing was taken, nor ever will be: one call's bytes are more than Options::hard_cap
  gone        ///< the connection is closed, closing or unknown
};

class Server;
struct Session;  // the library's own record of a connection

/// "An answer is owed". Connection::defer() gives it to you, for the thread that will send the answer by id. As long as it
/// exists the connection does not count as idle, the default on_end waits, and a stop waits up to its drain. It may outlive
/// the connection and the server. Any thread may destroy it, but use it on one thread at a time.
class Deferred {
 public:
  struct Link;  // the library's own
  Deferred() = default;
  Deferred(Deferred&& other) noexcept : link_(std::move(other.link_)), id_(other.id_) {}
  Deferred& operator=(Deferred&& other) noexcept {
    end();
    link_ = std::move(other.link_);
    id_ = other.id_;
    return *this;
  }
  ~Deferred() { end(); }

  ConnectionId id() const { return id_; }  ///< the connection that the answer goes to

 private:
  friend class Connection;
  Deferred(std::shared_ptr<Link> link, ConnectionId id) : link_(std::move(link)), id_(id) {}
  void end() noexcept;
  std::shared_ptr<Link> link_{};
  ConnectionId id_{};
};

/// The connection that a callback is about. It is valid only inside that callback: keep its id() for later.
class Connection {
 public:
  Connection(Session& session, Server& server, ConnectionId id)
      : session_(session), server_(server), id_(id) {}
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  ConnectionId id() const { return id_; }
  const Endpoint& peer() const;  ///< you may call it in on_close, too
  Server& server() { return server_; }
  std::any& context();  ///< the service's own state for this connection; empty at first

  /// Copies the bytes into the send queue, which the server sends after the callback. One call's bytes stay together, and
  /// the calls of one thread keep their order. It never blocks.
  SendResult send(Bytes);
  SendResult send(std::string_view text) { return send(std::as_bytes(std::span(text))); }

  std::size_t queued() const;  ///< so many bytes the system has not taken yet

  /// No on_receive and no on_end comes until resume(). The server keeps what arrives meanwhile. It does not keep the bytes of
  /// the on_receive that pauses: they are the callback's own.
  void pause();
  void resume();
  /// Sends FIN behind what is queued, and goes on receiving: so a relay passes on the end of one direction. From now on
  /// send() answers `gone`. When both sides have finished, the connection closes.
  void finish();
  /// Says that an answer is owed, which another thread will send by id.
  Deferred defer();
  /// Sends all that is queued, then FIN, then waits for the peer's FIN (Options::close_timeout).
  void close();
  void abort();  ///< resets the connection and drops the queue; in on_open it rejects the newcomer
  /// A deadline of the service's own, beside the timeouts. When it has passed, the server closes the connection as an idle
  /// one: FIN at once, or a reset if bytes are still queued; CloseReason::idle_timeout. Each connection has one, and the last
  /// call counts. Time::max(): none.
  void expire_at(Time);

 private:
  Session& session_;
  Server& server_;
  ConnectionId id_;
};

/// Each callback is optional. Callbacks of one connection never overlap. Those of different connections may run in parallel
/// in 02, 04 and 05; in 01 and 03, and in 04 and 05 with threads = 1, they do not. The library holds no lock of its own
/// during a callback. After close() or abort() only on_close follows. An exception ends that connection and no other.
struct Callbacks {
  std::function<void(Connection&)> on_open{};  ///< comes first; abort() in it rejects the newcomer
  std::function<void(Connection&, Bytes)>
      on_receive{};                           ///< bytes in stream order; if you give none, they are dropped
  std::function<void(Connection&)> on_end{};  ///< the peer has finished sending; default: close()
  std::function<void(Connection&)>
      on_drained{};  ///< after `congested` or `full`: the queue is at its low mark again
  /// Comes last, once for each on_open. After close() that is at most close_timeout after our FIN. On every system the error
  /// of a reset is std::errc::connection_reset, and that of a peer which the system has given up std::errc::timed_out. An
  /// empty error_code: there was no error.
  std::function<void(Connection&, CloseReason, std::error_code)> on_close{};
};

/// How 05 hands events to its workers: by one epoll instance for all of them, or by one for each.
enum class Queue : std::uint8_t { shared, per_worker };

struct Options {
  std::string host = "127.0.0.1";      ///< a numeric IPv4 or IPv6 address; "::" is IPv6 alone
  std::uint16_t port = 0;              ///< 0: any free port; Server::endpoint() tells which
  int backlog = 0;                     ///< connections the system may hold for accept(); 0: its most
  std::size_t max_connections = 0;     ///< above it newcomers are closed at once; 0: most_connections
  Milliseconds idle_timeout{0};        ///< 0: none
  Milliseconds write_timeout{30'000};  ///< the peer must take something within it; 0: none
  Milliseconds close_timeout{5'000};   ///< from our FIN to the peer's, a total; 0: no limit
  /// If nothing has come from a peer for so long, our system probes the peer's system (RFC 9293, 3.8.4), and again after each
  /// quarter of that time. Three probes without an answer end the connection with std::errc::timed_out (Windows before 10
  /// 1703: ten). In whole seconds, rounded up. It finds peers that have vanished without a word, whatever the other timeouts
  /// are. 0: none
  Milliseconds keep_alive{60'000};
  std::size_t low_mark = 64 * 1024;    ///< bytes queued at which a congested connection counts as drained
  std::size_t high_mark = 256 * 1024;  ///< bytes queued above which `congested`, and on_receive waits
  /// Bytes queued above which a send takes nothing: so much from callbacks, and as much again from other threads.
  std::size_t hard_cap = 4 * 1024 * 1024;
  /// The server reads on from a congested connection. For a relay: what its peer says goes to another queue, so pause the
  /// sender of the bytes that fill this one. Otherwise two peers that both write before they read would wait for each other.
  bool read_when_congested = false;
  unsigned threads = 0;         ///< 04 and 05: workers; 0: one a core
  Queue queue = Queue::shared;  ///< 05
  /// Takes a line about trouble; default: standard error. Any thread calls it, one line at a time. A slow one holds up that
  /// thread, and all others that have a line. It may use the handle (stop() is refused there). Its exceptions are dropped.
  std::function<void(std::string_view)> log{};
};

/// The counts since the start; any thread may ask. While nothing moves, accepted = closed + active.
struct Stats {
  std::uint64_t accepted = 0;  ///< connections that got an on_open
  std::uint64_t refused = 0;   ///< connections that a limit closed at once
  std::uint64_t active = 0;
  std::uint64_t peak = 0;                             ///< the most that were active at one time
  std::array<std::uint64_t, close_reasons> closed{};  ///< by CloseReason
  std::uint64_t bytes_in = 0;   ///< bytes read, also those that were dropped after close()
  std::uint64_t bytes_out = 0;  ///< bytes that the system has taken
};

/// The handle. A process may have several, each with its own port, threads and stop.
class Server {
 public:
  /// Call it when run() has returned. It waits for a stop() of another thread's that has not.
  virtual ~Server() = default;

  virtual Endpoint endpoint() const = 0;  ///< the address on which it listens
  virtual Stats stats() const = 0;

  /// Any thread may call it. It answers `gone` if the id's connection is closed or closing, and else as Connection::send.
  /// After `congested` or `full` on_drained may come, on another thread, before this call has returned. Throws std::bad_alloc
  /// if there is no memory; then nothing was taken.
  virtual SendResult send(ConnectionId, Bytes) = 0;
  SendResult send(ConnectionId id, std::string_view text) { return send(id, std::as_bytes(std::span(text))); }

  /// Runs `task` as a callback of the connection's, behind the callback that runs now. Any thread may call it, also one of
  /// the connection's own callbacks. False: the connection is gone. If the connection ends first, by close() or otherwise,
  /// the task is destroyed and has not run.
  virtual bool post(ConnectionId, std::function<void(Connection&)> task) = 0;

  /// As the calls of Connection, but any thread may call them. Nothing happens for an id that is gone.
  virtual void pause(ConnectionId) = 0;
  virtual void resume(ConnectionId) = 0;
  virtual void close(ConnectionId) = 0;
  virtual void abort(ConnectionId) = 0;

  /// Serves until stop(). The calling thread works, too. Throws std::system_error if the server cannot start.
  virtual void run() = 0;

  /// No newcomers from now on: closes the listener, and the system resets the clients that wait in the backlog. The clients
  /// that are here go on being served, until stop(). Any thread may call it, callbacks included.
  virtual void stop_accepting() = 0;

  /// A stop() that nobody waits for. Any thread may call it, callbacks included. run() returns when the stop is done. Of
  /// several requests the earliest end counts. Throws std::system_error if there is no thread for it.
  virtual void request_stop(Milliseconds drain) = 0;

  /// Closes the listener. For at most `drain` (0: not at all) it lets what was read be answered, also later if defer() says
  /// so, and what is queued be sent. Then it resets the rest. It returns when run() has ended its threads and is about to
  /// return. Any thread may call it but a server's own: in a callback, of this server or of another, and in a log sink that
  /// such a thread calls it is refused, because two servers could wait for each other. A callback that does not return
  /// holds it up. True: all connections ended by themselves. False: some were reset, or the call was refused.
  virtual bool stop(Milliseconds drain) = 0;
};

/// Makes a server that has bound and listens. Throws std::system_error, with the address in its text, if it cannot listen.
/// Throws std::invalid_argument, with the option in its text, for options that make no sense: a host that is no numeric
/// address, a negative number, max_connections above most_connections, low_mark above high_mark, a hard_cap that leaves no
/// room for one receive (64 KiB) above high_mark. Throws std::runtime_error where new threads would get a stack below
/// 256 KiB: the server keeps a buffer on each stack.
std::unique_ptr<Server> make_server(Options, Callbacks);

/// A server that runs on a thread of its own. Its destructor stops the server without a drain, and joins the thread. For an
/// end in order, call stop() before. Never destroy it in one of the server's own callbacks.
class Running {
 public:
  explicit Running(std::unique_ptr<Server>);  ///< throws std::system_error if there is no thread for it
  Running(Running&&) noexcept;
  Running& operator=(Running&&) noexcept;
  ~Running();

  Server& operator*() const;
  Server* operator->() const { return &**this; }
  /// Waits until run() has returned. Throws what run() has thrown, which was also written to standard error. Call it on one
  /// thread at a time.
  void wait();

 private:
  struct Run;
  std::unique_ptr<Run> run_;
};
/// Calls make_server(), and run() on a thread of its own.
inline Running start(Options options, Callbacks callbacks) {
  return Running(make_server(std::move(options), std::move(callbacks)));
}

/// Sleeps until the process is asked to end: by SIGINT, SIGTERM, or SIGHUP unless it is ignored (nohup); on Windows by
/// Ctrl-C, Ctrl-Break, the console's close or a shutdown, of which the last two end the process after five seconds. From the
/// first call on these do nothing else: if you want a second one to act, wait again.
void wait_for_stop_signal();
/// Catches those signals from now on, and not only from the first wait on. Call it first in main(). Otherwise a signal that
/// comes while the servers start, or just after the line that says they have started, ends the process at once.
void catch_stop_signals();

/// The abilities and limits of a model. A server answers with it to --describe, and the conformance suite expects it.
struct Profile {
  std::string_view model;                        ///< "select"
  std::optional<std::size_t> clients_at_once{};  ///< none: as many as there is room for
  std::optional<std::size_t> ceiling{};          ///< it holds so many connections at the most
  std::string_view set_by{};                     ///< what sets the ceiling
  std::string_view above{};    ///< what happens to a newcomer above it: "wait", "close" or "refuse"
  std::string_view threads{};  ///< how many, in words
  bool takes_threads = false;  ///< whether Options::threads means anything
  bool takes_queue = false;    ///< whether Options::queue does
};
Profile profile(const Options&);

}  // namespace ladder

template <>
struct std::hash<ladder::ConnectionId> {
  std::size_t operator()(ladder::ConnectionId id) const noexcept {
    return std::hash<std::uint64_t>()(id.value);
  }
};

#ifdef __ELF__
#pragma GCC visibility pop
#endif
