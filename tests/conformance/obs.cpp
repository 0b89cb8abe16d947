// OBS: what a server says of itself: its statistics at the end, and its log.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
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

constexpr std::size_t KiB = 1024;
constexpr std::string_view statistics = "README, \"the servers\": --stats";

Server& start_counting(Scene& scene, std::string_view service = "echo",
                       std::vector<std::string> options = {}) {
  options.emplace_back("--stats");
  return scene.start(
      {.service = service, .options = std::move(options), .warm = false});  // only ours are counted
}

/// Its last words: one line of JSON.
std::string stop_and_ask(Server& server) {
  server.process().stop();
  expect_exit_in_order(server.process(), patience());
  return server.process().output();
}

std::uint64_t count(const std::string& stats, const std::string& key) {
  const std::string value = json_value(stats, key);
  expect(!value.empty() && value.find_first_not_of("0123456789") == value.npos, "a number for " + key, stats);
  return std::stoull(value);
}

void expect_count(const std::string& stats, const std::string& key, std::uint64_t due) {
  expect(count(stats, key) == due, key + " " + std::to_string(due), stats);
}

std::uint64_t all_closed(const std::string& stats) {
  std::uint64_t sum = 0;
  for (const char* const reason :
       {"peer", "local", "reset", "idle_timeout", "write_timeout", "stopping", "exception", "error"})
    sum += count(stats, reason);
  return sum;
}

TEST_CASE("OBS-01 accepted = closed + active") {
  judge({.requirement = "each connection is counted once when it comes and once when it goes, by its reason",
         .source = statistics,
         .catches = "a way out that does not count, or counts twice: after a day the sums say nothing",
         .needs = Needs::ours},
        [](Scene& scene) {
          Server& server = start_counting(scene, "echo", {"--max-connections", "10"});
          const std::size_t room = scene.served_at_once(10);
          for (int round = 0; round < 3; ++round) {
            std::vector<Peer> peers = scene.connect_many(room, server);
            for (Peer& peer : peers)
              expect_echo(peer, "?");
            std::vector<Peer> refused = scene.connect_many(room > 1 ? 5 : 0, server);
            for (Peer& peer : refused)
              expect_fin(peer);
            leave_in_order(peers);
          }
          std::vector<Peer> last = scene.connect_many(room, server);
          for (Peer& peer : last)
            expect_echo(peer, "still here at the end");
          const std::string stats = stop_and_ask(server);
          expect_count(stats, "accepted", 4 * room);
          expect_count(stats, "refused", room > 1 ? 15 : 0);
          expect_count(stats, "peak", room);
          expect_count(stats, "active", 0);
          expect_count(stats, "peer", 3 * room);
          expect_count(stats, "stopping", room);
          expect(all_closed(stats) == 4 * room, "as many closed as accepted", stats);
        });
}

TEST_CASE("OBS-02 bytes in and out are the clients' totals") {
  judge({.requirement = "each byte that a client has sent and received is counted once",
         .source = statistics,
         .catches = "a short send counted whole; bytes that a closing connection drops, and does not count",
         .needs = Needs::ours},
        [](Scene& scene) {
          for (const std::string_view service : {"echo", "discard"}) {
            Server& server = start_counting(scene, service);
            std::uint64_t total = 0;
            for (std::size_t client = 0; client < 20; ++client) {
              const std::string content = noise(settings().seed + client, 1 + client * client * KiB);
              total += content.size();
              Peer peer = scene.connect(server);
              service == "echo" ? expect_echo(peer, content) : peer.send(content);
              expect_orderly_end(peer);
            }
            const std::string stats = stop_and_ask(server);
            expect_count(stats, "bytes_in", total);
            expect_count(stats, "bytes_out", service == "echo" ? total : 0);
          }
        });
}

TEST_CASE("OBS-03 resets counted = resets sent") {
  judge({.requirement = "a client that has reset its connection is counted as that, and nobody else",
         .source = statistics,
         .catches = "a reset taken for an orderly end, or for an error of the system",
         .needs = Needs::ours},
        [](Scene& scene) {
          constexpr std::size_t resets = 20, orderly = 10;
          Server& server = start_counting(scene);
          for (std::size_t client = 0; client < resets + orderly; ++client) {
            Peer peer = scene.connect(server);
            expect_echo(peer, "?");
            client < resets ? peer.reset() : expect_orderly_end(peer);
          }
          server.expect_rest();  // it has heard of all of them
          const std::string stats = stop_and_ask(server);
          expect_count(stats, "reset", resets);
          expect_count(stats, "peer", orderly);
          expect(all_closed(stats) == resets + orderly, "no other reason", stats);
        });
}

TEST_CASE("OBS-04 the log is rate-limited when descriptors run out") {
  judge({.requirement =
             "the same trouble, met again and again, is one line a second, which says how much was left out",
         .source = "contract, point 13",
         .catches = "a line for each accept that fails: the disk is full before anybody has read it",
         .needs = Needs::ours},
        [](Scene& scene) {
          Server& server = scene.start();
          need_threads_that_take_no_descriptor(scene);
          const Time begun = Clock::now();
          // 04 has 32 sockets made beforehand, which it gives up: so many are served.
          std::vector<Peer> waiting = exhaust_descriptors(scene, server, 128);
          std::string log;
          std::ptrdiff_t lines = 0;
          const auto tells_of_more = [&] { return log.find("more like it") != log.npos; };
          for (Time until = begun + patience(); !tells_of_more() && lines < 5 && Clock::now() < until;) {
            server.process().wait(milliseconds(5));
            log = server.process().log();
            const auto now = std::ranges::count(log, '\n');
            if (now > lines) until = Clock::now() + patience();
            lines = now;
          }
          const Duration took = Clock::now() - begun;
          expect(tells_of_more(), "a line that says how many were left out", log);
          server.process().allow_descriptors();
          waiting.clear();
          expect(lines >= 2 && took >= (lines - 1) * milliseconds(990), "a second between two lines",
                 std::to_string(took / milliseconds(1)) + " ms: " + log);
        });
}

TEST_CASE("OBS-05 lines never interleave") {
  judge({.requirement =
             "a line is written whole, in one write: then no other thread's or program's gets between",
         .source = "pipe(7): a write of up to PIPE_BUF bytes is atomic",
         .catches = "a line written piece by piece, such as by operator<<: two threads' lines mix",
         .needs = Needs::ours},
        [](Scene& scene) {
          Server& server = scene.start({.options = {"--max-connections", "20"}, .log = Log::pieces});
          if (scene.served_at_once(20) == 20) {
            std::vector<Peer> inside = scene.connect_many(20, server);
            for (Peer& peer : inside)
              expect_echo(peer, "in");  // two workers may take the last two the other way round
            Peer refused = scene.connect(server);
            expect_fin(refused);
            leave_in_order(inside);
          }
          std::vector<Peer> waiting = exhaust_descriptors(scene, server);
          const Time until = Clock::now() + patience();
          std::vector<std::string> pieces = server.process().log_pieces();
          while (Clock::now() < until && std::ranges::none_of(pieces, [](const auto& piece) {
                   return piece.starts_with("cannot accept");
                 })) {
            server.process().wait(milliseconds(5));
            std::ranges::move(server.process().log_pieces(), std::back_inserter(pieces));
          }
          server.process().allow_descriptors();
          waiting.clear();
          expect(!pieces.empty(), "lines on standard error", "none");
          for (const std::string& piece : pieces)
            expect(std::ranges::count(piece, '\n') == 1 && piece.ends_with('\n'),
                   "a whole line in each write", "'" + piece + "'");
        });
}

}  // namespace
}  // namespace conformance
