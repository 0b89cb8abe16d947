// 05: epoll with a pool of threads. The kernel keeps the list of what to watch and tells what is ready; a few
// threads, one a core, serve all connections.
//
//   worker 0 ──┐                  ┌── listener                  --queue shared: one instance for all workers;
//   worker 1 ──┼── epoll_wait ────┼── connection, one-shot      each event goes to exactly one of them
//   worker N ──┘                  └── bell (eventfd)            --queue per-worker: one instance each
//
// A thread sleeps in one place: epoll_wait, in work().
#include "common/server.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "common/bells.h"
#include "common/connection.h"
#include "common/core.h"
#include "common/os.h"
#include "common/slots.h"

namespace ladder {
namespace {

constexpr std::size_t buffer_size = 64 * 1024;  // on the stack: an idle connection holds none
constexpr int accepts_a_turn = 64;              // a storm of newcomers does not starve those who are here,
constexpr int rounds_a_turn = 4;                // nor does a service that refills its queue as it empties,
constexpr std::size_t events_a_wait = 16;  // nor a long batch: a slow callback holds up the rest of its own

constexpr std::uint32_t input = EPOLLIN, output = EPOLLOUT, one_shot = EPOLLONESHOT;
constexpr std::uint32_t always_told = EPOLLHUP | EPOLLERR;  // whether asked for or not
constexpr std::uint32_t readable = input | always_told;

// Besides connections an instance watches three; their tags are ids that no connection has.
constexpr std::uint64_t listener_tag = 0;
constexpr std::uint64_t bell_tag = 1;
constexpr std::uint64_t timer_tag = 2;

unsigned workers(const Options& options) {
  return options.threads > 0 ? options.threads : os::cores();
}

class Model final : public Core {
 public:
  Model(Options, Callbacks);
  void run() override;

 private:
  struct Instance {  // one for all workers, or one for each
    os::Descriptor epoll{::epoll_create1(EPOLL_CLOEXEC)};
    Bells bells{};
    os::Descriptor timer{::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)};
  };
  void accept_client();
  void receive(Seat&, std::uint32_t events);
  bool flush(Seat&, Time now);
  bool settle(Seat&, std::uint32_t& events);
  void close_connection(Seat&);
  void serve(ConnectionId, std::uint32_t events);
  void work(Instance&);
  void expire();

  std::error_code arm(Seat&);
  void watch(Instance&, int operation, os::Handle, std::uint32_t events, std::uint64_t tag);
  Instance& instance_of(ConnectionId id) { return *instances_[slot_of(id) % manned_]; }
  void ring(ConnectionId id) override { instance_of(id).bells.ring(id); }
  void watch_listener(int operation, std::uint32_t events);
  void wake() override;
  void earlier_deadline() override;

  const std::uint32_t one_shot_;  // in a shared instance, or two workers would be woken for one event
  std::vector<std::unique_ptr<Instance>> instances_;
  std::atomic<std::size_t> manned_;  // the first so many have a worker
  std::mutex timers_;                // who sets them knows the earliest deadline
};

Model::Model(Options o, Callbacks callbacks)
    : Core(std::move(o), std::move(callbacks), os::Mode::non_blocking),
      one_shot_(options().queue == Queue::shared ? one_shot : 0) {
  for (unsigned i = 0; i < (one_shot_ ? 1 : workers(options())); ++i) {
    Instance& instance = *instances_.emplace_back(std::make_unique<Instance>());
    if (!instance.epoll || !instance.timer)
      throw std::system_error(errno, std::system_category(), "epoll_create1 or timerfd_create");
    watch(instance, EPOLL_CTL_ADD, instance.bells.handle(), input, bell_tag);
    watch(instance, EPOLL_CTL_ADD, instance.timer.get(), input, timer_tag);
  }
  manned_ = instances_.size();
  watch_listener(EPOLL_CTL_ADD, input | one_shot_);
}

void Model::accept_client() {
  for (int i = 0; i < accepts_a_turn; ++i) {
    const Arrival arrival(*this);
    os::Accepted accepted = listener().accept();
    if (stopping()) return watch_listener(EPOLL_CTL_DEL, 0);
    if (accepted.error) {
      watch_listener(EPOLL_CTL_MOD, 0);
      return pause_accepting(accepted, Clock::now());
    }
    if (!accepted.socket) break;
    Seat* seat = admit(std::move(accepted), Clock::now());
    if (!seat) continue;
    open(*seat);
    for (std::uint32_t events = 0; settle(*seat, events);)
      receive(*seat, events);
  }
  if (one_shot_) watch_listener(EPOLL_CTL_MOD, input | one_shot_);
}

void Model::receive(Seat& seat, std::uint32_t events) {
  if ((events & readable) == 0) return;
  if (!seat.ledger.wants_receive()) {
    // Not asked for input, so this is a reset. It cannot be masked: left alone, it would spin.
    if (events & always_told) failed(seat, std::make_error_code(std::errc::connection_reset));
    return;
  }
  std::array<std::byte, buffer_size> buffer;
  const os::Result result = os::receive(seat.socket.get(), buffer);
  if (result.would_block) return;
  if (result.error) return failed(seat, result.error);
  if (result.bytes == 0) return seat.ledger.peer_finished(Clock::now());
  received(seat, Bytes(buffer).first(result.bytes), Clock::now());
}

/// False: the system takes no more for now.
bool Model::flush(Seat& seat, Time now) {
  for (Bytes bytes = seat.ledger.unsent(); !bytes.empty(); bytes = seat.ledger.unsent()) {
    const os::Result result = os::send(seat.socket.get(), bytes);
    if (result.error) failed(seat, result.error);
    if (result.would_block) blocked(seat, now);
    if (result.bytes == 0) return false;
    sent(seat, result.bytes, now);
  }
  return true;
}

/// Sends what is queued, takes the next step of an end, re-arms. True: more has come; the turn goes on.
bool Model::settle(Seat& seat, std::uint32_t& events) {
  Time now{};
  int round = 0;
  do {
    deliver(seat);
    now = Clock::now();  // after the callbacks: a slow one is no silence of the peer's
  } while (flush(seat, now) && seat.ledger.wants_send() && ++round < rounds_a_turn);
  if (seat.ledger.next() == Step::shut_down) shut_down(seat, now);
  keep_time(seat, now);
  if (seat.ledger.next() >= Step::close) {
    close_connection(seat);
    return false;
  }
  return !release(seat, events, [&] { return arm(seat); });
}

void Model::close_connection(Seat& seat) {
  // Before the close: a descriptor that a child process holds too would go on firing.
  if (seat.armed) watch(instance_of(seat.id), EPOLL_CTL_DEL, seat.socket.get(), 0, seat.id.value);
  retire(seat);
}

void Model::serve(ConnectionId id, std::uint32_t events) {
  Seat* seat = take(id, events);
  if (!seat) return;
  do
    receive(*seat, events);
  while (settle(*seat, events));
}

void Model::work(Instance& instance) {
  Ledger::Spare spare;
  std::array<epoll_event, events_a_wait> events{};
  while (!finished()) {
    const int count = ::epoll_wait(instance.epoll.get(), events.data(), events_a_wait, -1);  // sleeps here
    for (int i = 0; i < count; ++i) {  // -1 is EINTR: nothing happened
      const std::uint64_t tag = events[i].data.u64;
      if (tag == listener_tag) {
        accept_client();
      } else if (tag == bell_tag) {
        for (const ConnectionId id : instance.bells.take())
          serve(id, alarm_event);
      } else if (tag == timer_tag) {
        expire();
      } else {
        serve({tag}, events[i].events);
      }
    }
  }
}

void Model::expire() {
  const Time now = Clock::now();
  while (const auto id = expired(now)) {
    if (*id == listener_id)
      watch_listener(EPOLL_CTL_MOD, input | one_shot_);
    else
      serve(*id, alarm_event);
  }
  earlier_deadline();
}

void Model::run() {
  const Running running(*this);
  std::vector<std::jthread> pool;
  try {
    for (unsigned i = 1; i < workers(options()); ++i) {
      Instance& instance = *instances_[i % instances_.size()];
      pool.emplace_back([this, &instance] { work(instance); });
    }
  } catch (const std::exception& error) {  // no thread, or no memory for one
    log().line("only " + std::to_string(pool.size() + 1) + " workers: " + error.what());
    if (!one_shot_) manned_ = pool.size() + 1;  // there is no connection yet: none is another's
  }
  work(*instances_[0]);
}

/// Asks for what the connection waits for. The last thing in a turn: an event may come while this call is
/// under way.
std::error_code Model::arm(Seat& seat) {
  // All was sent, and a callback is due: after those who wait. Room in the socket would be the wrong thing to wait for:
  // it is not told of while the peer takes nothing, and no write timeout runs.
  const bool unsent = seat.ledger.unsent_bytes() > 0;
  if (!unsent && seat.ledger.wants_send()) ring(seat.id);
  const std::uint32_t mask =
      always_told | (seat.ledger.wants_receive() ? input : 0) | (unsent ? output : 0) | one_shot_;
  if (mask == seat.armed && !one_shot_) return {};
  epoll_event event{.events = mask, .data = {.u64 = seat.id.value}};
  const int operation = seat.armed ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
  if (::epoll_ctl(instance_of(seat.id).epoll.get(), operation, seat.socket.get(), &event) != 0)
    return {errno, std::system_category()};
  seat.armed = mask;
  return {};
}

void Model::watch(Instance& instance, int operation, os::Handle handle, std::uint32_t events,
                  std::uint64_t tag) {
  epoll_event event{.events = events, .data = {.u64 = tag}};
  const int result = ::epoll_ctl(instance.epoll.get(), operation, handle, &event);
  if (result != 0 && errno != ENOENT)  // a stop has taken the listener out meanwhile
    throw std::system_error(errno, std::system_category(), "epoll_ctl");
}

void Model::watch_listener(int operation, std::uint32_t events) {
  watch(*instances_[0], operation, listener().handle(), events, listener_tag);
}

void Model::wake() {
  // A listener that was shut down reports itself. That no connection is left must reach every worker.
  if (finished())
    for (const auto& instance : instances_)
      instance->bells.ring_for_good();
}

/// Not as a timeout of epoll_wait: who sleeps would not learn of a deadline that came later and is earlier.
void Model::earlier_deadline() {
  const std::lock_guard lock(timers_);
  const auto wait = until_deadline();
  itimerspec when{};  // zero: never. To set a timer also takes back that it has fired
  if (wait) {
    const Milliseconds left = std::max(*wait, Milliseconds{1});
    when.it_value = {.tv_sec = left.count() / 1000, .tv_nsec = left.count() % 1000 * 1'000'000};
  }
  for (const auto& instance : instances_)
    ::timerfd_settime(instance->timer.get(), 0, &when, nullptr);
}

}  // namespace

std::unique_ptr<Server> make_server(Options options, Callbacks callbacks) {
  return std::make_unique<Model>(std::move(options), std::move(callbacks));
}

Profile profile(const Options& options) {
  return {.model = "epoll",
          .ceiling = options.max_connections ? std::optional(options.max_connections) : std::nullopt,
          .set_by = options.max_connections ? "--max-connections" : "descriptors",
          .above = options.max_connections ? "close" : "wait",
          .threads = "one a core",
          .takes_threads = true,
          .takes_queue = true};
}

}  // namespace ladder
