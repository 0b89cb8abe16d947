// 01: plain Berkeley sockets. One thread accepts a client, serves it to its end, and only then accepts the
// next.
//
//   this thread ─── accept … recv, recv, recv … accept …      writer ─── send, made only when a send must
//   wait keeper ─── deadlines, and others' wishes
//
// Threads sleep in accept (accept_client), recv (receive), send (write_rest), for their turn or for leave to
// read on (take_turn, serve_client), and the keeper for something to do (keep).
#include "common/server.h"

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "common/connection.h"
#include "common/core.h"
#include "common/crew.h"
#include "common/os.h"

namespace ladder {
namespace {

constexpr int rounds_a_turn = 4;  // a service that refills its queue as it empties is left to a writer

constexpr std::uint32_t writing = 1;  // Seat::armed: a writer is at work, and it alone sends

class Model final : public Core {
 public:
  Model(Options o, Callbacks callbacks) : Core(std::move(o), std::move(callbacks), os::Mode::blocking) {}
  ~Model() override { wait_for_stops(); }
  void run() override;

 private:
  enum class Next { receive, wait, closed };
  enum class Role { reader, writer, keeper };

  Seat* accept_client();
  void receive(Seat&);
  bool flush(Seat&, Time now);
  Next settle(Seat&, Role);
  void close_connection(Seat&);
  void serve_client(Seat&);
  void write_rest(Seat&);
  void serve(ConnectionId);
  void keep();

  void take_turn(Seat&);
  bool release_turn(Seat&);
  bool start_writer(Seat&);
  void ring(const Seat&, ConnectionId) override;
  void wake() override;
  void earlier_deadline(std::uint32_t) override { wake(); }

  Crew crew_;
  std::mutex mutex_;  // of what the keeper is told
  std::condition_variable told_;
  std::vector<ConnectionId> rung_;
  std::atomic<bool> accepting_ = true;
};

Seat* Model::accept_client() {
  {
    std::unique_lock lock(mutex_);
    told_.wait(lock, [this] { return accepting_ || stopping(); });
  }
  const Arrival arrival(*this);
  os::Accepted accepted = listener().accept();  // sleeps here
  if (stopping()) return nullptr;
  if (accepted.error) {
    accepting_ = false;
    pause_accepting(accepted.error, Clock::now());
    return nullptr;
  }
  return admit(std::move(accepted), Clock::now());
}

/// Sleeps until something has come, and takes it when the turn is this thread's: bytes in its hands before that would be
/// lost if a stop had the turn first. FAULT-11
void Model::receive(Seat& seat) {
  os::Result result = os::wait_for_bytes(seat.socket.get());  // sleeps here
  take_turn(seat);
  std::array<std::byte, one_receive> buffer;  // on the reader's stack
  if (!result.error && !result.would_block) result = os::receive(seat.socket.get(), buffer);
  if (result.would_block) return;
  if (result.error) return failed(seat, result.error);
  if (result.bytes == 0) return seat.ledger.peer_finished(Clock::now());
  received(seat, Bytes(buffer).first(result.bytes), Clock::now());
}

/// False: the system takes no more for now, or a writer is at it.
bool Model::flush(Seat& seat, Time now) {
  if (seat.armed == writing) return false;
  for (Bytes bytes = seat.ledger.unsent(); !bytes.empty(); bytes = seat.ledger.unsent()) {
    const os::Result result = os::send_now(seat.socket.get(), bytes);
    if (result.error) failed(seat, result.error);
    if (result.would_block) blocked(seat, now);
    if (result.bytes == 0) return false;
    sent(seat, result.bytes, now);
  }
  return true;
}

/// Sends what can be sent at once, takes the next step of an end, and gives the turn back. Only the
/// connection's reader closes it: no descriptor is closed under the feet of a thread that sleeps on it.
Model::Next Model::settle(Seat& seat, Role role) {
  for (;;) {
    Time now{};
    int round = 0;
    do {
      if (role != Role::keeper) deliver(seat);  // a callback may take long: then a writer makes it
      now = Clock::now();                       // after the callbacks: a slow one is no silence of the peer's
    } while (flush(seat, now) && seat.ledger.wants_send() && ++round < rounds_a_turn);
    if (seat.ledger.next() == Step::shut_down) shut_down(seat, now);
    keep_time(seat, now);
    if (seat.ledger.next() >= Step::close) {
      if (role == Role::reader && seat.armed != writing) {
        close_connection(seat);
        return Next::closed;
      }
      // On Windows a receive that is cancelled before a promised FIN has left may reset the connection.
      if (seat.ledger.next() == Step::close) os::finish_sending(seat.socket.get());
      os::wake_receiver(seat.socket.get());
      // This queues a FIN behind what the peer has not taken: it sees it before a reset only if it takes all that.
      if (seat.armed == writing) os::wake_sender(seat.socket.get());
    } else if (seat.ledger.wants_send() && seat.armed != writing) {
      if (!start_writer(seat)) continue;
    }
    const Next next = seat.ledger.wants_receive() ? Next::receive : Next::wait;
    if (release_turn(seat)) return next;
  }
}

void Model::close_connection(Seat& seat) {
  retire(seat);
}

/// A connection from beginning to end; all others wait in the backlog.
void Model::serve_client(Seat& seat) {
  const Duty duty;
  open(seat);
  for (;;) {
    const std::uint32_t seen = seat.changes + 1;  // settle() gives the turn back, and counts that as one
    switch (settle(seat, Role::reader)) {
      case Next::closed:
        return;
      case Next::receive:
        receive(seat);
        break;
      case Next::wait:                       // paused, or the queue is full: for whoever changes that
        os::wait_while(seat.changes, seen);  // sleeps here
        take_turn(seat);
        break;
    }
  }
}

/// The second thread of a connection, while a send has to wait: so its reader goes on reading, and no other
/// connection waits for this one's peer.
void Model::write_rest(Seat& seat) {
  const Duty duty;
  take_turn(seat);
  for (;;) {
    deliver(seat);
    const Bytes bytes = seat.ledger.unsent();
    if (bytes.empty()) break;
    blocked(seat, Clock::now());
    keep_time(seat, Clock::now());
    if (seat.ledger.ended() || !release_turn(seat)) continue;
    const os::Result result = os::send(seat.socket.get(), bytes);  // sleeps here
    take_turn(seat);
    if (result.error) failed(seat, result.error);
    sent(seat, result.bytes, Clock::now());
  }
  seat.armed = 0;
  settle(seat, Role::writer);
}

/// For the keeper.
void Model::serve(ConnectionId id) {
  std::uint32_t events = alarm_event;
  if (Seat* seat = take(id, events)) settle(*seat, Role::keeper);
}

/// One thread for all connections: it looks at the clock, and hands in what other threads wish. It never
/// waits for a peer.
void Model::keep() {
  const Duty duty;
  while (!finished()) {
    std::vector<ConnectionId> ids;
    {
      std::unique_lock lock(mutex_);
      const auto told = [this] { return !rung_.empty() || finished(); };
      const auto wait = until_deadline();
      if (!told()) wait ? void(told_.wait_for(lock, *wait)) : told_.wait(lock);  // sleeps here
      ids.swap(rung_);
    }
    for (const ConnectionId id : ids)
      serve(id);
    const Time now = Clock::now();
    while (const auto id = expired(now)) {
      if (*id == listener_id) {
        accepting_ = true;
        wake();
      } else {
        serve(*id);
      }
    }
  }
}

void Model::run() {
  const Running running(*this);
  const std::jthread keeper([this] { keep(); });
  while (!stopping())
    if (Seat* seat = accept_client()) serve_client(*seat);
  crew_.join();
}

/// The turn, even if it must be waited for: this thread has nothing else to do.
void Model::take_turn(Seat& seat) {
  for (;;) {
    const std::uint32_t seen = seat.changes;
    std::uint32_t events = 0;
    if (take(seat.id(), events)) return;
    os::wait_while(seat.changes,
                   seen);  // sleeps here, while a callback of this connection runs on another thread
  }
}

bool Model::release_turn(Seat& seat) {
  std::uint32_t events = 0;
  return release(seat, events, false, [&] {
    ++seat.changes;
    os::wake_all(seat.changes);
    return std::error_code{};
  });
}

/// False: there is no thread to be had, and the connection has failed for it.
bool Model::start_writer(Seat& seat) try {
  seat.armed = writing;
  crew_.start([this, &seat] { write_rest(seat); });
  return true;
} catch (const std::exception& error) {  // LIM-06
  seat.armed = 0;
  log().limited("thread", Clock::now(),
                [&] { return std::string("no thread for a send that waits: ") + error.what(); });
  failed(seat, std::make_error_code(std::errc::resource_unavailable_try_again));
  return false;
}

void Model::ring(const Seat&, ConnectionId id) {
  const std::lock_guard lock(mutex_);
  rung_.push_back(id);
  told_.notify_all();
}

void Model::wake() {
  const std::lock_guard lock(mutex_);
  told_.notify_all();
}

}  // namespace

std::unique_ptr<Server> make_server(Options options, Callbacks callbacks) {
  return std::make_unique<Model>(std::move(options), std::move(callbacks));
}

Profile profile(const Options&) {
  return {.model = "blocking",
          .clients_at_once = 1,
          .ceiling = 1,
          .set_by = "one thread that accepts and serves",
          .above = "wait",
          .threads = "2; one more while a send must wait"};
}

}  // namespace ladder
