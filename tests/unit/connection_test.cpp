// One connection's accounting (common/connection.h): an example for each rule of the contract. Random
// histories of it are in connection_histories_test.cpp.
#include "common/connection.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include "common/server.h"

using namespace ladder;
using namespace std::chrono_literals;

namespace {

Bytes bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

std::string text(Bytes bytes) {
  std::string result;
  for (const std::byte byte : bytes)
    result += static_cast<char>(byte);
  return result;
}

constexpr Time start{1h};
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
std::string flush(Ledger& ledger, Time now) {
  std::string taken;
  for (Bytes next = ledger.unsent(); !next.empty(); next = ledger.unsent()) {
    taken += text(next);
    ledger.sent(next.size(), now);
    REQUIRE(taken.size() < 1000);  // it comes to an end
  }
  return taken;
}

}  // namespace

// ---- sending: contract 4, 8, 9 -------------------------------------------------------------------------

TEST_CASE("ledger: bytes leave in the order of the sends, however the system cuts them") {
  const Options options = small();
  Ledger ledger(options, start);
  CHECK_FALSE(ledger.wants_send());
  CHECK(ledger.send(bytes("abc")) == SendResult::queued);
  CHECK(ledger.wants_send());
  CHECK(text(ledger.unsent()) == "abc");
  ledger.sent(1, start);
  ledger.send_promised(bytes("de"), false);
  CHECK(ledger.send({}) == SendResult::queued);
  CHECK(ledger.unsent_bytes() == 4);
  CHECK(flush(ledger, start) == "bcde");
  CHECK_FALSE(ledger.wants_send());
}

TEST_CASE("ledger: bytes that are with the system do not move while more is queued behind them") {
  Options options = small();
  options.high_mark = options.hard_cap = 1 << 20;
  Ledger ledger(options, start);
  ledger.send(bytes("first"));
  const Bytes under_way = ledger.unsent();
  for (int i = 0; i < 1000; ++i)
    ledger.send(bytes("and more, and more"));
  CHECK(ledger.unsent().data() == under_way.data());
  CHECK(text(under_way) == "first");
  ledger.sent(2, start);
  ledger.send(bytes("last"));
  CHECK(ledger.unsent().data() == under_way.data() + 2);
  CHECK(text(ledger.unsent()) == "rst");
}

TEST_CASE("ledger: a failure leaves in place what is with the system, and offers no more of it") {
  const Options options = small();
  for (const Step step : {Step::close, Step::reset}) {
    Ledger ledger(options, start);
    ledger.send(bytes("abc"));
    const Bytes under_way = ledger.unsent();
    ledger.send(bytes("def"));
    ledger.failed(CloseReason::reset, no_error, step);
    CHECK(ledger.unsent().empty());
    CHECK(ledger.unsent_bytes() == 0);
    CHECK_FALSE(ledger.wants_send());
    ledger.sent(3, start);  // the completion comes all the same
    CHECK(text(under_way) == "abc");
    CHECK(ledger.next() == step);
  }
}

TEST_CASE("ledger: above the high mark `congested`, and the peer is not read, down to the low mark") {
  const Options options = small();
  Ledger ledger(options, start);
  CHECK(ledger.send(bytes("0123456789")) == SendResult::queued);  // at the mark is not above it
  CHECK(ledger.wants_receive());
  CHECK(ledger.send(bytes("a")) == SendResult::congested);
  CHECK_FALSE(ledger.wants_receive());

  ledger.unsent();
  ledger.sent(6, start);  // 5 left: one above the low mark
  CHECK_FALSE(ledger.wants_receive());
  CHECK(ledger.due() == Due::nothing);
  CHECK(ledger.send({}) == SendResult::congested);

  ledger.unsent();
  ledger.sent(1, start);
  CHECK(ledger.wants_receive());
  CHECK(ledger.due() == Due::drained);
  CHECK(ledger.send({}) == SendResult::queued);
}

TEST_CASE("ledger: a service that does not listen is read on, so that it sees the peer's FIN (SVC-08)") {
  const Options options = small();
  Ledger ledger(options, start, false);
  CHECK(ledger.send(bytes("0123456789a")) == SendResult::congested);
  CHECK(ledger.wants_receive());
  ledger.pause();
  CHECK_FALSE(ledger.wants_receive());
  ledger.resume();
  ledger.peer_finished(start);
  CHECK_FALSE(ledger.wants_receive());
  CHECK(ledger.due() == Due::end);
}

TEST_CASE("ledger: on_drained is owed once for each time the high mark was crossed") {
  const Options options = small();
  Ledger ledger(options, start);
  ledger.send(bytes("0123456789"));
  flush(ledger, start);
  CHECK(ledger.due() == Due::nothing);  // never congested
  for (int crossing = 0; crossing < 2; ++crossing) {
    ledger.send(bytes("0123456789a"));
    ledger.send(bytes("b"));
    ledger.unsent();
    ledger.sent(9, start);
    CHECK(ledger.due() == Due::drained);
    CHECK(ledger.wants_send());  // or the model would not come back to tell it
    ledger.take_due(Due::drained);
    CHECK(ledger.due() == Due::nothing);
    flush(ledger, start);
    CHECK(ledger.due() == Due::nothing);
  }
}

TEST_CASE("ledger: the hard cap is the most that is queued; a send above it takes nothing") {
  const Options options = small();
  Ledger ledger(options, start);
  CHECK(ledger.send(bytes("0123456789abcdef")) == SendResult::congested);
  CHECK(ledger.send(bytes("12345")) == SendResult::full);
  CHECK(ledger.unsent_bytes() == 16);
  CHECK(ledger.send(bytes("1234")) == SendResult::congested);
  CHECK(ledger.send(bytes("x")) == SendResult::full);
  ledger.unsent();
  ledger.sent(1, start);
  CHECK(ledger.send(bytes("yz")) == SendResult::full);
  CHECK(ledger.send(bytes("y")) == SendResult::congested);
  CHECK(flush(ledger, start) == "123456789abcdef1234y");
}

TEST_CASE("ledger: what another thread was promised a place for is taken, whatever the cap says by then") {
  const Options options = small();
  Ledger ledger(options, start);
  ledger.send(bytes("0123456789abcdefghij"));
  ledger.send_promised(bytes("kept"), false);
  CHECK(flush(ledger, start) == "0123456789abcdefghijkept");
  CHECK(ledger.due() == Due::drained);
}

TEST_CASE("ledger: who was told `congested` is owed an on_drained, though the queue has emptied meanwhile") {
  const Options options = small();
  Ledger ledger(options, start);
  ledger.send_promised(bytes("abcdef"), true);
  CHECK_FALSE(ledger.wants_receive());
  CHECK(ledger.send({}) == SendResult::congested);
  ledger.unsent();
  ledger.sent(1, start);
  CHECK(ledger.due() == Due::nothing);
  ledger.sent(1, start);
  CHECK(ledger.due() == Due::drained);
}

// ---- receiving, pause, the peer's FIN: contract 7, 8 ---------------------------------------------------

TEST_CASE("ledger: what comes is handed on at once; while paused it is kept, in order, for after resume") {
  const Options options = small();
  Ledger ledger(options, start);
  CHECK(ledger.received(bytes("a"), start));
  ledger.pause();
  CHECK_FALSE(ledger.wants_receive());
  CHECK_FALSE(ledger.received(bytes("b"), start));  // a completion posted before the pause
  CHECK_FALSE(ledger.received(bytes("c"), start));
  CHECK(ledger.due() == Due::nothing);
  ledger.resume();
  CHECK(ledger.wants_receive());
  CHECK(ledger.due() == Due::receive);
  CHECK_FALSE(ledger.received(bytes("d"), start));  // behind what is kept
  ledger.pause();
  CHECK(ledger.due() == Due::nothing);
  ledger.resume();
  CHECK(text(ledger.take_kept()) == "bcd");
  CHECK(ledger.due() == Due::nothing);
  CHECK(ledger.received(bytes("e"), start));
}

TEST_CASE("ledger: a pause holds up receiving only: the queue still empties and on_drained still comes") {
  const Options options = small();
  Ledger ledger(options, start);
  ledger.send(bytes("0123456789a"));
  ledger.pause();
  CHECK(flush(ledger, start) == "0123456789a");
  CHECK(ledger.due() == Due::drained);
}

TEST_CASE("ledger: the end is told after the bytes that are kept, not while paused, and once") {
  const Options options = small();
  Ledger ledger(options, start);
  ledger.pause();
  ledger.received(bytes("last"), start);
  ledger.peer_finished(start);
  CHECK_FALSE(ledger.wants_receive());
  CHECK(ledger.due() == Due::nothing);
  ledger.resume();
  CHECK_FALSE(ledger.wants_receive());
  CHECK(ledger.due() == Due::receive);
  CHECK(text(ledger.take_kept()) == "last");
  ledger.pause();  // by on_receive
  CHECK(ledger.due() == Due::nothing);
  ledger.resume();
  CHECK(ledger.due() == Due::end);
  ledger.take_due(Due::end);
  CHECK(ledger.due() == Due::nothing);
  CHECK(ledger.next() == Step::serve);  // half-closed: an on_end that does not close may go on sending
}

TEST_CASE("ledger: the peer's FIN discards nothing of what is queued") {
  const Options options = small();
  Ledger ledger(options, start);
  ledger.send(bytes("answer"));
  ledger.peer_finished(start);
  ledger.take_due(ledger.due());
  CHECK(ledger.send(bytes(", and more")) == SendResult::congested);
  ledger.close();
  CHECK(ledger.next() == Step::serve);
  CHECK(flush(ledger, start) == "answer, and more");
  CHECK(ledger.next() == Step::close);  // the peer's FIN is there already: the close sends ours
  CHECK(ledger.reason() == CloseReason::peer);
}

// ---- the close in order: contract 6 --------------------------------------------------------------------

TEST_CASE("ledger: close() sends all that is queued, then FIN, then waits for the peer's") {
  const Options options = small();
  Ledger ledger(options, start);
  ledger.send(bytes("bye"));
  ledger.close();
  CHECK_FALSE(ledger.open());
  CHECK(ledger.next() == Step::serve);
  CHECK(ledger.send(bytes("x")) == SendResult::gone);
  ledger.send_promised(bytes("y"), false);
  CHECK(flush(ledger, start) == "byey");
  CHECK(ledger.next() == Step::shut_down);
  ledger.shut_down(start);
  CHECK(ledger.next() == Step::serve);
  CHECK(ledger.wants_receive());
  CHECK_FALSE(ledger.ended());
  CHECK_FALSE(ledger.received(bytes("unread"), start));  // read, and dropped
  CHECK(ledger.next() == Step::serve);
  ledger.peer_finished(start);
  CHECK(ledger.next() == Step::close);
  CHECK(ledger.reason() == CloseReason::local);
}

TEST_CASE("ledger: a closing connection goes on being read, so that unread input makes no reset (CLOSE-02)") {
  const Options options = small();
  Ledger ledger(options, start);
  ledger.send(bytes("0123456789a"));
  ledger.pause();
  CHECK_FALSE(ledger.wants_receive());
  ledger.close();
  CHECK(ledger.wants_receive());  // neither the pause nor the full queue stops it
  CHECK_FALSE(ledger.received(bytes("x"), start));
}

TEST_CASE("ledger: after close() no callback but on_close comes") {
  const Options options = small();
  Ledger ledger(options, start);
  ledger.send(bytes("0123456789a"));
  ledger.pause();
  ledger.received(bytes("kept"), start);
  ledger.close();
  ledger.resume();
  CHECK(ledger.due() == Due::nothing);
  CHECK_FALSE(ledger.received(bytes("x"), start));
  flush(ledger, start);
  ledger.peer_finished(start);
  CHECK(ledger.due() == Due::nothing);
  ledger.shut_down(start);
  CHECK(ledger.due() == Due::nothing);
  CHECK(ledger.next() == Step::close);
}

TEST_CASE("ledger: a FIN without a wait ends it; so does close_timeout, whatever arrives meanwhile") {
  const Options options = small();
  Ledger at_once(options, start);
  at_once.finish(CloseReason::stopping);
  at_once.shut_down(start);
  at_once.stop_lingering();
  CHECK(at_once.next() == Step::close);
  CHECK(at_once.reason() == CloseReason::stopping);

  Ledger ledger(options, start);
  ledger.close();
  ledger.shut_down(start + 5ms);
  CHECK(ledger.deadline() == start + 25ms);
  ledger.received(bytes("chatter"), start + 24ms);
  CHECK(ledger.deadline() == start + 25ms);
  ledger.expired(0, start + 25ms - 1ns);
  CHECK(ledger.next() == Step::serve);
  ledger.expired(0, start + 25ms);
  CHECK(ledger.next() == Step::close);
  CHECK(ledger.reason() == CloseReason::local);
  CHECK(ledger.deadline() == Time::max());
}

TEST_CASE("ledger: abort() resets, drops the queue and everything owed") {
  const Options options = small();
  Ledger ledger(options, start);
  ledger.send(bytes("abc"));
  ledger.peer_finished(start);
  ledger.abort();
  CHECK(ledger.next() == Step::reset);
  CHECK(ledger.reason() == CloseReason::local);
  CHECK(ledger.unsent().empty());
  CHECK(ledger.due() == Due::nothing);
  CHECK(ledger.send(bytes("x")) == SendResult::gone);
  CHECK(ledger.deadline() == Time::max());
  CHECK_FALSE(ledger.wants_receive());
}

TEST_CASE("ledger: the reason is the first cause that cost something") {
  const Options options = small();
  const std::error_code reset{static_cast<int>(std::errc::connection_reset), std::system_category()};
  Ledger ledger(options, start);

  SUBCASE("close() alone") {
    ledger.close();
    CHECK(ledger.reason() == CloseReason::local);
  }
  SUBCASE("close() after the peer's FIN") {
    ledger.peer_finished(start);
    ledger.close();
    CHECK(ledger.reason() == CloseReason::peer);
  }
  SUBCASE("close(), and only then the peer's FIN") {
    ledger.close();
    ledger.peer_finished(start);
    CHECK(ledger.reason() == CloseReason::local);
  }
  SUBCASE("a stop of one that is closing already changes nothing") {
    ledger.close();
    ledger.finish(CloseReason::stopping);
    CHECK(ledger.reason() == CloseReason::local);
  }
  SUBCASE("a reset while open") {
    ledger.failed(CloseReason::reset, reset, Step::close);
    CHECK(ledger.reason() == CloseReason::reset);
    CHECK(ledger.error() == reset);
    ledger.failed(CloseReason::exception, no_error, Step::reset);  // the second failure
    CHECK(ledger.reason() == CloseReason::reset);
    CHECK(ledger.next() == Step::close);
  }
  SUBCASE("a reset while the queue is still being sent eats the tail") {
    ledger.send(bytes("tail"));
    ledger.close();
    ledger.failed(CloseReason::reset, reset, Step::close);
    CHECK(ledger.reason() == CloseReason::reset);
  }
  SUBCASE("a reset after our FIN costs nothing") {
    ledger.close();
    ledger.shut_down(start);
    ledger.failed(CloseReason::reset, reset, Step::close);
    CHECK(ledger.reason() == CloseReason::local);
    CHECK(ledger.next() == Step::close);
  }
  SUBCASE("nor does a stop that resets it then") {
    ledger.close();
    ledger.shut_down(start);
    ledger.failed(CloseReason::stopping, no_error, Step::reset);
    CHECK(ledger.reason() == CloseReason::local);
    CHECK(ledger.next() == Step::reset);
  }
}

// ---- time: contract 9, and what idle means -------------------------------------------------------------

TEST_CASE("ledger: idle_timeout runs from the last byte, either way, and not while something is queued") {
  Options options = small();
  options.idle_timeout = 50ms;
  Ledger ledger(options, start);
  CHECK(ledger.deadline() == start + 50ms);
  ledger.received(bytes("a"), start + 10ms);
  CHECK(ledger.deadline() == start + 60ms);
  ledger.send(bytes("b"));
  CHECK(ledger.deadline() == Time::max());  // that is the write timeout's business
  ledger.unsent();
  ledger.sent(1, start + 20ms);
  CHECK(ledger.deadline() == start + 70ms);
  ledger.peer_finished(start + 30ms);
  CHECK(ledger.deadline() == start + 80ms);
  ledger.expired(0, start + 80ms - 1ns);
  CHECK(ledger.next() == Step::serve);
  ledger.expired(0, start + 80ms);
  CHECK(ledger.next() == Step::close);  // FIN, without a wait for the peer's
  CHECK(ledger.reason() == CloseReason::idle_timeout);
}

TEST_CASE("ledger: a peer that goes on taking what the system holds for it is not idle") {
  Options options = small();
  options.idle_timeout = 50ms;
  Ledger ledger(options, start);
  ledger.send(bytes("abc"));
  flush(ledger, start);  // the system has taken all three; the peer takes them one by one
  CHECK(ledger.deadline() == start + 50ms);
  ledger.acknowledged(1, start + 40ms);
  ledger.expired(1, start + 50ms);
  CHECK(ledger.next() == Step::serve);
  CHECK(ledger.deadline() == start + 90ms);
  ledger.acknowledged(1, start + 85ms);  // no more than at the last look
  CHECK(ledger.deadline() == start + 90ms);
  ledger.expired(1, start + 90ms);
  CHECK(ledger.next() == Step::close);
  CHECK(ledger.reason() == CloseReason::idle_timeout);
}

TEST_CASE("ledger: write_timeout runs from the first refusal, and each byte taken ends it") {
  const Options options = small();
  Ledger ledger(options, start);
  ledger.send(bytes("abcdef"));
  ledger.unsent();
  CHECK(ledger.deadline() == Time::max());
  ledger.blocked(0, start);
  CHECK(ledger.deadline() <= start + 30ms);
  ledger.blocked(0, start + 29ms);  // still the same refusal
  ledger.expired(0, start + 29ms);
  CHECK(ledger.deadline() == start + 30ms);
  ledger.sent(1, start + 29ms);
  CHECK(ledger.deadline() == Time::max());
  ledger.blocked(0, start + 29ms);
  ledger.close();  // what is queued still has to go
  ledger.expired(0, start + 58ms);
  CHECK(ledger.deadline() == start + 59ms);
  ledger.expired(0, start + 59ms - 1ns);
  CHECK(ledger.next() == Step::serve);
  ledger.expired(0, start + 59ms);
  CHECK(ledger.next() == Step::reset);
  CHECK(ledger.reason() == CloseReason::write_timeout);
}

TEST_CASE("ledger: a peer that acknowledges is not stalled, though the system takes nothing yet (BP-06)") {
  const Options options = small();
  Ledger ledger(options, start);
  ledger.send(bytes("0123456789"));
  ledger.unsent();
  ledger.sent(8, start);
  ledger.blocked(100, start);
  ledger.expired(101, start + 31ms);  // one byte in all the time
  CHECK(ledger.next() == Step::serve);
  ledger.expired(101, start + 60ms);  // and then none
  CHECK(ledger.deadline() == start + 61ms);
  ledger.expired(101, start + 61ms);
  CHECK(ledger.next() == Step::reset);
  CHECK(ledger.reason() == CloseReason::write_timeout);
}

TEST_CASE("ledger: what was unacknowledged when the refusal came is no progress (BP-08)") {
  const Options options = small();
  Ledger ledger(options, start);
  ledger.send(bytes("ab"));
  flush(ledger, start);  // the queue is gone, and both bytes are still unacknowledged
  ledger.send(bytes("cd"));
  ledger.unsent();
  SUBCASE("nothing moves") {
    ledger.blocked(7, start);
    ledger.expired(7, start + 30ms);
    CHECK(ledger.next() == Step::reset);
  }
  SUBCASE("the older bytes are acknowledged: that is progress") {
    ledger.blocked(7, start);
    ledger.expired(8, start + 30ms);
    CHECK(ledger.next() == Step::serve);
    ledger.expired(8, start + 60ms);
    CHECK(ledger.next() == Step::reset);
  }
  SUBCASE("they are acknowledged a moment later: no second timeout for that") {
    ledger.blocked(7, start);
    Time now = start;
    while (ledger.next() == Step::serve)
      ledger.expired(8, now = ledger.deadline());
    CHECK(now >= start + 30ms);
    CHECK(now <= start + 38ms);  // a quarter is how often the peer is looked at
  }
}

TEST_CASE("ledger: a refusal is forgotten with the queue, also by the next connection of this thread") {
  const Options options = small();
  {
    Ledger ledger(options, start);
    ledger.send(bytes("abc"));
    ledger.unsent();
    ledger.blocked(0, start);
    flush(ledger, start);
  }
  Ledger ledger(options, start);
  ledger.send(bytes("def"));
  CHECK(ledger.deadline() == Time::max());
  CHECK(flush(ledger, start) == "def");
}

TEST_CASE("ledger: a deadline of the service's own, beside the others; the last call counts") {
  Options options = small();
  options.idle_timeout = 50ms;
  Ledger ledger(options, start);
  ledger.expire_at(start + 5ms);
  ledger.expire_at(start + 10ms);
  ledger.received(bytes("slow header"), start + 9ms);  // a total, not per read
  CHECK(ledger.deadline() == start + 10ms);
  SUBCASE("it passes: closed as an idle one") {
    ledger.expired(0, start + 10ms);
    CHECK(ledger.next() == Step::close);
    CHECK(ledger.reason() == CloseReason::idle_timeout);
  }
  SUBCASE("it passes while an answer is queued: a FIN would lie about the tail") {
    ledger.send(bytes("answer"));
    ledger.expired(0, start + 10ms);
    CHECK(ledger.next() == Step::reset);
    CHECK(ledger.reason() == CloseReason::idle_timeout);
  }
  SUBCASE("the idle timeout comes first") {
    ledger.expire_at(start + 1h);
    CHECK(ledger.deadline() == start + 59ms);
  }
  SUBCASE("taken back") {
    ledger.expire_at(Time::max());
    CHECK(ledger.deadline() == start + 59ms);
  }
  SUBCASE("close() ends it, and takes no new one") {
    ledger.close();
    ledger.expire_at(start + 11ms);
    CHECK(ledger.deadline() == Time::max());
    ledger.shut_down(start);
    ledger.expire_at(start + 11ms);
    CHECK(ledger.deadline() == start + 20ms);
  }
}

TEST_CASE("ledger: a timeout of 0 is none") {
  Options options = small();
  options.write_timeout = options.close_timeout = 0ms;
  Ledger ledger(options, start);
  CHECK(ledger.deadline() == Time::max());
  ledger.send(bytes("abc"));
  ledger.unsent();
  ledger.blocked(0, start);
  CHECK(ledger.deadline() == Time::max());
  ledger.expired(0, start + 24h);
  CHECK(ledger.next() == Step::serve);
  ledger.close();
  flush(ledger, start);
  ledger.shut_down(start);
  CHECK(ledger.deadline() == Time::max());
}

TEST_CASE("ledger: the longest timeout is no short one") {
  Options options = small();
  options.idle_timeout = options.write_timeout = options.close_timeout = Milliseconds::max();
  const Time later = start + std::chrono::years{50};
  Ledger ledger(options, start);
  CHECK(ledger.deadline() > later);
  ledger.send(bytes("abc"));
  ledger.unsent();
  ledger.blocked(0, start);
  CHECK(ledger.deadline() > later);
  ledger.close();
  flush(ledger, start);
  ledger.shut_down(start);
  CHECK(ledger.deadline() > later);
}
