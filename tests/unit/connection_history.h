// Histories of one connection: a ConnectionState and a plain model of the contract, led through the same moves. The random
// histories of the unit test and those of the fuzzer are made of these.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <sstream>
#include <string>
#include <system_error>
#include <vector>

#include "common/library/connection_state.h"
#include <ladder/server.h>

namespace ladder::history {

using namespace std::chrono_literals;

inline constexpr Time start{1h};
inline const std::error_code no_error{};
inline const std::error_code reset_error{static_cast<int>(std::errc::connection_reset),
                                         std::system_category()};

/// The contract in plain words: one deque entry a byte, one flag a fact. Nothing here is shared with ConnectionState.
struct Model {
  enum class Life { open, closing, fin_sent, over };

  Options options{};
  bool listens = true;
  std::deque<std::byte> queued{}, kept{};
  Life life = Life::open;
  Step how = Step::close;  // once over
  CloseReason reason = CloseReason::local;
  std::optional<std::error_code> error = no_error;  // none: the contract does not say
  bool paused = false;
  bool too_full = false;  // above the high mark, and not yet down to the low one
  bool drained_owed = false;
  bool peer_finished = false, end_told = false;
  bool finishing = false, fin_out = false;  // by finish(): of our direction alone
  unsigned answers_owed = 0;
  bool closes_later = false;  // for `reason`, when none is owed any more
  Time moved = start;
  Time own_deadline = Time::max(), close_by = Time::max();
  std::optional<Time> refused_since{};  // the system takes nothing
  Time looked_at{};                     // at what the peer acknowledges, since then
  std::uint64_t acknowledged = 0, acknowledged_then = 0, acknowledged_seen = 0;

  bool open() const { return life == Life::open; }
  bool over() const { return life == Life::over; }
  std::size_t size() const { return over() ? 0 : queued.size(); }

  SendResult send(Bytes more) {
    if (!open() || finishing) return SendResult::gone;
    if (more.size() > options.hard_cap) return SendResult::too_large;
    if (queued.size() + more.size() > options.hard_cap) {
      turned_away();
      return SendResult::full;
    }
    promised(more, false);
    return too_full ? SendResult::congested : SendResult::queued;
  }
  /// Somebody was told `full`: on_drained is owed, at once if nothing is queued any more.
  void turned_away() {
    if (!open()) return;
    too_full = !queued.empty();
    drained_owed = queued.empty();
  }
  void promised(Bytes more, bool told_congested) {
    if ((!open() && life != Life::closing) || fin_out || more.empty()) return;
    queued.insert(queued.end(), more.begin(), more.end());
    if (!told_congested && queued.size() <= options.high_mark) return;
    too_full = true;
    drained_owed = false;
  }
  void taken(std::size_t count, Time now) {
    moved = now;
    if (over()) return;
    queued.erase(queued.begin(), queued.begin() + static_cast<std::ptrdiff_t>(count));
    refused_since.reset();
    if (!too_full || queued.size() > options.low_mark) return;
    too_full = false;
    drained_owed = true;  // told late, it is told once for all crossings until then
  }
  void refused(Time now) {
    if (over() || refused_since) return;
    refused_since = looked_at = now;
    acknowledged_then = acknowledged;
  }
  bool received(Bytes more, Time now) {
    moved = now;
    if (!open()) return false;
    if (!paused && kept.empty()) return true;
    kept.insert(kept.end(), more.begin(), more.end());
    return false;
  }
  void close(CloseReason why) {
    if (!open()) return;
    life = Life::closing;
    reason = why;
    kept.clear();
    drained_owed = false;
  }
  /// Of an end that the service asks for: the side whose FIN is the first.
  CloseReason own_reason() const {
    return finishing ? reason : peer_finished ? CloseReason::peer : CloseReason::local;
  }
  void finish() {
    if (!open() || finishing) return;
    if (!closes_later) reason = own_reason();
    finishing = true;
  }
  void close_when_answered(CloseReason why) {
    if (answers_owed == 0) return close(why);
    if (!open()) return;
    closes_later = true;
    reason = why;
  }
  void answered(Time now) {
    moved = std::max(moved, now);
    if (--answers_owed == 0 && closes_later) close(reason);
  }
  void end(CloseReason why, std::error_code code, Step step) {
    if (over()) return;
    if (life == Life::fin_sent) {
      error = std::nullopt;
    } else {
      reason = why;
      error = code;
    }
    life = Life::over;
    how = step;
  }
  void fin(Time now) {
    if (open()) {
      fin_out = true;
      return;
    }
    life = Life::fin_sent;
    if (options.close_timeout > 0ms) close_by = now + options.close_timeout;
  }
  Time write_deadline() const {
    if (!refused_since || options.write_timeout == 0ms) return Time::max();
    return std::min(*refused_since + options.write_timeout, looked_at + quarter());
  }
  Milliseconds quarter() const { return 1ms + (options.write_timeout - 1ms) / 4; }
  Time deadline() const {
    if (over()) return Time::max();
    if (life == Life::fin_sent) return close_by;
    if (life == Life::closing) return write_deadline();
    const bool may_idle = queued.empty() && answers_owed == 0 && options.idle_timeout > 0ms;
    return std::min({own_deadline, write_deadline(), may_idle ? moved + options.idle_timeout : Time::max()});
  }
  void looked(Time when) {
    if (acknowledged > acknowledged_seen) moved = std::max(moved, when);
    acknowledged_seen = acknowledged;
  }
  void look_at_clock(Time now) {
    if (now < deadline()) return;
    if (life == Life::fin_sent) {
      life = Life::over;
    } else if (now < write_deadline()) {
      end(CloseReason::idle_timeout, no_error, queued.empty() ? Step::close : Step::reset);
    } else if (acknowledged > acknowledged_then) {
      refused_since = looked_at = now;
      acknowledged_then = acknowledged;
    } else if (now >= *refused_since + options.write_timeout) {
      end(CloseReason::write_timeout, no_error, Step::reset);
    } else {
      looked_at = now;
    }
  }
  bool wants_receive() const {
    if (over() || peer_finished) return false;
    return !open() || (!closes_later && !paused && !(too_full && listens && !options.read_when_congested));
  }
  bool owed(Due due) const {
    if (!open()) return due == Due::nothing;
    const bool receive = !paused && !kept.empty();
    const bool end_due = !paused && kept.empty() && peer_finished && !end_told;
    switch (due) {
      case Due::receive:
        return receive;
      case Due::end:
        return end_due;
      case Due::drained:
        return drained_owed;
      case Due::nothing:
        break;
    }
    return !receive && !end_due && !drained_owed;
  }
  Step next() const {
    if (over()) return how;
    if (open() && fin_out && end_told && answers_owed == 0) return Step::close;
    if (open() && finishing && !fin_out && queued.empty()) return Step::shut_down;
    if (life == Life::closing && queued.empty()) return peer_finished ? Step::close : Step::shut_down;
    return life == Life::fin_sent && peer_finished ? Step::close : Step::serve;
  }
};

/// A ConnectionState and a Model, led through the same moves. The parts of the server and of the system are played
/// here: what is under way, what the peer has acknowledged.
///
/// A move returns what differs, or null. One that is impossible now is passed over.
class Pair {
 public:
  explicit Pair(const Options& options, bool listens) : options_(options), state_(options_, start, listens) {
    model_.options = options;
    model_.listens = listens;
  }
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;

  const Model& model() const { return model_; }

  // ---- what the system brings --------------------------------------------------------------------------

  /// A receive that was asked for while it was wanted may end after a pause.
  const char* receive(unsigned amount) {
    if (!posted_ || model_.peer_finished) return nullptr;
    posted_ = false;
    const std::vector<std::byte> more = fresh(1 + amount % 12, received_);
    return state_.received(more, now_) == model_.received(more, now_) ? nullptr : "the answer to received";
  }
  const char* fin(unsigned) {
    if (!posted_ || model_.peer_finished) return nullptr;
    state_.peer_finished(now_);
    model_.peer_finished = true;
    model_.moved = now_;
    return nullptr;
  }
  const char* yield(unsigned) {
    const Bytes next = state_.unsent();
    if (next.empty() != (model_.size() == 0)) return "whether anything is unsent";
    if (next.empty()) return nullptr;
    if (!with_system_.empty() && next.data() != with_system_.data()) return "where the bytes under way lie";
    if (next.size() > model_.queued.size() || !std::equal(next.begin(), next.end(), model_.queued.begin()))
      return "the bytes to send";
    with_system_ = next;
    copy_.assign(next.begin(), next.end());
    return nullptr;
  }
  const char* taken(unsigned amount) {
    if (with_system_.empty()) return nullptr;
    const std::size_t count = amount % 2 ? with_system_.size() : 1 + amount % with_system_.size();
    state_.sent(count, now_);
    model_.taken(count, now_);
    with_system_ = with_system_.subspan(count);
    copy_.erase(copy_.begin(), copy_.begin() + static_cast<std::ptrdiff_t>(count));
    return nullptr;
  }
  const char* refuse(unsigned) {
    if (with_system_.empty() || model_.over()) return nullptr;
    state_.blocked(model_.acknowledged, now_);
    model_.refused(now_);
    return nullptr;
  }
  const char* acknowledge(unsigned amount) {
    model_.acknowledged += amount % 8;
    return nullptr;
  }
  const char* fail(unsigned amount) {
    const Step step = amount % 2 ? Step::close : Step::reset;
    state_.failed(CloseReason::reset, reset_error, step);
    model_.end(CloseReason::reset, reset_error, step);
    return nullptr;
  }

  // ---- what the service commands -------------------------------------------------------------------------

  const char* send(unsigned amount) {
    const std::vector<std::byte> more = fresh(amount % 20, queued_);
    return state_.send(more) == model_.send(more) ? nullptr : "the answer to send";
  }
  const char* promised(unsigned amount) {
    const std::vector<std::byte> more = fresh(amount % 30, queued_);
    state_.send_promised(more, amount % 7 == 0);
    model_.promised(more, amount % 7 == 0);
    return nullptr;
  }
  const char* turn_away(unsigned) {
    state_.turned_away();
    model_.turned_away();
    return nullptr;
  }
  const char* pause(unsigned) {
    state_.pause();
    model_.paused = true;
    return nullptr;
  }
  const char* resume(unsigned) {
    state_.resume();
    model_.paused = false;
    return nullptr;
  }
  const char* close(unsigned) {
    state_.close();
    model_.close(model_.own_reason());
    return nullptr;
  }
  const char* stop(unsigned) {
    state_.close_when_answered(CloseReason::stopping);
    model_.close_when_answered(CloseReason::stopping);
    return nullptr;
  }
  const char* finish(unsigned) {
    state_.finish();
    model_.finish();
    return nullptr;
  }
  const char* defer(unsigned) {
    state_.defer();
    ++model_.answers_owed;
    return nullptr;
  }
  const char* answered(unsigned) {
    if (model_.answers_owed == 0) return nullptr;
    state_.answered(now_);
    model_.answered(now_);
    return nullptr;
  }
  const char* abort(unsigned) {
    state_.abort();
    model_.end(CloseReason::local, no_error, Step::reset);
    return nullptr;
  }
  const char* expire_at(unsigned amount) {
    const Time time = amount % 4 == 0 ? Time::max() : now_ + Milliseconds(amount % 30);
    state_.expire_at(time);
    if (model_.open()) model_.own_deadline = time;
    return nullptr;
  }

  // ---- what the server does ----------------------------------------------------------------------------

  /// Of an end that is due the service makes nothing, or what a server without on_end does.
  const char* dispatch(unsigned amount) {
    const Due due = state_.due();
    if (!model_.owed(due)) return "which callback is due";
    if (due == Due::receive) {
      const std::vector<std::byte> kept = state_.take_kept();
      if (!std::equal(kept.begin(), kept.end(), model_.kept.begin(), model_.kept.end()))
        return "the bytes kept";
      model_.kept.clear();
    }
    if (due != Due::receive) state_.take_due(due);
    if (due == Due::end) {
      model_.end_told = true;
      if (amount % 2) {
        state_.close_at_end();
        if (!model_.finishing) model_.close_when_answered(CloseReason::peer);
      }
    }
    if (due == Due::drained) model_.drained_owed = false;
    return nullptr;
  }
  const char* take_step(unsigned) {
    if (model_.next() != Step::shut_down) return nullptr;
    state_.shut_down(now_);
    model_.fin(now_);
    return nullptr;
  }
  const char* stop_lingering(unsigned) {
    state_.stop_lingering();
    if (model_.life == Model::Life::fin_sent) model_.life = Model::Life::over;
    return nullptr;
  }

  // ---- time --------------------------------------------------------------------------------------------

  const char* wait(unsigned amount) {
    now_ += Milliseconds(amount % 8);
    return nullptr;
  }
  const char* look(unsigned amount) {
    const Time when = now_ - Milliseconds(amount % 16);
    state_.acknowledged(model_.acknowledged, when);
    model_.looked(when);
    state_.expired(model_.acknowledged, now_);
    model_.look_at_clock(now_);
    return nullptr;
  }
  const char* look_when_due(unsigned amount) {
    if (model_.deadline() != Time::max()) now_ = std::max(now_, model_.deadline());
    return look(amount);
  }
  const char* look_just_before(unsigned amount) {
    if (model_.deadline() != Time::max()) now_ = std::max(now_, model_.deadline() - 1ns);
    return look(amount);
  }

  const char* compare() {
    posted_ = posted_ || model_.wants_receive();
    if (state_.unsent_bytes() != model_.size()) return "how much is unsent";
    if (state_.wants_receive() != model_.wants_receive()) return "wants_receive";
    if (!model_.owed(state_.due())) return "due";
    if (state_.wants_send() != (model_.size() > 0 || !model_.owed(Due::nothing))) return "wants_send";
    if (state_.next() != model_.next()) return "next";
    if (state_.deadline() != model_.deadline()) return "deadline";
    if (state_.open() != model_.open() || state_.ended() != model_.over() ||
        state_.lingering() != (model_.life == Model::Life::fin_sent))
      return "how far its end has come";
    if (!model_.open() && state_.reason() != model_.reason) return "reason";
    if (model_.over() && model_.error && state_.error() != *model_.error) return "error";
    if (!std::equal(with_system_.begin(), with_system_.end(), copy_.begin(), copy_.end()))
      return "what the bytes under way are";
    return nullptr;
  }

 private:
  static std::vector<std::byte> fresh(std::size_t count, unsigned& counter) {
    std::vector<std::byte> result(count);
    for (std::byte& byte : result)
      byte = static_cast<std::byte>(counter++ % 251);
    return result;
  }

  const Options options_;
  ConnectionState state_;
  Model model_{};
  Time now_ = start;
  bool posted_ = false;  // a receive is under way
  Bytes with_system_{};
  std::vector<std::byte> copy_{};  // of those
  unsigned queued_ = 0, received_ = 0;
};

struct Kind {
  const char* name;
  const char* (Pair::*make)(unsigned amount);
  unsigned weight;
};
inline constexpr std::array kinds{
    Kind{"receive", &Pair::receive, 40},
    Kind{"fin", &Pair::fin, 2},
    Kind{"yield", &Pair::yield, 50},
    Kind{"taken", &Pair::taken, 60},
    Kind{"refuse", &Pair::refuse, 24},
    Kind{"acknowledge", &Pair::acknowledge, 24},
    Kind{"fail", &Pair::fail, 1},
    Kind{"send", &Pair::send, 40},
    Kind{"promised", &Pair::promised, 16},
    Kind{"turn_away", &Pair::turn_away, 6},
    Kind{"pause", &Pair::pause, 16},
    Kind{"resume", &Pair::resume, 24},
    Kind{"close", &Pair::close, 2},
    Kind{"stop", &Pair::stop, 1},
    Kind{"finish", &Pair::finish, 1},
    Kind{"defer", &Pair::defer, 4},
    Kind{"answered", &Pair::answered, 5},
    Kind{"abort", &Pair::abort, 1},
    Kind{"expire_at", &Pair::expire_at, 4},
    Kind{"dispatch", &Pair::dispatch, 50},
    Kind{"take_step", &Pair::take_step, 20},
    Kind{"stop_lingering", &Pair::stop_lingering, 2},
    Kind{"wait", &Pair::wait, 20},
    Kind{"look", &Pair::look, 16},
    Kind{"look_when_due", &Pair::look_when_due, 4},
    Kind{"look_just_before", &Pair::look_just_before, 8},
};

struct Move {
  const Kind* kind;
  unsigned amount;
};
using Moves = std::vector<Move>;

struct Plan {  // all that a history is made of
  Options options{};
  bool listens = true;
  Moves moves{};
};

struct Outcome {
  const char* difference = nullptr;
  std::size_t made = 0;  // moves until it showed, or until nothing more can happen
  Model last{};
};

inline Outcome play(const Plan& plan) {
  Pair pair(plan.options, plan.listens);
  Outcome outcome;
  std::size_t late = 10;  // what still comes after the end changes nothing
  for (const Move& move : plan.moves) {
    ++outcome.made;
    outcome.difference = (pair.*move.kind->make)(move.amount);
    if (!outcome.difference) outcome.difference = pair.compare();
    if (outcome.difference || (pair.model().over() && --late == 0)) break;
  }
  outcome.last = pair.model();
  return outcome;
}

/// "idle 20 ms, … cap 31: send(3) yield(0) …"
inline std::string to_string(const Plan& plan) {
  const Options& options = plan.options;
  std::ostringstream text;
  text << "idle " << options.idle_timeout.count() << " ms, write " << options.write_timeout.count()
       << " ms, close " << options.close_timeout.count() << " ms, marks " << options.low_mark << " and "
       << options.high_mark << ", cap " << options.hard_cap << (plan.listens ? "" : ", nobody listens")
       << ":";
  for (const Move& move : plan.moves)
    text << ' ' << move.kind->name << '(' << move.amount << ')';
  return text.str();
}

}  // namespace ladder::history
