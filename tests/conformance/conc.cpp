// CONC: many clients at once. Each gets what is its own, and none waits for another.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <iomanip>
#include <ios>
#include <map>
#include <numeric>
#include <random>
#include <ratio>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/conformance/expect.h"
#include "tests/conformance/peer.h"
#include "tests/conformance/platform.h"
#include "tests/conformance/scene.h"
#include "tests/conformance/suite.h"

namespace conformance {
namespace {

constexpr std::size_t KiB = 1024, MiB = 1024 * KiB;
constexpr std::string_view each_is_served =
    "RFC 862 (once a connection is established, what it sends is sent back)";

std::string tagged(std::size_t client, std::size_t message) {
  return "client " + std::to_string(client) + ", message " + std::to_string(message) + "\n";
}

/// Each sends its next message and receives it, all at the same time.
void exchange(std::span<Peer> peers, std::size_t first_client, std::size_t message) {
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < peers.size(); ++i)
    lines.push_back(tagged(first_client + i, message));
  std::vector<Talk> talks;
  for (std::size_t i = 0; i < peers.size(); ++i)
    talks.push_back({&peers[i], lines[i], lines[i]});
  talk(talks);
}

TEST_CASE("CONC-01 an interleaved pair") {
  judge({.requirement = "two clients whose bytes arrive in turns get each its own back",
         .source = each_is_served,
         .catches = "a server that stays with one client; a buffer or a state that two share"},
        [](Scene& scene) {
          std::vector<Peer> pair = scene.connect_many(2);
          std::size_t client = 0;
          in_turns(scene, pair, [&](std::span<Peer> served) {
            for (std::size_t message = 0; message < 50; ++message) {
              for (std::size_t i = 0; i < served.size(); ++i)
                served[i].send(tagged(client + i, message));
              for (std::size_t i = served.size(); i-- > 0;)  // the second one's answer first
                expect_reply(served[i], tagged(client + i, message));
            }
            client += served.size();
          });
        });
}

TEST_CASE("CONC-02 those who are queued are served whole later") {
  judge(
      {.requirement =
           "a waiting client is kept, with all that it sent meanwhile, and then served like any other",
       .source = "listen(2), accept(2): a connection in the backlog is established, and takes data; RFC 862",
       .catches = "a newcomer that is lost, or whose first bytes are, because nobody was free for it"},
      [](Scene& scene) {
        auto frozen = scene.server().freeze_if_possible();
        std::vector<Peer> peers = scene.fill_backlog(20);
        const auto sent_while_waiting = [](std::size_t i) { return noise(settings().seed + i, 16 * KiB); };
        for (std::size_t i = 0; i < peers.size(); ++i)
          peers[i].send(sent_while_waiting(i));
        frozen.thaw();
        std::size_t client = 0;
        in_turns(scene, peers, [&](std::span<Peer> served) {
          for (Peer& peer : served) {
            expect_reply(peer, sent_while_waiting(client++));
            expect_echo(peer, noise(settings().seed, 64 * KiB));
          }
        });
      });
}

TEST_CASE("CONC-03 100 clients, 100 tagged messages each") {
  judge({.requirement = "each message comes back to the client that sent it, in its order",
         .source = each_is_served,
         .catches = "an answer to the wrong client; a wake-up lost when many are ready at once"},
        [](Scene& scene) {
          std::vector<Peer> peers = scene.connect_many(100);
          std::size_t client = 0;
          in_turns(scene, peers, [&](std::span<Peer> served) {
            for (std::size_t message = 0; message < 100; ++message)
              exchange(served, client, message);
            client += served.size();
          });
        });
}

/// A client that sends as fast as it is taken, and reads as fast as it comes.
class Firehose {
 public:
  explicit Firehose(Peer& peer) : peer_(peer) {}

  void step() {
    sent_ += peer_.offer(std::string_view(content_).substr(sent_ % period, piece));
    receive();
  }
  std::size_t received() const { return received_; }
  void expect_the_rest() {
    const Time until = Clock::now() + patience();
    while (received_ < sent_) {
      expect(Clock::now() < until && peer_.readable(patience()), std::to_string(sent_) + " bytes back",
             std::to_string(received_));
      receive();
    }
  }

 private:
  static constexpr std::size_t period = MiB, piece = 64 * KiB;

  void receive() {
    const Received step = peer_.take(buffer_);
    const std::string_view due = std::string_view(content_).substr(received_ % period, step.bytes);
    expect(step.end == End::open && due == std::string_view(buffer_.data(), step.bytes),
           "the firehose's bytes, in order",
           "others, or an end, after " + std::to_string(received_) + " bytes");
    received_ += step.bytes;
    if (step.bytes > 0) moved_ = Clock::now();
    expect(Clock::now() < moved_ + patience(), "the firehose's bytes to come back",
           "nothing moves any more after " + std::to_string(received_));
  }

  Peer& peer_;
  const std::string content_ = noise(settings().seed, period) + noise(settings().seed, piece);
  std::vector<char> buffer_ = std::vector<char>(piece);
  std::size_t sent_ = 0, received_ = 0;
  Time moved_ = Clock::now();
};

TEST_CASE("CONC-04 a firehose and a pinger") {
  judge({.requirement = "a client that sends without pause leaves room for one that asks now and then",
         .source = "contract, point 1; epoll(7): starvation, and what to do about it",
         .catches = "a server that stays with one connection as long as something comes from it"},
        [](Scene& scene) {
          std::vector<Peer> both = scene.connect_many(2);
          if (scene.served_at_once(both.size()) == both.size()) {
            Firehose firehose(both[0]);
            while (firehose.received() < 64 * MiB)
              expect_quick_answers(scene, std::span(both).last(1), [&] { firehose.step(); });
            firehose.expect_the_rest();
          }
          in_turns(scene, both, [&](std::span<Peer> served) { expect_quick_answers(scene, served); });
        });
}

/// How long an answer takes when nothing else goes on.
Duration time_of_an_answer(Peer& peer) {
  constexpr int questions = 50;
  const Time begun = Clock::now();
  for (int i = 0; i < questions; ++i)
    expect_echo(peer, "?");
  return (Clock::now() - begun) / questions;
}

TEST_CASE("CONC-05 a storm of connects and a pinger") {
  judge(
      {.requirement = "newcomers that never pause do not keep those waiting who are here",
       .source = "contract, point 1; accept(2)",
       .catches = "an accept loop that ends only when nobody comes any more; a newcomer that is waited for"},
      [](Scene& scene) {
        std::vector<Peer> both = scene.connect_many(1);
        // Up to 2 000 a second, as many as a server can take that answers so fast.
        const Duration pause =
            std::max<Duration>(4 * time_of_an_answer(both.front()), std::chrono::microseconds(500));
        std::deque<Peer> storm;
        const Time begun = Clock::now();
        Time next = begun;
        const auto blow = [&] {
          if (Clock::now() < next) return;
          next += pause;
          storm.push_back(scene.dial(scene.server().target()));
          if (storm.size() < 50) return;
          storm.front().reset();
          storm.pop_front();
        };
        while (Clock::now() < begun + std::chrono::seconds(1))
          expect_quick_answers(scene, both, blow);
        both.push_back(std::move(storm.back()));
        storm.clear();
        in_turns(scene, both, [&](std::span<Peer> served) {
          for (Peer& peer : served)
            expect_echo(peer, "and after the storm?");
        });
      });
}

TEST_CASE("CONC-06 more silent clients than workers: the others are served") {
  judge(
      {.requirement = "a client that says nothing costs no other one its turn",
       .source = each_is_served,
       .catches =
           "a worker that waits in a receive for one client; an accept that waits for the first bytes"},
      [](Scene& scene) {
        std::vector<Peer> silent = scene.connect_many(64), active = scene.connect_many(4);
        if (scene.served_at_once(silent.size() + active.size()) > silent.size()) {
          for (Peer& peer : std::span(silent).first(32))  // these after a word, the others from the beginning
            expect_echo(peer, "?");
          for (Peer& peer : active)
            expect_echo(peer, "beside them");
        }
        for (Peer& peer : active)
          peer.send("is it my turn?");
        if (scene.served_at_once(silent.size() + active.size()) == 1) {
          expect_silence(active);
          silent.clear();
        }
        in_turns(scene, active, [](std::span<Peer> served) {
          for (Peer& peer : served)
            expect_reply(peer, "is it my turn?");
        });
      });
}

TEST_CASE("CONC-07 10 000 messages of 1 to 9 bytes, in order") {
  judge({.requirement =
             "small messages that follow each other at once come back in the order in which they were sent",
         .source = "RFC 9293, 2.2 (TCP is a stream in order); epoll_ctl(2), EPOLLONESHOT",
         .catches = "two workers on one socket: each reads in order, and the later one may send first"},
        [](Scene& scene) {
          std::mt19937_64 random(settings().seed);
          const std::string content = noise(settings().seed, 9 * 10'000);
          std::vector<Peer> peers = scene.connect_many(scene.fitting(4));
          std::size_t sent = 0;
          for (int message = 0; message < 10'000; ++message) {
            const std::size_t size = 1 + random() % 9;
            for (Peer& peer : peers)
              peer.send(std::string_view(content).substr(sent, size));
            sent += size;
          }
          for (Peer& peer : peers) {
            expect_reply(peer, std::string_view(content).substr(0, sent));
            expect_orderly_end(peer);
          }
        });
}

TEST_CASE("CONC-08 20 000 short connections") {
  judge({.requirement = "the last of many connections is served as the first was",
         .source = "RFC 862; contract, point 3",
         .catches = "a place, a descriptor or a thread lost a connection; an old connection's end that hits "
                    "a new one"},
        [](Scene& scene) {
          constexpr std::size_t all = 20'000;
          const std::size_t at_once = scene.fitting(20);
          const Time until = Clock::now() + std::chrono::seconds(10);
          std::size_t served = 0;
          for (; served < all && Clock::now() < until; served += at_once) {
            std::vector<Peer> peers = scene.connect_many(at_once);
            exchange(peers, served, 0);
            for (std::size_t i = 0; i < peers.size(); ++i)
              (served + i) % 2 ? peers[i].reset() : peers[i].close();
          }
          if (served < all) scene.info("only " + std::to_string(served) + " in 10 s, each served");
        });
}

/// "2 of 2 threads: 52 % 48 % of 130 ms of processor time".
std::string shares(const std::map<std::uint64_t, Duration>& before,
                   const std::map<std::uint64_t, Duration>& after) {
  std::vector<double> used;  // in milliseconds, the busiest thread's first
  for (const auto& [thread, time] : after) {
    const auto then = before.find(thread);
    used.push_back(
        std::chrono::duration<double, std::milli>(time - (then == before.end() ? Duration{} : then->second))
            .count());
  }
  std::ranges::sort(used, std::greater{});
  const double all = std::accumulate(used.begin(), used.end(), 0.0);
  if (all <= 0) throw NotApplicable("the work is done in other processes than the one that was started");
  const auto idle = std::ranges::find_if(used, [&](double each) { return each < all / 1000; });
  std::ostringstream text;
  text << std::fixed << std::setprecision(0) << idle - used.begin() << " of " << used.size() << " threads:";
  for (const double each : std::span(used).first(std::min<std::size_t>(4, idle - used.begin())))
    text << ' ' << 100 * each / all << " %";
  text << (idle - used.begin() > 4 ? " …" : "") << " of " << all << " ms of processor time";
  return text.str();
}

TEST_CASE("CONC-09 balance over workers") {
  judge({.requirement = "recorded, not judged: which threads do the work",
         .source = "epoll(7), accept(2): the system owes nobody a fair share",
         .catches = "a model that leaves all work to one of its threads: seen, not judged",
         .needs = Needs::process},
        [](Scene& scene) {
          const Process& process = scene.server().process();
          std::vector<Peer> peers = scene.connect_many(scene.fitting(50));
          exchange(peers, 0, 0);  // now each has its thread, where each has one
          const auto before = process.cpu_by_thread();
          std::size_t messages = 0;
          for (; messages < 10'000; messages += 50 * peers.size())
            expect_quick_answers(scene, peers);
          scene.info(std::to_string(messages) + " messages by " + shares(before, process.cpu_by_thread()));
        });
}

}  // namespace
}  // namespace conformance
