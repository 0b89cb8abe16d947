// LEAK: what a connection held is given back, however it ended.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "tests/conformance/expect.h"
#include "tests/conformance/peer.h"
#include "tests/conformance/scene.h"
#include "tests/conformance/subject.h"
#include "tests/conformance/suite.h"

namespace conformance {
namespace {

constexpr std::size_t KiB = 1024, MiB = 1024 * KiB;
constexpr int small_window = 16 * KiB;

/// So many clients, as many at a time as are served at once, each with an echo and an end in order.
void come_and_go(Scene& scene, Server& server, std::size_t clients) {
  const std::string content = noise(settings().seed, KiB);
  const std::size_t at_a_time = scene.profile().clients_at_once.value_or(25);
  for (std::size_t done = 0; done < clients; done += at_a_time) {
    std::vector<Peer> peers = scene.connect_many(at_a_time, server);
    for (Peer& peer : peers)
      expect_echo(peer, content);
    leave_in_order(peers);
  }
}

TEST_CASE("LEAK-01 1 000 clients: no descriptor is kept") {
  judge({.requirement = "a connection's descriptor is closed when the connection is over",
         .source = "close(2); contract, point 2",
         .catches = "a descriptor kept a client: the server works until the limit is reached, days later",
         .needs = Needs::process},
        [](Scene& scene) {
          come_and_go(scene, scene.server(), 900);
          for (int client = 0; client < 100; ++client) {
            Peer peer = scene.connect();
            if (client % 2) peer.finish();
          }
          scene.server().expect_holdings_returned();
        });
}

TEST_CASE("LEAK-02 200 clients whose answers must wait: no thread is kept") {
  judge({.requirement = "a thread that was made for a connection, or for a send that waits, ends with it",
         .source = "pthread_join(3); contract, point 10",
         .catches = "a thread kept a client, asleep for ever or never joined",
         .needs = Needs::process},
        [](Scene& scene) {
          const std::string content = noise(settings().seed, MiB);
          for (int round = 0; round < 5; ++round) {
            std::vector<Peer> peers;
            while (peers.size() < 40)
              peers.push_back(scene.connect(small_window));
            in_turns(scene, peers, [&](std::span<Peer> served) {
              std::vector<Talk> talks;  // all is offered before anything is read
              for (Peer& peer : served) {
                const std::size_t sent = peer.offer(content);
                talks.push_back({&peer, {}, std::string_view(content).substr(0, sent)});
              }
              talk(talks);
            });
          }
          scene.server().expect_holdings_returned();
        });
}

/// By more than so many bytes a batch, from the fourth on, when all pools and caches have grown.
bool has_grown(const std::vector<std::uint64_t>& memory, std::size_t allowed) {
  // The least of three, since a single peak is no leak.
  const std::uint64_t before = *std::min_element(memory.begin() + 3, memory.begin() + 6);
  const std::uint64_t after = *std::min_element(memory.end() - 3, memory.end());
  const std::size_t batches_between = memory.size() - 6, grain = 64 * KiB;
  return after > before + grain + allowed * batches_between;
}

/// After each batch of so many clients memory is what it was, but for `allowed` bytes a client. One that has grown is
/// watched for longer: a leak goes on, one more arena of malloc's is a step.
void expect_level_memory(Scene& scene, Server& server, std::size_t clients, std::size_t allowed,
                         const std::function<void()>& batch) {
  if (server.process().sanitized()) throw NotApplicable("a sanitizer keeps what was freed");
  std::vector<std::uint64_t> memory;
  std::string seen = "KiB after each batch of " + std::to_string(clients) + ":";
  constexpr std::size_t least = 10, most = 20;
  while (memory.size() < least || (memory.size() < most && has_grown(memory, allowed * clients))) {
    batch();
    server.expect_holdings_returned();
    // Threads that have ended may be joined when the next one starts, and how many have is chance.
    Peer next = scene.connect(server);
    next.finish();
    expect_rest_and_end(next);
    next.close();
    server.expect_holdings_returned();
    memory.push_back(server.process().memory());
    seen += " " + std::to_string(memory.back() / KiB);
  }
  expect(!has_grown(memory, allowed * clients),
         "less than " + std::to_string(allowed) + " bytes more a client", seen);
  scene.note(seen);
}

TEST_CASE("LEAK-03 memory's slope over 10 batches of clients") {
  judge({.requirement = "memory does not grow with the clients that have been",
         .source = "malloc(3); contract, point 12",
         .catches = "a record, a buffer or a timer kept a client",
         .needs = Needs::process},
        [](Scene& scene) {
          constexpr std::size_t clients = 500, allowed = 32;
          expect_level_memory(scene, scene.server(), clients, allowed,
                              [&] { come_and_go(scene, scene.server(), clients); });
        });
}

/// None of them is owed an answer: under load a time is up before it, or a place is not free yet.
void reset_time_out_and_refuse(Scene& scene, Server& server, std::size_t room) {
  std::vector<Peer> resetting = scene.connect_many(room, server);
  for (Peer& peer : resetting) {
    peer.offer("?");
    peer.reset();
  }
  std::vector<Peer> idle = scene.connect_many(room, server);
  std::vector<Peer> refused = scene.connect_many(room > 1 ? room : 0, server);
  for (Peer& peer : refused)
    expect_rest_and_end(peer);
  for (Peer& peer : idle)
    expect_rest_and_end(peer);
}

/// The answers to each grow until no more is taken from it, and the write timeout cuts it off.
void stop_reading(Scene& scene, Server& server, std::size_t clients) {
  const std::string content = noise(settings().seed, MiB);
  for (std::size_t client = 0; client < clients; ++client) {
    Peer deaf = scene.connect(server, small_window);
    while (deaf.end() == End::open && deaf.writable(patience()))
      deaf.offer(content);
    expect_rest_and_end(deaf);
  }
}

TEST_CASE("LEAK-04 the same after resets, timeouts and refusals") {
  judge({.requirement = "a connection that was cut off leaves no more behind than one that ended in order",
         .source = "contract, points 2, 9 and 13",
         .catches =
             "a way out that forgets one thing: the queue of a reset client, the record of a refused one",
         .needs = Needs::ours},
        [](Scene& scene) {
          const std::size_t room = scene.profile().clients_at_once.value_or(50);
          Server& server = scene.start({.options = {"--max-connections", std::to_string(room),
                                                    "--idle-timeout", "60", "--write-timeout", "60"}});
          expect_level_memory(scene, server, 3 * room, 64,
                              [&] { reset_time_out_and_refuse(scene, server, room); });
          constexpr std::size_t few = 5, part_of_a_queue = 64 * KiB;
          expect_level_memory(scene, server, few, part_of_a_queue, [&] { stop_reading(scene, server, few); });
        });
}

TEST_CASE("LEAK-05 the leak sanitizer has nothing to say") {
  judge({.requirement = "at its end a server has freed all that it had, whatever its clients have done",
         .source = "LeakSanitizer; contract, point 10",
         .catches = "what nobody points to any more: a connection that is dropped, not ended",
         .needs = Needs::ours},
        [](Scene& scene) {
          for (const std::string_view service : {"echo", "discard", "chargen", "daytime", "chat", "http"}) {
            Server& server = scene.start({.service = service});
            if (!server.process().tells_leaks())
              throw NotApplicable("no leak sanitizer is built into the server");
            std::vector<Peer> peers = scene.connect_many(10, server);
            for (std::size_t i = 0; i < peers.size(); ++i) {
              peers[i].offer("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
              if (i % 3 == 0) peers[i].finish();
              if (i % 3 == 1) peers[i].reset();  // the others are there when it stops
            }
            server.process().stop();
            expect_exit_in_order(server.process(), patience());
            server.expect_no_sanitizer_report();
          }
        });
}

constexpr std::size_t at_once = 100;  // clients may be here, when a server is slow to see that they have gone

/// So many clients, one after the other, each gone as soon as it is connected.
void come_and_reset(Scene& scene, Server& server, std::size_t clients) {
  for (std::size_t client = 1; client <= clients; ++client) {
    Peer peer = scene.connect(server);
    if (client % at_once == 0)
      expect_echo(peer, "is there still room?");  // so that the backlog does not overflow
    peer.reset();
    if (client % at_once == 0) server.expect_holdings_returned();
  }
}

/// A crowd of clients leaves its cost with a server: the memory of 02's threads, the tables of all. So the first crowd is as large
/// as any that a busy machine can make of the later clients.
void crowd(Scene& scene, Server& server) {
  std::vector<Peer> peers;
  const std::size_t room = scene.profile().clients_at_once.value_or(2 * at_once);
  while (peers.size() < std::min(room, 2 * at_once))
    expect_echo(peers.emplace_back(scene.connect(server)), "a crowd");
  for (Peer& peer : peers)
    peer.reset();
  server.expect_holdings_returned();
}

TEST_CASE("LEAK-06 30 000 short connections under an idle timeout of a day") {
  judge({.requirement = "memory does not grow with the connections that have been, however long a timeout is",
         .source = "contract, point 12",
         .catches = "a deadline that stays when its connection has gone, until its time: 16 bytes a client",
         .needs = Needs::ours},
        [](Scene& scene) {
          Server& server = scene.start({.options = {"--idle-timeout", "86400000"}});
          if (server.process().sanitized()) throw NotApplicable("a sanitizer keeps what was freed");
          if (server.process().under_wine()) throw NotApplicable("under Wine so many connections take 20 s");
          constexpr std::size_t first = 10'000, more = 30'000, allowed = 192 * KiB;
          crowd(scene, server);
          come_and_reset(scene, server, first);
          std::uint64_t grown = allowed + 1;
          // A heap may grow once, on a machine that does other things as well. A leak grows with each batch.
          for (int batch = 0; batch < 3 && grown > allowed; ++batch) {
            const std::uint64_t before = server.process().memory();
            come_and_reset(scene, server, more);
            grown = std::max(before, server.process().memory()) - before;
          }
          if (grown > allowed)
            throw Failed("at most " + std::to_string(allowed / KiB) + " KiB more for " +
                             std::to_string(more) + " clients",
                         std::to_string(grown / KiB) + " KiB");
          scene.note(std::to_string(grown / KiB) + " KiB more");
        });
}

}  // namespace
}  // namespace conformance
