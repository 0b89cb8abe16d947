#include "common/library/connection_state.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <system_error>
#include <vector>

#include <ladder/server.h>

namespace ladder {

namespace {
/// How long nobody looks whether a peer acknowledges: so much later than its timeout it is reset at most.
Milliseconds a_look(Milliseconds write_timeout) {
  return Milliseconds(1) + (write_timeout - Milliseconds(1)) / 4;
}
}  // namespace

constinit thread_local ConnectionState::Spare* ConnectionState::Spare::mine_ = nullptr;

void ConnectionState::keep(Bytes bytes) {
  std::vector<std::byte>& kept = (queue_ ? *queue_ : make_queue()).kept;
  kept.insert(kept.end(), bytes.begin(), bytes.end());
  keeps_ = true;
}

void ConnectionState::peer_finished(Time now) {
  moved_ = now;
  peer_finished_ = true;
}

void ConnectionState::blocked(std::uint64_t acknowledged, Time now) {
  if (unsent_bytes() == 0 || queue_->blocked_since != Time::max()) return;
  queue_->blocked_since = now;
  // Taken when the timer starts, or its first end would always look like progress.
  queue_->acknowledged = acknowledged;
  queue_->next_look = after(now, a_look(options_->write_timeout));
}

void ConnectionState::acknowledged(std::uint64_t bytes, Time when) {
  if (bytes > acknowledged_) moved_ = std::max(moved_, when);
  acknowledged_ = bytes;
}

void ConnectionState::shut_down(Time now) {
  if (ended()) return;
  if (phase_ == Phase::open) {
    fin_sent_ = true;
    return;
  }
  phase_ = Phase::lingering;
  deadline_ = options_->close_timeout.count() > 0 ? after(now, options_->close_timeout) : Time::max();
}

void ConnectionState::stop_lingering() {
  if (phase_ == Phase::lingering) phase_ = Phase::ended;
}

void ConnectionState::failed(CloseReason reason, std::error_code error, Step step) {
  if (ended()) return;
  if (phase_ <= Phase::closing) reason_ = reason;  // after our FIN nothing of ours is lost any more
  error_ = error.value();
  generic_ = error.category() == std::generic_category();
  phase_ =
      step == Step::reset ? Phase::reset : Phase::ended;  // the queue stays: its bytes may be with the system
}

/// The system reports room for writing only when about a third of its buffer is free: what counts is what the peer has
/// acknowledged. A single look, at the end, would not do: one byte just after the refusal would double the time. BP-08
void ConnectionState::look_at_peer(std::uint64_t acknowledged, Time now) {
  if (acknowledged > queue_->acknowledged) {
    queue_->acknowledged = acknowledged;
    queue_->blocked_since = now;
  }
  const Time end = after(queue_->blocked_since, options_->write_timeout);
  if (now >= end) return failed(CloseReason::write_timeout, {}, Step::reset);
  queue_->next_look = std::min(end, after(now, a_look(options_->write_timeout)));
}

void ConnectionState::expired(std::uint64_t acknowledged, Time now) {
  if (ended() || now < deadline()) return;
  if (phase_ == Phase::lingering) {
    phase_ = Phase::ended;
  } else if (now >= write_deadline()) {
    look_at_peer(acknowledged, now);
  } else {
    // An orderly FIN behind a truncated stream would lie to the peer.
    failed(CloseReason::idle_timeout, {}, unsent_bytes() > 0 ? Step::reset : Step::close);
  }
}

void ConnectionState::send_promised(Bytes bytes, bool told_congested) {
  if (phase_ > Phase::closing || fin_sent_)
    return;  // what was promised before a close is sent before its FIN
  append(bytes, told_congested || unsent_bytes() + bytes.size() > options_->high_mark);
}

SendResult ConnectionState::no_room(std::size_t bytes) {
  if (bytes > options_->hard_cap) return SendResult::too_large;
  turned_away();
  return SendResult::full;
}

void ConnectionState::turned_away() {
  if (phase_ != Phase::open) return;
  congested_ = unsent_bytes() > 0;  // else they have gone meanwhile
  drained_ = !congested_;
}

void ConnectionState::expire_at(Time time) {
  if (phase_ == Phase::open) deadline_ = time;
}

/// Of a close that the service asks for: whose FIN was the first.
CloseReason ConnectionState::own_reason() const {
  if (finishing_) return reason_;
  return peer_finished_ ? CloseReason::peer : CloseReason::local;
}

void ConnectionState::finish() {
  if (!takes_sends()) return;
  if (!closes_later_) reason_ = own_reason();
  finishing_ = true;
}

void ConnectionState::answered(Time now) {
  moved_ = std::max(moved_, now);
  if (--deferred_ == 0 && closes_later_) close_for(reason_);
}

void ConnectionState::close_when_answered(CloseReason reason) {
  if (phase_ != Phase::open) return;
  if (deferred_ == 0) return close_for(reason);
  closes_later_ = true;
  reason_ = reason;
}

void ConnectionState::close_for(CloseReason reason) {
  if (phase_ != Phase::open) return;
  phase_ = Phase::closing;
  reason_ = reason;
  deadline_ = Time::max();
  take_kept();
}

std::vector<std::byte> ConnectionState::take_kept() {
  std::vector<std::byte> kept;
  keeps_ = false;
  if (!queue_) return kept;
  kept.swap(queue_->kept);
  if (queue_->empty()) drop_queue();
  return kept;
}

void ConnectionState::take_due(Due due) {
  if (due == Due::end) end_told_ = true;
  if (due == Due::drained) drained_ = false;
}

}  // namespace ladder
