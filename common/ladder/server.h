// The public API, all of it: one header for every rung of the ladder.
//
//   #include <ladder/server.h>
//   int main() {
//     ladder::make_server({.port = 7}, {.on_receive = [](ladder::Connection& c, ladder::Bytes b) { c.send(b); }})->run();
//   }
//
// Which model serves is decided by the library you link: ladder::blocking, ladder::thread_per_conn, ladder::select,
// ladder::iocp, ladder::epoll; ladder::server is the best one of the platform.
//
// docs/contract.md numbers what holds for every model, and names the tests that hold it.
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
#pragma GCC visibility push(default)  // of a shared library this much is seen from outside
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

/// `span` after `now`. Milliseconds::max() is a usual way to say "for ever": a century is the most, so that the
/// clock does not pass its end.
inline Time after(Time now, Milliseconds span) {
  return now + std::min<Milliseconds>(span, std::chrono::years{100});
}

/// A slot and its generation: an id that outlived its connection never names a newer one. 0 names none.
struct ConnectionId {
  std::uint64_t value = 0;
  auto operator<=>(const ConnectionId&) const = default;
};

/// At a time, in one server: the ids have so many slots. Newcomers beyond it are closed at once.
inline constexpr std::uint32_t most_connections = 1u << 20;

/// An internet address and a port, as a value. An IPv4 address stands in the first four bytes.
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
  stopping,       ///< Server::stop
  exception,      ///< a callback threw
  error,          ///< any other error of the system; the error_code says which
};
inline constexpr std::size_t close_reasons = 8;
std::string_view to_string(CloseReason);

/// What became of a send.
enum class SendResult : std::uint8_t {
  queued,     ///< taken
  congested,  ///< taken, and please send no more until on_drained
  full,       ///< nothing was taken, Options::hard_cap would be passed; on_drained tells when to try again
  too_large,  ///< nothing was taken: one call's bytes are more than Options::hard_cap, and never will be
  gone        ///< closed, closing or unknown
};

class Server;
struct Session;  // the library's own record of a connection

/// "An answer is owed": from Connection::defer(), for the thread that will send it, by id. Until it is gone the connection
/// does not idle, and a stop and the default on_end wait for it (a stop up to its drain). It may outlive the connection and
/// the server. Any thread may let it go, one at a time.
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

  ConnectionId id() const { return id_; }  ///< where the answer goes

 private:
  friend class Connection;
  Deferred(std::shared_ptr<Link> link, ConnectionId id) : link_(std::move(link)), id_(id) {}
  void end() noexcept;
  std::shared_ptr<Link> link_{};
  ConnectionId id_{};
};

/// The connection a callback is about. Valid inside that callback only: keep its id() for later.
class Connection {
 public:
  Connection(Session& session, Server& server, ConnectionId id)
      : session_(session), server_(server), id_(id) {}
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  ConnectionId id() const { return id_; }
  const Endpoint& peer() const;  ///< answers in on_close too
  Server& server() { return server_; }
  std::any& context();  ///< the service's own state for this connection; empty at first

  /// Copies the bytes into the send queue; they leave after the callback. One call's bytes stay together,
  /// and calls of one thread keep their order. Never blocks.
  SendResult send(Bytes);
  SendResult send(std::string_view text) { return send(std::as_bytes(std::span(text))); }

  std::size_t queued() const;  ///< bytes of ours that the system has not taken yet

  /// No on_receive and no on_end until resume(); what has already arrived is kept, but for the bytes of the on_receive that
  /// pauses: those are the callback's own.
  void pause();
  void resume();
  /// FIN behind what is queued, and go on receiving: a relay passes on the end of one direction. Sends are `gone` from here.
  /// When both sides have finished, the connection closes.
  void finish();
  /// An answer is owed, which another thread will send by id.
  Deferred defer();
  void close();  ///< send all that is queued, then FIN, then wait for the peer's FIN (Options::close_timeout)
  void abort();  ///< reset the connection and drop the queue; in on_open: reject
  /// A deadline of the service's own, beside the timeouts: when it passes, the connection is closed as an
  /// idle one (FIN at once, or a reset if bytes are still queued; CloseReason::idle_timeout). One a
  /// connection, the last call counts; Time::max(): none.
  void expire_at(Time);

 private:
  Session& session_;
  Server& server_;
  ConnectionId id_;
};

/// Each is optional. Callbacks of one connection never overlap; those of different connections may run in parallel (01 and
/// 03 have one thread for them all; so have 04 and 05 with threads = 1). No lock of the library's is held during one. After
/// close() or abort() only on_close follows. An exception ends that connection and no other.
struct Callbacks {
  std::function<void(Connection&)> on_open{};  ///< first; abort() in it rejects
  std::function<void(Connection&, Bytes)>
      on_receive{};                           ///< bytes in stream order; without one they are dropped
  std::function<void(Connection&)> on_end{};  ///< the peer has finished sending; default: close()
  std::function<void(Connection&)>
      on_drained{};  ///< after `congested` or `full`: the queue is at its low mark again
  /// Last, once for each on_open: after close() up to close_timeout later. The error of a reset is std::errc::connection_reset, of a peer that the system has
  /// given up std::errc::timed_out, on every system; without one there was no error.
  std::function<void(Connection&, CloseReason, std::error_code)> on_close{};
};

/// How 05 hands events to its workers: one epoll instance for all of them, or one each.
enum class Queue : std::uint8_t { shared, per_worker };

struct Options {
  std::string host = "127.0.0.1";      ///< a numeric IPv4 or IPv6 address; "::" is IPv6 alone
  std::uint16_t port = 0;              ///< 0: any free port; Server::endpoint() tells which
  int backlog = 0;                     ///< connections the system may hold for accept(); 0: SOMAXCONN
  std::size_t max_connections = 0;     ///< above it newcomers are closed at once; 0: most_connections
  Milliseconds idle_timeout{0};        ///< 0: none
  Milliseconds write_timeout{30'000};  ///< the peer must take something within it; 0: none
  Milliseconds close_timeout{5'000};   ///< from our FIN to the peer's, a total; 0: none
  /// A peer from which nothing has come for so long is probed by its system's word (RFC 9293, 3.8.4), and again each
  /// quarter of it: three probes without an answer end the connection with std::errc::timed_out (Windows before 10 1703:
  /// ten). In whole seconds, rounded up. It finds a peer that has vanished without a word, whatever the other timeouts are. 0: none
  Milliseconds keep_alive{60'000};
  std::size_t low_mark = 64 * 1024;        ///< bytes queued at which a congested connection counts as drained
  std::size_t high_mark = 256 * 1024;      ///< bytes queued above which `congested`, and on_receive waits
  std::size_t hard_cap = 4 * 1024 * 1024;  ///< bytes queued above which nothing is taken: what
                                           ///< callbacks queue, and other threads, each so much
  /// A congested connection is read on. For a relay: its queue does not grow by what it says itself, so the sender of those
  /// bytes is the one to pause. Else two peers that both write before they read would wait for each other.
  bool read_when_congested = false;
  unsigned threads = 0;         ///< 05: workers; 0: one a core
  Queue queue = Queue::shared;  ///< 05
  /// Takes a line about trouble; default: standard error. It is called by any thread, one line at a time, and holds up
  /// that thread and who else has a line. It may use the handle (stop() is refused there); what it throws is dropped.
  std::function<void(std::string_view)> log{};
};

/// Counted since the start; any thread may ask. accepted = closed + active, at rest.
struct Stats {
  std::uint64_t accepted = 0;  ///< got an on_open
  std::uint64_t refused = 0;   ///< closed at once, for a limit
  std::uint64_t active = 0;
  std::uint64_t peak = 0;                             ///< the most that were active at a time
  std::array<std::uint64_t, close_reasons> closed{};  ///< by CloseReason
  std::uint64_t bytes_in = 0;                         ///< read; what was dropped after close() too
  std::uint64_t bytes_out = 0;
};

/// The handle. Several live in one process, each with its own port, threads and stop.
class Server {
 public:
  /// run() must have returned. A stop() of another thread's that has not is waited for.
  virtual ~Server() = default;

  virtual Endpoint endpoint() const = 0;  ///< where it listens
  virtual Stats stats() const = 0;

  /// From any thread. `gone` if the id's connection is closed or closing; other results as Connection::send. After
  /// `congested` or `full` on_drained may come, on another thread, before this call has returned.
  virtual SendResult send(ConnectionId, Bytes) = 0;
  SendResult send(ConnectionId id, std::string_view text) { return send(id, std::as_bytes(std::span(text))); }

  /// As a callback of the connection's: after those that run, before those that come, with the same Connection. From any
  /// thread; from one of the connection's own callbacks too, behind which it runs. False: the connection is gone. If it
  /// ends first, by close() or otherwise, the task is destroyed and has not run.
  virtual bool post(ConnectionId, std::function<void(Connection&)> task) = 0;

  /// As the calls of Connection, from any thread. Nothing happens for an id that is gone.
  virtual void pause(ConnectionId) = 0;
  virtual void resume(ConnectionId) = 0;
  virtual void close(ConnectionId) = 0;
  virtual void abort(ConnectionId) = 0;

  /// Serves until stop(); the calling thread works too. Throws std::system_error if it cannot start.
  virtual void run() = 0;

  /// No newcomers from now on: the listener is closed, and those in the backlog are reset. Those who are here go on
  /// being served, until stop(). From any thread, callbacks included.
  virtual void stop_accepting() = 0;

  /// A stop() that nobody waits for: from any thread, callbacks included. run() returns when it is done; of several the
  /// earliest end counts. Throws std::system_error if there is no thread for it.
  virtual void request_stop(Milliseconds drain) = 0;

  /// Closes the listener; lets what was read be answered, later too if defer() says so, and what is queued be sent, for at
  /// most `drain` (0: not at all); resets the rest; returns when run() has ended its threads and is about to return. From
  /// any thread but a server's own: in a callback, of this server or another, and in a log sink that such a thread
  /// calls it is refused, since two servers could wait for each other. A callback that does not return holds it up.
  /// True: all connections ended by themselves. False: some were reset, or it was refused.
  virtual bool stop(Milliseconds drain) = 0;
};

/// A server that has bound and listens. Throws std::system_error, with the address in its text, if it cannot, and
/// std::invalid_argument, which says which, for options that make no sense: a host that is no numeric address, a
/// negative number, low_mark above high_mark, a hard_cap that leaves no room for one receive (64 KiB) above high_mark.
/// std::runtime_error, where new threads would get a stack below 256 KiB: run() and they keep a buffer there.
std::unique_ptr<Server> make_server(Options, Callbacks);

/// A server that runs on a thread of its own. When it goes, the server is stopped, without a drain (call stop() before for
/// an end in order), and the thread joined: never in one of the server's own callbacks.
class Running {
 public:
  explicit Running(std::unique_ptr<Server>);  ///< throws std::system_error if there is no thread for it
  Running(Running&&) noexcept;
  Running& operator=(Running&&) noexcept;
  ~Running();

  Server& operator*() const;
  Server* operator->() const { return &**this; }
  /// Until run() has returned. Throws what it has thrown, which standard error was told, too. One thread at a time.
  void wait();

 private:
  struct Run;
  std::unique_ptr<Run> run_;
};
/// make_server(), and run() on a thread of its own.
inline Running start(Options options, Callbacks callbacks) {
  return Running(make_server(std::move(options), std::move(callbacks)));
}

/// Sleeps until the process is asked to end: SIGINT, SIGTERM, SIGHUP unless it is ignored (nohup); on Windows Ctrl-C,
/// Ctrl-Break, the console's close, shutdown, of which the last two end the process after five seconds. From the first call
/// on these do nothing else: to have a second one act, wait again.
void wait_for_stop_signal();
/// From now on, and not only from the first wait on. First in main(): else a signal that comes while the servers start, or
/// just behind the line that says they have, ends the process at once.
void catch_stop_signals();

/// What a model can and cannot do: a server's --describe, and what the conformance suite expects of it.
struct Profile {
  std::string_view model;                        ///< "select"
  std::optional<std::size_t> clients_at_once{};  ///< none: as many as there is room for
  std::optional<std::size_t> ceiling{};          ///< connections it holds at the most
  std::string_view set_by{};                     ///< what sets the ceiling
  std::string_view above{};    ///< what a newcomer above it meets: "wait", "close" or "refuse"
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
