// What every backend does alike, whatever its model: ids, limits, the callbacks, time keeping, stop. A
// chapter's backend derives from it and adds what is the model's: the threads, the places where they sleep,
// the system calls.
//
// A model's way with one connection:
//   admit ─▶ open ─▶ release … try_acquire ─▶ received, sent, failed … ─▶ dispatch ─▶ release … ─▶ destroy
// From open or try_acquire until release or destroy the calling thread holds the connection's strand (strand.h).
#pragma once

#include <any>
#include <array>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <shared_mutex>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "common/library/connection_state.h"
#include "common/library/log.h"
#include "common/library/slot_map.h"
#include "common/library/strand.h"
#include "common/library/tally.h"
#include "common/library/timer_queue.h"
#include "common/os/os.h"
#include <ladder/server.h>

namespace ladder {

/// All that the server knows of one connection.
struct Session {
  Strand strand{};
  os::Descriptor socket{};
  std::uint32_t backend_data = 0;  // the backend's own
  // The next look at its deadlines. Here and below what follows may use the padding.
  [[no_unique_address]] Timer timer{};
  std::uint32_t home = 0;  // which timers and which waker it belongs to: a number that the model gives
  std::any context{};
  Endpoint peer{};
  [[no_unique_address]] ConnectionState state{};
  std::atomic<std::uint32_t> changes = 0;  // the model's: what a thread waits on
  ConnectionId id() const { return strand.id(); }
};

class ServerBase;

struct Deferred::Link {
  std::shared_mutex mutex{};
  ServerBase* server = nullptr;  // null: it is gone
};

class ServerBase : public Server {
 public:
  /// What a receive brings at the most. An echo's queue may pass its high mark by so much.
  static constexpr std::size_t one_receive = std::size_t{64} * 1024;

  /// `homes`: how many groups of threads the model has that each serve connections of their own.
  ServerBase(Options options, Callbacks callbacks, os::Mode listener_mode, std::size_t homes = 1);

  Endpoint endpoint() const final { return endpoint_; }
  Stats stats() const final;
  SendResult send(ConnectionId, Bytes) final;
  bool post(ConnectionId, std::function<void(Connection&)>) final;
  void pause(ConnectionId) final;
  void resume(ConnectionId) final;
  void close(ConnectionId) final;
  void abort(ConnectionId) final;
  void stop_accepting() final;
  void request_stop(Milliseconds drain) final;
  bool stop(Milliseconds drain) final;

 protected:
  // ---- what a model must add to run()
  /// Something is pending for this session: some thread of the model's is to acquire its strand soon.
  /// Called by any thread, under the strand's lock. May throw std::bad_alloc.
  virtual void notify(const Session&, ConnectionId) = 0;
  /// accepting() or finished() has changed: every thread of the model's is to look. Called by any thread.
  virtual void wake() = 0;

  /// First in each of a model's destructors: a stop() of another thread's calls wake() and notify().
  void wait_for_stops();

  const Options& options() const { return options_; }
  Log& log() { return log_; }
  os::Listener& listener() { return listener_; }
  bool accepting() const { return stage_ == Stage::serving; }
  bool finished() const { return stage_ >= Stage::finished; }  ///< no connection is left: threads end

  /// First in each thread of the model's: stop() is refused there.
  class Duty {
   public:
    Duty() : before_(std::exchange(on_duty_, true)) {}
    ~Duty() { on_duty_ = before_; }
    Duty(const Duty&) = delete;
    Duty& operator=(const Duty&) = delete;

   private:
    const bool before_;  // a callback may run another server
  };

  /// First in run(): a stop waits until it is gone.
  class RunUnderWay {
   public:
    explicit RunUnderWay(ServerBase& server);
    ~RunUnderWay();
    RunUnderWay(const RunUnderWay&) = delete;
    RunUnderWay& operator=(const RunUnderWay&) = delete;

   private:
    ServerBase& server_;
    const Duty duty_;
  };

  /// Around an accept: a connection that has no session yet is in no count, and a stop must not miss it.
  class Arrival {
   public:
    explicit Arrival(ServerBase& server) : server_(server) { server_.enter(); }
    ~Arrival() { server_.leave(); }
    Arrival(const Arrival&) = delete;
    Arrival& operator=(const Arrival&) = delete;

   private:
    ServerBase& server_;
  };

  // ---- a connection's life
  /// Counts the newcomer and gives it a session, whose strand the caller holds; null: a limit was met, and it has been
  /// closed.
  Session* admit(os::Accepted accepted, Time now, std::uint32_t home = 0);
  /// Closes a newcomer at once, for a limit of the model's.
  void refuse(os::Accepted accepted, std::string_view why);
  /// A newcomer that a stop has overtaken is reset, as the system resets those in the backlog. FAULT-14
  static void turn_away(const os::Accepted& accepted) {
    if (accepted.socket) os::reset_on_close(accepted.socket.get());
  }
  void dismiss(Session&);  ///< ends an admitted one's session before open(): also refused
  void open(Session&);     ///< on_open; this thread has the strand from here
  /// The connection's session, whose strand the caller then holds, with the pending commands done; null: gone, or another
  /// thread holds it, which then finds `events`. `events` comes back with those that were pending.
  Session* try_acquire(ConnectionId, std::uint32_t& events);
  /// True: the strand is free and the connection re-armed. False: the caller keeps the strand, with the `events` that
  /// came. `more`: the connection has still something to do, now or, after a few rounds, behind those who wait.
  template <class Rearm>
  bool release(Session&, std::uint32_t& events, bool more, Rearm rearm);
  /// on_close, then the session is free and the socket closed. The strand ends with it.
  void destroy(Session&);

  // ---- holding the strand
  void received(Session&, Bytes);
  void peer_finished(Session&);
  void sent(Session& session, std::size_t count) {
    bytes_out_.add(count);
    session.state.sent(count, time_of_move());
  }
  void blocked(Session&);                  ///< the system takes no more: the write timeout runs from now
  void failed(Session&, std::error_code);  ///< the system reported an error of this connection
  void dispatch(Session& session) {        ///< makes the callbacks that have fallen due, each once
    if (!session.state.in_flow()) dispatch_due(session);
  }
  void shut_down(Session&);  ///< Step::shut_down: FIN
  /// Lets a passed deadline act, and notes the next one.
  void keep_time(Session& session) {
    const bool times = session.timer.due != Time::max() || session.state.deadline() != Time::max();
    if (times || stopping()) look_at_clock(session);  // most connections have no deadline, and need no clock
  }

  // ---- time
  /// In try_acquire(): a deadline has passed, so look at the clock. Above all events of a model's own.
  static constexpr std::uint32_t timer_event = 1u << 31;
  static constexpr ConnectionId listener_id{0};
  /// A connection to take with timer_event, until there is none. listener_id: the pause of accept_later is over.
  std::optional<ConnectionId> expired(Time now, std::uint32_t home = 0) {
    return homes_[home].timers.expired(now);
  }
  Time next_deadline(std::uint32_t home = 0) const { return homes_[home].timers.next(); }
  /// How long a model may sleep, rounded up; none: until something happens.
  std::optional<Milliseconds> until_deadline() const;
  /// Out of descriptors or memory. The newcomers wait in the backlog; those who are here go on being served.
  void pause_accepting(const std::error_code&, Time now, std::uint32_t home = 0);
  // ... in two steps, where several accepts meet the same shortage:
  void tell_of_shortage(const std::error_code&, Time now);  ///< a line in the log, one a second
  void accept_later(Time now, std::uint32_t home = 0);
  /// The call in which a thread of the model's sleeps has failed, and may go on failing: a line in the log and a pause,
  /// so that it does not spin.
  void wait_failed(const std::error_code&);
  /// A new deadline is earlier than any other of its home: for a model in which not each thread sleeps until the next
  /// one.
  virtual void earlier_deadline(std::uint32_t) {}

 private:
  friend class Connection;
  friend class Deferred;
  void answered(ConnectionId);  ///< by any thread: an answer is owed no longer
  enum class Stage : std::uint8_t { serving, no_newcomers, stopping, aborting, finished };
  class StopUnderWay;

  template <class Callback>
  void call(Session&, const Callback& callback);
  void dispatch_due(Session&);
  void look_at_clock(Session&);
  void log_ended(const Session&, std::string_view why);
  static bool nothing_to_lose(const Session&, Time now);
  void apply(Session&, Pending);
  void apply(Session&, const std::vector<Command>&);
  void collect_promised(Session&);
  void begin_stop(Session&);
  void abort_for_stop(Session&);
  void remove(Session&);
  void post_command(ConnectionId, Command::Kind);
  SendResult leave_command(Session&, std::optional<ConnectionId>, Command);
  bool stopping() const { return stage_ >= Stage::stopping; }
  void enter_stage(Stage);
  void broadcast(Command::Kind, Time until);
  void enter() { ++present_; }
  void leave();
  bool holds(const Session& session) const;

  const Options options_;
  const Callbacks callbacks_;
  const bool times_moves_;
  Log log_;
  os::Listener listener_;
  const Endpoint endpoint_;
  SlotMap<Session> sessions_;
  struct Home {
    TimerQueue timers{};
    Timer accepts_again{};
  };
  std::vector<Home> homes_;
  std::shared_ptr<Deferred::Link> link_;

  std::atomic<Stage> stage_ = Stage::serving;
  std::atomic<bool> aborted_ = false;     // some connection was reset by a stop
  std::atomic<std::size_t> present_ = 0;  // connections and accepts under way
  std::mutex mutex_;                      // for the waits of stop()
  std::condition_variable changed_;
  bool running_ = false;
  int stops_ = 0;  // calls of stop() that have not returned
  std::vector<std::jthread> requested_stops_{};
  Time requested_end_ = Time::max();  // of the earliest of those

  // What this thread is busy with. No default values: VS 2022 takes none in a constinit thread_local.
  struct Held {
    const Session* session;
    int rounds;      // of what came meanwhile
    Clock::rep now;  // 0: not asked for yet
  };
  /// Read once in a turn, and anew after a callback: a slow one is no silence of the peer's.
  static Time now() {
    if (held_.now == 0) held_.now = read_clock();
    return Time(Clock::duration(held_.now));
  }
  static Clock::rep read_clock() { return Clock::now().time_since_epoch().count(); }
  /// Where silence is timed, the clock is read before bytes move: a process that is stopped just behind a send has been
  /// silent from that send on. FAULT-15
  Clock::rep clock_before_moves() const { return times_moves_ ? read_clock() : 0; }
  /// When bytes move, as far as anybody wants to know.
  Time time_of_move() const { return times_moves_ ? now() : Time{}; }
  static constexpr int rounds_in_a_row = 4;  // then others are served first
  static constinit thread_local Held held_;
  static constinit thread_local bool on_duty_;  // it is a server's thread

  std::atomic<std::uint64_t> accepted_ = 0, refused_ = 0, active_ = 0, peak_ = 0;
  Tally bytes_in_, bytes_out_;
  std::array<std::atomic<std::uint64_t>, close_reasons> closed_{};
};

// ---- what each message takes, inline

inline Session* ServerBase::try_acquire(ConnectionId id, std::uint32_t& events) {
  Session* session = sessions_.find(slot_of(id));
  Pending pending;
  if (!session || !session->strand.try_acquire(id, events, pending)) return nullptr;
  held_ = {session, 0, clock_before_moves()};
  events = pending.events;
  if (events & (Pending::commanded | Pending::turned_away)) apply(*session, std::move(pending));
  return session;
}

template <class Callback>
inline void ServerBase::call(Session& session, const Callback& callback) {
  Connection connection(session, *this, session.id());
  try {
    callback(connection);
  } catch (const std::exception& error) {  // contract 11
    session.state.failed(CloseReason::exception, {}, Step::reset);
    log_ended(session, error.what());
  } catch (...) {
    session.state.failed(CloseReason::exception, {}, Step::reset);
    log_ended(session, "an exception of no known type");
  }
  held_.now = clock_before_moves();
}

inline void ServerBase::received(Session& session, Bytes bytes) {
  bytes_in_.add(bytes.size());
  call(session, [&](Connection& c) {  // to keep them may find no memory: this connection's loss alone
    if (session.state.received(bytes, time_of_move()) && callbacks_.on_receive)
      callbacks_.on_receive(c, bytes);
  });
}

template <class Rearm>
inline bool ServerBase::release(Session& session, std::uint32_t& events, bool more, Rearm rearm) {
  if (more && held_.rounds + 1 < rounds_in_a_row) {
    held_ = {&session, held_.rounds + 1, clock_before_moves()};
    events = 0;
    return false;
  }
  const std::size_t backlog =
      session.state.takes_sends() ? session.state.unsent_bytes() : Strand::takes_no_more;
  const int rounds = held_.rounds + 1;
  Pending pending;
  os::Error error;
  held_ = {};  // once the strand is free, the session may be another thread's
  try {
    if (rounds < rounds_in_a_row
            ? session.strand.release(backlog, pending, error, rearm)
            : session.strand.yield(backlog, error, rearm, [&](ConnectionId id) { notify(session, id); }))
      return true;
  } catch (const std::bad_alloc&) {  // no memory for the notification
    failed(session, std::make_error_code(std::errc::not_enough_memory));
  }
  held_ = {&session, rounds, clock_before_moves()};
  events = pending.events;
  if (error) failed(session, error);
  apply(session, std::move(pending));
  return false;
}

}  // namespace ladder
