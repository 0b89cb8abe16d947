// The contract, points 10 to 13, and what its words mean: stop, exceptions, idle memory, limits, time,
// counts.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include "common/os/os.h"
#include "tests/contract/harness.h"
#include "tests/contract/platform.h"
#include <ladder/server.h>

using namespace ladder;
using namespace ladder::contract;

namespace {

constexpr std::size_t megabyte = 1024 * 1024;

/// One that queues more than the system takes for a client that does not read.
Callbacks big_reply() {
  return {.on_receive = [](Connection& c, Bytes) { c.send(pattern(3 * megabyte)); }};
}

/// A client that has asked for a big reply and reads nothing; its connection holds up a stop.
Client stuck_client(TestServer& server) {
  Client client = Client::narrow(server.where());
  CHECK(client.send("go"));
  REQUIRE(eventually([&] { return server->stats().bytes_in == 2; }));
  return client;
}

}  // namespace

// ---- 10: stop

TEST_CASE("contract 10: stop closes the listener first and lets what is in flight finish") {
  TestServer server(big_reply());
  Client client = stuck_client(server);
  Gate stopped;
  bool drained = false;
  std::jthread stopper = user_thread([&] {
    drained = server->stop(60s);
    stopped.open();
  });
  CHECK(turns_away(server.where()));
  CHECK(!server.returned().get());
  CHECK(!stopped.get());
  CHECK(client.rest() == pattern(3 * megabyte));
  CHECK(client.end() == End::fin);
  client.close();
  CHECK(stopped.pass());
  CHECK(drained);
  CHECK(server.closed(CloseReason::stopping) >= 1);  // a knock that was still let in ended too
}

TEST_CASE("contract 10: at the deadline stop resets the rest") {
  TestServer server(big_reply());
  Client client = stuck_client(server);
  const Time start = Clock::now();
  CHECK(!server->stop(300ms));
  const auto took = Clock::now() - start;
  CHECK(took >= 290ms);
  CHECK(took < 5s);
  CHECK(server.closed(CloseReason::stopping) == 1);
  CHECK(client.rest().size() < 3 * megabyte);
  CHECK(client.end() == End::reset);
}

TEST_CASE("contract 10: stop without a drain resets at once, and ends nobody if nobody is there") {
  TestServer busy(echo());
  Client client(busy.where());
  CHECK(client.send("x"));
  CHECK(client.receive(1) == "x");
  CHECK(!busy->stop(0ms));
  CHECK(client.end() == End::reset);
  for (int i = 0; i < 40; ++i) {  // whether run() has just begun or sleeps in accept
    TestServer idle(echo());
    CHECK(idle->stop(0ms));
    CHECK(idle->stop(0ms));           // again: nothing more to do
    CHECK(idle.log().get().empty());  // that a stop ends what waits for newcomers is no trouble
  }
}

TEST_CASE("contract 10: the longest drain is no short one") {
  Crowd crowd(1, echo());
  CHECK(crowd.client(0).send("x"));
  CHECK(crowd.client(0).receive(1) == "x");
  CHECK(crowd.server(0)->stop(Milliseconds::max()));
  CHECK(crowd.client(0).end() == End::fin);
}

TEST_CASE("contract 10: clients that have all they asked for hold up no stop, and see a FIN") {
  Crowd crowd(3, echo());
  for (std::size_t i = 0; i < crowd.size(); ++i)
    for (int ping = 0; ping < 40; ++ping) {  // so many that the systems put off their acknowledgements
      CHECK(crowd.client(i).send("x"));
      CHECK(crowd.client(i).receive(1) == "x");
    }
  const Time start = Clock::now();
  for (std::size_t i = 0; i < (one_at_a_time() ? crowd.size() : 1); ++i)
    CHECK(crowd.server(i)->stop(10s));
  CHECK(Clock::now() - start < 4s);
  for (std::size_t i = 0; i < crowd.size(); ++i)
    CHECK(crowd.client(i).end() == End::fin);
}

TEST_CASE("contract 10: what was read before the stop, and kept by a pause, is delivered") {
  std::atomic<std::size_t> delivered = 0;
  Counter drained;
  TestServer server({.on_receive = [&](Connection&, Bytes bytes) { delivered += bytes.size(); },
                     .on_drained =
                         [&](Connection& c) {
                           c.pause();
                           drained.add();
                         }});
  Client client(server.where());
  CHECK(server->send(server.id_of(client), bytes_of(pattern(megabyte))) == SendResult::congested);
  CHECK(client.receive(megabyte).size() == megabyte);
  REQUIRE(drained.reaches(1));
  CHECK(client.send("kept where a receive was under way"));
  CHECK(client.hears_nothing());
  CHECK(delivered == 0);
  const std::size_t read = server->stats().bytes_in;
  std::jthread stopper = user_thread([&] { CHECK(server->stop(10s)); });
  CHECK(client.end() == End::fin);
  client.close();
  stopper.join();
  CHECK(delivered >= read);
}

TEST_CASE("contract 10: once the stop has reached a connection, other threads' answers to it are gone") {
  TestServer server(big_reply());
  Client client = stuck_client(server);
  const ConnectionId id = server.id_of(client);
  std::jthread stopper = user_thread([&] { CHECK(server->stop(60s)); });
  std::size_t late = 0;
  CHECK(eventually([&] {
    const SendResult result = server->send(id, bytes_of("late"));
    late += result < SendResult::full ? 4 : 0;
    return result == SendResult::gone;
  }));
  CHECK(client.rest().size() == 3 * megabyte + late);
  CHECK(client.end() == End::fin);
  client.close();
}

TEST_CASE("contract 10: stop is refused in each callback, and the server goes on") {
  std::atomic<int> refused = 0, asked = 0;
  const auto ask = [&](Connection& c) {
    ++asked;
    if (!c.server().stop(100ms)) ++refused;
  };
  TestServer server({.on_open = ask,
                     .on_receive =
                         [&](Connection& c, Bytes) {
                           ask(c);
                           c.send(pattern(megabyte));
                         },
                     .on_end =
                         [&](Connection& c) {
                           ask(c);
                           c.close();
                         },
                     .on_drained = ask,
                     .on_close = [&](Connection& c, CloseReason, std::error_code) { ask(c); }});
  for (int i = 1; i <= 2; ++i) {
    Client client(server.where());
    CHECK(client.send("go"));
    CHECK(client.receive(megabyte).size() == megabyte);
    CHECK(eventually([&] { return asked == i * 5 - 2; }));  // on_drained too
    client.finish();
    CHECK(client.end() == End::fin);
    client.close();
    REQUIRE(server.is_empty());
  }
  CHECK(asked == 10);
  CHECK(refused == 10);
}

TEST_CASE("contract 10: of two stops at once the shorter drain counts, and both tell that some were reset") {
  TestServer server(big_reply());
  Client client = stuck_client(server);
  Gate returned;
  bool drained = true;
  std::jthread patient = user_thread([&] {
    drained = server->stop(60s);
    returned.open();
  });
  CHECK(turns_away(server.where()));
  CHECK(!server->stop(50ms));
  CHECK(returned.pass());
  CHECK(!drained);
  CHECK(client.end() == End::reset);
}

TEST_CASE("contract 10: stop before run: run returns at once, and nobody was ever served") {
  std::unique_ptr<Server> server = make_server({.queue = queue_under_test}, echo());
  Client client(server->endpoint());
  CHECK(server->stop(10s));
  CHECK(!Client().connect(server->endpoint()));
  Gate returned;
  std::jthread runner([&] {
    server->run();
    returned.open();
  });
  CHECK(returned.pass());
  CHECK(client.end() == End::reset);
  CHECK(server->stats().accepted == 0);
  make_server({.queue = queue_under_test}, echo());  // and one that never ran just goes
}

TEST_CASE("contract 10: stop in a storm of newcomers leaves none behind") {
  for (int round = 0; round < 6; ++round) {
    TestServer server(echo());
    std::vector<std::jthread> storm;
    for (int i = 0; i < 2; ++i)
      storm.push_back(user_thread([&, i] {
        for (;;) {
          Client client;
          if (!client.connect(server.where())) return;
          if (client.send("x") && i == 0) client.receive(1);
        }
      }));
    CHECK(eventually([&] { return server->stats().accepted >= 20; }));
    server->stop(round % 2 ? 50ms : 0ms);  // and ~TestServer balances the books
  }
}

TEST_CASE("contract 10: a callback that does not return holds up the stop") {
  Counter held;
  Gate gate, stopped;
  TestServer server({.on_receive = [&](Connection&, Bytes) {
    held.add();
    gate.pass();
  }});
  Client client(server.where());
  CHECK(client.send("x"));
  REQUIRE(held.reaches(1));
  std::jthread stopper = user_thread([&] {
    server->stop(0ms);
    stopped.open();
  });
  CHECK(client.hears_nothing());
  CHECK(!stopped.get());
  gate.open();
  CHECK(stopped.pass());
  CHECK(server.returned().pass());
}

TEST_CASE("contract 10: stop joins every thread") {
  const auto before = threads();
  {
    Crowd crowd(3, big_reply());
    for (std::size_t i = 0; i < crowd.size(); ++i)
      CHECK(crowd.client(i).send("go"));
    CHECK(threads() > before);
  }
  CHECK(eventually([&] { return threads() == before; }));  // the kernel takes its time to forget one
}

TEST_CASE("contract 10: a stop is one server's, and is refused in a callback of another") {
  TestServer other(echo());
  Client theirs(other.where());
  bool refused = false;
  TestServer server({.on_receive = [&](Connection& c, Bytes bytes) {
    refused = !other->stop(10s);
    c.send(bytes);
  }});
  Client mine(server.where());
  CHECK(mine.send("stop the other"));
  CHECK(mine.receive(14) == "stop the other");
  CHECK(refused);
  CHECK(theirs.send("x"));
  CHECK(theirs.receive(1) == "x");
  CHECK(server->stop(10s));
  CHECK(mine.end() == End::fin);
  CHECK(theirs.send("y"));
  CHECK(theirs.receive(1) == "y");
}

TEST_CASE("contract 10: two servers whose callbacks stop each other do not wait for each other") {
  std::array<Server*, 2> servers{};
  Counter inside;
  const auto stop_the_other = [&](std::size_t mine) {
    return Callbacks{.on_receive = [&, mine](Connection& c, Bytes bytes) {
      inside.add();
      inside.reaches(2);  // both are in their callbacks
      CHECK_FALSE(servers[1 - mine]->stop(10s));
      c.send(bytes);
    }};
  };
  TestServer one(stop_the_other(0)), other(stop_the_other(1));
  servers = {&*one, &*other};
  Client first(one.where()), second(other.where());
  CHECK(first.send("a"));
  CHECK(second.send("b"));
  CHECK(first.receive(1) == "a");
  CHECK(second.receive(1) == "b");
}

TEST_CASE(
    "contract 10: stop in a log sink that a server's thread calls is refused, and what a sink throws is "
    "dropped") {
  Watched<std::vector<bool>> answers;
  std::atomic<Server*> handle = nullptr;
  Options options{.max_connections = 1};
  options.log = [&](std::string_view) {
    answers.change([&](auto& all) { all.push_back(handle.load()->stop(10s)); });
    throw std::runtime_error("thrown by the sink, as a test");
  };
  Callbacks callbacks = echo();
  callbacks.on_receive = [](Connection& c, Bytes bytes) {
    if (text(bytes) == "throw") throw std::runtime_error("thrown as a test");
    c.send(bytes);
  };
  TestServer server(callbacks, options);
  handle = &*server;
  Client client(server.where());
  CHECK(client.send("throw"));  // told to the log with the connection's strand
  CHECK(client.end() == End::reset);
  CHECK(answers.wait([](const auto& all) { return all.size() == 1; }));
  Client next(server.where());
  CHECK(next.send("x"));
  CHECK(next.receive(1) == "x");
  if (!profile({}).clients_at_once) {
    const Client refused(server.where());  // and without one, by the thread that accepts
    CHECK(answers.wait([](const auto& all) { return all.size() == 2; }));
  }
  for (const bool stopped : answers.get())
    CHECK_FALSE(stopped);
}

TEST_CASE(
    "contract 10: a handle may be destroyed when run() has returned, though another thread's stop() has "
    "not") {
  for (int round = 0; round < 200; ++round) {
    std::unique_ptr<Server> server = make_server({}, echo());
    const std::jthread stopper([handle = server.get()] { handle->stop(1s); });
    server->run();
    server.reset();
  }
}

// ---- 11: exceptions

TEST_CASE("contract 11: an exception from a callback ends that connection, and no other") {
  for (const std::string_view where : {"on_open"sv, "on_receive"sv, "on_end"sv, "on_drained"sv}) {
    CAPTURE(where);
    std::atomic<bool> armed = false;
    const auto fail = [&](std::string_view here) {
      if (armed && here == where) throw std::runtime_error("thrown as a test");
    };
    TestServer server({.on_open = [&](Connection&) { fail("on_open"); },
                       .on_receive =
                           [&](Connection& c, Bytes bytes) {
                             fail("on_receive");
                             c.send(text(bytes) == "big" ? pattern(megabyte) : std::string(text(bytes)));
                           },
                       .on_end =
                           [&](Connection& c) {
                             fail("on_end");
                             c.close();
                           },
                       .on_drained = [&](Connection&) { fail("on_drained"); }});
    std::unique_ptr<Client> neighbour;
    if (!one_at_a_time()) {
      neighbour = std::make_unique<Client>(server.where());
      CHECK(neighbour->send("x"));
      CHECK(neighbour->receive(1) == "x");
    }
    armed = true;
    Client client(server.where());
    client.send("big");
    if (where == "on_end") client.finish();
    CHECK(client.end() == End::reset);
    CHECK(server.ends(CloseReason::exception));
    armed = false;
    CHECK(server.log().wait([](auto& lines) {
      return lines.size() == 1 && lines[0].find("thrown as a test") != std::string::npos;
    }));
    if (!neighbour) neighbour = std::make_unique<Client>(server.where());
    CHECK(neighbour->send("x"));
    CHECK(neighbour->receive(1) == "x");
  }
}

TEST_CASE("contract 11: what is thrown may be anything, and on_close may throw too") {
  TestServer server(
      {.on_receive = [](Connection&, Bytes) { throw 42; },
       .on_close = [](Connection&, CloseReason, std::error_code) { throw std::runtime_error("on_close"); }});
  Client thrower(server.where());
  CHECK(thrower.send("x"));
  CHECK(thrower.end() == End::reset);
  CHECK(server.ends(CloseReason::exception));
  thrower.close();
  Client client(server.where());
  client.finish();
  CHECK(client.end() == End::fin);
  client.close();
  CHECK(server.ends(CloseReason::peer));
  CHECK(server.log().wait([](auto& lines) { return lines.size() == 3; }));
}

// ---- 12: idle memory

TEST_CASE("contract 12: a connection that waits holds no buffer on the heap") {
  const std::size_t count = one_at_a_time() ? 1 : 300;
  TestServer server(echo());
  const std::string text = pattern(60'000);
  std::vector<Client> clients;
  clients.reserve(count);
  const auto talk = [&] {
    clients.emplace_back(server.where());
    CHECK(clients.back().send(text));
    CHECK(clients.back().receive(text.size()) == text);
  };
  talk();  // what the server has once, however many come
  const long before = heap_in_use();
  while (clients.size() < count)
    talk();
  const long grown = heap_in_use() - before;
  // Two pools of slots, and for each worker a buffer that serves all connections.
  CHECK(grown < 512 * 1024 + static_cast<long>(count) * 1024);
}

// ---- 13: limits

TEST_CASE("contract 13: out of descriptors, those who are here are served and newcomers wait their turn") {
  if (!NoMoreDescriptors::possible()) return;
  TestServer server(echo());
  Client here(server.where());
  std::array<Client, 3> newcomers;  // their own descriptors
  server.id_of(here);
  {
    const NoMoreDescriptors limit;
    for (Client& client : newcomers) {
      REQUIRE(client.connect(server.where()));
      CHECK(client.send("x"));
    }
    const Milliseconds before = cpu_time();
    CHECK(newcomers[1].hears_nothing());
    CHECK(newcomers[2].hears_nothing());
    CHECK(cpu_time() - before < quiet);    // of two quiet spells
    CHECK(server->stats().accepted <= 2);  // an accept asleep had its descriptor already
    CHECK(here.send("here"));
    CHECK(here.receive(4) == "here");
    here.finish();  // each one's descriptor in the server falls free for the next
    CHECK(here.end() == End::fin);
    for (Client& client : newcomers) {
      CHECK(client.receive(1) == "x");
      client.finish();
      CHECK(client.end() == End::fin);
    }
  }
  Client last(server.where());
  CHECK(last.send("x"));
  CHECK(last.receive(1) == "x");
  if (!one_at_a_time()) CHECK(!server.log().get().empty());
}

TEST_CASE("contract 13: out of descriptors, a stop still works") {
  if (!NoMoreDescriptors::possible()) return;
  for (int round = 0; round < 3; ++round) {
    TestServer server(big_reply());
    Client client = stuck_client(server);
    Client waits;
    const NoMoreDescriptors limit;
    REQUIRE(waits.connect(server.where()));
    if (!one_at_a_time()) REQUIRE(server.log().wait([](auto& lines) { return !lines.empty(); }));
    CHECK(!server->stop(200ms));  // longer than any pause of accepting
    CHECK(client.end() == End::reset);
    CHECK(waits.end() != End::silence);
  }
}

TEST_CASE("contract 13: above max_connections newcomers are closed at once, and the count does not drift") {
  constexpr std::size_t limit = 4;
  TestServer server(echo(), {.max_connections = limit});
  if (one_at_a_time()) {  // the limit is never met: newcomers wait in the backlog
    Client first(server.where()), second(server.where());
    CHECK(second.send("x"));
    first.finish();
    CHECK(first.end() == End::fin);
    first.close();
    CHECK(second.receive(1) == "x");
    CHECK(server->stats().refused == 0);
    return;
  }
  for (std::uint64_t round = 1; round <= 20; ++round) {
    std::vector<Client> clients;
    for (std::size_t i = 0; i < limit; ++i) {
      clients.emplace_back(server.where());
      CHECK(clients.back().send("x"));
      CHECK(clients.back().receive(1) == "x");
    }
    Client refused(server.where());
    CHECK(refused.rest() == "");
    CHECK(refused.end() == End::fin);
    CHECK(server->stats().refused == round);
    for (Client& client : clients) {
      client.finish();
      CHECK(client.end() == End::fin);  // counted before it is closed: the next round may come at once
    }
  }
  CHECK(server->stats().accepted == 20 * limit);
  CHECK(server->stats().peak == limit);
}

TEST_CASE("contract 13: descriptors beyond 1024: select closes the newcomer, the others serve it") {
  TestServer server(echo());
  bool refused = false;
  if (!one_at_a_time()) {
    std::vector<os::Descriptor> many;
    while (many.size() < 1024) {
      many.push_back(place_holder());
      REQUIRE(static_cast<bool>(many.back()));
    }
    refused =
        profile(Options{}).model == "select" && !os::fits_select(many.back().get(), 0);  // not on Windows
    Client client(server.where());
    client.send("x");
    if (refused)
      CHECK(client.end() != End::silence);
    else
      CHECK(client.receive(1) == "x");
  }
  Client client(server.where());
  CHECK(client.send("x"));
  CHECK(client.receive(1) == "x");
  CHECK(server->stats().refused == (refused ? 1u : 0u));
}

// ---- what the words mean: time

TEST_CASE(
    "contract words: idle_timeout closes a silent peer, with a FIN and at once; each byte counts anew") {
  TestServer server(echo(), {.idle_timeout = 800ms});
  Client client(server.where());
  const ConnectionId id = server.id_of(client);
  Time last{};
  for (int i = 0; i < 14; ++i) {  // longer than the timeout in all
    last = Clock::now();
    if (i % 2)
      CHECK(client.send("x"));
    else
      CHECK(server->send(id, bytes_of("x")) == SendResult::queued);
    CHECK(client.receive(1) == "x");
    CHECK(client.hears_nothing());
  }
  CHECK(client.end() == End::fin);
  const auto took = Clock::now() - last;
  CHECK(took >= 790ms);
  CHECK(took < 3s);
  CHECK(server.ends(CloseReason::idle_timeout));  // though the client has not closed
  CHECK(server.is_empty());
}

TEST_CASE("contract words: a reply counts as activity when it is sent, however long its callback took") {
  Gate never;
  TestServer server({.on_receive =
                         [&](Connection& c, Bytes bytes) {
                           if (text(bytes) == "slow") never.wait([](bool open) { return open; }, 1200ms);
                           c.send(bytes);
                         }},
                    {.idle_timeout = 800ms});
  Client client(server.where());
  CHECK(client.send("slow"));
  CHECK(client.receive(4) == "slow");
  CHECK(client.hears_nothing());
  CHECK(client.send("x"));
  CHECK(client.receive(1) == "x");
}

TEST_CASE("contract words: expire_at is a total that bytes do not prolong; the last call counts") {
  static constexpr Milliseconds soon = 800ms;  // quiet twice, on a busy machine too, is less
  TestServer server({.on_receive = [](Connection& c, Bytes bytes) {
    const Time now = Clock::now();
    if (text(bytes) == "s") c.expire_at(now + soon);
    if (text(bytes) == "l") c.expire_at(now + 60s);
    if (text(bytes) == "n") c.expire_at(Time::max());
    if (text(bytes) == "p") c.expire_at(now - 1s);
    c.send(bytes);
  }});
  const auto ask = [](Client& client, std::string_view what) {
    CHECK(client.send(what));
    CHECK(client.receive(1) == what);
  };
  {
    Client client(server.where());
    ask(client, "s");
    ask(client, "l");  // later
    ask(client, "s");
    ask(client, "n");  // not at all
    for (const Time end = Clock::now() + soon + quiet; Clock::now() < end;)
      CHECK(client.hears_nothing());
    const Time start = Clock::now();
    ask(client, "l");
    ask(client, "s");  // earlier
    for (int i = 0; i < 2; ++i) {
      ask(client, "x");
      CHECK(client.hears_nothing());
    }
    CHECK(client.end() == End::fin);
    CHECK(Clock::now() - start >= soon - 10ms);
    CHECK(Clock::now() - start < 3s);
  }
  Client client(server.where());
  ask(client, "p");  // past: at once
  CHECK(client.end() == End::fin);
  CHECK(server.ends(CloseReason::idle_timeout, 2));
}

TEST_CASE("contract words: a deadline that passes while its thread is held up still acts") {
  // Its thread has already been told of other work, which is looked at with an older clock.
  Watched<std::map<Endpoint, std::thread::id>> threads;
  Counter held;
  std::array<Gate, 2> gates;
  Crowd crowd(12, {.on_receive = [&](Connection& c, Bytes bytes) {
                threads.change([&](auto& ids) { ids[c.peer()] = std::this_thread::get_id(); });
                const char what = text(bytes).front();
                if (what == 'e') c.expire_at(Clock::now() + 400ms);
                if (what == '0' || what == '1') {
                  held.add();
                  gates[static_cast<std::size_t>(what - '0')].pass();
                }
                c.send(bytes);
              }});
  const auto ask = [&](std::size_t i, std::string_view what) {
    CHECK(crowd.client(i).send(what));
    CHECK(crowd.client(i).receive(1) == what);
  };
  for (std::size_t i = 0; i < crowd.size(); ++i)
    ask(i, "p");
  const std::map<Endpoint, std::thread::id> where = threads.get();
  std::vector<std::size_t> mates, strangers;
  for (std::size_t i = 1; i < crowd.size(); ++i) {
    const bool mate = where.at(crowd.client(i).local()) == where.at(crowd.client(0).local());
    (mate ? mates : strangers).push_back(i);
  }
  mates.insert(mates.end(), strangers.begin(), strangers.end());  // a model with a thread each has none
  const std::size_t next = mates[0], told = mates[1], expires = mates[2];
  ask(expires, "e");
  const Time deadline = Clock::now() + 400ms;
  CHECK(crowd.client(0).send("0"));
  REQUIRE(held.reaches(1));
  CHECK(crowd.client(next).send("1"));
  CHECK(crowd.send(told, "x") == SendResult::queued);
  gates[0].open();
  REQUIRE(held.reaches(2));
  std::this_thread::sleep_until(deadline + 30ms);  // by then whoever is free has seen it pass
  const auto is_free = [&](std::size_t i) {
    return where.at(crowd.client(i).local()) != where.at(crowd.client(next).local()) && i != told &&
           i != expires;
  };
  if (const auto free = std::ranges::find_if(strangers, is_free); free != strangers.end())
    ask(*free, "p");  // which makes its thread look at the clock
  gates[1].open();
  CHECK(crowd.client(expires).end() == End::fin);
  CHECK(crowd.server(expires).ends(CloseReason::idle_timeout));
}

// ---- what the words mean: counts, and several servers

TEST_CASE("contract words: stats count each connection once, by its reason, and each byte") {
  TestServer server({.on_receive =
                         [](Connection& c, Bytes bytes) {
                           const std::string_view what = text(bytes);
                           if (what == "throw") throw std::runtime_error("as asked");
                           if (what == "expire") c.expire_at(Clock::now());
                           if (what == "close") c.close();
                           if (what == "stick") c.send(pattern(16 * megabyte));  // more than the systems hold
                           if (what == "x") c.send(bytes);
                         }},
                    {.write_timeout = 200ms, .hard_cap = 32 * megabyte});
  std::uint64_t count = 0, bytes = 0;
  for (const std::string_view what : {"throw"sv, "expire"sv, "close"sv, "stick"sv, "reset"sv, "x"sv}) {
    CAPTURE(what);
    Client client = Client::narrow(server.where());
    CHECK(client.send(what));
    bytes += what.size();
    REQUIRE(eventually([&] { return server->stats().bytes_in == bytes; }));  // a reset would take them back
    if (what == "x") CHECK(client.receive(1) == "x");
    if (what == "x") client.finish();
    if (what == "reset") client.reset();
    if (what == "close") CHECK(client.end() == End::fin);
    if (what == "close") client.close();
    REQUIRE(server.is_empty());
    ++count;
  }
  Client client(server.where());
  CHECK(client.send("x"));
  CHECK(client.receive(1) == "x");
  const Stats before = server->stats();
  CHECK(before.accepted == count + 1);
  CHECK(before.active == 1);
  CHECK(before.peak == 1);
  CHECK(before.bytes_in == bytes + 1);
  server->stop(0ms);
  for (const CloseReason reason :
       {CloseReason::exception, CloseReason::idle_timeout, CloseReason::local, CloseReason::write_timeout,
        CloseReason::reset, CloseReason::peer, CloseReason::stopping}) {
    CAPTURE(to_string(reason));
    CHECK(server.closed(reason) == 1);
  }
}

TEST_CASE("contract words: bytes in and out are the clients' totals") {
  TestServer server(echo());
  std::uint64_t total = 0;
  for (int i = 0; i < 10; ++i) {
    Client client(server.where());
    const std::string text = pattern(10'000 * static_cast<std::size_t>(i), 7);
    CHECK(client.send(text));
    client.finish();
    CHECK(client.rest() == text);
    total += text.size();
  }
  CHECK(eventually([&] { return server->stats().closed[0] == 10; }));
  CHECK(server->stats().bytes_in == total);
  CHECK(server->stats().bytes_out == total);
}

TEST_CASE(
    "contract words: several servers live in one process, and a callback of one sends through another") {
  TestServer listener(echo());
  Client hears(listener.where());
  const ConnectionId id = listener.id_of(hears);
  TestServer speaker({.on_receive = [&](Connection& c, Bytes bytes) {
    // The two servers number their connections alike: each knows its own.
    CHECK(listener->send(id, bytes) == SendResult::queued);
    c.send("told");
  }});
  CHECK(speaker.where() != listener.where());
  Client speaks(speaker.where());
  for (int i = 0; i < 20; ++i) {
    CHECK(speaks.send("pass it on"));
    CHECK(speaks.receive(4) == "told");
    CHECK(hears.receive(10) == "pass it on");
  }
  CHECK(hears.send("own"));
  CHECK(hears.receive(3) == "own");
}

TEST_CASE("contract words: a server that cannot listen says where") {
  TestServer server(echo());
  const std::string where = to_string(server.where());
  try {
    make_server({.port = server.where().port}, {});
    FAIL("two servers on one port");
  } catch (const std::system_error& error) {
    CHECK(error.code() == std::errc::address_in_use);
    CHECK(std::string_view(error.what()).find(where) != std::string_view::npos);
  }
}

TEST_CASE("contract words: options that make no sense are refused, and the error says which") {
  const auto refused = [](const Options& options) -> std::string {
    try {
      make_server(options, {});
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "taken";
  };
  constexpr std::size_t one_receive = 64 * 1024;
  CHECK(refused({.host = "no address"}).find("'no address'") != std::string::npos);
  CHECK(refused({.host = "localhost"}).find("'localhost'") != std::string::npos);
  CHECK(refused({.backlog = -1}).find("backlog -1") != std::string::npos);
  CHECK(refused({.max_connections = most_connections + 1}).find("max_connections") != std::string::npos);
  CHECK(refused({.idle_timeout = -1ms}).find("idle_timeout of -1 ms") != std::string::npos);
  CHECK(refused({.write_timeout = -1ms}).find("write_timeout") != std::string::npos);
  CHECK(refused({.close_timeout = -1ms}).find("close_timeout") != std::string::npos);
  CHECK(refused({.keep_alive = -1ms}).find("keep_alive") != std::string::npos);
  CHECK(refused({.low_mark = 2, .high_mark = 1}).find("low_mark 2 is above high_mark 1") !=
        std::string::npos);
  CHECK(refused({.high_mark = 100'000, .hard_cap = 120'000}).find("one receive") != std::string::npos);
  CHECK(refused({.low_mark = 1, .high_mark = 1, .hard_cap = one_receive}).find("one receive") !=
        std::string::npos);
  CHECK(refused({.low_mark = 1, .high_mark = 1, .hard_cap = one_receive + 1}) == "taken");
  CHECK(refused({.max_connections = most_connections}) == "taken");
}

TEST_CASE("contract words: where threads would get too small a stack, there is no server") {
  if (!SmallStacks::possible()) return;
  const SmallStacks small;
  CHECK_THROWS_WITH_AS(
      make_server({}, {}),
      "a thread's stack has 64 KiB (ulimit -s, pthread_setattr_default_np), and 256 are needed",
      std::runtime_error);
}
