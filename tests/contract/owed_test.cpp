// Answers that are owed (defer), and an end of one direction alone (finish).
#include <atomic>
#include <cstddef>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/contract/harness.h"
#include <ladder/server.h>

using namespace ladder;
using namespace ladder::contract;

namespace {

/// Each byte that comes is a question. The answers are given by the case, from a thread of its own.
class Desk {
 public:
  Callbacks callbacks() {
    return {.on_receive = [this](Connection& c, Bytes questions) {
      for (std::size_t i = 0; i < questions.size(); ++i)
        owed_.change([&](auto& owed) { owed.push_back(c.defer()); });
    }};
  }
  bool owes(std::size_t count) {
    return owed_.wait([&](const auto& owed) { return owed.size() == count; });
  }
  std::vector<Deferred> take() {
    std::vector<Deferred> all;
    owed_.change([&](auto& owed) { all.swap(owed); });
    return all;
  }

 private:
  Watched<std::vector<Deferred>> owed_;
};

void answer(Server& server, Deferred owed) {
  CHECK(server.send(owed.id(), "a") == SendResult::queued);
}

}  // namespace

// ---- defer

TEST_CASE("contract 10: a stop waits for all answers that are owed, 200 of 200") {
  constexpr std::size_t questions = 200;
  const std::size_t each = one_at_a_time() ? questions : 1;
  Desk desk;
  TestServer server(desk.callbacks());
  std::vector<Client> clients;
  for (std::size_t asked = 0; asked < questions; asked += each)
    CHECK(clients.emplace_back(server.where()).send(std::string(each, '?')));
  REQUIRE(desk.owes(questions));
  std::atomic<bool> drained = false;
  std::jthread stopper = user_thread([&] { drained = server->stop(10s); });
  CHECK(turns_away(server.where()));
  CHECK(!server.returned().get());
  for (Deferred& owed : desk.take())
    answer(*server, std::move(owed));
  for (Client& client : clients) {
    CHECK(client.rest() == std::string(each, 'a'));
    CHECK(client.end() == End::fin);
    client.close();
  }
  stopper.join();
  CHECK(drained);
}

TEST_CASE("contract 10: a stop waits for an answer that is owed until its drain is over") {
  Desk desk;
  TestServer server(desk.callbacks());
  Client client(server.where());
  CHECK(client.send("?"));
  REQUIRE(desk.owes(1));
  CHECK(!server->stop(200ms));
  CHECK(client.end() == End::reset);
  CHECK(server.closed(CloseReason::stopping) == 1);
  const std::vector<Deferred> late = desk.take();
  CHECK(server->send(late.front().id(), "a") == SendResult::gone);
}

TEST_CASE("contract 10: of several answers that are owed the last one lets the connection end") {
  Desk desk;
  TestServer server(desk.callbacks());
  Client client(server.where());
  CHECK(client.send("???"));
  REQUIRE(desk.owes(3));
  std::vector<Deferred> owed = desk.take();
  Deferred moved = std::move(owed[2]);  // one answer still, owed by another object
  moved = std::move(owed[1]);           // the third needs none any more
  std::atomic<bool> drained = false;
  std::jthread stopper = user_thread([&] { drained = server->stop(10s); });
  CHECK(turns_away(server.where()));
  answer(*server, std::move(owed[0]));
  CHECK(client.receive(1) == "a");
  CHECK(client.hears_nothing());
  answer(*server, std::move(moved));
  CHECK(client.rest() == "a");
  CHECK(client.end() == End::fin);
  client.close();
  stopper.join();
  CHECK(drained);
}

TEST_CASE("contract 8: a client that has finished asking gets the answer that is owed, and then the FIN") {
  Desk desk;
  TestServer server(desk.callbacks());
  Client client(server.where());
  CHECK(client.send("?"));
  client.finish();
  REQUIRE(desk.owes(1));
  CHECK(client.hears_nothing());
  answer(*server, std::move(desk.take().front()));
  CHECK(client.rest() == "a");
  CHECK(client.end() == End::fin);
  CHECK(server.ends(CloseReason::peer));
}

TEST_CASE("contract words: while an answer is owed the idle timer rests, and begins anew with the answer") {
  constexpr Milliseconds idle = 400ms;
  Desk desk;
  TestServer server(desk.callbacks(), {.idle_timeout = idle});
  Client client(server.where());
  CHECK(client.send("?"));
  REQUIRE(desk.owes(1));
  for (const Time end = Clock::now() + 2 * idle; Clock::now() < end;)
    CHECK(client.hears_nothing());
  const Time answered = Clock::now();
  answer(*server, std::move(desk.take().front()));
  CHECK(client.receive(1) == "a");
  CHECK(client.end() == End::fin);
  CHECK(Clock::now() - answered >= idle - 20ms);
  CHECK(server.ends(CloseReason::idle_timeout));
}

TEST_CASE("contract words: an answer that needs no thread is owed and given in one callback") {
  TestServer server({.on_receive = [](Connection& c, Bytes) {
    const Deferred owed = c.defer();
    c.send("a");
  }});
  Client client(server.where());
  CHECK(client.send("?"));
  CHECK(client.receive(1) == "a");
  CHECK(server->stop(10s));  // nothing is owed any more
  CHECK(client.end() == End::fin);
}

TEST_CASE("contract words: what is owed may outlive its connection and its server") {
  Desk desk;
  std::vector<Deferred> of_a_closed_one;
  std::jthread late;
  {
    TestServer server(desk.callbacks());
    {
      Client client(server.where());
      CHECK(client.send("?"));
      REQUIRE(desk.owes(1));
      of_a_closed_one = desk.take();
      client.reset();
      server->abort(of_a_closed_one.front().id());  // not every model sees a reset while nothing is sent
      REQUIRE(server.is_empty());
    }
    Client client(server.where());
    CHECK(client.send(std::string(100, '?')));
    REQUIRE(desk.owes(100));
    late = std::jthread([owed = desk.take()]() mutable { owed.clear(); });  // while the server goes
  }
  of_a_closed_one.clear();
  late.join();
}

// ---- finish

TEST_CASE("contract 6: finish() sends FIN behind what is queued, and what comes is still told") {
  Watched<std::string> heard;
  std::atomic<SendResult> after = SendResult::queued;
  TestServer server({.on_receive = [&](Connection& c, Bytes bytes) {
    if (heard.get().empty()) {
      c.send(pattern(1024 * 1024));
      c.finish();
      after = c.send("too late");
    }
    heard.change([&](std::string& all) { all += text(bytes); });
  }});
  Client client(server.where());
  const ConnectionId id = server.id_of(client);
  CHECK(client.send("go"));
  CHECK(client.rest() == pattern(1024 * 1024));
  CHECK(client.end() == End::fin);
  CHECK(after == SendResult::gone);
  CHECK(server->send(id, "too late") == SendResult::gone);
  CHECK(client.send(" on"));
  CHECK(heard.wait([](const std::string& all) { return all == "go on"; }));
  client.finish();
  CHECK(server.ends(CloseReason::local));
}

TEST_CASE("contract 6: finish() by a task: what was promised before it comes before the FIN") {
  Gate gate;
  Counter in_callback;
  TestServer server({.on_receive = [&](Connection& c, Bytes) {
    in_callback.add();
    gate.pass();
    c.finish();
  }});
  Client client(server.where());
  const ConnectionId id = server.id_of(client);
  CHECK(client.send("go"));
  REQUIRE(in_callback.reaches(1));
  CHECK(server->send(id, "promised") == SendResult::queued);
  gate.open();
  CHECK(client.rest() == "promised");
  CHECK(client.end() == End::fin);
  CHECK(eventually([&] { return server->send(id, "x") == SendResult::gone; }));
  Counter ran;
  CHECK(server->post(id, [&](Connection&) { ran.add(); }));  // it is still there
  CHECK(ran.reaches(1));
}

TEST_CASE("contract 6: when both have finished the connection closes, whoever was first") {
  for (const bool peer_first : {true, false}) {
    CAPTURE(peer_first);
    Counter ends;
    TestServer server({.on_receive =
                           [&](Connection& c, Bytes) {
                             c.finish();
                             c.finish();
                           },
                       .on_end =
                           [&](Connection& c) {
                             ends.add();
                             c.send("last words");
                             c.finish();
                           }});
    Client client(server.where());
    if (!peer_first) {
      CHECK(client.send("go"));
      CHECK(client.end() == End::fin);
    }
    client.finish();
    CHECK(client.rest() == (peer_first ? "last words" : ""));
    CHECK(server.ends(peer_first ? CloseReason::peer : CloseReason::local));
    CHECK(ends.get() == 1);
  }
}

TEST_CASE("contract 7: after finish() a pause holds the peer's end back, too") {
  Counter finished, ends;
  TestServer server({.on_receive =
                         [&](Connection& c, Bytes) {
                           c.pause();
                           c.finish();
                           finished.add();
                         },
                     .on_end = [&](Connection&) { ends.add(); }});
  Client client(server.where());
  const ConnectionId id = server.id_of(client);
  CHECK(client.send("go"));
  CHECK(client.end() == End::fin);
  client.finish();
  CHECK(ends.stays(0));
  server->resume(id);
  CHECK(ends.reaches(1));
  CHECK(server.ends(CloseReason::local));
}

TEST_CASE("contract 10: a stop ends a connection that has finished its own direction") {
  TestServer server({.on_receive = [](Connection& c, Bytes) { c.finish(); }});
  Client client(server.where());
  CHECK(client.send("go"));
  CHECK(client.end() == End::fin);
  CHECK(server->stop(10s));
  CHECK(server.closed(CloseReason::stopping) == 1);
}
