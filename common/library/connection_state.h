// One connection's accounting: what has arrived, what is owed, how it ends. No I/O, no thread, no clock: the
// model feeds it what happened, with the time, and asks what to do. Callbacks only record commands in it.
//
//        fed                                           asked
//        received  peer_finished  sent  blocked        wants_receive  wants_send  unsent
//        acknowledged  shut_down  failed  expired      next  due  deadline
//
//     open ──close()──▶ closing ──queue empty: FIN──▶ lingering ──the peer's FIN, or its time is up──▶ ended
//       └────────────── failed(), abort(), a timeout ──────────────────────────▶ ended, or reset
//
// The caller holds the connection's strand (strand.h), so no lock is needed.
// tests/unit/connection_histories_test.cpp drives it through random histories against a plain model of the
// contract.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <system_error>
#include <vector>

#include <ladder/server.h>

namespace ladder {

/// What the model does next for a connection: go on, send FIN, close, or close with a reset.
enum class Step : std::uint8_t { serve, shut_down, close, reset };

/// A callback that has fallen due.
enum class Due : std::uint8_t { nothing, receive, end, drained };

class ConnectionState {
 public:
  class Spare;

  ConnectionState() = default;  // an empty session's
  /// A new connection. The options are the server's and outlive it. `listens`: somebody takes what comes.
  ConnectionState(const Options& options, Time now, bool listens = true)
      : options_(&options), moved_(now), listens_(listens) {}

  // ---- what happened -------------------------------------------------------------------------------------
  /// Bytes came. True: hand them to on_receive now. False: they were kept (paused) or dropped (closing).
  bool received(Bytes bytes, Time now);
  void peer_finished(Time now);
  /// The system took `count` bytes from the front of unsent().
  void sent(std::size_t count, Time now);
  /// The system would take no more; the peer has acknowledged so many bytes (os::acknowledged).
  void blocked(std::uint64_t acknowledged, Time now);
  /// Before a deadline is judged: so many the peer has acknowledged by now, the last ones perhaps at `when`. If they are
  /// more than at the last look, the connection has moved.
  void acknowledged(std::uint64_t bytes, Time when);
  /// FIN was sent; the peer's is waited for, up to the close timeout.
  void shut_down(Time now);
  /// ... or no longer: nothing of ours can be lost any more.
  void stop_lingering();
  /// The connection is over, and why. `step` is Step::close or Step::reset.
  void failed(CloseReason reason, std::error_code error, Step step);
  /// deadline() has passed. `acknowledged` shows whether the peer took something after all.
  void expired(std::uint64_t acknowledged, Time now);

  // ---- what the service commands ----------------------------------------------------------------------------
  SendResult send(Bytes bytes);
  /// A send was refused for want of room: on_drained is owed, when there is some again.
  void turned_away();
  /// As send, for bytes that another thread's send was promised a place for, and perhaps told to stop: then
  /// on_drained is owed to it, even if the queue has emptied meanwhile.
  void send_promised(Bytes bytes, bool told_congested = false);
  void pause() { paused_ = true; }
  void resume() { paused_ = false; }
  void close() { close_for(own_reason()); }
  void abort() { failed(CloseReason::local, {}, Step::reset); }
  void expire_at(Time time);
  /// FIN behind what is queued; what comes is still told. When both sides have finished, the connection closes.
  void finish();
  /// An answer is owed: until all are answered() the connection does not idle, and close_when_answered() waits.
  void defer() { ++deferred_; }
  void answered(Time now);
  /// close(), for a reason of the server's; the second one when nothing is owed any more.
  void close_for(CloseReason reason);
  void close_when_answered(CloseReason reason);
  /// The default on_end. After finish() nothing is left to do for it.
  void close_at_end() {
    if (!finishing_) close_when_answered(CloseReason::peer);
  }

  // ---- what to do -----------------------------------------------------------------------------------------
  bool wants_receive() const;
  bool wants_send() const { return !quiet() && (unsent_bytes() > 0 || due() != Due::nothing); }
  /// Open, no callback due, no end under way: as at most times.
  bool in_flow() const {
    return phase_ == Phase::open && !keeps_ && !drained_ && !peer_finished_ && !finishing_;
  }
  bool quiet() const { return in_flow() && !queue_; }  ///< ... and nothing queued: as after most turns
  /// The next bytes for the system. They do not move until sent() has counted them, even as more is queued.
  Bytes unsent();
  std::size_t unsent_bytes() const;
  Step next() const;
  Due due() const;
  /// Takes what due() promised: the kept bytes (Due::receive), or the mark that a callback was owed.
  std::vector<std::byte> take_kept();
  void take_due(Due due);
  /// When expired() must be called, or Time::max().
  Time deadline() const;
  bool lingering() const { return phase_ == Phase::lingering; }  ///< our FIN is out, the peer's not in
  bool open() const { return phase_ == Phase::open; }
  bool takes_sends() const { return open() && !finishing_; }
  bool paused() const { return phase_ == Phase::open && paused_; }
  /// close() or finish() was called, and our FIN is not out.
  bool closing() const { return phase_ == Phase::closing || (open() && finishing_ && !fin_sent_); }
  bool ended() const { return phase_ >= Phase::ended; }
  Time moved() const { return moved_; }  ///< when bytes last moved, either way
  CloseReason reason() const { return reason_; }
  std::error_code error() const {
    return {error_, generic_ ? std::generic_category() : std::system_category()};
  }

 private:
  enum class Phase : std::uint8_t { open, closing, lingering, ended, reset };

  /// Bytes under way. It exists only while there are some, so an idle connection costs one pointer.
  struct Queue {
    std::vector<std::byte> front, back;  // back: what was queued while front was with the system
    std::size_t front_sent = 0;
    bool lent = false;                 // unsent() has handed out front: it must not move
    std::vector<std::byte> kept;       // received, and not yet delivered for a pause
    std::uint64_t acknowledged = 0;    // by the peer, at the last of these looks
    Time blocked_since = Time::max();  // the system would take no more, nor the peer; Time::max(): it takes
    Time next_look{};                  // whether the peer has acknowledged something
    std::size_t unsent() const { return front.size() - front_sent + back.size(); }
    bool empty() const { return front.empty() && kept.empty(); }
    std::size_t capacity() const { return front.capacity() + back.capacity(); }  // kept has none
  };
  Queue& make_queue();
  void drop_queue();
  void keep(Bytes);
  void append(Bytes, bool congests);
  SendResult no_room(std::size_t bytes);
  CloseReason own_reason() const;
  Time write_deadline() const;
  void look_at_peer(std::uint64_t acknowledged, Time now);

  const Options* options_ = nullptr;
  std::unique_ptr<Queue> queue_;
  Time moved_{};                    // when bytes last moved, either way
  std::uint64_t acknowledged_ = 0;  // by the peer, at the last look
  Time deadline_ = Time::max();     // open: the service's own; lingering: the close timeout's
  std::uint32_t deferred_ = 0;      // answers that other threads owe
  int error_ = 0;
  CloseReason reason_ = CloseReason::local;
  using Flag = std::uint8_t;  // not bool: of these the compiler asks for several with one test
  Phase phase_ : 3 = Phase::open;
  Flag paused_ : 1 = false;     // by the service
  Flag congested_ : 1 = false;  // above the high mark, and not yet down to the low one
  Flag drained_ : 1 = false;    // on_drained is owed
  Flag keeps_ : 1 = false;      // bytes in Queue::kept
  Flag peer_finished_ : 1 = false;
  Flag finishing_ : 1 = false;  // finish() was called
  Flag fin_sent_ : 1 = false;   // ... and the FIN is out
  Flag end_told_ : 1 = false;
  Flag closes_later_ : 1 = false;  // for reason_, when nothing is owed any more
  Flag listens_ : 1 = true;        // on_receive is there
  Flag generic_ : 1 = false;  // error_ is one of std::errc: a code without its category means something else
};

/// On the stack of a thread that serves connections: keeps the queue that emptied last for the next one that is needed, so
/// that no message costs an allocation. Not if it has grown beyond `most` bytes. Not a thread_local object: MinGW-w64 frees a thread's memory before
/// it calls the destructors of what lies there.
class ConnectionState::Spare {
 public:
  explicit Spare(std::size_t most = std::size_t{128} * 1024) : most_(most) { mine_ = this; }
  ~Spare() { mine_ = nullptr; }
  Spare(const Spare&) = delete;
  Spare& operator=(const Spare&) = delete;

 private:
  friend class ConnectionState;
  const std::size_t most_;
  std::unique_ptr<Queue> queue_{};
  static constinit thread_local Spare* mine_;
};

// ---- what each message asks, inline

inline std::size_t ConnectionState::unsent_bytes() const {
  return queue_ && !ended() ? queue_->unsent() : 0;
}

inline Time ConnectionState::write_deadline() const {
  if (!queue_ || queue_->blocked_since == Time::max() || options_->write_timeout.count() == 0)
    return Time::max();
  return queue_->next_look;
}

inline bool ConnectionState::wants_receive() const {
  // Most of the time:
  if (phase_ == Phase::open && !peer_finished_ && !paused_ && !congested_ && !closes_later_) return true;
  if (peer_finished_ || ended()) return false;
  if (phase_ != Phase::open) return true;
  if (closes_later_) return false;  // a stop waits for answers that are owed, and takes no new question
  // What nobody takes makes no queue grow, and a service that only sends must see the peer's FIN. SVC-08
  return !paused_ && !(congested_ && listens_ && !options_->read_when_congested);
}

inline bool ConnectionState::received(Bytes bytes, Time now) {
  moved_ = now;
  if (phase_ == Phase::open && !paused_ && !keeps_) return true;
  if (phase_ == Phase::open) keep(bytes);
  return false;  // contract 6: read on while closing, or unread input would reset
}

inline Bytes ConnectionState::unsent() {
  if (!queue_ || ended()) return {};
  queue_->lent = !queue_->front.empty();
  return Bytes(queue_->front).subspan(queue_->front_sent);
}

inline ConnectionState::Queue& ConnectionState::make_queue() {
  if (Spare::mine_) queue_.swap(Spare::mine_->queue_);
  if (!queue_) queue_ = std::make_unique<Queue>();
  return *queue_;
}

/// The queue is empty.
inline void ConnectionState::drop_queue() {
  if (Spare::mine_ && !Spare::mine_->queue_ && queue_->capacity() <= Spare::mine_->most_)
    queue_.swap(Spare::mine_->queue_);
  else
    queue_.reset();
}

inline SendResult ConnectionState::send(Bytes bytes) {
  if (!takes_sends()) return SendResult::gone;
  const std::size_t waiting = unsent_bytes() + bytes.size();
  if (waiting > options_->hard_cap) return no_room(bytes.size());
  append(bytes, waiting > options_->high_mark);
  return congested_ ? SendResult::congested : SendResult::queued;
}

inline void ConnectionState::append(Bytes bytes, bool congests) {
  if (bytes.empty()) return;
  Queue& queue = queue_ ? *queue_ : make_queue();
  std::vector<std::byte>& last = queue.lent ? queue.back : queue.front;
  last.insert(last.end(), bytes.begin(), bytes.end());
  if (!congests) return;
  congested_ = true;
  drained_ = false;  // not any more; the next fall owes it anew
}

inline void ConnectionState::sent(std::size_t count, Time now) {
  moved_ = now;
  if (!queue_ || ended()) return;
  Queue& queue = *queue_;
  queue.blocked_since = Time::max();
  queue.front_sent += count;
  if (queue.front_sent == queue.front.size()) {
    queue.front.clear();
    queue.front_sent = 0;
    queue.lent = false;
    if (!queue.back.empty()) queue.front.swap(queue.back);
  }
  if (congested_ && queue.unsent() <= options_->low_mark) {
    congested_ = false;
    drained_ = true;
  }
  if (queue.empty()) drop_queue();  // last: `queue` is gone
}

inline Step ConnectionState::next() const {
  if (phase_ == Phase::open && !finishing_) return Step::serve;  // most of the time
  switch (phase_) {
    case Phase::open:
      if (fin_sent_ && end_told_ && deferred_ == 0) return Step::close;
      return finishing_ && !fin_sent_ && unsent_bytes() == 0 ? Step::shut_down : Step::serve;
    case Phase::closing:
      if (unsent_bytes() > 0) return Step::serve;
      return peer_finished_ ? Step::close : Step::shut_down;  // with the peer's FIN in, the close sends ours
    case Phase::lingering:
      return peer_finished_ ? Step::close : Step::serve;
    case Phase::ended:
      return Step::close;
    case Phase::reset:
      return Step::reset;
  }
  return Step::close;
}

inline Due ConnectionState::due() const {
  if (phase_ != Phase::open) return Due::nothing;  // after close() only on_close follows
  if (!paused_ && keeps_) return Due::receive;
  if (!paused_ && peer_finished_ && !end_told_) return Due::end;
  return drained_ ? Due::drained : Due::nothing;
}

inline Time ConnectionState::deadline() const {
  if (ended()) return Time::max();
  const Time earliest = std::min(deadline_, write_deadline());
  const bool may_idle =
      options_->idle_timeout.count() > 0 && phase_ == Phase::open && unsent_bytes() == 0 && deferred_ == 0;
  return may_idle ? std::min(earliest, after(moved_, options_->idle_timeout)) : earliest;
}

}  // namespace ladder
