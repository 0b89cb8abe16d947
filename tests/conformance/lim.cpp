// LIM: what a server does when something runs out: places, descriptors, threads, memory.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/conformance/expect.h"
#include "tests/conformance/peer.h"
#include "tests/conformance/platform.h"
#include "tests/conformance/scene.h"
#include "tests/conformance/subject.h"
#include "tests/conformance/suite.h"

namespace conformance {
namespace {

constexpr std::size_t KiB = 1024, MiB = 1024 * KiB;
constexpr int small_window = 16 * KiB;
constexpr std::string_view limits_contract = "contract, point 13";

/// The set of a select server, whose size is the system's and not ours to choose.
bool has_set(const Profile& profile) {
  return profile.set_by == "FD_SETSIZE";
}

TEST_CASE("LIM-01 --max-connections 10: the 11th gets what was declared") {
  judge({.requirement =
             "as many as the limit allows are served at a time, time after time; those above it meet what "
             "--describe declares",
         .source = limits_contract,
         .catches = "a limit that is one off; a count that drifts with each connection or each refusal",
         .needs = Needs::ours},
        [](Scene& scene) {
          const std::vector<std::string> options{"--max-connections", "10"};
          const Profile limited = scene.subject().ask_profile(options);
          expect(limited.ceiling && *limited.ceiling <= 10, "a ceiling of 10 at the most", "another");
          Server& server = scene.start({.options = options});
          for (int round = 0; round < 50; ++round) {
            std::vector<Peer> inside = scene.connect_many(*limited.ceiling, server);
            for (Peer& peer : inside)
              expect_echo(peer, "in");
            Peer above = scene.connect(server);
            if (limited.above == "close") {
              expect_fin(above);
              leave_in_order(inside);
            } else {
              expect_silence({&above, 1});
              leave_in_order(inside);
              expect_echo(above, "in turn");
              expect_orderly_end(above);
            }
          }
          if (*limited.ceiling < 10)
            scene.limit("as declared: serves " + std::to_string(*limited.ceiling) +
                        " at a time, the next one waits");
        });
}

TEST_CASE("LIM-02 80 clients, descriptors for 32: quiet, and all are served as others leave") {
  judge({.requirement =
             "out of descriptors a server still serves its clients, rests, and takes the others when it can",
         .source = "accept(2), EMFILE; contract, point 13",
         .catches = "a loop that is told of the same newcomer again and again; an acceptor that gives up",
         .needs = Needs::process},
        [](Scene& scene) {
          constexpr std::size_t clients = 80;
          Server& server = scene.server();
          need_threads_that_take_no_descriptor(scene);
          server.process().deny_descriptors(32);
          std::vector<Peer> peers;
          // One after another, as many as have room in the backlog: one that meets a full one tries again seconds later.
          do
            peers.push_back(scene.dial(server.target()));
          while (peers.back().connected(patience()) && peers.size() < clients);
          if (!peers.back().connected(Duration::zero())) peers.pop_back();
          if (scene.served_at_once(clients) < clients) {
            in_turns(scene, peers, [](std::span<Peer> served) { expect_echo(served.front(), "?"); });
          } else {
            Answers answers = ask(askers(peers));
            server.expect_rest();
            const std::size_t closed = serve_the_waiting(std::move(answers));
            expect(closed == 0 || !scene.subject().ours(), "newcomers that wait",
                   std::to_string(closed) + " were closed");
            if (closed) scene.note(std::to_string(closed) + " were closed, the others served");
          }
          expect(server.running(), "a server that still runs", "it is gone");
          server.process().allow_descriptors();
        });
}

/// With so many descriptors inherited: does it start? If not, it must say why.
bool starts(const Scene& scene, const StartOptions& how) {
  Process process = scene.subject().launch(how);
  if (process.line(patience())) return true;
  expect_refusal(process, 1, {"descriptor"},
                 "a start with " + std::to_string(how.inherited) + " descriptors");
  return false;
}

TEST_CASE("LIM-03 started with 1 030 descriptors, and one client") {
  judge({.requirement =
             "select watches no descriptor above FD_SETSIZE: a server of this kind refuses to start, or the "
             "client; others serve it",
         .source = "select(2): FD_SET with a descriptor of FD_SETSIZE or more is undefined behaviour",
         .catches = "FD_SET beyond the array's end: memory is overwritten by the first client",
         .needs = Needs::ours},
        [](Scene& scene) {
          if (scene.profile().platform == "windows")
            throw NotApplicable("a socket of Windows' is a handle, whose value is no limit");
          if (most_descriptors() < 1100) throw NotApplicable("fewer than 1 100 descriptors are allowed here");
          enum Outcome { no_start, client_closed, client_served };
          std::vector<Outcome> outcomes;
          for (int gap = 0; gap <= 8; ++gap) {
            const StartOptions how{.inherited = 1030, .gap = gap, .warm = false};
            if (has_set(scene.profile()) && !starts(scene, how)) {
              outcomes.push_back(no_start);
              continue;
            }
            Server& server = scene.start(how);
            std::vector<Peer> client = scene.connect_many(1, server);
            const Answers answers = ask(askers(client), patience());
            expect(answers.waiting.empty(), "service or a close", "silence");
            outcomes.push_back(answers.closed.empty() ? client_served : client_closed);
            client.clear();
            server.process().stop();
            expect_exit_in_order(server.process(), patience());
          }
          scene.own().clear();
          const std::size_t served = std::ranges::count(outcomes, client_served);
          if (!has_set(scene.profile())) {
            expect(served == outcomes.size(), "service for each of 9 clients",
                   "for " + std::to_string(served));
            return;
          }
          // Its own descriptors, the listener and perhaps a waker, need a low one each, then the client.
          constexpr std::size_t set_size = 1024;  // FD_SETSIZE; this case is none for Windows
          const std::size_t own = set_size - 3 - scene.profile().ceiling.value_or(0);
          std::vector<Outcome> due(outcomes.size(), client_served);
          std::fill_n(due.begin(), own, no_start);
          due.at(own) = client_closed;
          const std::string as_declared = "no start with fewer than " + std::to_string(own) +
                                          " low descriptors free, no client with so many, service with more";
          expect(outcomes == due, as_declared, "service for " + std::to_string(served) + " of 9");
          scene.limit("as declared (FD_SETSIZE): " + as_declared);
        });
}

TEST_CASE("LIM-04 select beyond its set: as many as declared, the next are closed") {
  judge(
      {.requirement = "a full set turns newcomers away, and harms nobody who is in it",
       .source = "select(2): FD_SETSIZE descriptors; Winsock: select, FD_SETSIZE sockets",
       .catches =
           "FD_SET on a full set: ignored on Windows, so that the client waits for ever; an overrun on POSIX",
       .needs = Needs::ours},
      [](Scene& scene) {
        if (!has_set(scene.profile())) throw NotApplicable("the model has no set that could be full");
        constexpr std::size_t above = 50;
        const std::size_t ceiling = *scene.profile().ceiling;
        if (most_descriptors() < ceiling + above + 100)
          throw NotApplicable("too few descriptors are allowed here");
        Server& server = scene.start();
        std::vector<Peer> peers = scene.connect_many(ceiling + above, server);
        const Answers answers = ask(askers(peers), patience());
        expect_counts(answers, ceiling, above, 0);
        for (Peer* const peer : answers.served)
          expect_echo(*peer, "still here");
        expect(!server.process().log().empty(), "a line about it on standard error", "none");
        peers.clear();
        server.expect_holdings_returned();  // or the set is still full when the next client comes
        scene.limit("as declared: " + std::to_string(ceiling) + " are served, the other " +
                    std::to_string(above) + " closed at once");
      });
}

TEST_CASE("LIM-05 a refused client sees a close, not silence") {
  judge(
      {.requirement = "a newcomer above the limit learns of it at once, whatever it has sent by then",
       .source = limits_contract,
       .catches = "a connection that is accepted and forgotten; a refusal that waits for the client to speak",
       .needs = Needs::ours},
      [](Scene& scene) {
        const std::vector<std::string> options{"--max-connections", "1"};
        Server& server = scene.start({.options = options, .warm = false});
        Peer inside = scene.connect(server);
        expect_echo(inside, "in");
        std::vector<Peer> above = scene.connect_many(30, server);
        for (std::size_t i = 0; i < above.size(); ++i) {  // a third of them says nothing
          if (i % 3 > 0) above[i].offer("may I?");
          if (i % 3 > 1) above[i].finish();
        }
        if (scene.subject().ask_profile(options).above == "close") {
          for (Peer& peer : above)
            expect_end(peer, scaled(std::chrono::seconds(1)));
          expect_echo(inside, "still in");
          expect_orderly_end(inside);
          return;
        }
        expect_silence(above);
        expect_orderly_end(inside);
        for (std::size_t i = 0; i < above.size(); ++i) {
          above[i].finish();
          expect_reply_after_fin(above[i], i % 3 > 0 ? "may I?" : "");
        }
        scene.limit("as declared: nobody is refused, the others wait and are served in turn");
      });
}

/// An end that a client has seen may be a moment older than its thread's.
void wait_for_threads(Server& server, std::size_t count) {
  const Time until = Clock::now() + patience();
  while (server.process().threads() > count && Clock::now() < until)
    server.process().wait(milliseconds(2));
}

/// A thread for each: those who get none are closed, and threads that have ended make room again.
void fill_with_threads(Scene& scene, std::size_t at_rest) {
  constexpr std::size_t clients = 20, room = 8;
  Server& server = scene.start({.threads = at_rest + room, .warm = false});
  for (int round = 0; round < 2; ++round) {
    std::vector<Peer> peers = scene.connect_many(clients, server);
    const Answers answers = ask(askers(peers), patience());
    expect_counts(answers, room, clients - room, 0);
    for (Peer* const peer : answers.served)
      expect_orderly_end(*peer);
    wait_for_threads(server, at_rest);
  }
  expect(!server.process().log().empty(), "a line about it on standard error", "none");
}

TEST_CASE("LIM-06 no more threads: that client is closed, the next is served") {
  judge(
      {.requirement = "if no thread can be created, the connection that needed it is lost, and no other",
       .source = "pthread_create(3), EAGAIN; getrlimit(2), RLIMIT_NPROC; contract, point 13",
       .catches = "a std::system_error of std::thread that nobody catches: the server is gone",
       .needs = Needs::ours},
      [](Scene& scene) {
        if (scene.profile().platform == "windows" || !can_limit_threads())
          throw NotApplicable("the threads of one program cannot be limited here");
        Process& first = scene.start().process();
        const std::size_t at_rest = first.threads();
        const bool one_each = scene.profile().set_by.starts_with("threads");
        if (one_each) fill_with_threads(scene, at_rest);
        // The leak sanitizer starts a thread when the server exits: others of its threads have ended by then.
        const bool checked = at_rest == 1 && first.tells_leaks();
        // Where a send that must wait has a thread of its own, there is none for it now.
        Server& server = scene.start({.threads = at_rest + (one_each || checked ? 1 : 0), .warm = false});
        Peer stuck = scene.connect(server, small_window);
        const std::string content = noise(settings().seed, 8 * MiB);
        std::size_t sent = 0;
        while (stuck.end() == End::open && sent < content.size() && stuck.writable(scaled(milliseconds(150))))
          sent += stuck.offer(std::string_view(content).substr(sent, 64 * KiB));
        if (scene.profile().threads.find("a send") == std::string::npos) {
          expect_reply(stuck, std::string_view(content).substr(0, sent));
          return;
        }
        expect_reset(stuck);
        wait_for_threads(server, at_rest);
        scene.limit(
            "as declared: a client that needs a thread and gets none is closed, the others are served");
      });
}

TEST_CASE("LIM-07 a backlog that overflows: all are served in the end") {
  judge(
      {.requirement =
           "a client that finds the backlog full comes again, as TCP has it, and is served like the others",
       .source = "listen(2); RFC 9293, 3.8.1 (a SYN that is not answered is sent again); contract, point 13",
       .catches = "an acceptor that takes one connection a wake-up, and sleeps on the rest for ever",
       .needs = Needs::ours},
      [](Scene& scene) {
        Server& server = scene.start({.options = {"--backlog", "5"}});
        auto frozen = server.freeze();
        std::vector<Peer> held = scene.fill_backlog(50, server);
        std::vector<Peer> late;
        while (late.size() < held.size())  // when these come again, there is room for all of them
          late.push_back(scene.dial(server.target()));
        frozen.thaw();
        in_turns(scene, held, [](std::span<Peer> served) {
          for (Peer& peer : served)
            expect_echo(peer, "in the end");
        });
        for (Peer& peer : late)
          expect(peer.connected(patience()), "a connection for " + peer.name(), "none");
        serve_the_waiting(ask(askers(late)));
      });
}

/// Output that nobody takes fills the memory that is left; then newcomers want more of it.
void use_up_memory(Scene& scene, Server& server, std::size_t left) {
  const std::size_t room = scene.served_at_once(20), quiet = room / 4;
  std::vector<Peer> peers;
  while (peers.size() < room)
    peers.push_back(scene.connect(server, small_window));
  for (Peer& peer : peers)
    expect_echo(peer, "before");
  server.process().deny_memory(left);
  const std::string content = noise(settings().seed, MiB);
  for (Peer& greedy : std::span(peers).subspan(quiet))
    while (greedy.end() == End::open && greedy.writable(milliseconds(5)))
      greedy.offer(content);
  std::vector<Peer> newcomers =
      scene.connect_many(room > 1 ? 800 : 0, server);  // more than it holds places for
  const Answers answers = ask(askers(newcomers), patience());
  expect(answers.waiting.empty(), "service or a close for each newcomer", "silence");
  const Time until = Clock::now() + patience();  // for all that it was sent
  while (server.running() && !server.process().asleep() && Clock::now() < until)
    server.process().wait(milliseconds(5));
  expect(server.running(), "a server that lives", "it is gone");
  server.expect_rest();
  if (quiet)
    expect(ask(askers(std::span(peers).first(1)), patience()).waiting.empty(), "an answer or a close",
           "silence");
  server.process().allow_memory();
  for (std::size_t i = 1; i < quiet; ++i)  // those that have asked for nothing have lost nothing
    expect_echo(peers[i], "still served");
}

TEST_CASE("LIM-08 little memory: refuses, no abort") {
  judge({.requirement =
             "a server without memory keeps its clients, turns others away, and takes them when it can again",
         .source = "getrlimit(2), RLIMIT_DATA; contract, point 13",
         .catches = "std::bad_alloc that nobody catches, in the loop or in a thread: the server is gone",
         .needs = Needs::ours},
        [](Scene& scene) {
          Server& server = scene.start();
          for (const std::size_t left : {0 * KiB, 256 * KiB, 2 * MiB}) {
            use_up_memory(scene, server, left);
            expect_next_client_served(server.target(), server.service());
          }
        });
}

TEST_CASE("LIM-09 started with a soft limit of 1 024 descriptors: raised") {
  judge({.requirement =
             "a server holds as many clients as its system and its model let it, whatever the shell's "
             "default is",
         .source = "setrlimit(2): a process may raise its own soft limit up to the hard one",
         .catches = "epoll that holds 1 015 clients, fewer than select: 1 024 is the usual soft limit",
         .needs = Needs::process},
        [](Scene& scene) {
          if (scene.profile().platform == "windows")
            throw NotApplicable("sockets of Windows' have no such limit; under Wine it is the wineserver's");
          constexpr std::size_t usual = 1024, clients = 1200;
          if (most_descriptors() < clients + 100) throw NotApplicable("the hard limit is too low here");
          Server& server = scene.start({.limits = {{Limit::Of::descriptors, usual}}, .warm = false});
          std::vector<Peer> peers = scene.connect_many(clients, server);
          const Answers answers = ask(askers(peers), patience());
          const std::string served = "serves " + std::to_string(answers.served.size()) + " of " +
                                     std::to_string(clients) + " with a soft limit of 1 024";
          if (!scene.subject().ours() && answers.served.size() < clients) return scene.info(served);
          const std::size_t ceiling = std::min(clients, scene.profile().ceiling.value_or(clients));
          if (scene.profile().above == "wait")
            expect_counts(answers, ceiling, 0, clients - ceiling);
          else
            expect_counts(answers, ceiling, clients - ceiling, 0);
          if (ceiling < clients) scene.limit("as declared (" + scene.profile().set_by + "): " + served);
        });
}

TEST_CASE("LIM-10 started with stacks of 64 KiB: serves, or refuses to start") {
  judge({.requirement = "a server that says READY has the stacks that it needs",
         .source = "getrlimit(2), RLIMIT_STACK; pthread_attr_init(3): new threads get the limit at the start",
         .catches = "a buffer of 64 KiB on a stack of 64 KiB: READY, and a crash at the first byte",
         .needs = Needs::ours},
        [](Scene& scene) {
          if (scene.profile().platform == "windows")
            throw NotApplicable("the stacks of a Windows program are as large as its file says");
          if (scene.start().process().sanitized()) throw NotApplicable("a sanitizer needs larger stacks");
          const Limit small{.of = Limit::Of::stack, .soft = 64 * KiB}, final{small.of, small.soft, true};
          for (const std::string_view service : {"discard", "chargen", "daytime", "chat", "http"})
            scene.start({.service = service, .limits = {small}});  // and serves two clients
          Server& server = scene.start({.limits = {small}});
          Peer stuck = scene.connect(server, small_window);
          const std::size_t sent = push_until_blocked(stuck, noise(settings().seed, 8 * MiB));
          expect_reply(stuck, noise(settings().seed, 8 * MiB).substr(0, sent));
          expect_orderly_end(stuck);
          Process refused = scene.subject().launch({.options = {"--port", "0"}, .limits = {final}});
          if (refused.line(patience())) {
            scene.start({.limits = {final}});
            return scene.note("serves with them");
          }
          expect_refusal(refused, 1, {"stack"}, "a start with no more than 64 KiB");
          scene.note("raises a soft limit, and refuses to start where the hard one is too low");
        });
}

}  // namespace
}  // namespace conformance
