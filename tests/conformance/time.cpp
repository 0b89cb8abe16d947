// TIME: what the clock does to a connection, and to a server that waits for it.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "tests/conformance/expect.h"
#include "tests/conformance/peer.h"
#include "tests/conformance/platform.h"
#include "tests/conformance/scene.h"
#include "tests/conformance/sockets.h"
#include "tests/conformance/subject.h"
#include "tests/conformance/suite.h"

namespace conformance {
namespace {

constexpr std::string_view idle_contract = "contract, \"idle\": no byte has moved either way";

StartOptions idle_timeout(milliseconds timeout, std::string_view service = "echo") {
  return {.service = service, .options = {"--idle-timeout", std::to_string(timeout.count())}};
}

/// A client that moves nothing any more, and when its FIN is due.
struct Idle {
  Peer* peer;
  Time earliest, latest;
};

/// Its last byte moved after `since`, and before now.
Idle idle_since(Time since, Peer& peer, milliseconds timeout) {
  return {&peer, since + timeout, Clock::now() + timeout + scaled(milliseconds(500))};
}

/// Each sees its FIN when it is due.
void expect_idle_closes(std::vector<Idle> idle) {
  while (!idle.empty()) {
    std::vector<Watch> watched;
    for (const Idle& each : idle)
      watched.push_back({&each.peer->socket(), true, false});
    const Time latest = std::ranges::min(idle, {}, &Idle::latest).latest;
    wait(watched, std::max(Duration::zero(), latest - Clock::now()));
    const Time now = Clock::now();
    std::vector<Idle> open;
    for (std::size_t i = 0; i < idle.size(); ++i) {
      const std::string name = idle[i].peer->name();
      if (!watched[i].readable) {
        expect(now < idle[i].latest, name + " to be closed when it was idle for its time",
               "it is still open");
        open.push_back(idle[i]);
        continue;
      }
      expect(now >= idle[i].earliest, name + " to keep its connection for its time",
             "an end " + text(idle[i].earliest - now) + " too soon");
      expect_fin(*idle[i].peer);
    }
    idle = std::move(open);
  }
}

TEST_CASE("TIME-01 an idle connection is closed after its time, and soon after it") {
  judge({.requirement = "--idle-timeout closes a silent client, with a FIN, neither early nor late",
         .source = idle_contract,
         .catches =
             "a deadline that is looked at only when something else happens; one that takes twice its time",
         .needs = Needs::ours},
        [](Scene& scene) {
          constexpr milliseconds timeout(800);
          Server& server = scene.start(idle_timeout(timeout));
          for (const bool speaks : {false, true}) {
            const Time since = Clock::now();
            Peer peer = scene.connect(server);
            if (speaks) expect_echo(peer, "a word, and no more");
            expect_idle_closes({idle_since(since, peer, timeout)});
          }
        });
}

TEST_CASE("TIME-02 activity counts anew") {
  judge({.requirement = "each byte gives a connection its whole time again",
         .source = idle_contract,
         .catches = "a deadline that is set once, and ends a connection in the middle of its work",
         .needs = Needs::ours},
        [](Scene& scene) {
          constexpr milliseconds timeout(1000), pause(200);
          for (const std::string_view service : {"echo", "discard"}) {  // bytes both ways, and one way
            Server& server = scene.start(idle_timeout(timeout, service));
            Peer peer = scene.connect(server);
            const auto say = [&](std::string_view words) {
              service == "echo" ? expect_echo(peer, words) : peer.send(words);
            };
            for (int word = 0; word < 7; ++word) {
              say("!");
              expect(!peer.readable(pause), "silence for " + text(pause), "something came");
            }
            const Time since = Clock::now();
            say("and no more");
            expect_idle_closes({idle_since(since, peer, timeout)});
          }
        });
}

TEST_CASE("TIME-03 1 000 expire together") {
  judge({.requirement = "that many have the same deadline makes none of them wait for its end, or end early",
         .source = idle_contract,
         .catches = "one expiry a wake-up; a list of deadlines that is changed while it is walked",
         .needs = Needs::ours},
        [](Scene& scene) {
          const std::size_t at_once = scene.served_at_once(1000);
          // On a slow system the thousand need two seconds to connect and to be answered: none may be late by then.
          const milliseconds timeout(at_once == 1 ? 500 : 4000);
          Server& server = scene.start(idle_timeout(timeout));
          std::vector<Peer> peers = scene.connect_many(std::min<std::size_t>(1000, 3 * at_once), server);
          for (std::size_t first = 0; first < peers.size(); first += at_once) {
            const std::span<Peer> served = std::span(peers).subspan(first, at_once);
            const Time since = Clock::now();
            for (Peer& peer : served)
              peer.send("?");
            std::vector<Idle> idle;
            for (Peer& peer : served) {
              expect_reply(peer, "?");
              idle.push_back(idle_since(since, peer, timeout));
            }
            expect_silence(std::span(peers).subspan(first + at_once));
            expect_idle_closes(std::move(idle));
          }
        });
}

/// A reader that is slow, and whose time passes while the server stands still.
class SlowReader {
 public:
  SlowReader(Scene& scene, milliseconds timeout)
      : server_(scene.start({.options = {"--write-timeout", std::to_string(timeout.count())}})),
        peer_(scene.connect(server_, 16 << 10)),
        sent_(push_until_blocked(peer_, content_)),
        frozen_(server_.freeze()) {}
  /// It takes a little of what its system still has: not so much that its server is told of room at once.
  void read_a_little() { expect_reply(peer_, std::string_view(content_).substr(0, little)); }
  void expect_the_rest() {
    frozen_.thaw();
    const Time until = Clock::now() + scaled(milliseconds(500));
    while (!server_.process().asleep() && Clock::now() < until)  // till it has looked at its clock
      server_.process().wait(milliseconds(1));
    expect_reply(peer_, std::string_view(content_).substr(little, sent_ - little));
  }

 private:
  static constexpr std::size_t little = 256 << 10;

  const std::string content_ = noise(settings().seed, 16 << 20);
  Server& server_;
  Peer peer_;
  std::size_t sent_;
  Server::Frozen frozen_;
};

TEST_CASE("TIME-04 stopped for 3 s and continued: sane") {
  judge(
      {.requirement =
           "a server that stood still closes the idle clients at once, and holds its own silence against "
           "nobody else",
       .source = "signal(7), SIGSTOP; clock_gettime(2): CLOCK_MONOTONIC runs on; contract, \"takes nothing\"",
       .catches =
           "a newcomer closed by a clock that was read before the stop; a reader who is cut off because the "
           "server did not send; one expiry for each time that was missed",
       .needs = Needs::ours},
      [](Scene& scene) {
        constexpr milliseconds timeout(1000), pause(3000);
        std::optional<SlowReader> slow;
        if (scene.profile().platform == "windows")
          scene.note("without the slow reader: Wine does not tell what a peer has acknowledged");
        else
          slow.emplace(scene, timeout);
        Server& server = scene.start(idle_timeout(timeout));
        Peer idle = scene.connect(server);
        expect_echo(idle, "?");
        auto frozen = server.freeze();
        Peer newcomer = scene.connect(server);
        expect(!idle.readable(pause), "silence while the server stands still", "something came");
        newcomer.send("?");
        if (slow) slow->read_a_little();
        const Time since = Clock::now();
        frozen.thaw();
        expect_idle_closes({{&idle, since, Clock::now() + scaled(milliseconds(500))}});
        if (slow) slow->expect_the_rest();
        expect_reply(newcomer, "?");
        expect_idle_closes({idle_since(since, newcomer, timeout)});
      });
}

TEST_CASE("TIME-05 timers cost nothing while they wait, nor when they have passed") {
  judge({.requirement = "a deadline ahead is slept for, and one that has passed is over",
         .source = "epoll_wait(2), timerfd_create(2) (readable until it is read); select(2)",
         .catches = "a clock that ticks; a wait of no time at all because an old deadline still stands",
         .needs = Needs::ours},
        [](Scene& scene) {
          for (const milliseconds timeout : {milliseconds(60'000), milliseconds(500)}) {
            Server& server = scene.start(idle_timeout(timeout));
            std::vector<Peer> peers = scene.connect_many(scene.fitting(50), server);
            std::vector<Idle> idle;
            for (Peer& peer : peers) {
              const Time since = Clock::now();
              expect_echo(peer, "?");
              idle.push_back(idle_since(since, peer, timeout));
            }
            if (timeout < patience()) expect_idle_closes(std::move(idle));
            server.expect_rest();
          }
        });
}

/// It reads 160 kB a second for a while, then all the rest at once, of what its system and the server's hold for it.
void read_slowly(Peer& peer, std::string_view content, Duration time) {
  constexpr std::size_t piece = std::size_t{8} * 1024;
  const Time end = Clock::now() + time;
  while (content.size() > piece && Clock::now() < end) {
    expect_reply(peer, content.substr(0, piece));
    content.remove_prefix(piece);
    std::this_thread::sleep_for(milliseconds(50));  // that is what makes it slow
  }
  expect_reply(peer, content);
}

TEST_CASE("TIME-06 a reader that takes what is queued for it is not idle") {
  judge({.requirement = "a connection whose peer goes on taking bytes is kept, and gets all of them",
         .source = idle_contract,
         .catches =
             "an idle timer that knows only what the system took: that holds enough for seconds of reading",
         .needs = Needs::ours},
        [](Scene& scene) {
          constexpr milliseconds timeout(1000);
          constexpr std::size_t KiB = 1024;
          Server& server = scene.start(idle_timeout(timeout));
          if (server.process().under_wine())
            throw NotApplicable("Wine does not tell what a peer has acknowledged (SIO_TCP_INFO)");
          for (const std::size_t size : {600 * KiB, 16 * KiB * KiB}) {  // the system takes all of the first
            const std::string content = noise(settings().seed, size);
            Peer slow = scene.connect(server, 16 * KiB);
            const std::size_t sent = push_until_blocked(slow, content);
            read_slowly(slow, std::string_view(content).substr(0, sent), 5 * timeout / 2);
            const Time since = Clock::now();
            expect_echo(slow, "and no more");
            expect_idle_closes({idle_since(since, slow, timeout)});
          }
        });
}

TEST_CASE("TIME-07 a deadline that passed while the server stood still acts as soon as it goes on") {
  judge({.requirement =
             "time goes on while a process is stopped: what has fallen due meanwhile is done at once",
         .source = "signal(7): after SIGCONT a call that was interrupted is made again, but for those with a "
                   "handler; select(2)",
         .catches =
             "select started again with the time that was left at the stop: the deadline waits as long again",
         .needs = Needs::ours},
        [](Scene& scene) {
          if (scene.profile().platform == "windows")
            throw NotApplicable("Windows has no SIGSTOP, nor a wait that it starts again");
          const auto timeout = std::chrono::duration_cast<milliseconds>(scaled(milliseconds(1500)));
          for (int round = 0; round < 3; ++round) {
            Server& server = scene.start(idle_timeout(timeout));
            Peer idle = scene.connect(server);
            expect_echo(idle, "?");
            auto frozen = server.freeze();
            expect(!idle.readable(timeout + milliseconds(100)), "silence while the server stands still",
                   "something came");
            const Time since = Clock::now();
            frozen.thaw();
            expect_idle_closes({{&idle, since, Clock::now() + scaled(milliseconds(500))}});
          }
        });
}

}  // namespace
}  // namespace conformance
