// 05: epoll with a pool of threads. The kernel keeps the list of what to watch and tells what has become ready; a few
// threads, one a core, serve all connections.
//
//   worker 0 ──┐                  ┌── listener                      --queue shared: one instance for all workers;
//   worker 1 ──┼── epoll_wait ────┼── connection, edge-triggered    each event goes to exactly one of them
//   worker N ──┘                  └── waker (eventfd), timer         --queue per-worker: one instance each
//
// A connection is watched edge-triggered, from its accept to its end: one epoll_ctl, and none a message. Its strand
// (strand.h) does what one-shot would: of two workers with an event of one connection the second leaves it to the first.
//
// A thread sleeps in one place: epoll_wait, in work().
#include <sys/epoll.h>
#include <sys/timerfd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "common/library/connection_state.h"
#include "common/library/server_base.h"
#include "common/library/wake_queue.h"
#include "common/os/os.h"
#include <ladder/server.h>

namespace ladder {
namespace {

constexpr int rounds_at_once = 4;          // a service that refills its queue as it empties starves nobody,
constexpr std::size_t events_a_wait = 16;  // nor does a long batch, where a worker has an instance of its own

// Session::backend_data: what is known of the socket, and what is asked of the kernel.
constexpr std::uint32_t readable = 1;  // not yet read to the end
constexpr std::uint32_t writable = 2;  // not yet written until it was full
constexpr std::uint32_t to_the_end =
    4;  // a short read is no end any more: FIN, an error or urgent data lies behind it
constexpr std::uint32_t watched = 8;
constexpr std::uint32_t watched_for_room = 16;  // once it was full: told of room, too

constexpr std::uint32_t fails = EPOLLHUP | EPOLLERR;  // told whether asked for or not
constexpr std::uint32_t ends =
    fails | EPOLLRDHUP | EPOLLPRI;  // more than bytes, which a short read does not show

// Besides connections an instance watches three; their tags are ids that no connection has.
constexpr std::uint64_t listener_tag = 0;
constexpr std::uint64_t waker_tag = 1;
constexpr std::uint64_t timer_tag = 2;

unsigned workers(const Options& options) {
  return options.threads > 0 ? options.threads : os::cores();
}
unsigned instances_for(const Options& options) {
  return options.queue == Queue::shared ? 1 : workers(options);
}

class EpollServer final : public ServerBase {
 public:
  EpollServer(Options, Callbacks, unsigned instances);
  ~EpollServer() override { wait_for_stops(); }
  void run() override;

 private:
  struct Instance {  // one for all workers, or one for each
    explicit Instance(std::uint32_t its_number) : number(its_number) {}
    const std::uint32_t number;  // Session::home of its connections
    os::Descriptor epoll{::epoll_create1(EPOLL_CLOEXEC)};
    WakeQueue wakes{};
    os::Descriptor timer{::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)};
    std::mutex mutex{};          // whoever sets the timer knows the earliest deadline
    Time set_for = Time::max();  // when the timer goes off
  };
  void accept_client(Instance&);
  void receive(Session&, std::uint32_t events);
  bool flush(Session&);
  bool advance(Session&, std::uint32_t& events);
  void close_connection(Session&);
  void serve(ConnectionId, std::uint32_t events);
  void go_on(Session&, std::uint32_t events);
  void work(Instance&);
  void take_wakes(Instance&);
  void expire(Instance&);

  os::Error arm(Session&);
  os::Error watch(const Instance&, int operation, os::Handle, std::uint32_t events, std::uint64_t tag);
  os::Error watch_listener(const Instance&, bool again);
  void rest(const Instance&, const std::error_code&);
  void set_timer(Instance&);
  Instance& instance_of(const Session& session) { return *instances_[session.home]; }
  void notify(const Session& session, ConnectionId id) override { instance_of(session).wakes.notify(id); }
  void wake() override;
  void earlier_deadline(std::uint32_t home) override { set_timer(*instances_[home]); }

  const bool shared_;
  std::vector<std::unique_ptr<Instance>> instances_;
};

EpollServer::EpollServer(Options o, Callbacks callbacks, unsigned instances)
    : ServerBase(std::move(o), std::move(callbacks), os::Mode::non_blocking, instances),
      shared_(options().queue == Queue::shared) {
  for (std::uint32_t i = 0; i < instances; ++i) {
    Instance& instance = *instances_.emplace_back(std::make_unique<Instance>(i));
    if (!instance.epoll || !instance.timer)
      throw std::system_error(errno, std::system_category(), "epoll_create1 or timerfd_create");
    // Edge-triggered: a ring, or the timer, wakes one worker and not all that sleep here.
    for (const auto error :
         {watch(instance, EPOLL_CTL_ADD, instance.wakes.handle(), EPOLLIN | EPOLLET, waker_tag),
          watch(instance, EPOLL_CTL_ADD, instance.timer.get(), EPOLLIN | EPOLLET, timer_tag),
          watch_listener(instance, false)})
      if (error) throw std::system_error(error, "epoll_ctl");
  }
}

/// One newcomer an event: the next is for a worker that idles, if there is one.
void EpollServer::accept_client(Instance& instance) {
  Session* session = nullptr;
  {
    const Arrival arrival(*this);
    os::Accepted accepted = listener().accept();
    if (!accepting()) {
      watch(instance, EPOLL_CTL_DEL, listener().handle(), 0, listener_tag);
      return turn_away(accepted);
    }
    std::error_code error = accepted.error;
    if (!error && shared_) error = watch_listener(instance, true);  // now: on_open may take long
    if (error) rest(instance, error);
    if (accepted.socket) session = admit(std::move(accepted), Clock::now(), instance.number);
  }
  if (!session) return;
  session->backend_data = writable;
  open(*session);
  go_on(*session, 0);
}

/// An edge is told once, so what it said is kept, until recv finds that it is true no more.
void EpollServer::receive(Session& session, std::uint32_t events) {
  if (events & (EPOLLIN | ends)) session.backend_data |= readable;
  if (events & (EPOLLOUT | fails)) session.backend_data |= writable;
  if (events & ends) session.backend_data |= to_the_end;
  if (!session.state.wants_receive()) {
    // No recv will tell, so this asks. During a pause nobody does, on any rung: resume() is soon enough.
    if ((events & EPOLLERR) == 0 || session.state.paused()) return;
    if (const std::error_code error = os::pending_error(session.socket.get())) failed(session, error);
    return;
  }
  if ((session.backend_data & readable) == 0) return;
  std::array<std::byte, one_receive> buffer;  // on the stack: an idle connection holds none
  const os::Result result = os::receive(session.socket.get(), buffer);
  // A short read has taken all that there was (epoll(7), questions and answers).
  if (result.would_block || (result.bytes < buffer.size() && (session.backend_data & to_the_end) == 0))
    session.backend_data &= ~readable;
  if (result.would_block) return;
  if (result.error) return failed(session, result.error);
  if (result.bytes == 0) return peer_finished(session);
  received(session, Bytes(buffer).first(result.bytes));
}

/// False: the system takes no more for now.
bool EpollServer::flush(Session& session) {
  for (Bytes bytes = session.state.unsent(); !bytes.empty(); bytes = session.state.unsent()) {
    if ((session.backend_data & writable) == 0) return false;
    const os::Result result = os::send(session.socket.get(), bytes);
    if (result.error) failed(session, result.error);
    if (result.would_block) {
      session.backend_data &= ~writable;
      blocked(session);
    }
    if (result.bytes == 0) return false;
    sent(session, result.bytes);
  }
  return true;
}

/// Sends what is queued, takes the next step of an end, re-arms. True: more has come; the caller keeps the strand.
bool EpollServer::advance(Session& session, std::uint32_t& events) {
  int round = 0;
  do
    dispatch(session);
  while (flush(session) && session.state.wants_send() && ++round < rounds_at_once);
  if (session.state.next() == Step::shut_down) shut_down(session);
  keep_time(session);
  if (session.state.next() >= Step::close) {
    close_connection(session);
    return false;
  }
  // Of what was told once no event will tell again: bytes that lie there, and a callback that is due though all was sent.
  const bool more = ((session.backend_data & readable) && session.state.wants_receive()) ||
                    (session.state.wants_send() && session.state.unsent_bytes() == 0);
  return !release(session, events, more, [&] { return arm(session); });
}

void EpollServer::close_connection(Session& session) {
  // Before the close. A descriptor that a child process holds too would go on firing; and a worker asleep in epoll_wait
  // may hold the last reference to the socket, so that its FIN would leave with somebody else's event.
  if (session.backend_data & watched)
    watch(instance_of(session), EPOLL_CTL_DEL, session.socket.get(), 0, session.id().value);  // it is there
  destroy(session);
}

void EpollServer::serve(ConnectionId id, std::uint32_t events) {
  if (Session* session = try_acquire(id, events)) go_on(*session, events);
}

void EpollServer::go_on(Session& session, std::uint32_t events) {
  do
    receive(session, events);
  while (advance(session, events));
}

void EpollServer::work(Instance& instance) {
  const Duty duty;
  ConnectionState::Spare spare;
  std::array<epoll_event, events_a_wait> events{};
  // If other workers wait here, too, one at a time: the rest of a batch would wait for a slow callback while they idle.
  const int most = shared_ && workers(options()) > 1 ? 1 : static_cast<int>(events.size());
  while (!finished()) {
    const int count = ::epoll_wait(instance.epoll.get(), events.data(), most, -1);  // sleeps here
    for (int i = 0; i < count; ++i) {
      const std::uint64_t tag = events[i].data.u64;
      if (tag == listener_tag)
        accept_client(instance);
      else if (tag == waker_tag)
        take_wakes(instance);
      else if (tag == timer_tag)
        expire(instance);
      else
        serve({tag}, events[i].events);
    }
    if (count >= 0 || errno == EINTR) continue;
    wait_failed({errno, std::system_category()});
    take_wakes(instance);  // so that a stop is possible
    expire(instance);
  }
  instance.wakes.notify_for_good();  // an edge wakes one: each passes it on
}

/// Takes what was notified: from a shared instance one, as of events.
void EpollServer::take_wakes(Instance& instance) {
  if (!shared_) {
    for (const ConnectionId id : instance.wakes.take())
      serve(id, timer_event);
  } else if (const auto id = instance.wakes.take_one()) {
    serve(*id, timer_event);
  }
}

/// Notifies each connection whose deadline has passed: its callbacks come where all its others do, one at a time.
void EpollServer::expire(Instance& instance) {
  {
    const std::lock_guard lock(instance.mutex);
    instance.set_for = Time::max();
  }
  const Time now = Clock::now();
  while (const auto id = expired(now, instance.number))
    try {
      if (*id != listener_id)
        instance.wakes.notify(*id);
      else if (const os::Error error = watch_listener(instance, true))
        rest(instance, error);
    } catch (const std::bad_alloc&) {  // no memory for the notification
      serve(*id, timer_event);
    }
  set_timer(instance);
}

void EpollServer::run() {
  const RunUnderWay under_way(*this);
  std::vector<std::jthread> pool;
  try {
    for (unsigned i = 1; i < workers(options()); ++i) {
      Instance& instance = *instances_[i % instances_.size()];
      pool.emplace_back([this, &instance] { work(instance); });
    }
  } catch (const std::exception& error) {  // no thread, or no memory for one, perhaps not even to say so
    log().limited("workers", Clock::now(),
                  [&] { return "only " + std::to_string(pool.size() + 1) + " workers: " + error.what(); });
  }
  work(*instances_[0]);
}

/// Has the connection watched; told of room only once there was none, since most never fill their socket. The last thing
/// before the release: an event may come while this call is under way.
inline os::Error EpollServer::arm(Session& session) {
  const bool full = (session.backend_data & writable) == 0;
  const std::uint32_t wanted = watched | (full ? watched_for_room : 0);
  if ((session.backend_data & wanted) == wanted) return {};
  const int operation = session.backend_data & watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
  const std::uint32_t events = EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLET | (full ? EPOLLOUT : EPOLL_EVENTS{});
  const auto error = watch(instance_of(session), operation, session.socket.get(), events, session.id().value);
  if (!error) session.backend_data |= wanted;
  return error;
}

os::Error EpollServer::watch(const Instance& instance, int operation, os::Handle handle, std::uint32_t events,
                             std::uint64_t tag) {
  epoll_event event{.events = events, .data = {.u64 = tag}};
  if (::epoll_ctl(instance.epoll.get(), operation, handle, &event) == 0) return {};
  return os::last_error();
}

/// Shared: one-shot, so that one worker comes for a newcomer. Of several instances the kernel wakes one whose worker
/// sleeps, and not all (EPOLLEXCLUSIVE): a worker that is held up holds up no newcomer.
os::Error EpollServer::watch_listener(const Instance& instance, bool again) {
  const int operation = shared_ && again ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
  const std::uint32_t events = EPOLLIN | (shared_ ? EPOLLONESHOT : EPOLLEXCLUSIVE);
  return watch(instance, operation, listener().handle(), events, listener_tag);
}

void EpollServer::rest(const Instance& instance, const std::error_code& error) {
  if (!shared_)
    watch(instance, EPOLL_CTL_DEL, listener().handle(), 0, listener_tag);  // one-shot, it is off already
  pause_accepting(error, Clock::now(), instance.number);
}

void EpollServer::wake() {
  // A listener that was shut down reports itself. When no connection is left, every worker must hear of it.
  if (finished())
    for (const auto& instance : instances_)
      instance->wakes.notify_for_good();
}

/// Not as a timeout of epoll_wait: a worker that sleeps would not learn of a deadline that came later and is earlier.
void EpollServer::set_timer(Instance& instance) {
  const std::lock_guard lock(instance.mutex);
  const Time next = next_deadline(instance.number);
  if (next >= instance.set_for) return;  // it goes off before, and is then set anew
  instance.set_for = next;
  const auto since_start = next.time_since_epoch();  // of CLOCK_MONOTONIC, as Clock is
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since_start);
  const itimerspec when{.it_interval = {},
                        .it_value = {.tv_sec = seconds.count(), .tv_nsec = (since_start - seconds).count()}};
  ::timerfd_settime(instance.timer.get(), TFD_TIMER_ABSTIME, &when,
                    nullptr);  // fails for bad arguments alone
}

}  // namespace

std::unique_ptr<Server> make_server(Options options, Callbacks callbacks) {
  const unsigned instances = instances_for(options);
  return std::make_unique<EpollServer>(std::move(options), std::move(callbacks), instances);
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
