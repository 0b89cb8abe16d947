// 03: select. One thread asks, each time anew, which of all its sockets are ready, and serves those.
//
//                ┌── listener
//   one thread ──┼── connection, connection, …   each call gets a copy of the sets,
//     select     └── waker (eventfd)              and no descriptor in them may reach FD_SETSIZE
//
// The thread sleeps in one place: select, in work().
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "common/library/connection_state.h"
#include "common/library/server_base.h"
#include "common/library/wake_queue.h"
#include "common/os/os.h"
#include "common/os/select.h"
#include <ladder/server.h>

namespace ladder {
namespace {

constexpr int accepts_at_once = 64;  // a storm of newcomers does not starve those who are here,
constexpr int rounds_at_once = 4;    // nor does a service that refills its queue as it empties

constexpr std::uint32_t readable = 1;
constexpr std::uint32_t writable = 2;

class SelectServer final : public ServerBase {
 public:
  SelectServer(Options, Callbacks);
  ~SelectServer() override { wait_for_stops(); }
  void run() override;

 private:
  void accept_client();
  void receive(Session&, std::uint32_t events);
  bool flush(Session&);
  bool advance(Session&, std::uint32_t& events);
  void close_connection(Session&);
  void serve(ConnectionId, std::uint32_t events);
  void work();

  void watch(const Session&);
  void forget(const Session&);
  void collect_ready(int count);
  void notify(const Session&, ConnectionId id) override { wakes_.notify(id); }
  void wake() override {
    if (finished()) wakes_.notify_for_good();  // of a stop, the listener tells
  }

  WakeQueue wakes_;
  bool resumed_ = true;
  struct Watched {
    os::Handle handle;
    Session* session;
  };
  std::vector<Watched> watched_;              // Session::backend_data is the place in here, from 1
  fd_set readers_{}, writers_{};              // what each connection waits for, kept up as that changes,
  fd_set ready_readers_{}, ready_writers_{};  // and a copy, of which select leaves what is ready
  os::Handle highest_ = 0;
  struct Ready {
    ConnectionId id;
    std::uint32_t events;
  };
  std::vector<Ready> ready_;
};

SelectServer::SelectServer(Options o, Callbacks callbacks)
    : ServerBase(std::move(o), std::move(callbacks), os::Mode::non_blocking) {
  for (const os::Handle handle : {listener().handle(), wakes_.handle()})  // LIM-03: it inherited too many
    if (!os::fits_select(handle, 0))
      throw std::system_error(std::make_error_code(std::errc::too_many_files_open),
                              "select cannot watch descriptor " + std::to_string(handle) + ": the limit is " +
                                  std::to_string(FD_SETSIZE));
  FD_ZERO(&readers_);
  FD_ZERO(&writers_);
  FD_SET(wakes_.handle(), &readers_);
  highest_ = std::max(wakes_.handle(), listener().handle());
  watched_.reserve(FD_SETSIZE);  // now, for later there may be no memory. LIM-08
  ready_.reserve(FD_SETSIZE);
}

void SelectServer::accept_client() {
  for (int i = 0; i < accepts_at_once; ++i) {
    const Arrival arrival(*this);
    os::Accepted accepted = listener().accept();
    if (!accepting()) return turn_away(accepted);
    if (accepted.error) {
      resumed_ = false;
      return pause_accepting(accepted.error, Clock::now());
    }
    if (!accepted.socket) break;
    if (!os::fits_select(accepted.socket.get(), watched_.size() + 2)) {  // no room in the sets
      refuse(std::move(accepted), "no room in the sets of select");
      continue;
    }
    Session* session = admit(std::move(accepted), Clock::now());
    if (!session) continue;
    open(*session);
    watched_.push_back({session->socket.get(), session});
    session->backend_data = static_cast<std::uint32_t>(watched_.size());
    for (std::uint32_t events = 0; advance(*session, events);)
      receive(*session, events);
  }
}

void SelectServer::receive(Session& session, std::uint32_t events) {
  if ((events & readable) == 0 || !session.state.wants_receive()) return;
  std::array<std::byte, one_receive> buffer;  // on the stack: an idle connection holds none
  const os::Result result = os::receive(session.socket.get(), buffer);
  if (result.would_block) return;
  if (result.error) return failed(session, result.error);
  if (result.bytes == 0) return peer_finished(session);
  received(session, Bytes(buffer).first(result.bytes));
}

/// False: the system takes no more for now.
bool SelectServer::flush(Session& session) {
  for (Bytes bytes = session.state.unsent(); !bytes.empty(); bytes = session.state.unsent()) {
    const os::Result result = os::send(session.socket.get(), bytes);
    if (result.error) failed(session, result.error);
    if (result.would_block) blocked(session);
    if (result.bytes == 0) return false;
    sent(session, result.bytes);
  }
  return true;
}

/// Sends what is queued, takes the next step of an end. True: more has come; the caller keeps the strand.
bool SelectServer::advance(Session& session, std::uint32_t& events) {
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
  // All was sent, and a callback is due. Room in the socket would be the wrong thing to wait for: it is not told of while
  // the peer takes nothing, and no write timeout runs.
  const bool more = session.state.wants_send() && session.state.unsent_bytes() == 0;
  return !release(session, events, more, [&] {
    watch(session);
    return os::Error{};
  });
}

void SelectServer::close_connection(Session& session) {
  forget(session);
  destroy(session);
}

void SelectServer::serve(ConnectionId id, std::uint32_t events) {
  Session* session = try_acquire(id, events);
  if (!session) return;
  do
    receive(*session, events);
  while (advance(*session, events));
}

void SelectServer::work() {
  const Duty duty;
  ConnectionState::Spare spare;
  while (!finished()) {
    ready_readers_ = readers_;
    ready_writers_ = writers_;
    if (resumed_ && accepting()) FD_SET(listener().handle(), &ready_readers_);
    const auto wait = until_deadline();
    timeval timeout = os::to_timeval(wait.value_or(Milliseconds{0}));
    const int count = ::select(static_cast<int>(highest_ + 1), &ready_readers_, &ready_writers_, nullptr,
                               wait ? &timeout : nullptr);  // sleeps here
    const std::error_code error = count < 0 ? os::last_error() : std::error_code();
    const bool failed = error && error != std::errc::interrupted;
    // On Windows a stop closes the listener, also one that has just been asked for here: no failure, and the last time.
    const bool closed = !accepting() && FD_ISSET(listener().handle(), &ready_readers_);
    if (failed && !closed) wait_failed(error);
    if (count > 0 || failed) {  // then the sets are as they were asked for: any of them may be ready
      collect_ready(failed ? FD_SETSIZE : count);
      if (FD_ISSET(listener().handle(), &ready_readers_)) accept_client();
      if (FD_ISSET(wakes_.handle(), &ready_readers_))
        for (const ConnectionId id : wakes_.take())
          serve(id, timer_event);
      for (const Ready& ready : ready_)
        serve(ready.id, ready.events);
    }
    if (next_deadline() == Time::max()) continue;  // the usual case reads no clock
    const Time now = Clock::now();
    while (const auto id = expired(now)) {
      if (*id == listener_id)
        resumed_ = true;
      else
        serve(*id, timer_event);
    }
  }
}

void SelectServer::run() {
  const RunUnderWay under_way(*this);
  work();
}

/// Asks for what the connection waits for. No other thread ever has a strand here, so the sets need no lock.
void SelectServer::watch(const Session& session) {
  const os::Handle handle = session.socket.get();
  const auto ask = [handle](fd_set& set, bool wanted) {
    if (wanted)
      FD_SET(handle, &set);
    else
      FD_CLR(handle, &set);
  };
  ask(readers_, session.state.wants_receive());
  ask(writers_, session.state.unsent_bytes() > 0);
  highest_ = std::max(highest_, handle);
}

void SelectServer::forget(const Session& session) {
  const os::Handle handle = session.socket.get();
  FD_CLR(handle, &readers_);
  FD_CLR(handle, &writers_);
  watched_.back().session->backend_data = session.backend_data;
  std::swap(watched_[session.backend_data - 1], watched_.back());
  watched_.pop_back();
  if (handle != highest_) return;
  highest_ = std::max(wakes_.handle(), listener().handle());
  for (const Watched& other : watched_)
    highest_ = std::max(highest_, other.handle);
}

/// By id: what one of them does may end another, and a newcomer may get its descriptor. CLOSE-09
void SelectServer::collect_ready(int count) {
  ready_.clear();
  for (const auto& [handle, session] : watched_) {
    if (count <= 0) return;  // select said how many; the sockets that are left are idle
    const bool reads = FD_ISSET(handle, &ready_readers_);
    const bool writes = FD_ISSET(handle, &ready_writers_);
    count -= reads + writes;
    if (reads || writes) ready_.push_back({session->id(), (reads ? readable : 0) | (writes ? writable : 0)});
  }
}

}  // namespace

std::unique_ptr<Server> make_server(Options options, Callbacks callbacks) {
  return std::make_unique<SelectServer>(std::move(options), std::move(callbacks));
}

Profile profile(const Options& options) {
  // Below it a newcomer gets no descriptor that would not fit, and waits for one.
  const bool few = os::descriptor_limit() <= FD_SETSIZE;
  const std::size_t own = FD_SETSIZE - os::select_ceiling;  // the first three, the listener, the waker
  const std::size_t ceiling = few ? os::descriptor_limit() - own : os::select_ceiling;
  const bool limited = options.max_connections > 0 && options.max_connections < ceiling;
  return {.model = "select",
          .ceiling = limited ? options.max_connections : ceiling,
          .set_by = limited ? "--max-connections"
                    : few   ? "descriptors"
                            : "FD_SETSIZE",
          .above = few && !limited ? "wait" : "close",
          .threads = "1"};
}

}  // namespace ladder
