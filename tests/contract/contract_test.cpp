// The contract, points 1 to 5: callbacks, ids and sends. Linked with each chapter's library; docs/contract.md
// has the points in words. streams_test.cpp holds 6 to 9, stop_test.cpp the rest.
#include <any>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include "common/os/os.h"
#include "tests/contract/harness.h"
#include <ladder/server.h>

using namespace ladder;
using namespace ladder::contract;

// ---- 1: callbacks of one connection never overlap

TEST_CASE("contract 1: callbacks of one connection never overlap, whoever sends, pauses and resumes") {
  Crowd crowd(3, {.on_receive = [](Connection& c, Bytes bytes) {
                c.pause();  // so that the resumes of others matter
                c.send(bytes);
                std::this_thread::yield();
              }});
  constexpr int pings = 300;
  std::array<std::atomic<int>, 3> taken{};
  std::atomic<bool> done = false;
  {
    std::vector<std::jthread> others;
    for (int thread = 0; thread < 3; ++thread)
      others.push_back(user_thread([&] {
        for (std::size_t i = 0; !done; i = (i + 1) % crowd.size()) {
          if (taken[i] < 3000 && crowd.send(i, "x") != SendResult::full) ++taken[i];
          crowd.server(i)->resume(crowd.id(i));
        }
      }));
    std::vector<std::jthread> clients;
    for (std::size_t i = 0; i < crowd.size(); ++i)
      clients.push_back(user_thread([&, i] {
        for (int ping = 0; ping < pings; ++ping) {
          crowd.client(i).send("p");
          while (crowd.client(i).receive(1) == "x") {
          }
        }
      }));
    clients.clear();
    done = true;
  }
  for (std::size_t i = 0; i < crowd.size(); ++i) {
    crowd.server(i)->resume(crowd.id(i));
    crowd.client(i).finish();
    const std::string rest = crowd.client(i).rest();
    CHECK(rest.find_first_not_of('x') == std::string::npos);
    CHECK(crowd.client(i).end() == End::fin);
  }
}

TEST_CASE("contract 1: a callback holds up no connection but those of its own thread") {
  Watched<std::map<Endpoint, std::thread::id>> threads;
  Counter held;
  Gate gate;
  Crowd crowd(6, {.on_receive = [&](Connection& c, Bytes bytes) {
                threads.change([&](auto& ids) { ids[c.peer()] = std::this_thread::get_id(); });
                if (text(bytes) == "h") {
                  held.add();
                  gate.pass();
                }
                c.send(bytes);
              }});
  const auto thread_of = [&](std::size_t i) { return threads.get()[crowd.client(i).local()]; };
  for (std::size_t i = 0; i < crowd.size(); ++i) {
    CHECK(crowd.client(i).send("p"));
    CHECK(crowd.client(i).receive(1) == "p");
  }
  CHECK(crowd.client(0).send("h"));
  REQUIRE(held.reaches(1));
  const std::string_view model = profile(Options{}).model;
  const bool any_worker = model == "iocp" || (model == "epoll" && queue_under_test == Queue::shared);
  for (std::size_t i = 1; i < crowd.size(); ++i) {
    CHECK(crowd.client(i).send("p"));
    if (any_worker || thread_of(i) != thread_of(0))
      CHECK(crowd.client(i).receive(1) == "p");
    else if (i < 3)
      CHECK(crowd.client(i).hears_nothing());
  }
  if (model == "select") CHECK(thread_of(1) == thread_of(0));
  if (model == "thread_per_conn") CHECK(thread_of(1) != thread_of(0));
  gate.open();
  CHECK(crowd.client(0).receive(1) == "h");
}

namespace {

/// Whether an idle worker takes whatever comes next, of whichever connection.
bool any_worker_serves_any() {
  const std::string_view model = profile(Options{}).model;
  return model == "thread_per_conn" || model == "iocp" ||
         (model == "epoll" && queue_under_test == Queue::shared);
}
bool has_one_thread() {
  return one_at_a_time() || profile(Options{}).model == "select";
}

}  // namespace

TEST_CASE("contract 1: slow callbacks run at once, one on each worker that idles") {
  if (!any_worker_serves_any()) return;
  constexpr int workers = 4;
  for (int round = 0; round < 20; ++round) {
    Counter inside;
    std::atomic<int> at_once = 0;
    std::atomic<bool> late = false;  // then those behind the first need not wait as long again
    Crowd crowd(workers,
                {.on_receive =
                     [&](Connection& c, Bytes bytes) {
                       inside.add();
                       if (!late && inside.reaches(workers))  // none leaves before the last has come
                         ++at_once;
                       else
                         late = true;
                       c.send(bytes);
                     }},
                {.threads = workers});
    for (std::size_t i = 0; i < crowd.size(); ++i)
      CHECK(crowd.client(i).send("x"));
    for (std::size_t i = 0; i < crowd.size(); ++i)
      CHECK(crowd.client(i).receive(1) == "x");
    REQUIRE(at_once == workers);
  }
}

TEST_CASE("contract 1: a slow callback holds up no newcomer while another worker idles") {
  if (has_one_thread()) return;
  for (const bool in_on_open : {true, false}) {
    CAPTURE(in_on_open);
    Gate gate;
    Counter held;
    const auto hold = [&] {
      held.add();
      gate.pass();
    };
    std::atomic<bool> first = true;
    TestServer server({.on_open =
                           [&](Connection&) {
                             if (in_on_open && first.exchange(false)) hold();
                           },
                       .on_receive =
                           [&](Connection& c, Bytes bytes) {
                             if (text(bytes) == "hold") hold();
                             c.send(bytes);
                           }},
                      {.threads = 2});
    Client slow(server.where());
    CHECK(slow.send("hold"));
    REQUIRE(held.reaches(1));
    bool served = true;
    for (int i = 0; i < 8 && served; ++i) {
      Client newcomer(server.where());
      served = newcomer.send("quick") && newcomer.receive(5) == "quick";
    }
    gate.open();  // first: it holds the end of the case up, too
    REQUIRE(served);
    CHECK(slow.receive(4) == "hold");
  }
}

TEST_CASE("contract 1: with a queue a worker all callbacks of a connection come on its worker's thread") {
  if (profile(Options{}).model != "epoll" || queue_under_test != Queue::per_worker) return;
  Watched<std::map<Endpoint, std::set<std::thread::id>>> threads;
  const auto note = [&](Connection& c) {
    threads.change([&](auto& all) { all[c.peer()].insert(std::this_thread::get_id()); });
  };
  constexpr std::size_t clients = 64;
  Crowd crowd(clients,
              {.on_open = note,
               .on_receive =
                   [&](Connection& c, Bytes bytes) {
                     note(c);
                     c.send(bytes);
                   },
               .on_end = note,
               .on_close = [&](Connection& c, CloseReason, std::error_code) { note(c); }},
              {.idle_timeout = 300ms, .threads = 4});
  for (std::size_t i = 0; i < clients; ++i) {
    crowd.send(i, "by id");
    CHECK(crowd.client(i).send("x"));
  }
  for (std::size_t i = 0; i < clients; ++i)
    CHECK(crowd.client(i).end() == End::fin);  // by the clock
  REQUIRE(crowd.server(0).is_empty());
  for (const auto& [client, used] : threads.get())
    CHECK(used.size() == 1);
}

TEST_CASE("contract 1: no lock of the library's is held during a callback") {
  Gate done;
  CrowdHandle handle = nullptr;
  bool in_time = false;
  Crowd crowd(2, {.on_receive = [&](Connection& c, Bytes) {
                Server& server = c.server();
                const ConnectionId id = c.id();
                const std::jthread other =
                    user_thread([&, id] {  // each call of the handle's, while this callback runs
                      server.stats();
                      server.endpoint();
                      server.resume(id);
                      CHECK(server.send(id, bytes_of("by id")) == SendResult::queued);
                      CHECK(handle.load()->send(1, "to the other") == SendResult::queued);
                      handle.load()->server(1)->close(handle.load()->id(1));
                      server.close(id);
                      done.open();
                    });
                in_time = done.pass();
              }});
  handle = &crowd;
  CHECK(crowd.client(0).send("go"));
  CHECK(crowd.client(0).rest() == "by id");
  CHECK(crowd.client(1).rest() == "to the other");
  CHECK(in_time);
}

TEST_CASE("contract 1: two connections that send to each other from their callbacks do not deadlock") {
  CrowdHandle handle = nullptr;
  Crowd crowd(2, {.on_receive = [&](Connection& c, Bytes bytes) {
                Crowd& all = *handle.load();
                const bool first = &c.server() == &*all.server(0) && c.id() == all.id(0);
                CHECK(all.send(first ? 1 : 0, text(bytes)) == SendResult::queued);
              }});
  handle = &crowd;
  const std::string mine = pattern(60'000, 1), yours = pattern(60'000, 2);
  std::array<std::size_t, 2> passed{};
  const auto talk = [&](std::size_t i, const std::string& out, const std::string& in) {
    for (std::size_t& at = passed[i]; at < out.size(); at += 60) {
      crowd.client(i).send(std::string_view(out).substr(at, 60));
      if (crowd.client(i).receive(60) != in.substr(at, 60)) return;
    }
  };
  {
    const std::jthread other = user_thread([&] { talk(1, yours, mine); });
    talk(0, mine, yours);
  }
  CHECK(passed == std::array{mine.size(), yours.size()});
}

TEST_CASE("contract 1: a second client is served at once, or after the first by a model for one client") {
  TestServer server(echo());
  Client first(server.where()), second(server.where());
  CHECK(second.send("second"));
  CHECK(first.send("first"));
  if (!one_at_a_time()) CHECK(second.receive(6) == "second");
  CHECK(first.receive(5) == "first");
  if (one_at_a_time()) CHECK(second.hears_nothing());
  first.finish();
  CHECK(first.end() == End::fin);
  first.close();
  if (one_at_a_time()) CHECK(second.receive(6) == "second");
  second.finish();
  CHECK(second.end() == End::fin);
}

// ---- 2: on_open and on_close pair

TEST_CASE("contract 2: on_open and on_close pair, however connections end") {
  std::atomic<int> number = 0;
  std::atomic<bool> pick = true;
  TestServer server({.on_open =
                         [&](Connection& c) {
                           const int mine = ++number;
                           if (pick && mine % 7 == 0) c.abort();
                           if (pick && mine % 7 == 6) c.close();
                         },
                     .on_receive =
                         [](Connection& c, Bytes bytes) {
                           if (text(bytes) == "throw") throw std::runtime_error("as asked");
                           if (text(bytes) == "abort") c.abort();
                           c.send(bytes);
                         }});
  for (int i = 0; i < 84; ++i) {
    Client client(server.where());
    if (i % 6 == 0) client.finish();
    if (i % 6 == 1) client.reset();
    if (i % 6 == 2) client.send("throw");
    if (i % 6 == 3) client.send("abort");
    if (i % 6 == 4) client.send("leaves with the answer unread");
    if (i % 6 == 5) client.close();
    if (i % 6 == 0 || i % 6 == 2) CHECK(client.end() != End::silence);
  }
  // Where the system does not hand out who was reset before the accept, those are not counted.
  const std::uint64_t least = os::platform() == "windows" ? 84 - 14 : 84;
  CHECK(eventually([&] { return server->stats().accepted >= least; }));
  CHECK(server.is_empty());
  pick = false;
  const Client stays(server.where());  // and stop ends this one
  server.id_of(stays);                 // the last of all
  CHECK(eventually([&] { return server->stats().active == 1; }));
  server->stop(0ms);
  CHECK(server.closed(CloseReason::stopping) == 1);
}

TEST_CASE("contract 2: abort() in on_open rejects, and on_close follows at once") {
  Counter others;
  TestServer server({.on_open = [](Connection& c) { c.abort(); },
                     .on_receive = [&](Connection&, Bytes) { others.add(); },
                     .on_end = [&](Connection&) { others.add(); }});
  Client client(server.where());
  client.send("anybody?");
  CHECK(client.end() == End::reset);
  CHECK(server.ends(CloseReason::local));
  CHECK(others.get() == 0);
}

TEST_CASE("contract 2: on_close waits for the callback that asked for it") {
  // Not within close() or abort(), and not from another thread before the callback has returned.
  for (const std::string_view how : {"close"sv, "abort"sv, "close by id"sv}) {
    CAPTURE(how);
    Watched<std::string> order;
    const auto note = [&](const char* what) { order.change([&](std::string& text) { text += what; }); };
    TestServer server({.on_receive =
                           [&](Connection& c, Bytes) {
                             if (how == "close") c.close();
                             if (how == "abort") c.abort();
                             if (how == "close by id") c.server().close(c.id());
                             CHECK(c.send("too late") == SendResult::gone);
                             std::this_thread::yield();
                             note("callback ends, ");
                           },
                       .on_close = [&](Connection&, CloseReason, std::error_code) { note("on_close"); }});
    Client client(server.where());
    client.send("go");
    CHECK(client.end() == (how == "abort" ? End::reset : End::fin));
    client.close();
    CHECK(server.ends(CloseReason::local));
    CHECK(order.get() == "callback ends, on_close");
  }
}

TEST_CASE("contract 2: after close() only on_close follows") {
  Counter received, others;
  TestServer server({.on_receive =
                         [&](Connection& c, Bytes) {
                           received.add();
                           while (c.send(std::string(64 * 1024, 'x')) == SendResult::queued) {
                           }  // congested: on_drained would be owed
                           c.close();
                           c.resume();
                         },
                     .on_end = [&](Connection&) { others.add(); },
                     .on_drained = [&](Connection&) { others.add(); }});
  Client client(server.where());
  CHECK(client.send("first"));
  REQUIRE(received.reaches(1));
  CHECK(client.send("second"));
  client.finish();
  CHECK(client.end() == End::fin);
  CHECK(server.ends(CloseReason::local));
  CHECK(received.get() == 1);
  CHECK(others.get() == 0);
}

TEST_CASE("contract 2: each callback is optional") {
  TestServer server({});
  Client client(server.where());
  CHECK(client.send(pattern(100'000)));  // dropped
  client.finish();
  CHECK(client.rest() == "");
  CHECK(client.end() == End::fin);  // the default of on_end is close()
  client.close();
  CHECK(server.ends(CloseReason::peer));
  CHECK(server->stats().bytes_in == 100'000);
}

// ---- 3: ids

TEST_CASE("contract 3: a stale id answers gone and does nothing to the slot's next connection") {
  TestServer server(echo());
  std::vector<ConnectionId> stale;
  for (int i = 0; i < 20; ++i) {
    Client client(server.where());
    stale.push_back(server.id_of(client));
    client.reset();
    REQUIRE(server.is_empty());
  }
  Client successor(server.where());
  const ConnectionId id = server.id_of(successor);
  for (const ConnectionId old : stale) {
    CHECK(old != id);
    CHECK(server->send(old, bytes_of("for another")) == SendResult::gone);
    server->resume(old);
    server->close(old);
  }
  CHECK(successor.send("mine"));
  CHECK(successor.receive(4) == "mine");
  successor.finish();
  CHECK(successor.rest() == "");
}

TEST_CASE("contract 3: ids that name nobody do nothing") {
  TestServer server(echo());
  Client client(server.where());
  const std::uint64_t id = server.id_of(client).value;
  const std::uint64_t generation = most_connections;  // above the slot
  for (const std::uint64_t value : {std::uint64_t{0}, id + 1, id + generation, id - generation, id + 1000,
                                    id % generation, ~std::uint64_t{0}}) {
    CAPTURE(value);
    CHECK(server->send({value}, bytes_of("for nobody")) == SendResult::gone);
    server->resume({value});
    server->close({value});
  }
  CHECK(client.send("mine"));
  CHECK(client.receive(4) == "mine");
}

TEST_CASE("contract 3: ids that name nobody do nothing from inside a callback either") {
  Watched<std::vector<SendResult>> results;
  TestServer server({.on_receive = [&](Connection& c, Bytes bytes) {
    for (const std::uint64_t value : {std::uint64_t{0}, c.id().value % most_connections}) {
      results.change([&](auto& all) { all.push_back(c.server().send({value}, bytes_of("for nobody"))); });
      c.server().close({value});
    }
    c.send(bytes);
  }});
  Client client(server.where());
  CHECK(client.send("mine"));
  CHECK(client.receive(4) == "mine");
  CHECK(results.get() == std::vector{SendResult::gone, SendResult::gone});
}

TEST_CASE("contract 3: while on_close runs, the id is gone for every thread") {
  Watched<std::vector<SendResult>> results;
  TestServer server({.on_close = [&](Connection& c, CloseReason, std::error_code) {
    Server& ours = c.server();
    const ConnectionId id = c.id();
    const auto note = [&, id] {
      const SendResult result = ours.send(id, bytes_of("late"));
      results.change([&](auto& all) { all.push_back(result); });
    };
    note();
    user_thread(note).join();
    results.change([&](auto& all) { all.push_back(c.send("late")); });
  }});
  Client client(server.where());
  client.finish();
  CHECK(client.rest() == "");
  client.close();
  REQUIRE(server.is_empty());
  CHECK(results.get() == std::vector{SendResult::gone, SendResult::gone, SendResult::gone});
}

TEST_CASE("contract 3: a thread that has closed by id sends no more") {
  TestServer server(echo());
  Client client(server.where());
  const ConnectionId id = server.id_of(client);
  CHECK(server->send(id, bytes_of("before")) == SendResult::queued);
  server->close(id);
  CHECK(server->send(id, bytes_of("after")) == SendResult::gone);
  CHECK(client.rest() == "before");
}

TEST_CASE("contract 3: sends by id race with the end of many connections") {
  // Whether a send is in time is open; it answers, and it reaches nobody else.
  TestServer server({});
  Watched<std::vector<ConnectionId>> ids;
  std::atomic<bool> done = false;
  std::vector<std::jthread> senders;
  for (int i = 0; i < 2; ++i)
    senders.push_back(user_thread([&] {
      while (!done) {
        for (const ConnectionId id : ids.get()) {
          server->send(id, bytes_of(std::to_string(id.value) + ' '));
          server->resume(id);
        }
        std::this_thread::yield();
      }
    }));
  std::map<std::string, int> foreign;
  for (int i = 0; i < 150; ++i) {
    Client client(server.where());
    const ConnectionId id = server.id_of(client);
    ids.change([&](auto& all) {
      all.push_back(id);
      if (all.size() > 8) all.erase(all.begin());
    });
    if (i % 3 == 0) client.reset();
    if (i % 3 == 0) continue;
    if (i % 3 == 1) client.finish();
    if (i % 3 == 2) server->close(id);
    const std::string text = client.rest();
    const std::string mine = std::to_string(id.value) + ' ';
    for (std::size_t at = 0; at < text.size(); at += mine.size())
      if (text.substr(at, mine.size()) != mine) ++foreign[text.substr(at, mine.size())];
  }
  done = true;
  senders.clear();
  CHECK(foreign.empty());
}

TEST_CASE("contract 3: each connection has a context of its own, empty at first and destroyed with it") {
  struct State {
    explicit State(Counter& counter) : ends(counter) {}
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State() { ends.add(); }
    Counter& ends;
    int bytes = 0;
  };
  Counter ends, used;
  TestServer server({.on_open =
                         [&](Connection& c) {
                           if (c.context().has_value()) used.add();
                           c.context() = std::make_shared<State>(ends);
                         },
                     .on_receive =
                         [](Connection& c, Bytes bytes) {
                           auto& state = *std::any_cast<std::shared_ptr<State>&>(c.context());
                           c.send(std::to_string(state.bytes += static_cast<int>(bytes.size())));
                         }});
  for (int i = 1; i <= 3; ++i) {
    Client client(server.where());
    CHECK(client.send("abc"));
    CHECK(client.receive(1) == "3");
    CHECK(client.send("def"));
    CHECK(client.receive(1) == "6");
    client.finish();
    CHECK(client.end() == End::fin);
    client.close();
    CHECK(ends.reaches(i));
  }
  CHECK(used.get() == 0);
}

// ---- 4: send

namespace {

/// "<sender>:<number>:<that many dots>;" — a frame of which nothing may be missing, and nothing between.
std::string frame(char sender, int number) {
  return sender + std::to_string(number) + ':' +
         std::string(static_cast<std::size_t>(number * 37 % 900), sender) + ';';
}

/// Takes the stream apart: the count of whole frames of each sender, in order, or an empty map.
std::map<char, int> frames_in(std::string_view stream) {
  std::map<char, int> next;
  while (!stream.empty()) {
    const char sender = stream.front();
    const std::string expected = frame(sender, next[sender]);
    if (!stream.starts_with(expected)) return {};
    stream.remove_prefix(expected.size());
    ++next[sender];
  }
  return next;
}

}  // namespace

TEST_CASE("contract 4: one call's bytes stay together, and each thread's calls keep their order") {
  constexpr int frames = 400;
  int echoed = 0;
  TestServer server({.on_receive = [&](Connection& c, Bytes bytes) {
    for (const char ping : text(bytes))
      if (ping == 'p') c.send(frame('a', echoed++));
  }});
  Client client(server.where());
  const ConnectionId id = server.id_of(client);
  std::atomic<int> refused = 0;
  std::vector<std::jthread> senders;
  for (const char sender : {'b', 'c', 'd'})
    senders.push_back(user_thread([&, sender] {
      for (int i = 0; i < frames; ++i)
        if (server->send(id, bytes_of(frame(sender, i))) > SendResult::congested) ++refused;
    }));
  senders.push_back(user_thread([&] {
    for (int i = 0; i < frames; ++i)
      client.send("p");
  }));
  std::size_t all = 0;
  for (int i = 0; i < frames; ++i)
    all += 4 * frame('a', i).size();
  const std::string stream = client.receive(all);
  senders.clear();
  CHECK(refused == 0);
  CHECK(frames_in(stream) == std::map<char, int>{{'a', frames}, {'b', frames}, {'c', frames}, {'d', frames}});
}

TEST_CASE("contract 4: sends by Connection& and by id keep the order of their thread") {
  TestServer server({.on_receive = [](Connection& c, Bytes) {
    for (int i = 0; i < 200; ++i)
      i % 2 ? c.send(frame('a', i)) : c.server().send(c.id(), bytes_of(frame('a', i)));
    c.server().close(c.id());
  }});
  Client client(server.where());
  CHECK(client.send("go"));
  CHECK(frames_in(client.rest()) == std::map<char, int>{{'a', 200}});
}

TEST_CASE("contract 4: sends to another connection keep the order of their thread") {
  // The target's strand goes to and fro between its own events and these commands.
  CrowdHandle handle = nullptr;
  Crowd crowd(2, {.on_receive = [&](Connection& c, Bytes bytes) {
                if (text(bytes).front() == 'p') return;
                for (int i = 0; i < 1000; ++i)
                  CHECK(handle.load()->send(1, frame('a', i)) <= SendResult::congested);
                handle.load()->server(1)->close(handle.load()->id(1));
                c.close();
              }});
  handle = &crowd;
  CHECK(crowd.client(0).send("go"));
  {
    const std::jthread pinger = user_thread([&] {
      for (int i = 0; i < 500; ++i)
        crowd.client(1).send("p");
    });
    CHECK(frames_in(crowd.client(1).rest()) == std::map<char, int>{{'a', 1000}});
  }
}

TEST_CASE("contract 4: send takes a copy") {
  TestServer server({.on_receive = [](Connection& c, Bytes) {
    std::string text = "from the callback, ";
    c.send(text);
    text.assign(text.size(), '?');
  }});
  Client client = Client::narrow(server.where());
  std::string text = pattern(1'000'000);
  CHECK(server->send(server.id_of(client), bytes_of(text)) == SendResult::congested);
  text.assign(text.size(), '?');
  CHECK(client.receive(1'000'000) == pattern(1'000'000));
  CHECK(client.send("go"));
  CHECK(client.receive(19) == "from the callback, ");
}

TEST_CASE("contract 4: no send waits for its peer, and none but the stuck one's own queue grows") {
  Gate sent;
  TestServer server({.on_receive = [&](Connection& c, Bytes) {
    for (int i = 0; i < 32; ++i)
      c.send(pattern(64 * 1024));
    sent.open();
  }});
  Client stuck = Client::narrow(server.where());  // and reads nothing
  CHECK(stuck.send("go"));
  const Time start = Clock::now();
  CHECK(sent.pass());
  CHECK(server->send(server.id_of(stuck), bytes_of(pattern(500'000))) == SendResult::congested);
  CHECK(Clock::now() - start < 5s);
  if (one_at_a_time()) return;  // the others wait for the stuck one to leave: the model's own limit
  Client other(server.where());
  CHECK(other.send("go"));
  CHECK(other.receive(32 * 64 * 1024).size() == 32 * 64 * 1024);
}

// ---- 5: peer()

TEST_CASE("contract 5: peer() answers in on_close, whatever the end") {
  Watched<std::vector<Endpoint>> seen;
  TestServer server(
      {.on_receive =
           [](Connection& c, Bytes bytes) {
             if (text(bytes) == "throw") throw std::runtime_error("as asked");
             c.abort();
           },
       .on_close = [&](Connection& c, CloseReason,
                       std::error_code) { seen.change([&](auto& all) { all.push_back(c.peer()); }); }});
  std::vector<Endpoint> expected;
  for (int i = 0; i < 5; ++i) {
    Client client(server.where());
    server.id_of(client);
    expected.push_back(client.local());
    if (i == 0) client.finish();
    if (i == 1) client.reset();
    if (i == 2) client.send("throw");
    if (i == 3) client.send("abort");
    if (i == 4) server->stop(0ms);
    CHECK(seen.wait([&](auto& all) { return all.size() == expected.size(); }));
  }
  CHECK(seen.get() == expected);
}

TEST_CASE("contract 5: peer() of an IPv6 client") {
  Watched<Endpoint> seen;
  try {
    TestServer server(
        {.on_close = [&](Connection& c, CloseReason,
                         std::error_code) { seen.change([&](Endpoint& peer) { peer = c.peer(); }); }},
        {.host = "::1"});
    Client client(server.where());
    client.finish();
    CHECK(client.end() == End::fin);
    client.close();
    CHECK(server.is_empty());
    CHECK(seen.get() == client.local());
    CHECK(host_of(seen.get()) == "::1");
  } catch (const std::system_error& error) {
    CHECK(error.code() == std::errc::address_not_available);  // this machine has no IPv6
  }
}
