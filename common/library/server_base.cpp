#include "common/library/server_base.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <shared_mutex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "common/library/connection_state.h"
#include "common/library/slot_map.h"
#include "common/library/strand.h"
#include "common/os/os.h"
#include <ladder/server.h>

namespace ladder {

constinit thread_local ServerBase::Held ServerBase::held_{nullptr, 0, 0};
constinit thread_local bool ServerBase::on_duty_ = false;

namespace {
constexpr Milliseconds accept_pause{50};
constexpr Milliseconds memory_pause{10};
constexpr Milliseconds acknowledgement_pause{20};
constexpr Milliseconds silence_enough{500};

/// Options that do not fit each other would lose bytes without a word, long after they were given.
Options checked(Options o, std::size_t one_receive) {
  const auto refuse = [](const std::string& why) { throw std::invalid_argument(why); };
  const auto number = [](auto value) { return std::to_string(value); };
  if (!os::is_numeric_address(o.host)) refuse("host '" + o.host + "' is no numeric IPv4 or IPv6 address");
  if (o.backlog < 0) refuse("backlog " + number(o.backlog) + " is negative");
  if (o.max_connections > most_connections)
    refuse("max_connections " + number(o.max_connections) + " is above " + number(most_connections));
  if (o.low_mark > o.high_mark)
    refuse("low_mark " + number(o.low_mark) + " is above high_mark " + number(o.high_mark));
  if (o.hard_cap < o.high_mark || o.hard_cap - o.high_mark < one_receive)
    refuse("hard_cap " + number(o.hard_cap) + " leaves no room for one receive of " + number(one_receive) +
           " bytes above high_mark " + number(o.high_mark));
  for (const auto& [name, time] : {std::pair("idle_timeout", o.idle_timeout),
                                   {"write_timeout", o.write_timeout},
                                   {"close_timeout", o.close_timeout},
                                   {"keep_alive", o.keep_alive}})
    if (time.count() < 0) refuse(name + (" of " + number(time.count())) + " ms is negative");
  return o;
}
}  // namespace

ServerBase::ServerBase(Options options, Callbacks callbacks, os::Mode listener_mode, std::size_t homes)
    : options_(checked(std::move(options), one_receive)),
      callbacks_(std::move(callbacks)),
      times_moves_(options_.idle_timeout.count() > 0 || !os::tells_of_unacknowledged),
      log_(options_.log),
      listener_(options_.host, options_.port, options_.backlog, listener_mode, options_.keep_alive),
      endpoint_(os::local_endpoint(listener_.handle())),
      homes_(homes),
      link_(std::make_shared<Deferred::Link>()) {
  link_->server = this;
  // The threads are made in run(), whose text would tell nobody, or at the first byte, with a crash.
  if (os::usual_stack() < os::stack_needed)
    throw std::runtime_error("a thread's stack has " + std::to_string(os::usual_stack() / 1024) +
                             " KiB (ulimit -s, pthread_setattr_default_np), and " +
                             std::to_string(os::stack_needed / 1024) + " are needed");
}

void ServerBase::wait_for_stops() {
  {
    const std::unique_lock lock(link_->mutex);
    link_->server = nullptr;
  }
  requested_stops_.clear();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return stops_ == 0; });
}

// ---- the handle: any thread

Stats ServerBase::stats() const {
  Stats stats{.accepted = accepted_, .refused = refused_, .active = active_, .peak = peak_};
  for (std::size_t i = 0; i < close_reasons; ++i)
    stats.closed[i] = closed_[i];
  stats.bytes_in = bytes_in_.sum();
  stats.bytes_out = bytes_out_.sum();
  return stats;
}

bool ServerBase::holds(const Session& session) const {
  return held_.session == &session;
}

SendResult ServerBase::send(ConnectionId id, Bytes bytes) {
  Session* session = sessions_.find(slot_of(id));
  if (!session) return SendResult::gone;
  if (holds(*session)) return session->id() == id ? session->state.send(bytes) : SendResult::gone;
  const bool too_large = bytes.size() > options_.hard_cap;
  if (too_large) bytes = {};  // still asked whether it is gone
  const SendResult result = leave_command(*session, id, {Command::Kind::send, {bytes.begin(), bytes.end()}});
  return too_large && result != SendResult::gone ? SendResult::too_large : result;
}

/// Left for the holder even by the holder itself: a task never runs inside another callback.
bool ServerBase::post(ConnectionId id, std::function<void(Connection&)> task) {
  Session* session = sessions_.find(slot_of(id));
  return session && leave_command(*session, id, {.kind = Command::Kind::task, .task = std::move(task)}) !=
                        SendResult::gone;
}

void ServerBase::pause(ConnectionId id) {
  post_command(id, Command::Kind::pause);
}

void ServerBase::resume(ConnectionId id) {
  post_command(id, Command::Kind::resume);
}

void ServerBase::close(ConnectionId id) {
  post_command(id, Command::Kind::close);
}

void ServerBase::abort(ConnectionId id) {
  post_command(id, Command::Kind::abort);
}

void ServerBase::post_command(ConnectionId id, Command::Kind kind) {
  Session* session = sessions_.find(slot_of(id));
  if (!session) return;
  if (!holds(*session)) {
    leave_command(*session, id, {kind});
  } else if (session->id() == id) {
    apply(*session, std::vector<Command>{{kind}});
  }
}

SendResult ServerBase::leave_command(Session& session, std::optional<ConnectionId> id, Command command) {
  std::size_t backlog = 0;
  const bool sends_bytes = !command.bytes.empty();  // of no bytes nothing drains
  const auto posted = session.strand.post(id, std::move(command), options_.hard_cap, backlog,
                                          [&](ConnectionId current) { notify(session, current); });
  if (posted == Strand::Posted::gone) return SendResult::gone;
  if (posted == Strand::Posted::full) return SendResult::full;
  return sends_bytes && backlog > options_.high_mark ? SendResult::congested : SendResult::queued;
}

void ServerBase::broadcast(Command::Kind kind, Time until) {
  for (std::uint32_t slot = 0; slot < sessions_.used();)
    try {
      leave_command(*sessions_.find(slot), std::nullopt, {kind});
      ++slot;
    } catch (const std::bad_alloc&) {  // nobody is left out, and a stop can wait
      if (Clock::now() >= until) return;
      std::this_thread::sleep_for(memory_pause);
    }
}

void ServerBase::enter_stage(Stage stage) {
  for (Stage now = stage_; now < stage && !stage_.compare_exchange_weak(now, stage);) {
  }
  wake();
}

/// Until it is gone the handle is not destroyed.
class ServerBase::StopUnderWay {
 public:
  explicit StopUnderWay(ServerBase& server) : server_(server) {
    const std::lock_guard lock(server_.mutex_);
    ++server_.stops_;
  }
  ~StopUnderWay() {
    const std::lock_guard lock(server_.mutex_);
    --server_.stops_;
    server_.changed_.notify_all();
  }
  StopUnderWay(const StopUnderWay&) = delete;
  StopUnderWay& operator=(const StopUnderWay&) = delete;

 private:
  ServerBase& server_;
};

void ServerBase::stop_accepting() {
  enter_stage(Stage::no_newcomers);
  listener_.stop();
}

/// On a thread of its own, which waits as any other that calls stop().
void ServerBase::request_stop(Milliseconds drain) {
  const std::lock_guard lock(mutex_);
  const Time end = after(Clock::now(), drain);
  if (end >= requested_end_) return;  // an earlier one counts
  requested_stops_.emplace_back([this, drain] { stop(drain); });
  requested_end_ = end;
}

bool ServerBase::stop(Milliseconds drain) {
  if (on_duty_)
    return false;  // contract 10: it would wait for its own callback, or for another's that waits for it
  const StopUnderWay under_way(*this);
  const auto empty = [this] { return present_ == 0; };
  const Time deadline = after(Clock::now(), drain);
  enter_stage(Stage::stopping);
  listener_.stop();
  if (drain.count() > 0) broadcast(Command::Kind::stop, deadline);
  std::unique_lock lock(mutex_);
  const bool drained = changed_.wait_until(lock, deadline, empty);
  if (!drained) {
    lock.unlock();
    enter_stage(Stage::aborting);
    broadcast(Command::Kind::stop_now, Time::max());
    lock.lock();
    changed_.wait(lock, empty);
  }
  enter_stage(Stage::finished);  // with the lock: run() does not return before wake() has
  changed_.wait(lock, [this] { return !running_; });
  return !aborted_;  // an accept under way at a stop without a drain is nobody's reset
}

ServerBase::RunUnderWay::RunUnderWay(ServerBase& server) : server_(server) {
  const std::lock_guard lock(server_.mutex_);
  server_.running_ = true;
}

ServerBase::RunUnderWay::~RunUnderWay() {
  const std::lock_guard lock(server_.mutex_);
  server_.running_ = false;
  server_.changed_.notify_all();
}

void ServerBase::leave() {
  if (--present_ > 0) return;
  const std::lock_guard lock(mutex_);
  changed_.notify_all();
}

// ---- a connection's life

Session* ServerBase::admit(os::Accepted accepted, Time now, std::uint32_t home) {
  if (!accepting()) {
    turn_away(accepted);
    return nullptr;
  }
  const std::uint64_t active = ++active_;
  const bool room = options_.max_connections == 0 || active <= options_.max_connections;
  const std::optional<std::uint32_t> slot = room ? sessions_.acquire() : std::nullopt;
  if (!slot) {
    --active_;
    refuse(std::move(accepted), room ? "no memory for it" : "max_connections are here");
    return nullptr;
  }
  enter();
  for (std::uint64_t peak = peak_; peak < active && !peak_.compare_exchange_weak(peak, active);) {
  }
  Session& session = *sessions_.find(*slot);
  session.socket = std::move(accepted.socket);
  session.peer = accepted.peer;
  session.state = ConnectionState(options_, now, static_cast<bool>(callbacks_.on_receive));
  session.home = home;
  session.strand.start_session(*slot);
  return &session;
}

void ServerBase::refuse(os::Accepted accepted, std::string_view why) {
  ++refused_;  // before the peer can see it
  log_.limited("refused", Clock::now(), [&] { return "a newcomer was closed: " + std::string(why); });
  accepted.socket.reset();
}

void ServerBase::dismiss(Session& session) {
  ++refused_;
  remove(session);
}

void ServerBase::open(Session& session) {
  held_ = {&session, 0, clock_before_moves()};
  ++accepted_;
  if (callbacks_.on_open) call(session, callbacks_.on_open);
  if (stopping()) begin_stop(session);  // the broadcast may have come before the session was there
}

void ServerBase::apply(Session& session, Pending pending) {
  if (pending.commands) apply(session, *pending.commands);
  if (pending.events & Pending::turned_away)
    session.state.turned_away();  // behind the sends that there was room for
}

void ServerBase::apply(Session& session, const std::vector<Command>& commands) {
  for (const Command& command : commands)
    switch (command.kind) {
      case Command::Kind::send:
        call(session, [&](Connection&) {
          session.state.send_promised(command.bytes, command.backlog > options_.high_mark);
        });
        break;
      case Command::Kind::pause:
        session.state.pause();
        break;
      case Command::Kind::resume:
        session.state.resume();
        break;
      case Command::Kind::answered:
        session.state.answered(now());
        break;
      case Command::Kind::task:
        if (session.state.open()) call(session, command.task);
        break;
      case Command::Kind::close:
        session.state.close();
        break;
      case Command::Kind::stop:
        begin_stop(session);
        break;
      case Command::Kind::abort:
        session.state.abort();
        break;
      case Command::Kind::stop_now:
        abort_for_stop(session);
        break;
    }
}

/// The end of a stop's patience.
void ServerBase::abort_for_stop(Session& session) {
  if (session.state.ended()) return;
  aborted_ = true;
  session.state.failed(CloseReason::stopping, {}, Step::reset);
}

void ServerBase::begin_stop(Session& session) {
  if (stage_ >= Stage::aborting) return abort_for_stop(session);
  session.state.resume();  // contract 10: what was read, and kept by a pause, is delivered
  dispatch(session);
  session.state.close_when_answered(CloseReason::stopping);
}

void ServerBase::destroy(Session& session) {
  const CloseReason reason = session.state.reason();
  if (session.state.next() == Step::reset) os::reset_on_close(session.socket.get());
  session.strand.close();
  if (callbacks_.on_close)  // what it throws changes nothing any more
    call(session, [&](Connection& c) { callbacks_.on_close(c, reason, session.state.error()); });
  ++closed_[static_cast<std::size_t>(reason)];
  session.context.reset();  // the service's: it may call us
  held_ = {};
  remove(session);
}

void ServerBase::remove(Session& session) {
  // A newcomer may have the session as soon as its slot is free, so the socket leaves it first. It is closed
  // last: a client that sees the end of this connection and comes again is counted after it.
  const os::Descriptor socket = std::move(session.socket);
  const std::uint32_t slot = slot_of(session.id());
  homes_[session.home].timers.cancel(session.timer);
  session.state = {};
  session.backend_data = 0;
  session.strand.end_session();
  sessions_.release(slot);
  --active_;
  leave();
}

// ---- holding the strand

void ServerBase::log_ended(const Session& session, std::string_view why) try {
  log_.line("connection of " + to_string(session.peer) + " ended: " + std::string(why));
} catch (const std::bad_alloc&) {  // no memory even to say so
}

void ServerBase::peer_finished(Session& session) {
  session.state.peer_finished(now());
}

void ServerBase::blocked(Session& session) {
  session.state.blocked(os::acknowledged(session.socket.get()).bytes, now());
}

void ServerBase::failed(Session& session, std::error_code error) {
  // EPIPE is what a send meets after a reset that nobody has read: the same, in one word.
  const bool reset = error == std::errc::connection_reset || error == std::errc::broken_pipe;
  if (reset) error = std::make_error_code(std::errc::connection_reset);
  // An orderly FIN behind a stream that an error cut short would lie to the peer.
  session.state.failed(reset ? CloseReason::reset : CloseReason::error, error, Step::reset);
}

void ServerBase::dispatch_due(Session& session) {
  for (;;) {
    const Due due = session.state.due();
    switch (due) {
      case Due::nothing:
        return collect_promised(session);
      case Due::receive: {
        const std::vector<std::byte> kept = session.state.take_kept();
        if (callbacks_.on_receive) call(session, [&](Connection& c) { callbacks_.on_receive(c, kept); });
        break;
      }
      case Due::end:
        session.state.take_due(due);
        if (callbacks_.on_end)
          call(session, callbacks_.on_end);
        else  // an answer that is owed is for a peer that has only finished asking
          session.state.close_at_end();
        break;
      case Due::drained:
        session.state.take_due(due);
        if (callbacks_.on_drained) call(session, callbacks_.on_drained);
        break;
    }
  }
}

/// Contract 6: what other threads' sends were promised before the close goes out before the FIN; later ones
/// are gone.
void ServerBase::collect_promised(Session& session) {
  if (!session.state.closing()) return;
  if (const auto commands = session.strand.close()) apply(session, *commands);
}

void ServerBase::shut_down(Session& session) {
  const bool done = stopping() && nothing_to_lose(session, now());
  os::finish_sending(session.socket.get());
  session.state.shut_down(now());
  if (done) session.state.stop_lingering();
}

/// The peer has taken all that was sent, and nothing of its lies unread, for which a close would reset. Where the
/// system does not tell of the first: it has sent nothing for a while. Bytes that it has not taken yet go on
/// being delivered after the close, unless more comes from it. STOP-04
bool ServerBase::nothing_to_lose(const Session& session, Time now) {
  if (os::unread(session.socket.get())) return false;
  const std::optional<std::size_t> left = os::unacknowledged(session.socket.get());
  return left ? *left == 0 : now - session.state.moved() >= silence_enough;
}

void ServerBase::look_at_clock(Session& session) try {
  Time deadline = session.state.deadline();
  const Time now = ServerBase::now();
  const bool looks = session.timer.due <= now;  // read in this turn, so that entry has come out by now
  if (looks) session.timer.due = Time::max();
  if (looks || deadline <= now) {
    // Here alone the server asks what the peer has taken. A send does not tell: its bytes may still be with the system.
    const os::Acknowledged taken = os::acknowledged(session.socket.get());
    session.state.acknowledged(taken.bytes, now - taken.ago);
    session.state.expired(taken.bytes, now);
    deadline = session.state.deadline();
  }
  if (stopping() && session.state.lingering()) {
    // A stop waits for no FIN from a peer that has had everything. No event tells us that it has.
    if (nothing_to_lose(session, now)) return session.state.stop_lingering();
    deadline = std::min(deadline, now + acknowledgement_pause);
  }
  if (deadline < session.timer.due && homes_[session.home].timers.set(session.timer, session.id(), deadline))
    earlier_deadline(session.home);
} catch (const std::bad_alloc&) {  // a connection without a deadline would stay for ever
  failed(session, std::make_error_code(std::errc::not_enough_memory));
}

std::optional<Milliseconds> ServerBase::until_deadline() const {
  const Time next = next_deadline();
  if (next == Time::max()) return std::nullopt;  // the usual case reads no clock
  const auto left = std::chrono::ceil<Milliseconds>(next - Clock::now());
  return std::clamp(left, Milliseconds{0}, Milliseconds{std::chrono::minutes{1}});
}

void ServerBase::pause_accepting(const std::error_code& error, Time now, std::uint32_t home) {
  tell_of_shortage(error, now);
  accept_later(now, home);
}

void ServerBase::tell_of_shortage(const std::error_code& error, Time now) {
  log_.limited("accept", now, [&] { return "cannot accept: " + error.message() + "; newcomers wait"; });
}

void ServerBase::accept_later(Time now, std::uint32_t home) {
  auto& [timers, timer] = homes_[home];
  if (timers.set(timer, listener_id, now + accept_pause)) earlier_deadline(home);
}

void ServerBase::wait_failed(const std::error_code& error) {
  log_.limited("wait", Clock::now(), [&] { return "cannot wait for events: " + error.message(); });
  std::this_thread::sleep_for(accept_pause);
}

// ---- answers that are owed

void ServerBase::answered(ConnectionId id) {
  for (;;)
    try {
      return post_command(id, Command::Kind::answered);
    } catch (const std::bad_alloc&) {  // a stop waits for it, and this thread can wait
      std::this_thread::sleep_for(memory_pause);
    }
}

Deferred Connection::defer() {
  Deferred deferred(static_cast<ServerBase&>(server_).link_, id_);
  session_.state.defer();
  return deferred;
}

void Deferred::end() noexcept {
  if (!link_) return;
  {
    const std::shared_lock lock(link_->mutex);
    if (link_->server) link_->server->answered(id_);
  }
  link_.reset();
}

// ---- what a callback sees

const Endpoint& Connection::peer() const {
  return session_.peer;
}
std::any& Connection::context() {
  return session_.context;
}
SendResult Connection::send(Bytes bytes) {
  return session_.state.send(bytes);
}
std::size_t Connection::queued() const {
  return session_.state.unsent_bytes();
}
void Connection::pause() {
  session_.state.pause();
}
void Connection::resume() {
  session_.state.resume();
}
void Connection::finish() {
  session_.state.finish();
}
void Connection::close() {
  session_.state.close();
}
void Connection::abort() {
  session_.state.abort();
}
void Connection::expire_at(Time time) {
  session_.state.expire_at(time);
}

}  // namespace ladder
