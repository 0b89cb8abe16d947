// CLOSE: each way in which a connection can end.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "tests/conformance/expect.h"
#include "tests/conformance/peer.h"
#include "tests/conformance/platform.h"
#include "tests/conformance/scene.h"
#include "tests/conformance/suite.h"

namespace conformance {
namespace {

constexpr std::size_t KiB = 1024, MiB = 1024 * KiB;
constexpr int small_window = 16 * KiB;

TEST_CASE("CLOSE-01 1 MiB, half-close: the full echo, then FIN") {
  judge({.requirement = "after its own FIN a client still gets all that it is owed, and then a FIN",
         .source = "RFC 9293, 3.6 (a half-closed connection goes on delivering); contract, point 8",
         .catches = "a server that closes at end of input before its output has gone"},
        [](Scene& scene) {
          const std::string content = noise(settings().seed, MiB);
          Peer peer = scene.connect();
          auto frozen = scene.server().freeze_if_possible();  // the FIN is there with the last byte
          peer.send(content);
          peer.finish();
          frozen.thaw();
          expect_reply_after_fin(peer, content);
        });
}

TEST_CASE("CLOSE-02 100 orderly clients: no reset is sent") {
  judge(
      {.requirement = "an orderly end is answered in order: FIN for FIN, and no reset by anybody",
       .source = "RFC 9293, 3.6; RFC 1122, 4.2.2.13 (a close with input unread sends a reset)",
       .catches = "a close with input unread, an abort where a close was meant, a descriptor kept a client"},
      [](Scene& scene) {
        const ExpectNoReset no_reset(scene);
        for (int client = 0; client < 100; ++client) {
          Peer peer = scene.connect();
          if (client % 2 == 0) expect_echo(peer, "orderly");
          expect_orderly_end(peer);
        }
        no_reset.now();
      });
}

void reset_beside_neighbours(Scene& scene, bool in_mid_echo) {
  Peer victim = scene.connect();
  std::vector<Peer> neighbours = scene.connect_many(5);
  if (scene.served_at_once(neighbours.size() + 1) > neighbours.size())
    for (Peer& neighbour : neighbours)
      expect_echo(neighbour, "before");
  expect_echo(victim, "?");
  if (in_mid_echo) {
    victim.send(noise(settings().seed, 256 * KiB));
    expect(victim.readable(patience()), "an echo to begin", "nothing");
  }
  victim.reset();
  const std::string after = noise(settings().seed, 16 * KiB);
  in_turns(scene, neighbours, [&](std::span<Peer> served) {
    for (Peer& neighbour : served)
      expect_echo(neighbour, after);
  });
}

TEST_CASE("CLOSE-03 a reset, in mid-echo or not: the neighbours are unharmed") {
  judge({.requirement = "one client's reset is that client's alone",
         .source = "RFC 9293, 3.10.7.4; recv(2), ECONNRESET; contract, point 11",
         .catches = "a server that exits on a peer's error, or closes the wrong connection"},
        [](Scene& scene) {
          reset_beside_neighbours(scene, true);
          reset_beside_neighbours(scene, false);
        });
}

TEST_CASE("CLOSE-04 32 resets before accept: the next is served") {
  judge({.requirement = "a connection that is dead when it is accepted stops nobody behind it",
         .source = "accept(2): ECONNABORTED and network errors are like EAGAIN, go on",
         .catches = "an acceptor that goes deaf: it ends, or is not armed again, at the first dead client",
         .needs = Needs::process},
        [](Scene& scene) {
          auto frozen = scene.server().freeze();
          std::vector<Peer> dead = scene.fill_backlog(32);
          for (Peer& peer : dead)
            peer.reset();
          frozen.thaw();
          Peer next = scene.connect();
          expect_echo(next, "and me?");
          expect_orderly_end(next);
        });
}

Duration a_second() {
  return scaled(std::chrono::seconds(1));
}

TEST_CASE("CLOSE-05 a client closes with bytes unread: freed within a second") {
  judge({.requirement = "a client that is gone holds nothing, though output was due to it",
         .source = "RFC 1122, 4.2.2.13; recv(2), send(2): ECONNRESET, EPIPE",
         .catches = "a connection kept because its output can never leave",
         .needs = Needs::process},
        [](Scene& scene) {
          Server& server = scene.server();
          const std::size_t before = server.process().sockets();
          for (int client = 0; client < 10; ++client) {
            Peer peer = scene.connect();
            peer.send(noise(settings().seed, 256 * KiB));
            expect(peer.readable(patience()), "an echo to begin", "nothing");
            peer.close();
          }
          expect_sockets(server, before, a_second());
        });
}

TEST_CASE("CLOSE-06 no CLOSE_WAIT is left") {
  judge({.requirement = "the server closes what its peer has closed",
         .source = "RFC 9293, 3.3.2 (CLOSE-WAIT waits for the local user)",
         .catches = "a FIN that nobody looks at: half-dead connections until descriptors run out",
         .needs = Needs::process},
        [](Scene& scene) {
          for (int client = 0; client < 20; ++client) {
            Peer peer = scene.connect();
            if (client % 2 == 0) expect_echo(peer, "bye");
            peer.close();
          }
          scene.server().expect_closed_what_was_left();
        });
}

TEST_CASE("CLOSE-07 both close at once") {
  judge({.requirement =
             "when both ends finish at the same time, the whole answer arrives, then FIN, and no reset",
         .source = "RFC 9293, 3.6, case 3 (both users close simultaneously); RFC 867",
         .catches = "a FIN that comes while the server closes, taken for an error",
         .service = "daytime"},
        [](Scene& scene) {
          const ExpectNoReset no_reset(scene);
          for (int client = 0; client < 100; ++client) {
            Peer peer = scene.connect();
            peer.finish();
            const std::string line = expect_rest_and_fin(peer);
            expect(line.ends_with('\n'), "a whole line", "'" + line + "'");
          }
          no_reset.now();
        });
}

/// Of what an echo's client sent, whether the server holds some that its system had no room for, or reads no
/// more.
bool output_waits(const Server& server, const Peer& peer, std::size_t sent) {
  const TableEntry its_end = server_end(server, peer);
  const std::size_t with_a_system =
      peer.socket().unacknowledged() + its_end.unread + its_end.unacknowledged + peer.unread();
  return its_end.unread > 0 || with_a_system < sent;
}

/// Sends until output waits in the server itself: then its peer's FIN finds a queue. Returns how much was
/// sent.
std::size_t send_until_output_waits(Server& server, Peer& peer, std::string_view content) {
  constexpr std::size_t step = 32 * KiB;
  std::size_t sent = 0;
  do {
    peer.send(content.substr(sent, step));
    sent += step;
    const Time until = Clock::now() + a_second();  // a server that never rests must do without the staging
    while (!server.process().asleep() && Clock::now() < until)
      server.process().wait(milliseconds(1));
  } while (!output_waits(server, peer, sent) && sent < content.size());
  return sent;
}

TEST_CASE("CLOSE-08 half-close and a slow reader: all is delivered") {
  judge({.requirement = "output that is due outlives the peer's FIN, however slowly it is taken",
         .source = "RFC 9293, 3.6 and 3.8.6; contract, points 6 and 8",
         .catches = "a close that drops what the kernel did not take at once"},
        [](Scene& scene) {
          need_sends_that_a_close_respects(scene, scene.server());
          const std::string content = noise(settings().seed, 8 * MiB);
          Peer peer = scene.connect(small_window);
          const std::size_t sent = scene.server().has_process() && shows_queues()
                                       ? send_until_output_waits(scene.server(), peer, content)
                                       : push_until_blocked(peer, content);
          peer.finish();
          expect_reply_after_fin(peer, std::string_view(content).substr(0, sent), milliseconds(2));
        });
}

TEST_CASE("CLOSE-09 A closes, B takes its descriptor in the same batch: B is clean") {
  judge({.requirement = "a new connection never hears of an old one, though it has the same descriptor",
         .source = "epoll(7), Q&A: events of a descriptor closed in the same batch; RFC 862",
         .catches = "a stale event, or state kept by descriptor",
         .needs = Needs::process},
        [](Scene& scene) {
          for (int round = 0; round < 5; ++round) {
            std::vector<Peer> old = scene.connect_many(std::min<std::size_t>(8, scene.served_at_once(16)));
            for (Peer& peer : old)
              expect_echo(peer, "?");
            auto frozen = scene.server().freeze();
            std::vector<Peer> fresh;
            for (std::size_t i = 0; i < old.size();
                 ++i) {  // ends and beginnings in turns: one batch holds all
              if (i % 2) old[i].send("stale");
              i % 4 < 2 ? old[i].close() : old[i].reset();
              if (fresh.size() < 5)
                fresh.push_back(scene.connect());  // the smallest usual backlog holds them
            }
            for (std::size_t i = 0; i < fresh.size(); ++i)
              fresh[i].send("fresh " + std::to_string(i));
            frozen.thaw();
            std::size_t next = 0;
            in_turns(scene, fresh, [&](std::span<Peer> served) {
              for (Peer& peer : served)
                expect_reply(peer, "fresh " + std::to_string(next++));
            });
          }
        });
}

TEST_CASE("CLOSE-10 a reset while a send is pending") {
  judge({.requirement = "a client that resets under a full output queue ends alone",
         .source = "send(2), ECONNRESET; RFC 9293, 3.10.7.4",
         .catches = "use after free: the queue goes with the connection while a send still holds it"},
        [](Scene& scene) {
          const std::string content = noise(settings().seed, 8 * MiB);
          for (int round = 0; round < 5; ++round) {
            Peer peer = scene.connect(small_window);
            push_until_blocked(peer, content);
            peer.reset();
          }
        });
}

TEST_CASE("CLOSE-11 data, FIN and reset are all there when the server wakes") {
  judge({.requirement = "a server survives a write to a connection that is already gone",
         .source = "send(2): EPIPE and, without MSG_NOSIGNAL, SIGPIPE; signal(7): its default action ends "
                   "the process",
         .catches = "a server that SIGPIPE kills",
         .needs = Needs::process},
        [](Scene& scene) {
          for (int round = 0; round < 10; ++round) {
            Peer peer = scene.connect();
            expect_echo(peer, "?");
            auto frozen = scene.server().freeze();
            peer.send(noise(settings().seed, 4 * KiB));
            peer.finish();
            peer.reset();
            frozen.thaw();
            expect_next_client_served(scene.server().target(), scene.server().service());
          }
        });
}

}  // namespace
}  // namespace conformance
