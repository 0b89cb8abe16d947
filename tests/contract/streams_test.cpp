// The contract, points 6 to 9: how a stream ends, pauses and is held within bounds.
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include "tests/contract/harness.h"
#include "tests/contract/platform.h"
#include <ladder/server.h>

using namespace ladder;
using namespace ladder::contract;

namespace {

constexpr std::size_t megabyte = 1024 * 1024;

}  // namespace

// ---- 6: close() and abort()

TEST_CASE("contract 6: close() sends all that is queued, then FIN") {
  const std::string reply = pattern(3 * megabyte);
  TestServer server({.on_receive = [&](Connection& c, Bytes) {
    c.send(reply);
    c.close();
  }});
  Client client = Client::narrow(server.where());
  CHECK(client.send("go"));
  CHECK((client.rest() == reply));
  CHECK(client.end() == End::fin);
  client.close();
  CHECK(server.ends(CloseReason::local));
  CHECK(server->stats().bytes_out == reply.size());
}

TEST_CASE("contract 6: close() by id from another thread does the same, behind that thread's sends") {
  TestServer server({});
  Client client = Client::narrow(server.where());
  const ConnectionId id = server.id_of(client);
  const std::string reply = pattern(2 * megabyte);
  CHECK(server->send(id, bytes_of(reply)) == SendResult::congested);
  server->close(id);
  server->close(id);  // twice is once
  CHECK((client.rest() == reply));
  CHECK(client.end() == End::fin);
  client.close();
  CHECK(server.ends(CloseReason::local));
}

TEST_CASE("contract 6: close() also sends what another thread's send had been promised before it") {
  for (const std::string_view how : {"close"sv, "end"sv}) {  // by the callback, or by the default on_end
    CAPTURE(how);
    TestServer server({.on_receive = [&](Connection& c, Bytes) {
      user_thread([&ours = c.server(), id = c.id()] {
        CHECK(ours.send(id, bytes_of("promised")) == SendResult::queued);
      }).join();
      if (how == "close") c.close();
    }});
    Client client(server.where());
    CHECK(client.send("go"));
    if (how == "end") client.finish();
    CHECK(client.rest() == "promised");
    CHECK(client.end() == End::fin);
  }
}

TEST_CASE("contract 6: close() in on_open, with nothing queued, is a FIN") {
  TestServer server({.on_open = [](Connection& c) { c.close(); }});
  Client client(server.where());
  CHECK(client.rest() == "");
  CHECK(client.end() == End::fin);
  client.close();
  CHECK(server.ends(CloseReason::local));
}

TEST_CASE("contract 6: input that nobody reads does not reset the tail of the reply") {
  const std::string reply = pattern(2 * megabyte);
  TestServer server({.on_receive = [&](Connection& c, Bytes) {
    c.send(reply);
    c.close();
  }});
  Client client(server.where());
  CHECK(client.send("go"));
  std::atomic<bool> done = false;
  std::jthread talker = user_thread([&] {  // goes on sending until it has the whole reply
    const std::string junk(64 * 1024, 'j');
    while (!done && client.send(junk)) {
    }
  });
  CHECK((client.rest() == reply));
  CHECK(client.end() == End::fin);
  done = true;
  talker.join();
  client.finish();
  CHECK(server.ends(CloseReason::local));
}

TEST_CASE("contract 6: a client that sends all before it reads gets the whole reply") {
  const std::string reply = pattern(megabyte);
  TestServer server({.on_receive =
                         [&](Connection& c, Bytes) {
                           c.send(reply);
                           c.close();
                         }},
                    {.close_timeout = 60s});  // a total, and 128 MiB may take a slow machine some seconds
  Client client(server.where());
  const std::string piece = pattern(8 * megabyte);
  for (int i = 0; i < 16; ++i)  // more than the systems hold between them
    REQUIRE(client.send(piece, 5s));
  CHECK((client.rest() == reply));
  CHECK(client.end() == End::fin);
}

TEST_CASE(
    "contract 6: after its FIN the server waits for the peer's, as long as close_timeout and no longer") {
  for (const bool sends : {false, true}) {  // what arrives meanwhile does not prolong it
    CAPTURE(sends);
    TestServer server({.on_open = [](Connection& c) { c.close(); }}, {.close_timeout = 300ms});
    const Time start = Clock::now();
    Client client(server.where());
    CHECK(client.end() == End::fin);
    while (server->stats().active > 0 && Clock::now() - start < patience) {
      if (sends) client.send("still here", 100ms);
      std::this_thread::yield();
    }
    const auto took = Clock::now() - start;
    CHECK(took >= 290ms);
    CHECK(took < 3s);
    CHECK(server.ends(CloseReason::local));
  }
}

TEST_CASE("contract 6: the peer's FIN ends that wait at once") {
  TestServer server({.on_open = [](Connection& c) { c.close(); }}, {.close_timeout = 60s});
  Client client(server.where());
  CHECK(client.end() == End::fin);
  CHECK(server->stats().active == 1);
  client.finish();
  CHECK(server.is_empty());
}

TEST_CASE("contract 6: abort() resets and drops what is queued") {
  TestServer server({.on_receive = [](Connection& c, Bytes) {
    c.send(pattern(megabyte));
    c.abort();
    CHECK(c.send("more") == SendResult::gone);
  }});
  Client client(server.where());
  CHECK(client.send("go"));
  CHECK(client.rest().size() < megabyte);
  CHECK(client.end() == End::reset);
  CHECK(server.ends(CloseReason::local));
}

// ---- 7: pause() and resume()

TEST_CASE("contract 7: after pause() no on_receive comes until resume() by id, and no byte is lost") {
  Counter calls;
  Watched<std::string> received;
  TestServer server({.on_receive = [&](Connection& c, Bytes bytes) {
    c.pause();
    received.change([&](std::string& all) { all += text(bytes); });
    calls.add();
  }});
  Client client(server.where());
  const ConnectionId id = server.id_of(client);
  CHECK(client.send("first, "));
  REQUIRE(calls.reaches(1));
  CHECK(client.send("second, "));
  CHECK(calls.stays(1));
  server->resume(id);
  REQUIRE(calls.reaches(2));
  const std::string more = pattern(megabyte);  // many receives: each one pauses anew
  std::jthread sender = user_thread([&] { client.send(more); });
  CHECK(calls.stays(2));
  CHECK(eventually([&] {
    server->resume(id);
    return received.get().size() == 15 + more.size();
  }));
  CHECK((received.get() == "first, second, " + more));
}

TEST_CASE("contract 7: a connection that on_open paused hears neither bytes nor the end until resume()") {
  Watched<std::string> heard;
  TestServer server(
      {.on_open = [](Connection& c) { c.pause(); },
       .on_receive = [&](Connection&,
                         Bytes bytes) { heard.change([&](std::string& all) { all += text(bytes); }); },
       .on_end =
           [&](Connection& c) {
             heard.change([](std::string& all) { all += "[end]"; });
             c.close();
           }});
  Client client(server.where());
  const ConnectionId id = server.id_of(client);
  CHECK(client.send("bytes"));
  client.finish();
  CHECK(client.hears_nothing());
  CHECK(heard.get() == "");
  server->resume(id);
  CHECK(client.end() == End::fin);
  CHECK(heard.get() == "bytes[end]");
}

TEST_CASE("contract 7: what a receive under way brings during a pause is kept and delivered after it") {
  // on_drained comes while the model may already sleep in a receive for the same connection.
  Watched<std::string> heard;
  Counter drained;
  TestServer server(
      {.on_receive = [&](Connection&,
                         Bytes bytes) { heard.change([&](std::string& all) { all += text(bytes); }); },
       .on_end =
           [&](Connection& c) {
             heard.change([](std::string& all) { all += "[end]"; });
             c.close();
           },
       .on_drained =
           [&](Connection& c) {
             c.pause();
             drained.add();
           }});
  Client client(server.where());
  const ConnectionId id = server.id_of(client);
  CHECK(client.send("before, "));
  REQUIRE(heard.wait([](const std::string& all) { return all.size() == 8; }));
  CHECK(server->send(id, bytes_of(pattern(megabyte))) == SendResult::congested);
  CHECK((client.receive(megabyte) == pattern(megabyte)));
  REQUIRE(drained.reaches(1));
  CHECK(client.send("kept, "));
  CHECK(client.hears_nothing());
  CHECK(client.send("and more"));
  client.finish();
  CHECK(client.hears_nothing());
  CHECK(heard.get() == "before, ");
  server->resume(id);
  CHECK(client.end() == End::fin);
  CHECK(heard.get() == "before, kept, and more[end]");
}

TEST_CASE("contract 7: a callback of another connection may resume") {
  CrowdHandle handle = nullptr;
  Counter calls;
  Crowd crowd(2, {.on_receive = [&](Connection& c, Bytes bytes) {
                if (text(bytes) == "wake the other")
                  return handle.load()->server(0)->resume(handle.load()->id(0));
                c.pause();
                calls.add();
              }});
  handle = &crowd;
  for (int i = 1; i <= 20; ++i) {
    CHECK(crowd.client(0).send("x"));
    REQUIRE(calls.reaches(i));
    CHECK(crowd.client(1).send("wake the other"));
    if (i == 1) CHECK(crowd.client(1).hears_nothing());
  }
}

TEST_CASE("contract 7: pause() and resume() in one callback cancel out") {
  TestServer server({.on_receive = [](Connection& c, Bytes bytes) {
    c.pause();
    c.send(bytes);
    c.resume();
  }});
  Client client(server.where());
  for (int i = 0; i < 20; ++i) {
    CHECK(client.send("x"));
    CHECK(client.receive(1) == "x");
  }
}

TEST_CASE(
    "contract 7: a resume by id during a callback takes effect after it, so a pause in it is not for ever") {
  // A worker may be done before the callback that gave it work has come to its pause().
  Counter calls;
  TestServer server({.on_receive = [&](Connection& c, Bytes bytes) {
    user_thread([&server = c.server(), id = c.id()] { server.resume(id); }).join();
    c.pause();
    c.send(bytes);
    calls.add();
  }});
  Client client(server.where());
  for (int i = 0; i < 3; ++i) {
    CHECK(client.send("x"));
    CHECK(client.receive(1) == "x");
  }
  CHECK(calls.get() == 3);
}

TEST_CASE("contract 7: a paused connection is not read on: its bytes wait with the systems") {
  TestServer server({.on_open = [](Connection& c) { c.pause(); }});
  Client client(server.where());
  client.stuff(200ms);
  CHECK(server->stats().bytes_in <= 64 * 1024);  // one receive may have been under way
}

TEST_CASE("contract 7: a paused connection still sends, and still closes") {
  TestServer server({.on_open = [](Connection& c) {
    c.pause();
    c.send("from on_open, ");
  }});
  Client client(server.where());
  const ConnectionId id = server.id_of(client);
  CHECK(client.receive(14) == "from on_open, ");
  CHECK(client.send("unread"));
  CHECK(server->send(id, bytes_of(pattern(megabyte))) == SendResult::congested);
  CHECK((client.receive(megabyte) == pattern(megabyte)));
  server->close(id);
  CHECK(client.end() == End::fin);
  client.close();
  CHECK(server.ends(CloseReason::local));
}

TEST_CASE("contract 7: a reset during a pause is told after resume(), with its name") {
  Watched<std::vector<std::error_code>> ends;
  TestServer server({.on_receive = [](Connection& c, Bytes) { c.pause(); },
                     .on_close =
                         [&](Connection&, CloseReason reason, std::error_code error) {
                           CHECK(reason == CloseReason::reset);
                           ends.change([&](auto& all) { all.push_back(error); });
                         }});
  Client client(server.where());
  const ConnectionId id = server.id_of(client);
  CHECK(client.send("x"));
  CHECK(eventually([&] { return server->stats().bytes_in == 1; }));
  client.reset();
  CHECK_FALSE(ends.wait([](const auto& all) { return !all.empty(); }, quiet));
  server->resume(id);
  REQUIRE(ends.wait([](const auto& all) { return !all.empty(); }));
  CHECK(ends.get().front() == std::errc::connection_reset);
}

// ---- 8: the peer's FIN

TEST_CASE("contract 8: the peer's FIN discards nothing that is queued") {
  const std::string reply = pattern(3 * megabyte);
  TestServer server({.on_receive = [&](Connection& c, Bytes) { c.send(reply); }});
  Client client = Client::narrow(server.where());
  CHECK(client.send("go"));
  client.finish();
  CHECK((client.rest() == reply));
  CHECK(client.end() == End::fin);
  client.close();
  CHECK(server.ends(CloseReason::peer));
}

TEST_CASE("contract 8: bytes and FIN that came before run() are served whole") {
  std::unique_ptr<Server> server = make_server({.queue = queue_under_test}, echo());
  Client client(server->endpoint());
  const std::string text = pattern(50'000);
  CHECK(client.send(text));
  client.finish();
  std::jthread runner([&] { server->run(); });
  CHECK((client.rest() == text));
  CHECK(client.end() == End::fin);
  client.close();
  CHECK(server->stop(10s));
  CHECK(server->stats().closed[static_cast<std::size_t>(CloseReason::peer)] == 1);
}

TEST_CASE("contract 8: on_end may answer later, from another thread") {
  Watched<ConnectionId> ended;
  TestServer server({.on_end = [&](Connection& c) { ended.change([&](ConnectionId& id) { id = c.id(); }); }});
  Client client(server.where());
  client.finish();
  REQUIRE(ended.wait([](ConnectionId id) { return id.value != 0; }));
  CHECK(client.hears_nothing());  // an on_end of one's own closes only if it says so
  const std::string answer = pattern(megabyte);
  CHECK(server->send(ended.get(), bytes_of(answer)) == SendResult::congested);
  server->close(ended.get());
  CHECK((client.rest() == answer));
  CHECK(client.end() == End::fin);
  CHECK(server.ends(CloseReason::peer));
}

TEST_CASE("contract 8: on_end comes once, behind the last byte") {
  Watched<std::string> heard;
  TestServer server(
      {.on_receive = [&](Connection&,
                         Bytes bytes) { heard.change([&](std::string& all) { all += text(bytes); }); },
       .on_end =
           [&](Connection& c) {
             heard.change([](std::string& all) { all += "[end]"; });
             c.send("bye");
             c.pause();
             c.resume();
           }});
  Client client(server.where());
  const std::string text = pattern(300'000);
  CHECK(client.send(text));
  client.finish();
  CHECK(client.receive(3) == "bye");
  server->resume(server.id_of(client));
  CHECK(client.hears_nothing());
  CHECK((heard.get() == text + "[end]"));
}

TEST_CASE(
    "contract 8: a reset behind the peer's FIN is told with its name, when a send meets it at the latest") {
  Counter ended;
  Watched<std::vector<std::error_code>> ends;
  TestServer server({.on_end = [&](Connection&) { ended.add(); },  // the answer comes later
                     .on_close =
                         [&](Connection&, CloseReason reason, std::error_code error) {
                           CHECK(reason == CloseReason::reset);
                           ends.change([&](auto& all) { all.push_back(error); });
                         }});
  Client client(server.where());
  const ConnectionId id = server.id_of(client);
  client.finish();
  REQUIRE(ended.reaches(1));
  client.reset();
  const auto told = [](const auto& all) { return !all.empty(); };
  if (profile(Options{}).model == "epoll")
    REQUIRE(ends.wait(told));  // it tells of errors without being asked
  CHECK(eventually([&] { return server->send(id, bytes_of("the answer")) == SendResult::gone; }));
  REQUIRE(ends.wait(told));
  CHECK(ends.get().front() == std::errc::connection_reset);
}

// ---- 9: marks

namespace {
const Options small_marks{.low_mark = 16 * 1024, .high_mark = 64 * 1024, .hard_cap = megabyte};
constexpr std::size_t one_receive = 64 * 1024;
}  // namespace

TEST_CASE("contract 9: an echo whose peer does not read stays within its marks, and loses nothing") {
  TestServer server(echo(), small_marks);
  Client client = Client::narrow(server.where());
  const std::string text = client.stuff(300ms);  // it is read no more, so its own system takes no more
  const Stats stuck = server->stats();
  CHECK(stuck.bytes_in - stuck.bytes_out <= small_marks.high_mark + one_receive);
  CHECK(stuck.bytes_in < text.size());
  CHECK((client.receive(text.size()) == text));
  CHECK(client.send("and on"));  // under the low mark it is read again
  CHECK(client.receive(6) == "and on");
  client.finish();
  CHECK(client.end() == End::fin);
}

TEST_CASE("contract 9: a full queue holds up its own connection only") {
  Crowd crowd(2, echo(), small_marks);
  crowd.client(0).stuff(200ms);
  for (int i = 0; i < 50; ++i) {
    CHECK(crowd.client(1).send("x"));
    CHECK(crowd.client(1).receive(1) == "x");
  }
}

TEST_CASE("contract 9: where the options say so, a congested connection is read on") {
  Options options = small_marks;
  options.read_when_congested = true;
  Watched<std::string> heard;
  TestServer server(
      {.on_receive = [&](Connection&,
                         Bytes bytes) { heard.change([&](std::string& all) { all += text(bytes); }); }},
      options);
  Client client = Client::narrow(server.where());
  const ConnectionId id = server.id_of(client);
  std::string taken;
  // Until more waits than the system takes: there was no room for 100 ms. Once is nothing, the worker may be slow.
  for (int refusals = 0; refusals < 20 && taken.size() < 64 * megabyte;) {
    if (server->send(id, pattern(40'000)) != SendResult::full) {
      taken += pattern(40'000);
      refusals = 0;
    } else {
      ++refusals;
      std::this_thread::sleep_for(5ms);
    }
  }
  CHECK(taken.size() < 64 * megabyte);
  const std::string said = pattern(4 * megabyte, 2);
  REQUIRE(client.send(said, 5s));  // before it reads
  CHECK(heard.wait([&](const std::string& all) { return all == said; }));
  CHECK((client.receive(taken.size()) == taken));
}

TEST_CASE("contract 9: send answers queued, congested, full, and full takes nothing") {
  Watched<std::vector<SendResult>> results;
  TestServer server({.on_receive =
                         [&](Connection& c, Bytes) {  // nothing leaves before the callback is over
                           results.change([&](auto& all) {
                             for (int i = 0; i < 18; ++i)
                               all.push_back(c.send(pattern(64 * 1024, i + 1)));
                             all.push_back(c.send("x"));
                           });
                         }},
                    small_marks);
  Client client(server.where());
  CHECK(client.send("go"));
  std::string taken;
  for (int i = 0; i < 16; ++i)
    taken += pattern(64 * 1024, i + 1);
  CHECK((client.receive(taken.size()) == taken));
  CHECK(client.hears_nothing());
  std::vector<SendResult> expected(16, SendResult::congested);
  expected[0] = SendResult::queued;
  expected.resize(19, SendResult::full);
  CHECK(results.get() == expected);
}

TEST_CASE("contract 9: the cap holds for sends by id as well, and the connection lives on") {
  Counter drained;
  TestServer server({.on_drained = [&](Connection&) { drained.add(); }}, small_marks);
  Client client = Client::narrow(server.where());
  const ConnectionId id = server.id_of(client);
  std::string taken;
  SendResult result = SendResult::queued;
  for (std::uint32_t seed = 1; result != SendResult::full && taken.size() < 64 * megabyte; ++seed) {
    const std::string text = pattern(40'000, seed);
    result = server->send(id, bytes_of(text));
    if (result < SendResult::full) taken += text;
  }
  CHECK(result == SendResult::full);
  CHECK(taken.size() - server->stats().bytes_out <= small_marks.hard_cap);
  CHECK((client.receive(taken.size()) == taken));
  CHECK(drained.reaches(1));
  // The client has the last bytes before the server's thread has counted them. Each of these is taken all the same.
  std::string more;
  CHECK(eventually([&] {
    more += '!';
    return server->send(id, bytes_of("!")) == SendResult::queued;
  }));
  CHECK(client.receive(more.size()) == more);
}

TEST_CASE("contract 9: on_drained comes at the low mark, once for each time the queue was congested") {
  const Options marks{.low_mark = 256 * 1024, .high_mark = megabyte};
  std::size_t sent = 0;  // one connection: its callbacks order this
  int congested = 0, drained = 0;
  std::size_t most = 0;
  const std::string text = pattern(6 * megabyte);
  const auto fill = [&](Connection& c) {
    while (sent < text.size()) {
      const SendResult result = c.send(std::string_view(text).substr(sent, 10'000));
      if (result > SendResult::congested) break;
      sent += std::min<std::size_t>(10'000, text.size() - sent);
      if (result == SendResult::congested) {
        ++congested;
        return;
      }
    }
    c.close();
  };
  TestServer server({.on_open = fill,
                     .on_drained =
                         [&](Connection& c) {
                           ++drained;
                           most = std::max(most, sent - c.server().stats().bytes_out);
                           fill(c);
                         }},
                    marks);
  Client client = Client::narrow(server.where());  // so that the queue falls by steps smaller than the marks
  CHECK((client.rest() == text));
  client.close();
  REQUIRE(server.is_empty());
  CHECK(congested > 3);
  CHECK(drained == congested);
  CHECK(most <= marks.low_mark);
}

TEST_CASE("contract 9: after congested by id comes on_drained, even if the queue emptied meanwhile") {
  Counter pings, held, drained;
  Gate gate;
  TestServer server({.on_receive =
                         [&](Connection&, Bytes bytes) {
                           if (text(bytes) == "h") {
                             held.add();
                             gate.pass();
                           }
                           pings.add();
                         },
                     .on_drained = [&](Connection&) { drained.add(); }},
                    small_marks);
  Client client = Client::narrow(server.where());
  const ConnectionId id = server.id_of(client);
  std::size_t taken = 0;
  for (int i = 1; taken - server->stats().bytes_out < 40'000 && i < 2000; ++i) {  // the system is full
    REQUIRE(server->send(id, bytes_of(std::string(8'000, 'x'))) == SendResult::queued);
    taken += 8'000;
    CHECK(client.send("p"));  // answered by a strand of this connection, so that send has been tried
    REQUIRE(pings.reaches(i));
  }
  CHECK(client.send("h"));
  REQUIRE(held.reaches(1));
  const std::size_t out = server->stats().bytes_out;
  CHECK(client.receive(out).size() == out);  // now the system would take all that waits
  CHECK(server->send(id, bytes_of(std::string(32'000, 'x'))) == SendResult::congested);
  gate.open();
  CHECK(client.receive(taken + 32'000 - out).size() == taken + 32'000 - out);
  CHECK(drained.reaches(1));
}

TEST_CASE("contract 9: after full on_drained comes when there is room again, in a callback and by id") {
  const std::string part = pattern(40'000),
                    rest = pattern(small_marks.hard_cap - 20'000);  // part: below each mark
  for (const bool by_id : {false, true}) {
    CAPTURE(by_id);
    Counter drained, inside;
    Gate gate;
    const auto fill = [&](const auto& send) {  // nothing leaves before the callback is over
      CHECK(send(part) == SendResult::queued);
      CHECK(send(rest) == SendResult::full);
    };
    TestServer server({.on_receive =
                           [&](Connection& c, Bytes) {
                             inside.add();
                             gate.pass();
                             if (!by_id) fill([&](const std::string& text) { return c.send(text); });
                           },
                       .on_drained =
                           [&](Connection& c) {
                             if (drained.get() == 0) CHECK(c.send(rest) == SendResult::congested);
                             drained.add();
                           }},
                      small_marks);
    Client client(server.where());
    const ConnectionId id = server.id_of(client);
    CHECK(client.send("go"));
    REQUIRE(inside.reaches(1));
    if (by_id) fill([&](const std::string& text) { return server->send(id, bytes_of(text)); });
    gate.open();
    REQUIRE(drained.reaches(1));  // one that never comes is waited for once
    CHECK((client.receive(part.size() + rest.size()) == part + rest));
    CHECK(drained.reaches(2));  // the second for `congested`
  }
}

TEST_CASE(
    "contract 9: one call's bytes above the cap are too large for ever, and on_drained is not owed for "
    "them") {
  Counter drained;
  Watched<std::vector<SendResult>> results;
  TestServer server(
      {.on_receive =
           [&](Connection& c, Bytes bytes) {
             results.change([&](auto& all) { all.push_back(c.send(pattern(small_marks.hard_cap + 1))); });
             c.send(bytes);
           },
       .on_drained = [&](Connection&) { drained.add(); }},
      small_marks);
  Client client(server.where());
  const ConnectionId id = server.id_of(client);
  CHECK(server->send(id, bytes_of(pattern(small_marks.hard_cap + 1))) == SendResult::too_large);
  CHECK(client.send("x"));
  CHECK(client.receive(1) == "x");
  CHECK(results.get() == std::vector{SendResult::too_large});
  CHECK(drained.stays(0));
  client.close();
  REQUIRE(server.is_empty());
  CHECK(server->send(id, bytes_of(pattern(small_marks.hard_cap + 1))) == SendResult::gone);
}

TEST_CASE("contract 9: a peer that takes nothing for write_timeout is reset for it") {
  const std::string reply = pattern(16 * megabyte);  // more than the systems hold between them
  for (const bool closing : {false, true}) {
    CAPTURE(closing);
    Watched<CloseReason> reason;
    TestServer server(
        {.on_open =
             [&](Connection& c) {
               c.send(reply);
               if (closing) c.close();
             },
         .on_close = [&](Connection&, CloseReason why,
                         std::error_code) { reason.change([&](CloseReason& value) { value = why; }); }},
        {.write_timeout = 300ms, .hard_cap = 32 * megabyte});
    const Time start = Clock::now();
    Client client = Client::narrow(server.where());
    CHECK(server.ends(CloseReason::write_timeout));
    const auto took = Clock::now() - start;
    CHECK(took >= 290ms);
    CHECK(took < 5s);
    CHECK(reason.get() == CloseReason::write_timeout);
    CHECK(client.rest().size() < reply.size());
    CHECK(client.end() == End::reset);
  }
}

TEST_CASE("contract 9: write_timeout runs from the refusal, however long the callback before it took") {
  const std::string reply = pattern(16 * megabyte);
  Gate never;
  Watched<Time> sent;
  TestServer server({.on_receive =
                         [&](Connection& c, Bytes) {
                           never.wait([](bool open) { return open; }, 900ms);
                           c.send(reply);
                           sent.change([](Time& value) { value = Clock::now(); });
                         }},
                    {.idle_timeout = 1min, .write_timeout = 600ms, .hard_cap = 32 * megabyte});
  Client client = Client::narrow(server.where());
  CHECK(client.send("go"));
  CHECK(server.ends(CloseReason::write_timeout));
  CHECK(Clock::now() - sent.get() >= 590ms);
}

TEST_CASE("contract 9: so is one whose queue is refilled each time the system has taken all of it") {
  // The system's buffer may be so full that no room is told of, and yet have taken the whole queue.
  const std::string text = pattern(64 * 1024);
  const auto refill = [&](Connection& c) {
    while (c.send(text) == SendResult::queued) {
    }
  };
  TestServer server({.on_open = refill, .on_drained = refill}, {.write_timeout = 300ms});
  const Client client = Client::narrow(server.where());
  CHECK(server.ends(CloseReason::write_timeout));
}

TEST_CASE("contract 9: a peer that takes little, but takes, lives") {
  // A thread that sleeps in send sees nothing of that until all is gone: only acknowledgements tell. Wine does not tell
  // of them. The window is no larger, or the client's system tells of room only each third of a second.
  if (under_wine()) return;
  const std::string text = pattern(16 * megabyte);
  TestServer server({.on_open =
                         [&](Connection& c) {
                           c.send(text);
                           c.close();
                         }},
                    {.write_timeout = 400ms, .hard_cap = 32 * megabyte});
  Client client = Client::narrow(server.where(), 64 * 1024);
  std::string received = client.receive(8 * megabyte);  // at full speed: the system's buffers grow
  for (const Time end = Clock::now() + 2s; Clock::now() < end;) {
    received += client.receive(20'000);
    std::this_thread::sleep_for(20ms);  // its pace, not a wait
  }
  received += client.rest();
  CHECK((received == text));
  CHECK(client.end() == End::fin);
}
