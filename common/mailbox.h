// Whose turn a connection is. This file alone holds that protocol:
//
// 1. Every stimulus goes through take(), the system's events included: a wrong generation is gone; if the turn
//    is taken, the event becomes mail for its holder; else the turn is the caller's, and all mail with it.
// 2. Another thread's wish is appended by post(). If the turn is free and no bell is out, the bell is rung,
//    under the lock. Ringing never takes the turn. The bell carries the id, so a late one finds nobody.
// 3. The holder works without the lock. release() hands it new mail and leaves it the turn; without mail it
//    re-arms under the lock, and then the turn is free.
// 4. Who ends a connection holds its turn.
// 5. A thread holds one turn, and never waits for another's inside a callback: A→B and B→A cannot deadlock.
//
// So callbacks never overlap, no lock is held during one, no wish is lost, and no wake-up either.
// tests/unit/mailbox_test.cpp walks the interleavings one by one: a stress test misses bugs here, since later
// traffic rings again.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "common/slots.h"
namespace ladder {

struct Wish {
  enum class Kind : std::uint8_t { send, resume, close, stop, abort };
  Kind kind;
  std::vector<std::byte> bytes{};  // of a send
  std::size_t backlog = 0;         // of a send: what waits with it, as its sender was told
};

/// What came while somebody else had the turn.
struct Mail {
  std::uint32_t events = 0;  // the model's own bits, gathered
  bool turned_away = false;  // a send found no room: on_drained is owed
  std::vector<Wish> wishes{};
  bool empty() const { return events == 0 && !turned_away && wishes.empty(); }
};

class Mailbox {
 public:
  static constexpr std::size_t takes_no_more = std::size_t(-1);  // a backlog: sends are refused

  /// A new tenant, whose turn is the caller's. Returns the generation that its id carries.
  std::uint64_t move_in() {
    const std::lock_guard lock(mutex_);
    taken_ = true;
    generation_ = generation_ == last_generation ? 1 : generation_ + 1;  // never 0: no id has that value
    lived_in_ = true;
    return generation_;
  }

  /// The tenant leaves; its mail is dropped. The caller has the turn.
  void move_out() {
    std::vector<Wish> dropped;  // freed after the lock
    const std::lock_guard lock(mutex_);
    lived_in_ = taken_ = rung_ = false;
    dropped.swap(mail_.wishes);
    mail_ = {};
    backlog_ = 0;
  }

  /// True: the turn is the caller's, with all mail and `events` in `mail`. False: nothing to do here.
  bool take(std::uint64_t generation, std::uint32_t events, Mail& mail) {
    const std::lock_guard lock(mutex_);
    if (!lived_in_ || generation != generation_) return false;
    if (taken_) {
      mail_.events |= events;
      return false;
    }
    taken_ = true;
    rung_ = false;
    mail = std::exchange(mail_, {});
    mail.events |= events;
    return true;
  }

  /// True: the turn is free. False: the caller keeps it, for the mail that came or because `rearm` failed.
  /// `backlog` is the length of the send queue, or takes_no_more. `rearm` returns an error_code, and is
  /// called under the lock.
  template <class Rearm>
  bool release(std::size_t backlog, Mail& mail, std::error_code& error, Rearm rearm) {
    const std::lock_guard lock(mutex_);
    set_backlog(backlog);
    if (!mail_.empty()) {
      mail = std::exchange(mail_, {});
      return false;
    }
    error = rearm();
    if (error) return false;
    taken_ = false;
    return true;
  }

  /// As release(), but mail stays for whoever comes next, and the bell is rung for it: a holder to whom mail
  /// comes without end has others to serve. False only if `rearm` failed.
  template <class Rearm, class Ring>
  bool hand_over(std::size_t backlog, std::error_code& error, Rearm rearm, Ring ring) {
    const std::lock_guard lock(mutex_);
    error = rearm();
    if (error) return false;
    ring(generation_);  // if it throws, the turn is still the caller's
    rung_ = true;
    set_backlog(backlog);
    taken_ = false;
    return true;
  }

  /// From now on every send is refused. Returns the wishes that came before. The caller has the turn.
  std::vector<Wish> close() {
    const std::lock_guard lock(mutex_);
    backlog_ = takes_no_more;
    return std::exchange(mail_.wishes, {});
  }

  enum class Posted : std::uint8_t { gone, full, taken };
  /// Leaves a wish for the tenant of that generation, or for whoever lives here. `cap` bounds the bytes that
  /// wait, here and in the send queue; `backlog` tells how many do. If it throws, no wish was left.
  template <class Ring>
  Posted post(std::optional<std::uint64_t> generation, Wish wish, std::size_t cap, std::size_t& backlog,
              Ring ring) {
    const std::lock_guard lock(mutex_);
    if (!lived_in_ || generation.value_or(generation_) != generation_) return Posted::gone;
    std::size_t waiting = backlog_;
    if (wish.kind == Wish::Kind::send) {
      if (backlog_ == takes_no_more) return Posted::gone;
      if (backlog_ + wish.bytes.size() > cap) {
        mail_.turned_away = true;  // no bell: there are bytes that wait, and whoever sends them finds this
        return Posted::full;
      }
      wish.backlog = waiting = backlog_ + wish.bytes.size();
    } else if (wish.kind != Wish::Kind::resume) {
      waiting = takes_no_more;  // it ends the connection: what comes after it is too late
    }
    // The bell first: it may throw, and so may append. Whoever hears it waits for the lock; one who then finds no wish
    // has come for nothing. The other way round a send that threw would have been left here, and be sent again.
    if (!taken_ && !rung_) {
      ring(generation_);
      rung_ = true;
    }
    append(std::move(wish));
    backlog = backlog_ = waiting;
    return Posted::taken;
  }

 private:
  /// A crowd of small sends becomes one: a record for each byte would cost a hundred times the bytes.
  void append(Wish wish) {
    if (wish.kind == Wish::Kind::send && !mail_.wishes.empty() &&
        mail_.wishes.back().kind == Wish::Kind::send) {
      Wish& last = mail_.wishes.back();
      last.bytes.insert(last.bytes.end(), wish.bytes.begin(), wish.bytes.end());
      last.backlog = std::max(last.backlog, wish.backlog);
    } else {
      mail_.wishes.push_back(std::move(wish));
    }
  }

  /// What waits is the holder's queue and what is in the mail, unless an end is on its way.
  void set_backlog(std::size_t queued) {
    bool ends = queued == takes_no_more;
    for (const Wish& wish : mail_.wishes) {
      ends = ends || (wish.kind != Wish::Kind::send && wish.kind != Wish::Kind::resume);
      if (!ends) queued += wish.bytes.size();
    }
    backlog_ = ends ? takes_no_more : queued;
  }

  std::mutex mutex_;
  std::uint64_t generation_ = 0;
  bool lived_in_ = false;
  bool taken_ = false;
  bool rung_ = false;
  Mail mail_{};
  std::size_t backlog_ = 0;
};

}  // namespace ladder
