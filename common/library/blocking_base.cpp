#include "common/library/blocking_base.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "common/library/connection_state.h"
#include "common/library/server_base.h"
#include "common/os/os.h"
#include <ladder/server.h>

namespace ladder {

namespace {
constexpr int rounds_at_once = 4;  // a service that refills its queue as it empties is left to a writer
}  // namespace

Session* BlockingBase::accept_client() {
  {
    std::unique_lock lock(mutex_);
    told_.wait(lock, [this] { return resumed_ || !accepting(); });
  }
  const Arrival arrival(*this);
  os::Accepted accepted = listener().accept();  // sleeps here
  if (accepted.error && accepting()) {
    resumed_ = false;
    pause_accepting(accepted.error, Clock::now());
    return nullptr;
  }
  return admit(std::move(accepted), Clock::now());
}

/// Sleeps until something has come, and takes it when the strand is this thread's: bytes in its hands before that would be
/// lost if a stop had the strand first. FAULT-11
void BlockingBase::receive(Session& session) {
  os::Result result = os::wait_for_bytes(session.socket.get());  // sleeps here
  acquire(session);
  std::array<std::byte, one_receive> buffer;  // on the reader's stack: touched as far as bytes come
  if (!result.error && !result.would_block) result = os::receive(session.socket.get(), buffer);
  if (result.would_block) return;
  if (result.error) return failed(session, result.error);
  if (result.bytes == 0) return peer_finished(session);
  received(session, Bytes(buffer).first(result.bytes));
}

/// False: the system takes no more for now, or a writer is at it.
bool BlockingBase::flush(Session& session) {
  if (session.backend_data == writing) return false;
  for (Bytes bytes = session.state.unsent(); !bytes.empty(); bytes = session.state.unsent()) {
    const os::Result result = os::send_now(session.socket.get(), bytes);
    if (result.error) failed(session, result.error);
    if (result.would_block) blocked(session);
    if (result.bytes == 0) return false;
    sent(session, result.bytes);
  }
  return true;
}

/// Sends what can be sent at once, takes the next step of an end, and gives the strand back. Only the
/// connection's reader closes it: no descriptor is closed under the feet of a thread that sleeps on it.
BlockingBase::Next BlockingBase::advance(Session& session, Role role) {
  for (;;) {
    int round = 0;
    do
      if (role != Role::timekeeper) dispatch(session);  // a callback may take long: then a writer makes it
    while (flush(session) && session.state.wants_send() && ++round < rounds_at_once);
    if (session.state.next() == Step::shut_down) shut_down(session);
    keep_time(session);
    if (session.state.next() >= Step::close) {
      if (role == Role::reader && session.backend_data != writing) {
        close_connection(session);
        return Next::closed;
      }
      // On Windows a receive that is cancelled before a promised FIN has left may reset the connection.
      if (session.state.next() == Step::close) os::finish_sending(session.socket.get());
      os::wake_receiver(session.socket.get());
      // This queues a FIN behind what the peer has not taken: it sees it before a reset only if it takes all that.
      if (session.backend_data == writing) os::wake_sender(session.socket.get());
    } else if (session.state.wants_send() && session.backend_data != writing) {
      if (!start_writer(session)) continue;
    }
    const Next next = session.state.wants_receive() ? Next::receive : Next::wait;
    if (release_strand(session)) return next;
  }
}

void BlockingBase::close_connection(Session& session) {
  destroy(session);
}

void BlockingBase::serve_client(Session& session) {
  const Duty duty;
  ConnectionState::Spare spare(4096);  // there may be thousands of these threads
  open(session);
  for (;;) {
    const std::uint32_t seen =
        session.changes + 1;  // advance() gives the strand back, and counts that as one
    switch (advance(session, Role::reader)) {
      case Next::closed:
        return;
      case Next::receive:
        receive(session);
        break;
      case Next::wait:                          // paused, or the queue is full: for whoever changes that
        os::wait_while(session.changes, seen);  // sleeps here
        acquire(session);
        break;
    }
  }
}

/// The second thread of a connection, while a send has to wait: so its reader goes on reading, and no other
/// connection waits for this one's peer.
void BlockingBase::write_rest(Session& session) {
  const Duty duty;
  acquire(session);
  for (;;) {
    dispatch(session);
    const Bytes bytes = session.state.unsent();
    if (bytes.empty()) break;
    blocked(session);
    keep_time(session);
    if (session.state.ended() || !release_strand(session)) continue;
    const os::Result result = os::send(session.socket.get(), bytes);  // sleeps here
    acquire(session);
    if (result.error) failed(session, result.error);
    sent(session, result.bytes);
  }
  session.backend_data = 0;
  advance(session, Role::writer);
}

/// For the timekeeper.
void BlockingBase::serve(ConnectionId id) {
  std::uint32_t events = timer_event;
  if (Session* session = try_acquire(id, events)) advance(*session, Role::timekeeper);
}

void BlockingBase::run_timekeeper() {
  const Duty duty;
  while (!finished()) {
    std::vector<ConnectionId> ids;
    {
      std::unique_lock lock(mutex_);
      const auto told = [this] { return !notified_.empty() || finished(); };
      const auto wait = until_deadline();
      if (!told()) wait ? void(told_.wait_for(lock, *wait)) : told_.wait(lock);  // sleeps here
      ids.swap(notified_);
    }
    for (const ConnectionId id : ids)
      serve(id);
    const Time now = Clock::now();
    while (const auto id = expired(now)) {
      if (*id == listener_id) {
        resumed_ = true;
        wake();
      } else {
        serve(*id);
      }
    }
  }
}

/// The strand, even if it must be waited for: this thread has nothing else to do.
void BlockingBase::acquire(Session& session) {
  for (;;) {
    const std::uint32_t seen = session.changes;
    std::uint32_t events = 0;
    if (try_acquire(session.id(), events)) return;
    os::wait_while(session.changes,
                   seen);  // sleeps here, while a callback of this connection runs on another thread
  }
}

bool BlockingBase::release_strand(Session& session) {
  std::uint32_t events = 0;
  return release(session, events, false, [&] {
    ++session.changes;
    os::wake_all(session.changes);
    return os::Error{};
  });
}

/// False: there is no thread to be had, and the connection has failed for it.
bool BlockingBase::start_writer(Session& session) try {
  session.backend_data = writing;
  threads_.start([this, &session] { write_rest(session); });
  return true;
} catch (const std::exception& error) {  // LIM-06
  session.backend_data = 0;
  log().limited("thread", Clock::now(),
                [&] { return std::string("no thread for a send that waits: ") + error.what(); });
  failed(session, std::make_error_code(std::errc::resource_unavailable_try_again));
  return false;
}

void BlockingBase::notify(const Session&, ConnectionId id) {
  const std::lock_guard lock(mutex_);
  notified_.push_back(id);
  told_.notify_all();
}

void BlockingBase::wake() {
  const std::lock_guard lock(mutex_);
  told_.notify_all();
}

}  // namespace ladder
