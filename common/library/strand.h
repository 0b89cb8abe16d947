// Which thread serves a connection. This file alone holds that protocol:
//
// 1. Every stimulus goes through try_acquire(), the system's events included. A wrong generation is gone. If another
//    thread holds the strand, the event is left for it; else the caller holds it, with all that is pending.
// 2. Another thread's command is appended by post(). If nobody holds the strand and no notification is out, one is sent,
//    under the lock. It never takes the strand. It carries the id, so a late one finds nobody.
// 3. The holder works without the lock. release() hands it what has come meanwhile and leaves it the strand; if nothing
//    has, it re-arms under the lock, and then the strand is free.
// 4. The thread that ends a connection holds its strand.
// 5. A thread holds one strand, and never waits for another's inside a callback: A→B and B→A cannot deadlock.
//
// So callbacks never overlap, no lock is held during one, no command is lost, and no wake-up either.
// tests/unit/strand_test.cpp walks the interleavings one by one: a stress test misses bugs here, since later
// traffic notifies again.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "common/library/byte_lock.h"
#include "common/library/slot_map.h"
#include <ladder/server.h>

namespace ladder {

struct Command {
  enum class Kind : std::uint8_t { send, pause, resume, task, answered, stop, close, abort, stop_now };
  Kind kind;
  std::vector<std::byte> bytes{};  // of a send
  std::size_t backlog = 0;         // of a send: what waits with it, as its sender was told
  std::function<void(Connection&)> task{};
  bool ends() const { return kind >= Kind::close; }  ///< the connection: a send behind it is too late
};

/// Events and commands that came while another thread held the strand.
struct Pending {
  // Events of our own, above all of a model's:
  static constexpr std::uint32_t commanded = 1u << 30;    // there are commands
  static constexpr std::uint32_t turned_away = 1u << 29;  // a send found no room: on_drained is owed

  std::unique_ptr<std::vector<Command>> commands{};  // null: none. Most connections never have one
  std::uint32_t events = 0;                          // gathered
  bool empty() const { return events == 0; }
};

class Strand {
 public:
  static constexpr std::size_t takes_no_more = std::size_t(-1);  // a backlog: sends are refused

  /// A new session, whose strand the caller holds, and whose id is of the next generation.
  ConnectionId start_session(std::uint32_t slot) {
    const std::lock_guard lock(lock_);
    acquired_ = in_use_ = true;
    const std::uint64_t last = generation_of(id_);
    id_ = make_id(slot, last == last_generation ? 1 : last + 1);  // never 0: no id has that value
    return id_;
  }
  ConnectionId id() const { return id_; }  ///< of a session that has not ended

  /// The session ends; what is pending is dropped. The caller holds the strand.
  void end_session() {
    Pending dropped;  // freed after the lock
    const std::lock_guard lock(lock_);
    in_use_ = acquired_ = notified_ = false;
    dropped = std::exchange(pending_, {});
    backlog_ = 0;
  }

  /// True: the caller holds the strand, and `pending` is all that was, with `events`. False: nothing to do here.
  bool try_acquire(ConnectionId id, std::uint32_t events, Pending& pending) {
    const std::lock_guard lock(lock_);
    if (!in_use_ || id != id_) return false;
    if (acquired_) {
      pending_.events |= events;
      return false;
    }
    acquired_ = true;
    notified_ = false;
    if (!pending_.empty()) pending = std::exchange(pending_, {});
    pending.events |= events;
    return true;
  }

  /// True: the strand is free. False: the caller keeps it, for what has come or because `rearm` failed.
  /// `backlog` is the length of the send queue, or takes_no_more. `rearm` returns an error, and is called
  /// under the lock.
  template <class Error, class Rearm>
  bool release(std::size_t backlog, Pending& pending, Error& error, Rearm rearm) {
    const std::lock_guard lock(lock_);
    set_backlog(backlog);
    if (!pending_.empty()) {
      pending = std::exchange(pending_, {});
      return false;
    }
    error = rearm();
    if (error) return false;
    acquired_ = false;
    return true;
  }

  /// As release(), but what is pending stays for whoever comes next, and `notify` is called for it: a holder that
  /// gets more without end has others to serve. False only if `rearm` failed.
  template <class Error, class Rearm, class Notify>
  bool yield(std::size_t backlog, Error& error, Rearm rearm, Notify notify) {
    const std::lock_guard lock(lock_);
    error = rearm();
    if (error) return false;
    notify(id_);  // if it throws, the strand is still the caller's
    notified_ = true;
    set_backlog(backlog);
    acquired_ = false;
    return true;
  }

  /// From now on every send is refused. Returns the commands that came before. The caller holds the strand.
  std::unique_ptr<std::vector<Command>> close() {
    const std::lock_guard lock(lock_);
    backlog_ = takes_no_more;
    pending_.events &= ~Pending::commanded;
    return std::move(pending_.commands);
  }

  enum class Posted : std::uint8_t { gone, full, taken };
  /// Leaves a command for the session of that id, or for whichever there is. `cap` bounds the bytes that
  /// wait, here and in the send queue; `backlog` tells how many do. If it throws, no command was left.
  template <class Notify>
  Posted post(std::optional<ConnectionId> id, Command command, std::size_t cap, std::size_t& backlog,
              Notify notify) {
    const std::lock_guard lock(lock_);
    if (!in_use_ || id.value_or(id_) != id_) return Posted::gone;
    std::size_t waiting = backlog_;
    if (command.kind == Command::Kind::send) {
      if (backlog_ == takes_no_more) return Posted::gone;
      if (backlog_ + command.bytes.size() > cap) {
        // No notification: bytes wait, and whoever sends them finds this.
        pending_.events |= Pending::turned_away;
        return Posted::full;
      }
      command.backlog = waiting = backlog_ + command.bytes.size();
    } else if (command.ends()) {
      waiting = takes_no_more;  // it ends the connection: what comes after it is too late
    }
    // The notification first: it may throw, and so may append. A thread that gets it waits for the lock; if it then
    // finds no command, it has come for nothing. The other way round a send that threw would have been left here, and be sent again.
    if (!acquired_ && !notified_) {
      notify(id_);
      notified_ = true;
    }
    append(std::move(command));
    backlog = backlog_ = waiting;
    return Posted::taken;
  }

 private:
  /// A crowd of small sends becomes one: a record for each byte would cost a hundred times the bytes.
  void append(Command command) {
    if (!pending_.commands) pending_.commands = std::make_unique<std::vector<Command>>();
    if (command.kind == Command::Kind::send && !pending_.commands->empty() &&
        pending_.commands->back().kind == Command::Kind::send) {
      Command& last = pending_.commands->back();
      last.bytes.insert(last.bytes.end(), command.bytes.begin(), command.bytes.end());
      last.backlog = std::max(last.backlog, command.backlog);
    } else {
      pending_.commands->push_back(std::move(command));
    }
    pending_.events |= Pending::commanded;
  }

  /// What waits is the holder's queue and what is pending, unless an end is on its way.
  void set_backlog(std::size_t queued) {
    backlog_ = queued;
    if (!pending_.commands || queued == takes_no_more) return;
    for (const Command& command : *pending_.commands) {
      if (command.ends()) {
        backlog_ = takes_no_more;
        return;
      }
      backlog_ += command.bytes.size();
    }
  }

  // In this order, and what follows a member may use the padding at its end: each idle connection costs so much.
  [[no_unique_address]] Pending pending_{};
  ByteLock lock_;
  bool in_use_ = false;
  bool acquired_ = false;
  bool notified_ = false;
  ConnectionId id_{};
  std::size_t backlog_ = 0;
};

}  // namespace ladder
