// STOP: a server that is asked to end.
#include <doctest/doctest.h>

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
constexpr std::string_view stop_contract = "contract, point 10";

Duration a_second() {
  return scaled(std::chrono::seconds(1));
}

/// Longer than a system waits before it asks a peer for room: a quarter of a second. It may get some then, and take
/// the whole answer from the server.
constexpr milliseconds before_stuck(400);
/// More than the two systems hold between them (tcp(7), tcp_rmem and tcp_wmem).
constexpr std::size_t enough_to_stick = 64 * MiB;

/// A client whose answer the server cannot get rid of. Returns how much the connection has taken from it.
std::size_t stick(Peer& peer) {
  const std::string content = noise(settings().seed, enough_to_stick);
  std::size_t sent = 0;
  do
    sent += push_until_blocked(peer, std::string_view(content).substr(sent));
  while (sent < content.size() && peer.writable(scaled(before_stuck)));
  return sent;
}

StartOptions cold(std::vector<std::string> options = {}) {
  return {.options = std::move(options), .warm = false};
}

void stop(Server& server) {
  server.process().stop();
  expect_exit_in_order(server.process(), a_second());
}

void stop_by(Signal way, Server& server) {
  server.process().send(way);
  expect_exit_in_order(server.process(), a_second());
}

/// Asks again and again; what comes of a connection made a moment before the listener closed counts for nothing: it may
/// succeed, or be reset. So the second refusal in a row counts.
void expect_refusal_at_once(Scene& scene, Server& server) {
  const Time until = Clock::now() + a_second();
  for (int refusals = 0; refusals < 2;) {
    Peer late = scene.dial(server.target());
    refusals = late.refused(milliseconds(1)) ? refusals + 1 : 0;
    late.reset();  // no FIN: for Wine, as in STOP-06
    expect(Clock::now() < until, "no new connection once the server stops",
           "one still succeeds a second later");
  }
}

TEST_CASE("STOP-01 each way to stop, idle: exit 0 within a second") {
  judge({.requirement =
             "SIGTERM, SIGINT and SIGHUP (Windows: Ctrl-Break, Ctrl-C) end a server that nobody uses, "
             "in order and soon",
         .source = stop_contract,
         .catches =
             "a sleep that the signal does not end; a handler that is installed after READY; an accept that "
             "the stop cancels and that is reported as a shortage",
         .needs = Needs::stop},
        [](Scene& scene) {
          Server& first = scene.start(cold());
          WaysToStop ways = first.process().ways_to_stop();
          if (!scene.subject().ours()) ways.all.resize(1);
          scene.note(ways.missing);
          stop(first);
          const auto expect_no_word = [&](Server& server) {
            const std::string said = server.process().log();
            expect(said.empty() || !scene.subject().ours(), "no word in the log: nothing went wrong", said);
          };
          expect_no_word(first);
          for (const Signal way : ways.all) {
            Server& idle = scene.start(cold());
            stop_by(way, idle);
            expect_no_word(idle);
            Server& used = scene.start(cold());
            expect_next_client_served(used.target(), used.service());
            stop_by(way, used);
            expect_no_word(used);
          }
        });
}

TEST_CASE("STOP-02 with 50 idle connections: a FIN for each") {
  judge({.requirement = "the clients of a server that stops get an orderly end, and silence holds up no stop",
         .source = "contract, points 6 and 10; RFC 9293, 3.6",
         .catches =
             "connections that the exit of the process cuts off, or that hold it up: a reader that nobody "
             "wakes, a wait for the FIN of a client that has all it asked for",
         .needs = Needs::stop},
        [](Scene& scene) {
          Server& server = scene.start(cold());
          std::vector<Peer> peers = scene.connect_many(50, server);
          const std::span<Peer> served = std::span(peers).first(scene.served_at_once(peers.size()));
          const std::span<Peer> waiting = std::span(peers).subspan(served.size());
          for (Peer& peer : served)
            expect_echo(peer, "?");
          const ExpectNoReset no_reset(scene);
          server.process().stop();
          for (Peer& peer : served)
            expect_fin(peer);
          if (!scene.subject().ours()) peers.clear();  // another's may wait for their FINs
          expect_exit_in_order(server.process(), a_second());
          for (Peer& peer : waiting)
            expect_reset(peer);
          if (waiting.empty()) no_reset.now();
          if (!waiting.empty())
            scene.limit("as declared: FIN for the one it serves, the system resets the backlog");
        });
}

/// How much the server has taken out of its socket, of what this client sent: the least that it could be.
std::size_t taken_by(const Server& server, const Peer& peer, std::size_t sent) {
  return sent - peer.socket().unacknowledged() - server_end(server, peer).unread;
}

TEST_CASE("STOP-03 what is in flight completes") {
  judge({.requirement = "all that the server had read when it was asked to stop is answered, then FIN",
         .source = stop_contract,
         .catches = "a stop that throws the queues away, or resets because input lies unread",
         .needs = Needs::stop},
        [](Scene& scene) {
          Server& server = scene.start(cold());
          Peer peer = scene.connect(server, small_window);
          const std::string content = noise(settings().seed, enough_to_stick);
          const std::size_t sent = stick(peer);
          auto frozen = server.freeze();
          const std::size_t taken = taken_by(server, peer, sent);
          server.process().stop();
          frozen.thaw();
          const std::string reply = expect_rest_and_fin(peer);
          expect(content.starts_with(reply), "the bytes that were sent", "others");
          expect(reply.size() >= taken, "at least the " + std::to_string(taken) + " bytes that it had read",
                 std::to_string(reply.size()));
          peer.close();
          expect_exit_in_order(server.process(), a_second());
        });
}

TEST_CASE("STOP-04 new connects are refused at once") {
  judge({.requirement = "a server that stops takes nobody new, while it still serves those it has",
         .source = stop_contract,
         .catches =
             "a listener that stays open through the drain: clients connect to a server that never answers",
         .needs = Needs::stop},
        [](Scene& scene) {
          Server& server = scene.start(cold());
          Peer peer = scene.connect(server, small_window);
          stick(peer);
          server.process().stop();
          expect_refusal_at_once(scene, server);
          if (scene.subject().ours())
            expect(server.running(), "a drain that still waits", "the server is gone");
          expect_rest_and_fin(peer);
          peer.close();
          expect_exit_in_order(server.process(), a_second());
        });
}

TEST_CASE("STOP-05 a stuck peer: exits at the deadline") {
  judge({.requirement = "--drain-timeout bounds the wait, neither less nor more; the rest is reset",
         .source = stop_contract,
         .catches = "a stop that waits for ever, or does not wait at all",
         .needs = Needs::ours},
        [](Scene& scene) {
          Server& server = scene.start(cold({"--drain-timeout", "500"}));
          Peer peer = scene.connect(server, small_window);
          stick(peer);
          const Time asked = Clock::now();
          server.process().stop();
          expect_exit_in_order(server.process(), milliseconds(500) + a_second());
          const auto took = std::chrono::duration_cast<milliseconds>(Clock::now() - asked);
          expect(took >= milliseconds(480), "a wait until the deadline, 500 ms",
                 std::to_string(took.count()) + " ms");
          expect_reset(peer);
        });
}

constexpr milliseconds same_signal(500);

TEST_CASE("STOP-06 a second signal: at once") {
  judge({.requirement = "a second request means: do not wait",
         .source = "README, \"the servers\": a second signal ends it at once, with any exit status",
         .catches = "a second signal that is lost while the first is being served",
         .needs = Needs::ours},
        [](Scene& scene) {
          Server& server = scene.start(cold({"--drain-timeout", "60000"}));
          Peer peer = scene.connect(server, small_window);
          stick(peer);
          server.process().stop();
          expect_refusal_at_once(scene, server);  // it has heard the first, and hears a second one as such
          expect(!server.process().wait(same_signal + milliseconds(50)), "a drain that still waits",
                 "the server is gone");
          server.process().stop();
          expect(server.process().wait(a_second()).has_value(), "an end within a second", "it still runs");
          // Wine 8's server keeps the sockets of a process that was killed in select, and spins once one has a FIN.
          peer.reset();
          scene.own()
              .clear();  // a sanitizer may complain of threads that it left behind: it had no time for them
        });
}

void stop_in_a_connect_storm(Scene& scene) {
  Server& server = scene.start(cold());
  constexpr std::size_t before = 200, most = 700;
  std::vector<Peer> storm;
  storm.reserve(most);
  while (storm.size() < before)
    storm.push_back(scene.dial(server.target()));
  server.process().stop();
  const Time until = Clock::now() + a_second();
  while (storm.size() < most && Clock::now() < until && !storm.back().refused(Duration::zero()))
    storm.push_back(scene.dial(server.target()));
  storm.clear();
  expect_exit_in_order(server.process(), a_second());
}

void stop_out_of_descriptors(Scene& scene) {
  Server& server = scene.start();
  if (const std::string why = server.process().deaf_without_descriptors(); !why.empty())
    return scene.note("not stopped while out of descriptors: " + why);
  const std::vector<Peer> waiting = exhaust_descriptors(scene, server);
  server.process().wait(scaled(milliseconds(100)));  // it fails to accept, and goes on trying
  expect(server.running(), "a server that lives without descriptors", "it is gone");
  stop(server);
}

void stop_under_backpressure(Scene& scene) {
  Server& server = scene.start(cold({"--drain-timeout", "300"}));
  std::vector<Peer> peers = scene.connect_many(4, server);
  for (Peer& peer : peers)
    stick(peer);
  server.process().stop();
  expect_exit_in_order(server.process(), milliseconds(300) + a_second());
}

TEST_CASE("STOP-07 in a connect storm, out of descriptors, under backpressure") {
  judge({.requirement = "a server can be stopped when it has most to do",
         .source = "contract, points 10 and 13",
         .catches = "a stop that only an idle loop hears; a wake-up that needs a descriptor; an accept after "
                    "the sweep",
         .needs = Needs::ours},
        [](Scene& scene) {
          stop_in_a_connect_storm(scene);
          stop_out_of_descriptors(scene);
          stop_under_backpressure(scene);
        });
}

TEST_CASE("STOP-08 100 starts and stops") {
  judge({.requirement = "from the moment it says READY a server can be stopped, each time",
         .source = "README, \"the servers\"; contract, point 10",
         .catches = "a race between start and stop: a signal lost, a thread joined before it ran",
         .needs = Needs::stop},
        [](Scene& scene) {
          for (int round = 0; round < 100; ++round) {
            Server& server = scene.start(cold());
            if (round % 2 == 0) {
              stop(server);
              continue;
            }
            Peer peer = scene.connect(server);
            expect_echo(peer, "?");
            server.process().stop();
            expect_fin(peer);
            peer.close();
            expect_exit_in_order(server.process(), a_second());
          }
        });
}

/// One wish, in many signals. Returns when it began.
Time send_one_wish(Scene& scene, Server& server) {
  const Time asked = Clock::now();
  const auto send_all = [&, ways = server.process().ways_to_stop().all] {
    for (const Signal way : ways)
      server.process().send(way);
  };
  send_all();
  send_all();
  expect_refusal_at_once(scene, server);  // now it has heard the first
  // A busy machine may have taken its time for that.
  while (Clock::now() - asked < same_signal / 2) {
    send_all();
    server.process().wait(milliseconds(20));
  }
  return asked;
}

TEST_CASE("STOP-09 signals within half a second are one") {
  judge({.requirement = "one Ctrl-C that arrives twice, through a wrapper too, does not cut the drain off",
         .source = "README, \"the servers\"; timeout(1), which signals its child and then its process group",
         .catches = "a repeated signal that is taken for a second wish: exit 1, and connections reset",
         .needs = Needs::ours},
        [](Scene& scene) {
          constexpr int most = 10;
          for (int attempt = 1;; ++attempt) {
            Server& server = scene.start(cold({"--drain-timeout", "60000"}));
            Peer peer = scene.connect(server, small_window);
            stick(peer);
            const Time asked = send_one_wish(scene, server);
            if (const auto ended = server.process().wait(2 * same_signal)) {
              // A busy machine may need half a second to send them: Windows takes a program for each. The last is a
              // second wish then, and the server goes, but not earlier.
              const bool second_wish = !ended->in_order() && Clock::now() - asked >= same_signal;
              expect(second_wish && attempt < most, "a drain that still waits", "the server is gone");
              peer.reset();
              scene.own().clear();  // as in STOP-06
              continue;
            }
            expect_rest_and_fin(peer);
            peer.close();
            expect_exit_in_order(server.process(), a_second());
            return;
          }
        });
}

}  // namespace
}  // namespace conformance
