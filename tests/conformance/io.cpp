// IO: every byte, once, in order, however the stream is cut.
#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tests/conformance/expect.h"
#include "tests/conformance/peer.h"
#include "tests/conformance/platform.h"
#include "tests/conformance/scene.h"
#include "tests/conformance/suite.h"

namespace conformance {
namespace {

constexpr std::size_t KiB = 1024, MiB = 1024 * KiB;
constexpr std::string_view a_stream =
    "RFC 862; RFC 9293, 2.2 (TCP is a stream in order, without message bounds)";

/// Each of the clients has its own content, and all of them talk at once.
void talk_each(std::span<Peer> peers, const std::vector<std::string>& contents, std::size_t first = 0) {
  std::vector<Talk> talks;
  for (std::size_t i = 0; i < peers.size(); ++i)
    talks.push_back({&peers[i], contents[first + i], contents[first + i]});
  talk(talks);
}

std::vector<std::string> distinct_contents(std::size_t count, std::size_t size) {
  std::vector<std::string> contents;
  for (std::size_t i = 0; i < count; ++i)
    contents.push_back(noise(settings().seed + i, size));
  return contents;
}

TEST_CASE("IO-01 300 one-byte sends") {
  judge({.requirement = "each byte comes back, whether or not it came alone",
         .source = a_stream,
         .catches = "a state that only a full read advances; a byte lost between two reads"},
        [](Scene& scene) {
          const std::string content = noise(settings().seed, 300);
          Peer peer = scene.connect();
          for (const char byte : content)
            peer.send({&byte, 1});
          expect_reply(peer, content);
          for (const char byte : content)
            expect_echo(peer, {&byte, 1});
          expect_orderly_end(peer);
        });
}

TEST_CASE("IO-02 1 000 messages in one segment") {
  judge({.requirement = "messages that arrive together are all answered",
         .source = a_stream,
         .catches = "a server that takes one read for one message"},
        [](Scene& scene) {
          std::string content;
          for (int i = 0; i < 1000; ++i)
            content += "message " + std::to_string(i) + "\n";
          Peer peer = scene.connect();
          expect_echo(peer, content);
          expect_orderly_end(peer);
        });
}

TEST_CASE("IO-03 random slices, 50 seeds") {
  judge({.requirement = "the stream comes back the same wherever it was cut",
         .source = a_stream,
         .catches = "an offset that is wrong for some lengths only"},
        [](Scene& scene) {
          for (std::uint64_t seed = settings().seed; seed < settings().seed + 50; ++seed) {
            std::mt19937_64 random(seed);
            const auto up_to = [&random](std::size_t most) { return 1 + random() % most; };
            const std::string content = noise(seed, up_to(64 * KiB));
            Peer peer = scene.connect();
            for (std::size_t at = 0; at < content.size();) {
              const std::string_view piece = std::string_view(content).substr(at, up_to(4 * KiB));
              expect_echo(peer, piece, up_to(piece.size()));
              at += piece.size();
            }
            expect_orderly_end(peer);
          }
        });
}

TEST_CASE("IO-04 64 MiB in both directions at once") {
  judge({.requirement = "no byte is lost, doubled or out of order",
         .source = a_stream,
         .catches = "bytes lost at a short send or a full queue; two workers on one stream"},
        [](Scene& scene) {
          const std::string content = noise(settings().seed, 64 * MiB);
          Peer peer = scene.connect();
          expect_echo(peer, content);
          expect_orderly_end(peer);
        });
}

TEST_CASE("IO-05 a client that reads late") {
  judge(
      {.requirement = "what kernel and server take from a client that does not read comes back when it does",
       .source = "RFC 9293, 3.8.6 (flow control); send(2): a send may take less than it is given",
       .catches = "output thrown away when the kernel takes no more"},
      [](Scene& scene) {
        const std::string content = noise(settings().seed, 16 * MiB);
        Peer peer = scene.connect();
        std::size_t sent = 0, received = 0;
        // More than once, and each time by a part that is a multiple of nothing: one stall alone may end
        // where one of the server's sends does.
        for (int round = 0; round < 3; ++round) {
          sent += push_until_blocked(peer, std::string_view(content).substr(sent));
          const std::size_t part = (sent - received) / 3 | 1;
          expect_reply(peer, std::string_view(content).substr(received, part));
          received += part;
        }
        expect_reply(peer, std::string_view(content).substr(received, sent - received));
        expect_echo(peer, "and on it goes");
        expect_orderly_end(peer);
      });
}

TEST_CASE("IO-06 exact multiples of a buffer") {
  judge({.requirement = "a read that fills the buffer to the last byte is followed by another",
         .source = "epoll(7): edge-triggered, read until EAGAIN",
         .catches = "a full buffer taken for more to come, or for the end; a drain that stops short"},
        [](Scene& scene) {
          Peer peer = scene.connect();
          for (std::size_t size = 512; size <= 256 * KiB; size *= 2) {
            const std::string content = noise(settings().seed + size, size);
            auto frozen = scene.server().freeze_if_possible();  // all of it is there when the server looks
            peer.send(content);
            frozen.thaw();
            expect_reply(peer, content);
          }
          expect_orderly_end(peer);
        });
}

TEST_CASE("IO-07 data and FIN are there before accept") {
  judge(
      {.requirement = "what came before the accept is answered in full, then FIN",
       .source =
           "accept(2), listen(2): a connection in the backlog is established, and takes data; RFC 9293, 3.6",
       .catches = "a FIN seen first that ends the connection; an edge that was there before it was watched",
       .needs = Needs::process},
      [](Scene& scene) {
        const std::string content = noise(settings().seed, 48 * KiB);
        auto frozen = scene.server().freeze();
        Peer peer = scene.connect();
        peer.send(content);
        peer.finish();
        frozen.thaw();
        expect_reply_after_fin(peer, content);
      });
}

TEST_CASE("IO-08 an urgent byte does no harm") {
  judge({.requirement = "the bytes around an urgent one come back, and the server rests",
         .source =
             "RFC 6093, 3 and 5 (applications should not use it; it is delivered aside, or in line); tcp(7)",
         .catches = "an exceptional condition that ends the connection, or is reported for ever"},
        [](Scene& scene) {
          Peer peer = scene.connect();
          peer.send("before");
          peer.send_urgent('!');
          expect_reply(peer, "before");
          peer.send("after");
          std::string reply = peer.receive(5);
          if (reply.starts_with('!')) reply = reply.substr(1) + peer.receive(1);  // taken in line: as good
          expect(reply == "after", "'after'", "'" + reply + "'");
          expect_orderly_end(peer);
        });
}

TEST_CASE("IO-09 a second burst while the first is being answered") {
  judge({.requirement = "bytes that come while the server sends are answered, too",
         .source = "epoll_ctl(2): a one-shot event must be armed again; RFC 862",
         .catches = "a socket that nobody watches any more after its first event"},
        [](Scene& scene) {
          const std::string first = noise(settings().seed, 256 * KiB);
          const std::string second = noise(settings().seed + 1, 64 * KiB);
          Peer peer = scene.connect();
          for (int round = 0; round < 20; ++round) {
            peer.send(first);
            expect(peer.readable(patience()), "the first burst's answer to begin", "nothing");
            peer.send(second);
            expect_reply(peer, first + second);
            expect_echo(peer, "a third one, when all is quiet again");
          }
          expect_orderly_end(peer);
        });
}

TEST_CASE("IO-10 200 distinct streams at once") {
  judge({.requirement = "each client gets its own bytes back, and nobody else's",
         .source = "RFC 862; contract, point 1",
         .catches = "a buffer that two connections share"},
        [](Scene& scene) {
          constexpr std::size_t clients = 200;
          const std::vector<std::string> contents = distinct_contents(clients, 32 * KiB);
          std::vector<Peer> peers = scene.connect_many(clients);
          std::size_t first = 0;
          in_turns(scene, peers, [&](std::span<Peer> served) {
            talk_each(served, contents, first);
            first += served.size();
          });
        });
}

TEST_CASE("IO-11 a client that speaks after a second of silence") {
  judge({.requirement = "a connection that has been idle is answered like any other",
         .source = "RFC 862; RFC 9293, 3.8.4 (a TCP connection may be idle for any time)",
         .catches = "an accepted connection on which no receive was posted"},
        [](Scene& scene) {
          Peer peer = scene.connect();
          expect(!peer.readable(std::chrono::seconds(1)), "silence for a second", "something came");
          expect_echo(peer, "still there?");
          expect(!peer.readable(milliseconds(200)), "silence again", "something came");
          expect_echo(peer, "and now?");
          expect_orderly_end(peer);
        });
}

TEST_CASE("IO-12 data that lies there before the first receive") {
  judge({.requirement = "bytes that came before the server looked are not lost",
         .source = "RFC 862; listen(2)",
         .catches = "a first receive that is posted too late, or an edge that is waited for after it passed",
         .needs = Needs::process},
        [](Scene& scene) {
          auto frozen = scene.server().freeze();
          std::vector<Peer> peers = scene.fill_backlog(20);
          const std::vector<std::string> contents = distinct_contents(peers.size(), KiB);
          for (std::size_t i = 0; i < peers.size(); ++i)
            peers[i].send(contents[i]);
          frozen.thaw();
          std::size_t next = 0;
          in_turns(scene, peers, [&](std::span<Peer> served) {
            for (Peer& peer : served)
              expect_reply(peer, contents[next++]);
          });
        });
}

}  // namespace
}  // namespace conformance
