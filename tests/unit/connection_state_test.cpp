// One connection's accounting (common/library/connection_state.h): an example for each rule of the contract. Random
// histories of it are in connection_histories_test.cpp.
#include "common/library/connection_state.h"

#include <doctest/doctest.h>

#include <chrono>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include <ladder/server.h>

using namespace ladder;
using namespace std::chrono_literals;

namespace {

Bytes bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

constexpr Time origin{1h};
const std::error_code no_error{};

Options small() {
  return {.idle_timeout = 0ms,
          .write_timeout = 30ms,
          .close_timeout = 20ms,
          .low_mark = 4,
          .high_mark = 10,
          .hard_cap = 20};
}

/// All that is queued goes to the system.
std::string flush(ConnectionState& state, Time now) {
  std::string taken;
  for (Bytes next = state.unsent(); !next.empty(); next = state.unsent()) {
    taken += text(next);
    state.sent(next.size(), now);
    REQUIRE(taken.size() < 1000);  // it comes to an end
  }
  return taken;
}

}  // namespace

// ---- sending: contract 4, 8, 9 -------------------------------------------------------------------------

TEST_CASE("connection_state: bytes leave in the order of the sends, however the system cuts them") {
  const Options options = small();
  ConnectionState state(options, origin);
  CHECK_FALSE(state.wants_send());
  CHECK(state.send(bytes("abc")) == SendResult::queued);
  CHECK(state.wants_send());
  CHECK(text(state.unsent()) == "abc");
  state.sent(1, origin);
  state.send_promised(bytes("de"), false);
  CHECK(state.send({}) == SendResult::queued);
  CHECK(state.unsent_bytes() == 4);
  CHECK(flush(state, origin) == "bcde");
  CHECK_FALSE(state.wants_send());
}

TEST_CASE("connection_state: bytes that are with the system do not move while more is queued behind them") {
  Options options = small();
  options.high_mark = options.hard_cap = 1 << 20;
  ConnectionState state(options, origin);
  state.send(bytes("first"));
  const Bytes under_way = state.unsent();
  for (int i = 0; i < 1000; ++i)
    state.send(bytes("and more, and more"));
  CHECK(state.unsent().data() == under_way.data());
  CHECK(text(under_way) == "first");
  state.sent(2, origin);
  state.send(bytes("last"));
  CHECK(state.unsent().data() == under_way.data() + 2);
  CHECK(text(state.unsent()) == "rst");
}

TEST_CASE("connection_state: a failure leaves in place what is with the system, and offers no more of it") {
  const Options options = small();
  for (const Step step : {Step::close, Step::reset}) {
    ConnectionState state(options, origin);
    state.send(bytes("abc"));
    const Bytes under_way = state.unsent();
    state.send(bytes("def"));
    state.failed(CloseReason::reset, no_error, step);
    CHECK(state.unsent().empty());
    CHECK(state.unsent_bytes() == 0);
    CHECK_FALSE(state.wants_send());
    state.sent(3, origin);  // the completion comes all the same
    CHECK(text(under_way) == "abc");
    CHECK(state.next() == step);
  }
}

TEST_CASE("connection_state: where the options say so, a congested connection is read on") {
  Options options = small();
  options.read_when_congested = true;
  ConnectionState state(options, origin);
  CHECK(state.send(bytes("0123456789a")) == SendResult::congested);
  CHECK(state.wants_receive());
  state.pause();
  CHECK_FALSE(state.wants_receive());
}

TEST_CASE(
    "connection_state: above the high mark `congested`, and the peer is not read, down to the low mark") {
  const Options options = small();
  ConnectionState state(options, origin);
  CHECK(state.send(bytes("0123456789")) == SendResult::queued);  // at the mark is not above it
  CHECK(state.wants_receive());
  CHECK(state.send(bytes("a")) == SendResult::congested);
  CHECK_FALSE(state.wants_receive());

  state.unsent();
  state.sent(6, origin);  // 5 left: one above the low mark
  CHECK_FALSE(state.wants_receive());
  CHECK(state.due() == Due::nothing);
  CHECK(state.send({}) == SendResult::congested);

  state.unsent();
  state.sent(1, origin);
  CHECK(state.wants_receive());
  CHECK(state.due() == Due::drained);
  CHECK(state.send({}) == SendResult::queued);
}

TEST_CASE(
    "connection_state: a service that does not listen is read on, so that it sees the peer's FIN (SVC-08)") {
  const Options options = small();
  ConnectionState state(options, origin, false);
  CHECK(state.send(bytes("0123456789a")) == SendResult::congested);
  CHECK(state.wants_receive());
  state.pause();
  CHECK_FALSE(state.wants_receive());
  state.resume();
  state.peer_finished(origin);
  CHECK_FALSE(state.wants_receive());
  CHECK(state.due() == Due::end);
}

TEST_CASE("connection_state: on_drained is owed once for each time the high mark was crossed") {
  const Options options = small();
  ConnectionState state(options, origin);
  state.send(bytes("0123456789"));
  flush(state, origin);
  CHECK(state.due() == Due::nothing);  // never congested
  for (int crossing = 0; crossing < 2; ++crossing) {
    state.send(bytes("0123456789a"));
    state.send(bytes("b"));
    state.unsent();
    state.sent(9, origin);
    CHECK(state.due() == Due::drained);
    CHECK(state.wants_send());  // or the model would not come back to tell it
    state.take_due(Due::drained);
    CHECK(state.due() == Due::nothing);
    flush(state, origin);
    CHECK(state.due() == Due::nothing);
  }
}

TEST_CASE("connection_state: the hard cap is the most that is queued; a send above it takes nothing") {
  const Options options = small();
  ConnectionState state(options, origin);
  CHECK(state.send(bytes("0123456789abcdef")) == SendResult::congested);
  CHECK(state.send(bytes("12345")) == SendResult::full);
  CHECK(state.unsent_bytes() == 16);
  CHECK(state.send(bytes("1234")) == SendResult::congested);
  CHECK(state.send(bytes("x")) == SendResult::full);
  state.unsent();
  state.sent(1, origin);
  CHECK(state.send(bytes("yz")) == SendResult::full);
  CHECK(state.send(bytes("y")) == SendResult::congested);
  CHECK(flush(state, origin) == "123456789abcdef1234y");
}

TEST_CASE(
    "connection_state: what another thread was promised a place for is taken, whatever the cap says by "
    "then") {
  const Options options = small();
  ConnectionState state(options, origin);
  state.send(bytes("0123456789abcdefghij"));
  state.send_promised(bytes("kept"), false);
  CHECK(flush(state, origin) == "0123456789abcdefghijkept");
  CHECK(state.due() == Due::drained);
}

TEST_CASE(
    "connection_state: after `congested` an on_drained is owed, though the queue has emptied "
    "meanwhile") {
  const Options options = small();
  ConnectionState state(options, origin);
  state.send_promised(bytes("abcdef"), true);
  CHECK_FALSE(state.wants_receive());
  CHECK(state.send({}) == SendResult::congested);
  state.unsent();
  state.sent(1, origin);
  CHECK(state.due() == Due::nothing);
  state.sent(1, origin);
  CHECK(state.due() == Due::drained);
}

// ---- receiving, pause, the peer's FIN: contract 7, 8 ---------------------------------------------------

TEST_CASE(
    "connection_state: what comes is handed on at once; while paused it is kept, in order, for after "
    "resume") {
  const Options options = small();
  ConnectionState state(options, origin);
  CHECK(state.received(bytes("a"), origin));
  state.pause();
  CHECK_FALSE(state.wants_receive());
  CHECK_FALSE(state.received(bytes("b"), origin));  // a completion posted before the pause
  CHECK_FALSE(state.received(bytes("c"), origin));
  CHECK(state.due() == Due::nothing);
  state.resume();
  CHECK(state.wants_receive());
  CHECK(state.due() == Due::receive);
  CHECK_FALSE(state.received(bytes("d"), origin));  // behind what is kept
  state.pause();
  CHECK(state.due() == Due::nothing);
  state.resume();
  CHECK(text(state.take_kept()) == "bcd");
  CHECK(state.due() == Due::nothing);
  CHECK(state.received(bytes("e"), origin));
}

TEST_CASE(
    "connection_state: a pause holds up receiving only: the queue still empties and on_drained still comes") {
  const Options options = small();
  ConnectionState state(options, origin);
  state.send(bytes("0123456789a"));
  state.pause();
  CHECK(flush(state, origin) == "0123456789a");
  CHECK(state.due() == Due::drained);
}

TEST_CASE("connection_state: the end is told after the bytes that are kept, not while paused, and once") {
  const Options options = small();
  ConnectionState state(options, origin);
  state.pause();
  state.received(bytes("last"), origin);
  state.peer_finished(origin);
  CHECK_FALSE(state.wants_receive());
  CHECK(state.due() == Due::nothing);
  state.resume();
  CHECK_FALSE(state.wants_receive());
  CHECK(state.due() == Due::receive);
  CHECK(text(state.take_kept()) == "last");
  state.pause();  // by on_receive
  CHECK(state.due() == Due::nothing);
  state.resume();
  CHECK(state.due() == Due::end);
  state.take_due(Due::end);
  CHECK(state.due() == Due::nothing);
  CHECK(state.next() == Step::serve);  // half-closed: an on_end that does not close may go on sending
}

TEST_CASE("connection_state: the peer's FIN discards nothing of what is queued") {
  const Options options = small();
  ConnectionState state(options, origin);
  state.send(bytes("answer"));
  state.peer_finished(origin);
  state.take_due(state.due());
  CHECK(state.send(bytes(", and more")) == SendResult::congested);
  state.close();
  CHECK(state.next() == Step::serve);
  CHECK(flush(state, origin) == "answer, and more");
  CHECK(state.next() == Step::close);  // the peer's FIN is there already: the close sends ours
  CHECK(state.reason() == CloseReason::peer);
}

// ---- the close in order: contract 6 --------------------------------------------------------------------

TEST_CASE("connection_state: close() sends all that is queued, then FIN, then waits for the peer's") {
  const Options options = small();
  ConnectionState state(options, origin);
  state.send(bytes("bye"));
  state.close();
  CHECK_FALSE(state.open());
  CHECK(state.next() == Step::serve);
  CHECK(state.send(bytes("x")) == SendResult::gone);
  state.send_promised(bytes("y"), false);
  CHECK(flush(state, origin) == "byey");
  CHECK(state.next() == Step::shut_down);
  state.shut_down(origin);
  CHECK(state.next() == Step::serve);
  CHECK(state.wants_receive());
  CHECK_FALSE(state.ended());
  CHECK_FALSE(state.received(bytes("unread"), origin));  // read, and dropped
  CHECK(state.next() == Step::serve);
  state.peer_finished(origin);
  CHECK(state.next() == Step::close);
  CHECK(state.reason() == CloseReason::local);
}

TEST_CASE(
    "connection_state: a closing connection goes on being read, so that unread input makes no reset "
    "(CLOSE-02)") {
  const Options options = small();
  ConnectionState state(options, origin);
  state.send(bytes("0123456789a"));
  state.pause();
  CHECK_FALSE(state.wants_receive());
  state.close();
  CHECK(state.wants_receive());  // neither the pause nor the full queue stops it
  CHECK_FALSE(state.received(bytes("x"), origin));
}

TEST_CASE("connection_state: after close() no callback but on_close comes") {
  const Options options = small();
  ConnectionState state(options, origin);
  state.send(bytes("0123456789a"));
  state.pause();
  state.received(bytes("kept"), origin);
  state.close();
  state.resume();
  CHECK(state.due() == Due::nothing);
  CHECK_FALSE(state.received(bytes("x"), origin));
  flush(state, origin);
  state.peer_finished(origin);
  CHECK(state.due() == Due::nothing);
  state.shut_down(origin);
  CHECK(state.due() == Due::nothing);
  CHECK(state.next() == Step::close);
}

TEST_CASE(
    "connection_state: a FIN without a wait ends it; so does close_timeout, whatever arrives meanwhile") {
  const Options options = small();
  ConnectionState at_once(options, origin);
  at_once.close_for(CloseReason::stopping);
  at_once.shut_down(origin);
  at_once.stop_lingering();
  CHECK(at_once.next() == Step::close);
  CHECK(at_once.reason() == CloseReason::stopping);

  ConnectionState state(options, origin);
  state.close();
  state.shut_down(origin + 5ms);
  CHECK(state.deadline() == origin + 25ms);
  state.received(bytes("chatter"), origin + 24ms);
  CHECK(state.deadline() == origin + 25ms);
  state.expired(0, origin + 25ms - 1ns);
  CHECK(state.next() == Step::serve);
  state.expired(0, origin + 25ms);
  CHECK(state.next() == Step::close);
  CHECK(state.reason() == CloseReason::local);
  CHECK(state.deadline() == Time::max());
}

TEST_CASE("connection_state: abort() resets, drops the queue and everything owed") {
  const Options options = small();
  ConnectionState state(options, origin);
  state.send(bytes("abc"));
  state.peer_finished(origin);
  state.abort();
  CHECK(state.next() == Step::reset);
  CHECK(state.reason() == CloseReason::local);
  CHECK(state.unsent().empty());
  CHECK(state.due() == Due::nothing);
  CHECK(state.send(bytes("x")) == SendResult::gone);
  CHECK(state.deadline() == Time::max());
  CHECK_FALSE(state.wants_receive());
}

TEST_CASE("connection_state: the reason is the first cause that cost something") {
  const Options options = small();
  const std::error_code reset{static_cast<int>(std::errc::connection_reset), std::system_category()};
  ConnectionState state(options, origin);

  SUBCASE("close() alone") {
    state.close();
    CHECK(state.reason() == CloseReason::local);
  }
  SUBCASE("close() after the peer's FIN") {
    state.peer_finished(origin);
    state.close();
    CHECK(state.reason() == CloseReason::peer);
  }
  SUBCASE("close(), and only then the peer's FIN") {
    state.close();
    state.peer_finished(origin);
    CHECK(state.reason() == CloseReason::local);
  }
  SUBCASE("a stop of one that is closing already changes nothing") {
    state.close();
    state.close_for(CloseReason::stopping);
    CHECK(state.reason() == CloseReason::local);
  }
  SUBCASE("a reset while open") {
    state.failed(CloseReason::reset, reset, Step::close);
    CHECK(state.reason() == CloseReason::reset);
    CHECK(state.error() == reset);
    state.failed(CloseReason::exception, no_error, Step::reset);  // the second failure
    CHECK(state.reason() == CloseReason::reset);
    CHECK(state.next() == Step::close);
  }
  SUBCASE("a reset while the queue is still being sent eats the tail") {
    state.send(bytes("tail"));
    state.close();
    state.failed(CloseReason::reset, reset, Step::close);
    CHECK(state.reason() == CloseReason::reset);
  }
  SUBCASE("a reset after our FIN costs nothing") {
    state.close();
    state.shut_down(origin);
    state.failed(CloseReason::reset, reset, Step::close);
    CHECK(state.reason() == CloseReason::local);
    CHECK(state.next() == Step::close);
  }
  SUBCASE("nor does a stop that resets it then") {
    state.close();
    state.shut_down(origin);
    state.failed(CloseReason::stopping, no_error, Step::reset);
    CHECK(state.reason() == CloseReason::local);
    CHECK(state.next() == Step::reset);
  }
}

// ---- time: contract 9, and what idle means -------------------------------------------------------------

TEST_CASE(
    "connection_state: idle_timeout runs from the last byte, either way, and not while something is queued") {
  Options options = small();
  options.idle_timeout = 50ms;
  ConnectionState state(options, origin);
  CHECK(state.deadline() == origin + 50ms);
  state.received(bytes("a"), origin + 10ms);
  CHECK(state.deadline() == origin + 60ms);
  state.send(bytes("b"));
  CHECK(state.deadline() == Time::max());  // that is the write timeout's business
  state.unsent();
  state.sent(1, origin + 20ms);
  CHECK(state.deadline() == origin + 70ms);
  state.peer_finished(origin + 30ms);
  CHECK(state.deadline() == origin + 80ms);
  state.expired(0, origin + 80ms - 1ns);
  CHECK(state.next() == Step::serve);
  state.expired(0, origin + 80ms);
  CHECK(state.next() == Step::close);  // FIN, without a wait for the peer's
  CHECK(state.reason() == CloseReason::idle_timeout);
}

TEST_CASE("connection_state: a peer that goes on taking what the system holds for it is not idle") {
  Options options = small();
  options.idle_timeout = 50ms;
  ConnectionState state(options, origin);
  state.send(bytes("abc"));
  flush(state, origin);  // the system has taken all three; the peer takes them one by one
  CHECK(state.deadline() == origin + 50ms);
  state.acknowledged(1, origin + 40ms);
  state.expired(1, origin + 50ms);
  CHECK(state.next() == Step::serve);
  CHECK(state.deadline() == origin + 90ms);
  state.acknowledged(1, origin + 85ms);  // no more than at the last look
  CHECK(state.deadline() == origin + 90ms);
  state.expired(1, origin + 90ms);
  CHECK(state.next() == Step::close);
  CHECK(state.reason() == CloseReason::idle_timeout);
}

TEST_CASE("connection_state: write_timeout runs from the first refusal, and each byte taken ends it") {
  const Options options = small();
  ConnectionState state(options, origin);
  state.send(bytes("abcdef"));
  state.unsent();
  CHECK(state.deadline() == Time::max());
  state.blocked(0, origin);
  CHECK(state.deadline() <= origin + 30ms);
  state.blocked(0, origin + 29ms);  // still the same refusal
  state.expired(0, origin + 29ms);
  CHECK(state.deadline() == origin + 30ms);
  state.sent(1, origin + 29ms);
  CHECK(state.deadline() == Time::max());
  state.blocked(0, origin + 29ms);
  state.close();  // what is queued still has to go
  state.expired(0, origin + 58ms);
  CHECK(state.deadline() == origin + 59ms);
  state.expired(0, origin + 59ms - 1ns);
  CHECK(state.next() == Step::serve);
  state.expired(0, origin + 59ms);
  CHECK(state.next() == Step::reset);
  CHECK(state.reason() == CloseReason::write_timeout);
}

TEST_CASE(
    "connection_state: a peer that acknowledges is not stalled, though the system takes nothing yet "
    "(BP-06)") {
  const Options options = small();
  ConnectionState state(options, origin);
  state.send(bytes("0123456789"));
  state.unsent();
  state.sent(8, origin);
  state.blocked(100, origin);
  state.expired(101, origin + 31ms);  // one byte in all the time
  CHECK(state.next() == Step::serve);
  state.expired(101, origin + 60ms);  // and then none
  CHECK(state.deadline() == origin + 61ms);
  state.expired(101, origin + 61ms);
  CHECK(state.next() == Step::reset);
  CHECK(state.reason() == CloseReason::write_timeout);
}

TEST_CASE("connection_state: what was unacknowledged when the refusal came is no progress (BP-08)") {
  const Options options = small();
  ConnectionState state(options, origin);
  state.send(bytes("ab"));
  flush(state, origin);  // the queue is gone, and both bytes are still unacknowledged
  state.send(bytes("cd"));
  state.unsent();
  SUBCASE("nothing moves") {
    state.blocked(7, origin);
    state.expired(7, origin + 30ms);
    CHECK(state.next() == Step::reset);
  }
  SUBCASE("the older bytes are acknowledged: that is progress") {
    state.blocked(7, origin);
    state.expired(8, origin + 30ms);
    CHECK(state.next() == Step::serve);
    state.expired(8, origin + 60ms);
    CHECK(state.next() == Step::reset);
  }
  SUBCASE("they are acknowledged a moment later: no second timeout for that") {
    state.blocked(7, origin);
    Time now = origin;
    while (state.next() == Step::serve)
      state.expired(8, now = state.deadline());
    CHECK(now >= origin + 30ms);
    CHECK(now <= origin + 38ms);  // a quarter is how often the peer is looked at
  }
}

TEST_CASE(
    "connection_state: a refusal is forgotten with the queue, also by the next connection of this thread") {
  const Options options = small();
  {
    ConnectionState state(options, origin);
    state.send(bytes("abc"));
    state.unsent();
    state.blocked(0, origin);
    flush(state, origin);
  }
  ConnectionState state(options, origin);
  state.send(bytes("def"));
  CHECK(state.deadline() == Time::max());
  CHECK(flush(state, origin) == "def");
}

TEST_CASE("connection_state: a deadline of the service's own, beside the others; the last call counts") {
  Options options = small();
  options.idle_timeout = 50ms;
  ConnectionState state(options, origin);
  state.expire_at(origin + 5ms);
  state.expire_at(origin + 10ms);
  state.received(bytes("slow header"), origin + 9ms);  // a total, not per read
  CHECK(state.deadline() == origin + 10ms);
  SUBCASE("it passes: closed as an idle one") {
    state.expired(0, origin + 10ms);
    CHECK(state.next() == Step::close);
    CHECK(state.reason() == CloseReason::idle_timeout);
  }
  SUBCASE("it passes while an answer is queued: a FIN would lie about the tail") {
    state.send(bytes("answer"));
    state.expired(0, origin + 10ms);
    CHECK(state.next() == Step::reset);
    CHECK(state.reason() == CloseReason::idle_timeout);
  }
  SUBCASE("the idle timeout comes first") {
    state.expire_at(origin + 1h);
    CHECK(state.deadline() == origin + 59ms);
  }
  SUBCASE("taken back") {
    state.expire_at(Time::max());
    CHECK(state.deadline() == origin + 59ms);
  }
  SUBCASE("close() ends it, and takes no new one") {
    state.close();
    state.expire_at(origin + 11ms);
    CHECK(state.deadline() == Time::max());
    state.shut_down(origin);
    state.expire_at(origin + 11ms);
    CHECK(state.deadline() == origin + 20ms);
  }
}

TEST_CASE("connection_state: a timeout of 0 is none") {
  Options options = small();
  options.write_timeout = options.close_timeout = 0ms;
  ConnectionState state(options, origin);
  CHECK(state.deadline() == Time::max());
  state.send(bytes("abc"));
  state.unsent();
  state.blocked(0, origin);
  CHECK(state.deadline() == Time::max());
  state.expired(0, origin + 24h);
  CHECK(state.next() == Step::serve);
  state.close();
  flush(state, origin);
  state.shut_down(origin);
  CHECK(state.deadline() == Time::max());
}

TEST_CASE("connection_state: the longest timeout is no short one") {
  Options options = small();
  options.idle_timeout = options.write_timeout = options.close_timeout = Milliseconds::max();
  const Time later = origin + std::chrono::years{50};
  ConnectionState state(options, origin);
  CHECK(state.deadline() > later);
  state.send(bytes("abc"));
  state.unsent();
  state.blocked(0, origin);
  CHECK(state.deadline() > later);
  state.close();
  flush(state, origin);
  state.shut_down(origin);
  CHECK(state.deadline() > later);
}
