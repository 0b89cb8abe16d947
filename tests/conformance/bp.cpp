// BP: backpressure. A client that does not read is made to wait, and nobody else is.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/conformance/expect.h"
#include "tests/conformance/peer.h"
#include "tests/conformance/platform.h"
#include "tests/conformance/scene.h"
#include "tests/conformance/suite.h"

namespace conformance {
namespace {

constexpr std::size_t KiB = 1024, MiB = 1024 * KiB;
constexpr int tiny_window = 2 * KiB, small_window = 16 * KiB;
constexpr std::string_view flow_control =
    "RFC 9293, 3.8.6 (flow control); send(2): a send may take less than it is given";

bool on_windows(const Scene& scene) {
  return scene.profile().platform == "windows";
}

/// What a server may hold of a client that does not read: its high mark (256 KiB), what one receive brings, and the
/// room that its memory's growth takes. On Windows a thread takes more.
std::size_t most_held(const Scene& scene) {
  return on_windows(scene) ? 4 * MiB : MiB;
}

TEST_CASE("BP-01 a tiny receive window: pushed until blocked, then drained") {
  judge({.requirement =
             "what was taken from a client whose window closed comes back whole, and so does what follows",
         .source = flow_control,
         .catches = "bytes lost or doubled where the system takes a part of a send"},
        [](Scene& scene) {
          const std::string content = noise(settings().seed, 16 * MiB);
          Peer peer = scene.connect(tiny_window);
          std::string_view left = content;
          for (int round = 0; round < 2; ++round) {
            const std::size_t sent = push_until_blocked(peer, left);
            expect_reply(peer, left.substr(0, sent));
            left.remove_prefix(sent);
          }
          expect_echo(peer, left.substr(0, 64 * KiB));
          expect_orderly_end(peer);
        });
}

void expect_grown_by(Scene& scene, Process& process, std::uint64_t before, std::uint64_t most) {
  const std::uint64_t now = std::max(before, process.memory());
  const auto in_KiB = [](std::uint64_t bytes) { return std::to_string(bytes / KiB) + " KiB"; };
  if (process.sanitized()) return scene.info("memory is not judged: a sanitizer is built in");
  expect(now - before <= most, "at most " + in_KiB(most) + " more than before", in_KiB(now - before));
  scene.note(in_KiB(now - before) + " more than before");
}

TEST_CASE("BP-02 50 clients that never read: memory under the cap") {
  judge({.requirement = "what a server holds of a client that does not read is bounded",
         .source = "contract, point 9 (an echo holds at most its high mark and one receive)",
         .catches = "an output queue without end: clients decide how much memory the server has",
         .needs = Needs::process},
        [](Scene& scene) {
          Process& process = scene.server().process();
          const std::uint64_t before = process.memory();
          std::vector<Peer> peers;
          while (peers.size() < 50)
            peers.push_back(scene.connect(tiny_window));
          push_until_blocked(peers, noise(settings().seed, 8 * MiB));
          const std::size_t served = scene.served_at_once(peers.size());
          expect_silence(std::span(peers).subspan(served));
          expect_grown_by(scene, process, before, served * most_held(scene));
        });
}

TEST_CASE("BP-09 those who were slow have caught up: their memory is free") {
  judge({.requirement = "a client that has taken all it was owed costs no more than one that was never slow",
         .source = "contract, point 9: an idle connection holds no buffer",
         .catches = "a queue that is emptied and keeps its room, such as a string by clear() or by = {}",
         .needs = Needs::ours},
        [](Scene& scene) {
          const std::string content = noise(settings().seed, 8 * MiB);
          Server& server = scene.start();
          std::vector<Peer> peers;
          while (peers.size() < 120)
            peers.push_back(scene.connect(server, small_window));
          peers.erase(peers.begin() + scene.served_at_once(peers.size()), peers.end());
          for (Peer& peer : peers)
            expect_echo(peer, "?");
          const std::uint64_t before = server.process().memory();
          // A few at a time: a client that blocks leaves megabytes with the system, whose tcp_mem bounds all of them.
          for (std::size_t first = 0; first < peers.size(); first += 30) {
            const std::span few =
                std::span(peers).subspan(first, std::min<std::size_t>(30, peers.size() - first));
            const std::vector<std::size_t> sent = push_until_blocked(few, content);
            for (std::size_t i = 0; i < few.size(); ++i)
              expect_reply(few[i], std::string_view(content).substr(0, sent[i]));
          }
          server.expect_rest();
          // What has been freed and stays with the allocator is bounded by its arenas (mallopt(3)), not by the clients.
          expect_grown_by(scene, server.process(), before, 20 * MiB + peers.size() * 32 * KiB);
        });
}

TEST_CASE("BP-03 one stuck client and 20 quick ones: these are answered soon") {
  judge({.requirement = "a client that does not read delays nobody else",
         .source = "contract, points 4 and 9; RFC 862 (each connection is served)",
         .catches = "a send that waits for its peer, and with it the thread that serves the others"},
        [](Scene& scene) {
          const std::string content = noise(settings().seed, 16 * MiB);
          Peer stuck = scene.connect(small_window);
          std::vector<Peer> quick = scene.connect_many(20);
          if (scene.served_at_once(quick.size() + 1) > quick.size()) {
            std::size_t sent = 0;
            expect_quick_answers(scene, quick,
                                 [&] { sent += stuck.offer(std::string_view(content).substr(sent)); });
            push_until_blocked(stuck, std::string_view(content).substr(sent));
          } else {
            push_until_blocked(stuck, content);
            expect_silence(quick);
            stuck.reset();
          }
          in_turns(scene, quick, [&](std::span<Peer> served) { expect_quick_answers(scene, served); });
        });
}

/// How much of what an echo's client sent lies with the server itself: neither a system has it, nor the client.
std::size_t held_by(const Server& server, const Peer& peer, std::size_t sent) {
  const TableEntry its_end = server_end(server, peer);
  const std::size_t elsewhere =
      peer.socket().unacknowledged() + its_end.unread + its_end.unacknowledged + peer.unread();
  return sent - std::min(sent, elsewhere);  // what is not yet acknowledged is counted at both ends
}

TEST_CASE("BP-04 the server stops taking from a client that does not read") {
  judge({.requirement = "an echo whose output waits reads no more: then its client's sends wait, too",
         .source = "RFC 9293, 3.8.6 (a receiver's window is there to slow its sender); contract, point 9",
         .catches = "a server that reads on while its answers pile up"},
        [](Scene& scene) {
          const std::string content = noise(settings().seed, 64 * MiB);
          Peer peer = scene.connect(small_window);
          const std::size_t sent = push_until_blocked(peer, content);
          expect(sent < content.size(), "a client that must wait",
                 "all " + std::to_string(sent) + " bytes were taken");
          if (scene.server().has_process() && shows_queues()) {
            const std::size_t held = held_by(scene.server(), peer, sent);
            expect(held <= MiB, "at most 1 MiB held by the server", std::to_string(held) + " bytes");
            scene.note(std::to_string(held / KiB) + " KiB held by the server");
          }
          expect_reply(peer, std::string_view(content).substr(0, sent));
          expect_echo(peer, "and on it goes");
          expect_orderly_end(peer);
        });
}

TEST_CASE("BP-05 at rest while output waits, and afterwards") {
  judge({.requirement = "a server that can do nothing but wait uses no processor time",
         .source = "epoll_ctl(2), poll(2): EPOLLHUP and EPOLLERR are always told; level-triggered: told "
                   "again and again",
         .catches = "input that is asked for and not read; room for output that is asked for when none waits",
         .needs = Needs::process},
        [](Scene& scene) {
          const std::string content = noise(settings().seed, 16 * MiB);
          for (const bool finished : {false, true}) {
            Peer peer = scene.connect(small_window);
            const std::size_t sent = push_until_blocked(peer, content);
            if (finished) peer.finish();  // its FIN lies behind what the server does not read
            scene.server().expect_rest();
            if (finished) {
              expect_reply_after_fin(peer, std::string_view(content).substr(0, sent));
            } else {
              expect_reply(peer, std::string_view(content).substr(0, sent));
              scene.server().expect_rest();
              expect_orderly_end(peer);
            }
          }
        });
}

TEST_CASE("BP-06 one byte read every 10 ms, then all") {
  judge({.requirement = "however slowly a client reads, it gets all that is due to it",
         .source = "RFC 9293, 3.8.6.1 (a window may stay closed for any time); contract, point 9",
         .catches = "a slow client taken for a dead one; a send that fails because it could not be whole"},
        [](Scene& scene) {
          const std::string content = noise(settings().seed, 8 * MiB);
          Peer peer = scene.connect(tiny_window);
          const std::size_t sent = push_until_blocked(peer, content);
          constexpr std::size_t single = 100;
          for (std::size_t at = 0; at < single; ++at) {
            expect_reply(peer, std::string_view(content).substr(at, 1));
            std::this_thread::sleep_for(milliseconds(10));  // that is what makes it slow
          }
          expect_reply(peer, std::string_view(content).substr(single, sent - single));
          expect_echo(peer, "and on it goes");
          expect_orderly_end(peer);
        });
}

TEST_CASE("BP-07 chargen to a client that does not read: no processor time, flat memory") {
  judge({.requirement =
             "a service that sends without being asked stops when nobody reads, and goes on where it stopped",
         .source = "RFC 864 (sent until the client closes); contract, point 9 (on_drained)",
         .catches = "a generator that runs ahead of its reader, or that polls for room",
         .service = "chargen",
         .needs = Needs::process},
        [](Scene& scene) {
          require_chargen_lines(scene);
          Server& server = scene.server();
          const std::uint64_t before = server.process().memory();
          Peer peer = scene.connect(small_window);
          expect(peer.readable(patience()), "chargen to begin", "nothing");
          server.expect_rest();
          const std::uint64_t full = server.process().memory();
          expect_grown_by(scene, server.process(), before, most_held(scene));
          server.expect_rest();
          expect_grown_by(scene, server.process(), full, 64 * KiB);
          expect_reply(peer, chargen_lines(8 * MiB));
        });
}

/// A client that sends what it may and reads nothing is reset for it in time, neither sooner nor later.
void expect_write_timeout(Peer& stuck, milliseconds timeout) {
  const Time begun = Clock::now();
  push_until_blocked(stuck, noise(settings().seed, 16 * MiB));
  const Time latest = Clock::now() + timeout + scaled(milliseconds(600));
  for (Time now = Clock::now(); stuck.end() == End::open && now < latest; now = Clock::now())
    if (stuck.writable(latest - now)) stuck.offer("?");
  const auto took = std::chrono::duration_cast<milliseconds>(Clock::now() - begun);
  const std::string due = std::to_string(timeout.count()) + " ms after the server could send no more";
  expect(stuck.end() == End::reset, "a reset " + due, "none after " + std::to_string(took.count()) + " ms");
  expect(took >= timeout, "no reset before " + due, "one after " + std::to_string(took.count()) + " ms");
}

/// A client that takes a little now and then gets all that is due to it in the end.
void expect_slow_reader_lives(Scene& scene, Server& server, milliseconds time) {
  // Where no system tells what a peer has acknowledged, a send must succeed now and then, and under Wine that takes room
  // for a third of what Linux buffers.
  const std::size_t piece = on_windows(scene) ? 256 * KiB : 16 * KiB;
  const std::string content = noise(settings().seed, 8 * MiB);
  Peer slow = scene.connect(server, small_window);
  const std::size_t sent = push_until_blocked(slow, content);
  std::size_t at = 0;
  for (const Time end = Clock::now() + time; Clock::now() < end && at + piece < sent; at += piece) {
    expect_reply(slow, std::string_view(content).substr(at, piece));
    std::this_thread::sleep_for(milliseconds(100));  // that is what makes it slow
  }
  expect_reply(slow, std::string_view(content).substr(at, sent - at));
  expect_orderly_end(slow);
}

TEST_CASE("BP-08 the write timeout ends a client that takes nothing, and nobody else") {
  judge({.requirement = "a peer that takes nothing for --write-timeout is reset; one that takes little lives",
         .source = "contract, point 9 and \"takes nothing\"; RFC 9293, 3.8.3 (a user timeout)",
         .catches = "a stuck peer kept for ever; a timeout of twice its time; a slow reader cut off",
         .needs = Needs::ours},
        [](Scene& scene) {
          constexpr milliseconds timeout(1000);
          Server& server = scene.start({.options = {"--write-timeout", std::to_string(timeout.count())}});
          need_sends_that_a_close_respects(scene, server);
          Peer stuck = scene.connect(server, small_window), next = scene.connect(server);
          if (scene.served_at_once(2) == 2) expect_echo(next, "beside it");
          expect_write_timeout(stuck, timeout);
          expect_echo(next, "after it");
          expect_orderly_end(next);
          expect_slow_reader_lives(scene, server, 2 * timeout);
        });
}

}  // namespace
}  // namespace conformance
