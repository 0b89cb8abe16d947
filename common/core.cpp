#include "common/core.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "common/connection.h"
#include "common/mailbox.h"
#include "common/os.h"
#include "common/server.h"
#include "common/slots.h"

namespace ladder {

constinit thread_local Core::Turn Core::turn_{nullptr, 0};
constinit thread_local bool Core::on_duty_ = false;

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

Core::Core(Options options, Callbacks callbacks, os::Mode listener_mode, std::size_t homes)
    : options_(checked(std::move(options), one_receive)),
      callbacks_(std::move(callbacks)),
      log_(options_.log),
      listener_(options_.host, options_.port, options_.backlog, listener_mode, options_.keep_alive),
      endpoint_(os::local_endpoint(listener_.handle())),
      homes_(homes) {
  // The threads are made in run(), whose text would tell nobody, or at the first byte, with a crash.
  if (os::usual_stack() < os::stack_needed)
    throw std::runtime_error("a thread's stack has " + std::to_string(os::usual_stack() / 1024) +
                             " KiB (ulimit -s, pthread_setattr_default_np), and " +
                             std::to_string(os::stack_needed / 1024) + " are needed");
}

void Core::wait_for_stops() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return stops_ == 0; });
}

// ---- the handle: any thread

Stats Core::stats() const {
  Stats stats{.accepted = accepted_, .refused = refused_, .active = active_, .peak = peak_};
  for (std::size_t i = 0; i < close_reasons; ++i)
    stats.closed[i] = closed_[i];
  stats.bytes_in = bytes_in_;
  stats.bytes_out = bytes_out_;
  return stats;
}

bool Core::my_turn(const Seat& seat) const {
  return turn_.seat == &seat;
}

SendResult Core::send(ConnectionId id, Bytes bytes) {
  Seat* seat = seats_.find(slot_of(id));
  if (!seat) return SendResult::gone;
  if (my_turn(*seat)) return seat->id() == id ? seat->ledger.send(bytes) : SendResult::gone;
  const bool too_large = bytes.size() > options_.hard_cap;
  if (too_large) bytes = {};  // still asked whether it is gone
  const SendResult result =
      post(*seat, slot_of(id), generation_of(id), {Wish::Kind::send, {bytes.begin(), bytes.end()}});
  return too_large && result != SendResult::gone ? SendResult::too_large : result;
}

void Core::resume(ConnectionId id) {
  wish(id, Wish::Kind::resume);
}

void Core::close(ConnectionId id) {
  wish(id, Wish::Kind::close);
}

void Core::wish(ConnectionId id, Wish::Kind kind) {
  Seat* seat = seats_.find(slot_of(id));
  if (!seat) return;
  if (!my_turn(*seat)) {
    post(*seat, slot_of(id), generation_of(id), {kind});
  } else if (seat->id() == id) {
    Mail mine{.wishes = {{kind}}};
    apply(*seat, mine);
  }
}

SendResult Core::post(Seat& seat, std::uint32_t slot, std::optional<std::uint64_t> generation, Wish wish) {
  std::size_t backlog = 0;
  const bool sends_bytes = !wish.bytes.empty();  // of no bytes nothing drains
  const auto posted = seat.mailbox.post(generation, std::move(wish), options_.hard_cap, backlog,
                                        [&](std::uint64_t tenant) { ring(seat, make_id(slot, tenant)); });
  if (posted == Mailbox::Posted::gone) return SendResult::gone;
  if (posted == Mailbox::Posted::full) return SendResult::full;
  return sends_bytes && backlog > options_.high_mark ? SendResult::congested : SendResult::queued;
}

void Core::sweep(Wish::Kind kind, Time until) {
  for (std::uint32_t slot = 0; slot < seats_.used();)
    try {
      post(*seats_.find(slot), slot, std::nullopt, {kind});
      ++slot;
    } catch (const std::bad_alloc&) {  // nobody is left out, and who stops can wait
      if (Clock::now() >= until) return;
      std::this_thread::sleep_for(memory_pause);
    }
}

void Core::advance(Stage stage) {
  for (Stage now = stage_; now < stage && !stage_.compare_exchange_weak(now, stage);) {
  }
  wake();
}

/// Until it is gone the handle is not destroyed.
class Core::StopUnderWay {
 public:
  explicit StopUnderWay(Core& core) : core_(core) {
    const std::lock_guard lock(core_.mutex_);
    ++core_.stops_;
  }
  ~StopUnderWay() {
    const std::lock_guard lock(core_.mutex_);
    --core_.stops_;
    core_.changed_.notify_all();
  }
  StopUnderWay(const StopUnderWay&) = delete;
  StopUnderWay& operator=(const StopUnderWay&) = delete;

 private:
  Core& core_;
};

bool Core::stop(Milliseconds drain) {
  if (on_duty_)
    return false;  // contract 10: it would wait for its own callback, or for another's that waits for it
  const StopUnderWay under_way(*this);
  const auto empty = [this] { return present_ == 0; };
  const Time deadline = after(Clock::now(), drain);
  advance(Stage::stopping);
  listener_.stop();
  if (drain.count() > 0) sweep(Wish::Kind::stop, deadline);
  std::unique_lock lock(mutex_);
  const bool drained = changed_.wait_until(lock, deadline, empty);
  if (!drained) {
    lock.unlock();
    advance(Stage::aborting);
    sweep(Wish::Kind::abort, Time::max());
    lock.lock();
    changed_.wait(lock, empty);
  }
  advance(Stage::finished);  // with the lock: run() does not return before wake() has
  changed_.wait(lock, [this] { return !running_; });
  return !aborted_;  // an accept under way at a stop without a drain is nobody's reset
}

Core::Running::Running(Core& core) : core_(core) {
  const std::lock_guard lock(core_.mutex_);
  core_.running_ = true;
}

Core::Running::~Running() {
  const std::lock_guard lock(core_.mutex_);
  core_.running_ = false;
  core_.changed_.notify_all();
}

void Core::leave() {
  if (--present_ > 0) return;
  const std::lock_guard lock(mutex_);
  changed_.notify_all();
}

// ---- a connection's life

Seat* Core::admit(os::Accepted accepted, Time now, std::uint32_t home) {
  if (stopping()) return nullptr;  // as those whom the system resets in the backlog
  const std::uint64_t active = ++active_;
  const bool room = options_.max_connections == 0 || active <= options_.max_connections;
  const std::optional<std::uint32_t> slot = room ? seats_.acquire() : std::nullopt;
  if (!slot) {
    --active_;
    refuse(std::move(accepted), room ? "no memory for it" : "max_connections are here");
    return nullptr;
  }
  enter();
  for (std::uint64_t peak = peak_; peak < active && !peak_.compare_exchange_weak(peak, active);) {
  }
  Seat& seat = *seats_.find(*slot);
  seat.socket = std::move(accepted.socket);
  seat.peer = accepted.peer;
  seat.ledger = Ledger(options_, now, static_cast<bool>(callbacks_.on_receive));
  seat.home = home;
  seat.timer.id = make_id(*slot, seat.mailbox.move_in());
  return &seat;
}

void Core::refuse(os::Accepted accepted, std::string_view why) {
  ++refused_;  // before the peer can see it
  log_.limited("refused", Clock::now(), [&] { return "a newcomer was closed: " + std::string(why); });
  accepted.socket.reset();
}

void Core::dismiss(Seat& seat) {
  ++refused_;
  unseat(seat);
}

void Core::open(Seat& seat) {
  turn_ = {&seat, 0};
  ++accepted_;
  if (callbacks_.on_open) call(seat, callbacks_.on_open);
  if (stopping()) begin_stop(seat);  // the sweep may have come before the seat was taken
}

Seat* Core::take(ConnectionId id, std::uint32_t& events) {
  Seat* seat = seats_.find(slot_of(id));
  Mail mail;
  if (!seat || !seat->mailbox.take(generation_of(id), events, mail)) return nullptr;
  turn_ = {seat, 0};
  events = mail.events;
  apply(*seat, mail);
  return seat;
}

void Core::apply(Seat& seat, Mail& mail) {
  for (const Wish& wish : mail.wishes)
    switch (wish.kind) {
      case Wish::Kind::send:
        call(seat,
             [&](Connection&) { seat.ledger.send_promised(wish.bytes, wish.backlog > options_.high_mark); });
        break;
      case Wish::Kind::resume:
        seat.ledger.resume();
        break;
      case Wish::Kind::close:
        seat.ledger.close();
        break;
      case Wish::Kind::stop:
        begin_stop(seat);
        break;
      case Wish::Kind::abort:
        cut(seat);
        break;
    }
  if (mail.turned_away) seat.ledger.turned_away();  // behind the sends that there was room for
}

/// The end of a stop's patience.
void Core::cut(Seat& seat) {
  if (seat.ledger.ended()) return;
  aborted_ = true;
  seat.ledger.failed(CloseReason::stopping, {}, Step::reset);
}

void Core::begin_stop(Seat& seat) {
  if (stage_ >= Stage::aborting) return cut(seat);
  seat.ledger.resume();  // contract 10: what was read, and kept by a pause, is delivered
  deliver(seat);
  seat.ledger.finish(CloseReason::stopping);
}

void Core::retire(Seat& seat) {
  const CloseReason reason = seat.ledger.reason();
  if (seat.ledger.next() == Step::reset) os::reset_on_close(seat.socket.get());
  seat.mailbox.close();
  if (callbacks_.on_close)  // what it throws changes nothing any more
    call(seat, [&](Connection& c) { callbacks_.on_close(c, reason, seat.ledger.error()); });
  ++closed_[static_cast<std::size_t>(reason)];
  seat.context.reset();  // the service's: it may call us
  turn_ = {};
  unseat(seat);
}

void Core::unseat(Seat& seat) {
  // A newcomer may have the seat as soon as its slot is free, so the socket leaves it first. It is closed
  // last: who sees the end of this connection and comes again is counted after it.
  const os::Descriptor socket = std::move(seat.socket);
  const std::uint32_t slot = slot_of(seat.id());
  homes_[seat.home].deadlines.cancel(seat.timer);
  seat.ledger = {};
  seat.armed = 0;
  seat.mailbox.move_out();
  seats_.release(slot);
  --active_;
  leave();
}

// ---- with the turn

template <class Callback>
void Core::call(Seat& seat, const Callback& callback) {
  Connection connection(seat, *this, seat.id());
  try {
    callback(connection);
  } catch (const std::exception& error) {  // contract 11
    seat.ledger.failed(CloseReason::exception, {}, Step::reset);
    log_ended(seat, error.what());
  } catch (...) {
    seat.ledger.failed(CloseReason::exception, {}, Step::reset);
    log_ended(seat, "an exception of no known type");
  }
}

void Core::log_ended(const Seat& seat, std::string_view why) try {
  log_.line("connection of " + to_string(seat.peer) + " ended: " + std::string(why));
} catch (const std::bad_alloc&) {  // no memory even to say so
}

void Core::received(Seat& seat, Bytes bytes, Time now) {
  bytes_in_.fetch_add(bytes.size(), std::memory_order_relaxed);
  call(seat, [&](Connection& c) {  // to keep them may find no memory: this connection's loss alone
    if (seat.ledger.received(bytes, now) && callbacks_.on_receive) callbacks_.on_receive(c, bytes);
  });
}

void Core::sent(Seat& seat, std::size_t count, Time now) {
  bytes_out_.fetch_add(count, std::memory_order_relaxed);
  seat.ledger.sent(count, now);
}

void Core::blocked(Seat& seat, Time now) {
  seat.ledger.blocked(os::acknowledged(seat.socket.get()).bytes, now);
}

void Core::failed(Seat& seat, std::error_code error) {
  // EPIPE is what a send meets after a reset that nobody has read: the same, in one word.
  const bool reset = error == std::errc::connection_reset || error == std::errc::broken_pipe;
  if (reset) error = std::make_error_code(std::errc::connection_reset);
  // An orderly FIN behind a stream that an error cut short would lie to the peer.
  seat.ledger.failed(reset ? CloseReason::reset : CloseReason::error, error, Step::reset);
}

void Core::deliver(Seat& seat) {
  for (;;) {
    const Due due = seat.ledger.due();
    switch (due) {
      case Due::nothing:
        return collect_promised(seat);
      case Due::receive: {
        const std::vector<std::byte> kept = seat.ledger.take_kept();
        if (callbacks_.on_receive) call(seat, [&](Connection& c) { callbacks_.on_receive(c, kept); });
        break;
      }
      case Due::end:
        seat.ledger.take_due(due);
        callbacks_.on_end ? call(seat, callbacks_.on_end) : seat.ledger.close();
        break;
      case Due::drained:
        seat.ledger.take_due(due);
        if (callbacks_.on_drained) call(seat, callbacks_.on_drained);
        break;
    }
  }
}

/// Contract 6: what other threads' sends were promised before the close goes out before the FIN; later ones
/// are gone.
void Core::collect_promised(Seat& seat) {
  if (!seat.ledger.closing()) return;
  Mail mail{.wishes = seat.mailbox.close()};
  apply(seat, mail);
}

void Core::shut_down(Seat& seat, Time now) {
  const bool done = stopping() && nothing_to_lose(seat, now);
  os::finish_sending(seat.socket.get());
  seat.ledger.shut_down(now);
  if (done) seat.ledger.stop_lingering();
}

/// The peer has taken all that was sent, and nothing of its lies unread, for which a close would reset. Where the
/// system does not tell of the first: it has sent nothing for a while. What it has not taken yet goes on being
/// delivered after the close, unless more comes from it. STOP-04
bool Core::nothing_to_lose(const Seat& seat, Time now) {
  if (os::unread(seat.socket.get())) return false;
  const std::optional<std::size_t> left = os::unacknowledged(seat.socket.get());
  return left ? *left == 0 : now - seat.ledger.moved() >= silence_enough;
}

void Core::keep_time(Seat& seat, Time now) try {
  Time deadline = seat.ledger.deadline();
  const bool looks = seat.timer.due <= now;  // `now` is fresh, so that entry has come out by now
  if (looks) seat.timer.due = Time::max();
  if (looks || deadline <= now) {
    // What the peer has taken is known here alone, and not from each send: what the system took may still be with it.
    const os::Acknowledged taken = os::acknowledged(seat.socket.get());
    seat.ledger.acknowledged(taken.bytes, now - taken.ago);
    seat.ledger.expired(taken.bytes, now);
    deadline = seat.ledger.deadline();
  }
  if (stopping() && seat.ledger.lingering()) {
    // A stop waits for no FIN from a peer that has had everything. That it has is told by no event.
    if (nothing_to_lose(seat, now)) return seat.ledger.stop_lingering();
    deadline = std::min(deadline, now + acknowledgement_pause);
  }
  if (deadline < seat.timer.due && homes_[seat.home].deadlines.set(seat.timer, deadline))
    earlier_deadline(seat.home);
} catch (const std::bad_alloc&) {  // a connection without a deadline would stay for ever
  failed(seat, std::make_error_code(std::errc::not_enough_memory));
}

std::optional<Milliseconds> Core::until_deadline() const {
  const Time next = next_deadline();
  if (next == Time::max()) return std::nullopt;  // the usual case reads no clock
  const auto left = std::chrono::ceil<Milliseconds>(next - Clock::now());
  return std::clamp(left, Milliseconds{0}, Milliseconds{std::chrono::minutes{1}});
}

void Core::pause_accepting(const std::error_code& error, Time now, std::uint32_t home) {
  tell_of_shortage(error, now);
  accept_later(now, home);
}

void Core::tell_of_shortage(const std::error_code& error, Time now) {
  log_.limited("accept", now, [&] { return "cannot accept: " + error.message() + "; newcomers wait"; });
}

void Core::accept_later(Time now, std::uint32_t home) {
  auto& [deadlines, timer] = homes_[home];
  if (deadlines.set(timer, now + accept_pause)) earlier_deadline(home);
}

void Core::wait_failed(const std::error_code& error) {
  log_.limited("wait", Clock::now(), [&] { return "cannot wait for events: " + error.message(); });
  std::this_thread::sleep_for(accept_pause);
}

// ---- what a callback sees

const Endpoint& Connection::peer() const {
  return seat_.peer;
}
std::any& Connection::context() {
  return seat_.context;
}
SendResult Connection::send(Bytes bytes) {
  return seat_.ledger.send(bytes);
}
void Connection::pause() {
  seat_.ledger.pause();
}
void Connection::resume() {
  seat_.ledger.resume();
}
void Connection::close() {
  seat_.ledger.close();
}
void Connection::abort() {
  seat_.ledger.abort();
}
void Connection::expire_at(Time time) {
  seat_.ledger.expire_at(time);
}

}  // namespace ladder
