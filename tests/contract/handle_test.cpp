// What the handle does by id from any thread: tasks, and the calls that Connection has too.
#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>

#include "tests/contract/harness.h"
#include <ladder/server.h>

using namespace ladder;
using namespace ladder::contract;

TEST_CASE("contract 1: a task that another thread posts runs as a callback of the connection's") {
  Gate gate;
  Counter in_callback;
  std::atomic<int> callbacks = 0, beside = 0;
  TestServer server({.on_receive = [&](Connection& c, Bytes) {
    ++callbacks;
    in_callback.add();
    gate.pass();
    --callbacks;
    c.send("answer ");
  }});
  Client client(server.where());
  const ConnectionId id = server.id_of(client);
  CHECK(client.send("ask"));
  REQUIRE(in_callback.reaches(1));
  CHECK(server->post(id, [&](Connection& c) {
    beside += callbacks;
    CHECK(c.id() == id);
    CHECK(c.peer() == client.local());
    c.send("task");
  }));
  gate.open();
  CHECK(client.receive(11) == "answer task");
  CHECK(beside == 0);
}

TEST_CASE(
    "contract 1: a task that a callback posts runs behind that callback, and those of one thread in order") {
  std::atomic<bool> inside = false, nested = false;
  TestServer server({.on_receive = [&](Connection& c, Bytes) {
    inside = true;
    for (const std::string_view part : {"one "sv, "two "sv, "three"sv})
      CHECK(c.server().post(c.id(), [&, part](Connection& same) {
        nested = nested || inside;
        same.send(part);
      }));
    inside = false;
  }});
  Client client(server.where());
  CHECK(client.send("go"));
  CHECK(client.receive(13) == "one two three");
  CHECK_FALSE(nested);
}

TEST_CASE("contract 2: a task behind close() is destroyed, and has not run") {
  auto owned = std::make_shared<int>(0);
  std::atomic<bool> ran = false;
  Gate gate;
  Counter in_callback;
  TestServer server({.on_receive = [&](Connection& c, Bytes) {
    in_callback.add();
    gate.pass();
    c.close();
  }});
  Client client(server.where());
  const ConnectionId id = server.id_of(client);
  CHECK(client.send("go"));
  REQUIRE(in_callback.reaches(1));
  CHECK(server->post(id, [&ran, owned](Connection&) { ran = true; }));
  gate.open();
  CHECK(client.end() == End::fin);
  client.close();
  REQUIRE(server.is_empty());
  CHECK(eventually([&] { return owned.use_count() == 1; }));
  CHECK_FALSE(ran);
  CHECK_FALSE(server->post(id, [](Connection&) {}));
}

TEST_CASE("contract 3: a task for an id that names nobody is not taken") {
  TestServer server(echo());
  Client client(server.where());
  const ConnectionId id = server.id_of(client);
  for (const ConnectionId none :
       {ConnectionId{}, ConnectionId{id.value + 1}, ConnectionId{id.value + most_connections}})
    CHECK_FALSE(server->post(none, [](Connection&) { FAIL("a task of nobody's"); }));
  CHECK(client.send("x"));
  CHECK(client.receive(1) == "x");
}

TEST_CASE("contract 11: an exception from a task ends that connection") {
  TestServer server(echo());
  Client client(server.where());
  CHECK(server->post(server.id_of(client), [](Connection&) { throw 1; }));
  CHECK(client.end() == End::reset);
  CHECK(server.ends(CloseReason::exception));
}

TEST_CASE("contract 6: abort() by id from another thread resets and drops what is queued") {
  TestServer server({.on_receive = [](Connection& c, Bytes) { c.send(pattern(1024 * 1024)); }});
  Client client = Client::narrow(server.where());
  const ConnectionId id = server.id_of(client);
  CHECK(client.send("go"));
  CHECK(client.receive(1).size() == 1);
  server->abort(id);
  CHECK(server->send(id, "more") == SendResult::gone);
  CHECK(client.end() == End::reset);
  CHECK(server.ends(CloseReason::local));
  server->abort(id);  // nobody's
}

TEST_CASE("contract 7: pause() by id from another thread holds until resume(), and no byte is lost") {
  TestServer server(echo());
  Client client(server.where());
  const ConnectionId id = server.id_of(client);
  Counter paused;
  server->pause(id);
  CHECK(server->post(id, [&](Connection&) { paused.add(); }));  // behind the pause: then it holds
  REQUIRE(paused.reaches(1));
  CHECK(client.send("kept"));
  CHECK(client.hears_nothing());
  server->resume(id);
  CHECK(client.receive(4) == "kept");
}

TEST_CASE("contract 9: queued() counts what waits here") {
  Counter asked;
  std::atomic<std::size_t> before = 1, after = 0;
  TestServer server({.on_receive = [&](Connection& c, Bytes) {
    before = c.queued();
    c.send("12345");
    after = c.queued();
    asked.add();
  }});
  Client client(server.where());
  CHECK(client.send("go"));
  REQUIRE(asked.reaches(1));
  CHECK(before == 0);
  CHECK(after == 5);
  CHECK(client.receive(5) == "12345");
}

TEST_CASE("contract words: an id has a hash, and bytes are text") {
  const std::unordered_set<ConnectionId> ids{{1}, {2}, {1}};
  CHECK(ids.size() == 2);
  CHECK(text(bytes_of("as text")) == "as text");
}
