// The contract, point 13, by a heap that refuses. It is refused to the server's threads, not to the case's own.
#include <array>
#include <atomic>
#include <cstddef>
#include <limits>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/contract/harness.h"
#include "tests/contract/platform.h"
#include <ladder/server.h>

using namespace ladder;
using namespace ladder::contract;

namespace {

/// An answer comes (true), or an end: no silence.
bool ask(Client& client) {
  client.send("?");
  const bool answered = client.receive(1) == "?";
  CHECK((answered || client.end() != End::silence));
  return answered;
}

/// What makes a server allocate: newcomers, a queue that waits for its peer, other threads' sends, an end. Returns how
/// many of its clients were not served: one that is turned away may be reset before its connect has returned.
long use(TestServer& server, std::atomic<ConnectionId>& newest) {
  long unserved = 0;
  Client quick;
  if (!quick.connect(server.where()) || !ask(quick)) ++unserved;
  {
    const std::jthread other = user_thread([&] {
      for (int i = 0; i < 10; ++i)
        try {
          server->send(newest.load(), bytes_of("!"));
        } catch (const std::bad_alloc&) {  // told to the sender
        }
    });
  }
  quick.close();
  Client stuck = Client::narrow(server.where(), 4096, false);
  if (stuck.stuff(20ms).empty()) ++unserved;
  return unserved;
}

/// Of what the server asks of the heap meanwhile, `refused` requests in a row fail: the first ones, then later ones,
/// as far as there are any.
void expect_survival(long refused) {
  for (long granted = 0;; ++granted) {
    CAPTURE(granted);
    std::atomic<ConnectionId> newest{};
    Callbacks callbacks = echo();
    callbacks.on_open = [&](Connection& c) { newest = c.id(); };
    TestServer server(callbacks, {.idle_timeout = 1min});
    {
      Client first(server.where());
      ask(first);  // all threads are there
    }
    REQUIRE(server.is_empty());
    long failures = 0;
    {
      const ScarceHeap heap(granted, refused);
      const long unserved = use(server, newest);
      failures = heap.failures();
      CHECK(unserved <= failures);
    }
    Client next(server.where());
    CHECK(next.send("next"));
    CHECK(next.receive(4) == "next");
    if (failures == 0) break;
  }
}

}  // namespace

TEST_CASE("contract 13: any one allocation may fail, and costs no more than one connection") {
  expect_survival(1);
}

TEST_CASE("contract 13: all allocations may fail for a while, and the server lives") {
  expect_survival(std::numeric_limits<long>::max());
}

TEST_CASE("contract 13: a send by id that finds no memory was not taken, and sent again it arrives once") {
  TestServer server(echo());
  Client client(server.where());
  const ConnectionId id = server.id_of(client);
  for (long granted = 0;; ++granted) {
    CAPTURE(granted);
    const std::string message = "message " + std::to_string(granted) + "\n";
    long refused = 0;
    const auto send = [&] {
      try {
        return server->send(id, bytes_of(message)) == SendResult::queued;
      } catch (const std::bad_alloc&) {
        return false;
      }
    };
    {
      const ScarceHeap heap(granted, 1, ScarceHeap::Whose::this_threads);
      bool sent = send();
      if (!sent) sent = send();  // one request in all is refused
      refused = heap.failures();
      REQUIRE(sent);
    }
    CHECK(client.receive(message.size()) == message);
    if (refused == 0) break;
  }
  server->close(id);
  CHECK(client.rest() == "");
}

TEST_CASE("contract 13: out of descriptors and out of memory, it accepts again when both are back") {
  if (!NoMoreDescriptors::possible()) return;
  TestServer server(echo());
  Client first(server.where());
  ask(first);
  first.close();
  REQUIRE(server.is_empty());
  std::array<Client, 3> newcomers;
  {
    const NoMoreDescriptors limit;
    const ScarceHeap heap(0, std::numeric_limits<long>::max());
    for (Client& client : newcomers)
      REQUIRE(client.connect(server.where()));
    CHECK(eventually(
        [&] { return heap.failures() > 0; }));  // of a log line, or of a thread for the first of them
  }
  for (Client& client : newcomers) {
    ask(client);
    client.close();
  }
  Client next(server.where());
  CHECK(next.send("x"));
  CHECK(next.receive(1) == "x");
}

TEST_CASE("contract 13: without memory an idle connection still expires") {
  Crowd crowd(3, echo(), {.idle_timeout = 200ms});
  const ScarceHeap heap(0, std::numeric_limits<long>::max());
  for (std::size_t i = 0; i < crowd.size(); ++i)
    CHECK(crowd.client(i).end() == End::fin);
}

TEST_CASE("contract 13: a stop that finds no memory waits for it, and reaches every connection") {
  Crowd crowd(3, echo());
  std::optional<ScarceHeap> heap(std::in_place, 0, std::numeric_limits<long>::max());
  std::vector<std::jthread> stops;
  for (std::size_t i = 0; i < (one_at_a_time() ? crowd.size() : 1); ++i)
    stops.push_back(user_thread([&, i] { crowd.server(i)->stop(patience); }));
  REQUIRE(eventually([&] { return heap->failures() > 0; }));
  heap.reset();
  for (std::size_t i = 0; i < crowd.size(); ++i)
    CHECK(crowd.client(i).end() == End::fin);
}
