// A handle's ends from everywhere: stop_accepting(), request_stop(), and a server on a thread of its own (start).
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "tests/contract/harness.h"
#include "tests/contract/platform.h"
#include <ladder/server.h>

using namespace ladder;
using namespace ladder::contract;

namespace {

/// One that cannot start.
class Unable : public Server {
 public:
  Endpoint endpoint() const override { return {}; }
  Stats stats() const override { return {}; }
  SendResult send(ConnectionId, Bytes) override { return SendResult::gone; }
  bool post(ConnectionId, std::function<void(Connection&)>) override { return false; }
  void pause(ConnectionId) override {}
  void resume(ConnectionId) override {}
  void close(ConnectionId) override {}
  void abort(ConnectionId) override {}
  void run() override { throw std::runtime_error("no thread"); }
  void stop_accepting() override {}
  void request_stop(Milliseconds) override {}
  bool stop(Milliseconds) override { return true; }
};

/// Which callback does it.
enum class In : std::uint8_t { open, receive, drained, end, close };

/// As echo(), and `act` is called in the one callback.
template <class Act>
Callbacks echo_and(In where, Act act) {
  const auto when = [act](bool now, Connection& c) { now ? act(c.server()) : void(); };
  return {.on_open = [=](Connection& c) { when(where == In::open, c); },
          .on_receive =
              [=](Connection& c, Bytes bytes) {
                c.send(where == In::drained ? pattern(1024 * 1024) : std::string(text(bytes)));
                when(where == In::receive, c);
              },
          .on_end =
              [=](Connection& c) {
                when(where == In::end, c);
                c.close();
              },
          .on_drained = [=](Connection& c) { when(where == In::drained, c); },
          .on_close = [=](Connection& c, CloseReason, std::error_code) { when(where == In::close, c); }};
}

}  // namespace

TEST_CASE(
    "contract 10: after stop_accepting() in a callback newcomers are turned away, and the clients that "
    "are here are served") {
  TestServer server(echo_and(In::receive, [](Server& handle) { handle.stop_accepting(); }));
  Client client(server.where());
  for (const char* const words : {"one", "two"}) {  // the second time nothing is left to do
    CHECK(client.send(words));
    CHECK(client.receive(3) == words);
    REQUIRE(turns_away(server.where()));
  }
  CHECK(!server.returned().get());
  client.close();
  REQUIRE(server.is_empty());
  CHECK(!server.returned().wait([](bool returned) { return returned; }, quiet));  // until stop()
  CHECK(server->stop(60s));
  CHECK(server.returned().pass());
}

TEST_CASE("contract 10: request_stop() is heard from each callback, and drains") {
  for (const In where : {In::open, In::receive, In::drained, In::end, In::close}) {
    CAPTURE(where);
    TestServer server(echo_and(where, [](Server& handle) { handle.request_stop(60s); }));
    Client client(server.where());
    CHECK(client.send("word"));
    if (where != In::drained) client.finish();  // on_end closes, and after close() no on_drained comes
    const std::string heard = client.rest();
    // What came before the stop is answered; on_open is before all that comes.
    CHECK(heard == (where == In::drained ? pattern(1024 * 1024) : where == In::open ? heard : "word"));
    CHECK(client.end() == End::fin);
    client.close();
    CHECK(server.returned().pass());
    CHECK(server.closed(CloseReason::reset) == 0);
  }
}

TEST_CASE("contract 10: of requests to stop the earliest end counts, and no later one is a thread") {
  TestServer server({.on_receive = [](Connection& c, Bytes) { c.send(pattern(3 * 1024 * 1024)); }});
  Client client = Client::narrow(server.where());
  CHECK(client.send("go"));
  REQUIRE(eventually([&] { return server->stats().bytes_in == 2; }));
  server->request_stop(60s);
  const std::size_t before = threads();
  for (int i = 0; i < 1000; ++i)
    server->request_stop(120s);
  CHECK(threads() <= before + 1);  // that of the first may not have begun
  CHECK(!server.returned().get());
  server->request_stop(50ms);
  CHECK(server.returned().pass());
  CHECK(client.end() == End::reset);
}

TEST_CASE("contract 10: a handle may be destroyed while a requested stop is about to return") {
  for (int i = 0; i < 50; ++i) {
    const std::unique_ptr<Server> server = make_server({}, echo());
    server->request_stop(60s);
    server->run();  // before the stop, or after it
  }
}

TEST_CASE("contract words: start() serves on a thread of its own, until the object goes") {
  Endpoint where;
  {
    Running first = start({}, echo());
    Running server = std::move(first);
    where = server->endpoint();
    Client client(where);
    CHECK(client.send("hello"));
    CHECK(client.receive(5) == "hello");
    server = start({}, echo());  // the one before is stopped
    CHECK(client.end() == End::reset);
    CHECK(turns_away(where));
    where = server->endpoint();
    CHECK(Client().connect(where));
  }
  CHECK(turns_away(where));
}

TEST_CASE("contract words: a started server that stops by itself is waited for") {
  Running server = start({}, echo_and(In::receive, [](Server& handle) { handle.request_stop(60s); }));
  Client client(server->endpoint());
  CHECK(client.send("enough"));
  CHECK(client.rest() == "enough");
  client.close();
  server.wait();
  server.wait();
  CHECK(server->stats().accepted == 1);
}

TEST_CASE("contract words: what run() throws is thrown to the waiting thread") {
  Running server(std::make_unique<Unable>());
  CHECK_THROWS_WITH(server.wait(), "no thread");
}

#ifndef _WIN32  // there an example's process is told (tests/examples): a process cannot press Ctrl-C for itself alone
TEST_CASE("contract words: each request to end the process is one return of wait_for_stop_signal()") {
  catch_stop_signals();
  CHECK(std::raise(SIGTERM) == 0);
  wait_for_stop_signal();  // for one that has come before
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) {
    Counter ended;
    std::jthread waiter([&] {
      wait_for_stop_signal();
      ended.add();
    });
    CHECK(ended.stays(0));
    CHECK(std::raise(signal) == 0);
    CHECK(ended.reaches(1));
  }
}
#endif
