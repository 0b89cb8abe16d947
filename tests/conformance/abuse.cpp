// ABUSE: clients that mean no good, or are gone.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
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

constexpr std::size_t KiB = 1024;

/// So many come and leave at once; now and then comes one that stays for an answer.
void storm(Scene& scene, std::size_t clients, void (Peer::*leave)()) {
  constexpr std::size_t honest_ones_every = 250;
  for (std::size_t client = 1; client <= clients; ++client) {
    Peer peer = scene.connect();
    if (client % honest_ones_every == 0) {
      expect_echo(peer, "and me?");
      expect_orderly_end(peer);
    }
    (peer.*leave)();
  }
}

TEST_CASE("ABUSE-01 5 000 times connect and reset") {
  judge({.requirement = "clients that reset at once cost nothing that stays, and nobody else his service",
         .source = "accept(2): ECONNABORTED; recv(2): ECONNRESET; contract, point 2",
         .catches =
             "an acceptor that ends at an error of one connection; a descriptor or a record kept each time"},
        [](Scene& scene) { storm(scene, 5000, &Peer::reset); });
}

TEST_CASE("ABUSE-02 5 000 times connect and close") {
  judge({.requirement =
             "clients that close without a word cost nothing that stays, and nobody else his service",
         .source = "RFC 9293, 3.6; contract, point 8",
         .catches = "an end of input that only counts after input; a thread or a record kept each time"},
        [](Scene& scene) { storm(scene, 5000, &Peer::close); });
}

TEST_CASE("ABUSE-03 500 silent clients and one that talks") {
  judge({.requirement = "a silent client costs nobody's time",
         .source = "contract, point 1",
         .catches = "a worker that waits for one client while others have work for it; a wake-up that asks "
                    "all of them"},
        [](Scene& scene) {
          constexpr std::size_t clients = 500;
          std::vector<Peer> silent = scene.connect_many(clients);
          Peer talker = scene.connect();
          if (scene.served_at_once(clients + 1) <= clients) {
            expect_silence({&talker, 1});
            silent.clear();
          }
          for (int turn = 0; turn < 100; ++turn)
            expect_echo(talker, "turn " + std::to_string(turn));
          expect_orderly_end(talker);
        });
}

/// Each sends a byte now and then, until all of them have seen an end. Returns when the first did.
Time drip(std::vector<Peer*> open, Time until) {
  std::array<char, KiB> answer{};
  Time first = Time::max(), next_byte = Clock::now();
  while (!open.empty()) {
    const Time now = Clock::now();
    expect(now < until, "an end for each slow client", "none for " + std::to_string(open.size()));
    if (now >= next_byte) {
      for (Peer* const peer : open)
        peer->offer("x");
      next_byte = now + milliseconds(50);
    }
    std::vector<Watch> watched;
    for (Peer* const peer : open)
      watched.push_back({&peer->socket(), true, false});
    if (!wait(watched, next_byte - now)) continue;
    for (std::size_t i = 0; i < open.size(); ++i)
      if (watched[i].readable) open[i]->take(answer);
    const auto over = std::erase_if(open, [](const Peer* peer) { return peer->end() != End::open; });
    if (over) first = std::min(first, Clock::now());
  }
  return first;
}

TEST_CASE("ABUSE-04 200 clients whose header never ends") {
  judge({.requirement =
             "a header must be there within a time from its first byte, a total that bytes do not prolong",
         .source = "README, \"the services\"; RFC 9112, 9.5 (a server ought to have timeouts)",
         .catches = "an idle timeout alone: a byte every few seconds holds a connection for ever (slowloris)",
         .needs = Needs::ours},
        [](Scene& scene) {
          constexpr milliseconds limit(600);
          Server& server = scene.start({.service = "http", .options = {"--idle-timeout", "600"}});
          const bool one_at_a_time = scene.served_at_once(200) < 200;
          std::vector<Peer> slow = scene.connect_many(one_at_a_time ? 2 : 200, server);
          std::vector<Peer*> open;
          const Time begun = Clock::now();
          for (Peer& peer : slow) {
            peer.send("GET / HTTP/1.1\r\nX-Slow: ");
            open.push_back(&peer);
          }
          if (!one_at_a_time) expect_next_client_served(server.target(), server.service());
          const Time first = drip(std::move(open), begun + limit * (one_at_a_time ? 2 : 1) + patience());
          expect(first - begun >= limit - milliseconds(20), "patience for 600 ms", "an earlier end");
        });
}

TEST_CASE("ABUSE-05 100 seeds of garbage") {
  judge({.requirement = "whatever bytes come, the service answers or closes, and lives",
         .source = "RFC 9112, 2.2 and 3 (invalid requests); contract, points 2 and 11",
         .catches = "a parser that runs over an end, waits for ever or takes its process with it",
         .needs = Needs::ours},
        [](Scene& scene) {
          for (const std::string_view service : {"http", "chat"}) {
            Server& server = scene.start({.service = service});
            for (std::uint64_t seed = 1; seed <= 100; ++seed) {
              std::string garbage = noise(settings().seed * 1000 + seed, 1 + seed * seed % 5000);
              if (seed % 4 == 0) garbage.insert(0, "GET / HTTP/1.1\r\nHost: x\r\n");
              if (seed % 4 == 1) std::ranges::replace_if(garbage, [](char c) { return c > 0; }, '\n');
              Peer peer = scene.connect(server);
              peer.offer(garbage);
              peer.finish();
              expect_rest_and_end(peer);
            }
          }
        });
}

TEST_CASE("ABUSE-06 32 clients that are silent before their first byte") {
  judge(
      {.requirement = "a client is accepted when it has connected, whether it has spoken or not",
       .source = "RFC 9293, 3.5; Winsock: AcceptEx (a receive length of 0 accepts without data)",
       .catches =
           "AcceptEx that waits for data: as many silent clients as accepts are outstanding close the door"},
      [](Scene& scene) {
        constexpr std::size_t clients = 32;
        std::vector<Peer> silent = scene.connect_many(clients);
        Peer talker = scene.connect();
        if (scene.served_at_once(clients + 1) <= clients) {
          expect_silence({&talker, 1});
          leave_in_order(silent);
          expect_echo(talker, "at last");
          return;
        }
        expect_echo(talker, "here I am");
        for (Peer& peer : silent)
          expect_echo(peer, "so am I");
      });
}

/// Sends on and on, and takes what comes, until the end.
std::string pour(Peer& peer, std::string_view begin) {
  peer.send(begin);
  const std::string more(64 * KiB, 'x');
  std::string reply;
  std::array<char, 4 * KiB> buffer{};
  const Time until = Clock::now() + patience();
  while (peer.end() == End::open && Clock::now() < until) {
    Watch both{&peer.socket(), true, true};
    if (!wait({&both, 1}, patience())) break;
    if (both.readable) reply.append(buffer.data(), peer.take(buffer).bytes);
    if (both.writable && peer.end() == End::open) peer.offer(more);
  }
  expect(peer.end() != End::open, "an end of a line that has none", "the server takes more and more");
  return reply;
}

TEST_CASE("ABUSE-07 a header line that never ends, a line of chat that never ends") {
  judge({.requirement = "a line is read up to a limit; then the client is told (431), and it is over",
         .source = "RFC 6585, 5 (431); README, \"the services\": a line of chat has at most 64 KiB",
         .catches = "a buffer that grows as long as the client sends; an answer that a reset eats",
         .needs = Needs::ours},
        [](Scene& scene) {
          Server& http = scene.start({.service = "http", .options = {"--close-timeout", "500"}});
          Peer client = scene.connect(http);
          const std::string reply = pour(client, "GET / HTTP/1.1\r\nX: ");
          expect(reply.starts_with("HTTP/1.1 431 "), "HTTP/1.1 431", "'" + reply.substr(0, 40) + "'");
          Server& chat = scene.start({.service = "chat", .options = {"--close-timeout", "500"}});
          Peer talker = scene.connect(chat);
          expect(pour(talker, "blah ").empty(), "nothing for a member that talks alone", "some bytes");
        });
}

TEST_CASE("ABUSE-08 a peer that vanishes without a word: the idle timer frees it") {
  judge({.requirement =
             "a connection whose peer is gone, and never says so, is given up after the idle timeout",
         .source = "RFC 9293, 3.8.4 (nothing is sent on an idle connection); contract, what the words mean",
         .catches = "a server that hears of an end only from its peer: vanished ones are kept for ever",
         .needs = Needs::ours},
        [](Scene& scene) {
          Server& server = scene.start({.options = {"--idle-timeout", "300"}});
          const std::size_t before = server.process().sockets();
          std::vector<Peer> peers = scene.connect_many(scene.served_at_once(10), server);
          for (Peer& peer : peers)
            expect_echo(peer, "now you see me");
          for (Peer& peer : peers)
            peer.vanish();
          expect(server.process().sockets() == before + peers.size(), "a socket for each vanished one",
                 "fewer");
          expect_sockets(server, before, milliseconds(300) + scaled(std::chrono::seconds(1)));
        });
}

/// Of a chat member 1 sends empty lines, a few chunks ahead of what member 2 has heard of them, and all others read.
class Flood {
 public:
  explicit Flood(std::span<Peer> members) : members_(members) {}

  /// A step that never waits. Returns what member 1 heard.
  std::string go_on() {
    constexpr std::size_t ahead = 256 * KiB;
    if (said_ < heard_ + ahead) said_ += members_[1].offer(lines_);
    return read();
  }
  void end() {
    members_[1].finish();
    const Time until = Clock::now() + patience();  // the next client shall hear none of it
    while (members_[1].end() == End::open) {
      expect(Clock::now() < until, "an end of the flood", "none");
      read();
    }
  }

 private:
  std::string read() {
    std::string said_by_others;
    for (Peer& member : members_) {
      const Received in = member.take(buffer_);
      if (&member == &members_[1]) {
        said_by_others.append(buffer_.data(), in.bytes);
      } else {
        expect(in.end == End::open, "all to stay", member.name() + " was left");
        if (&member == &members_[2]) heard_ += in.bytes;
      }
    }
    return said_by_others;
  }

  std::span<Peer> members_;
  std::string lines_ = std::string(64 * KiB, '\n');
  std::vector<char> buffer_ = std::vector<char>(64 * KiB);
  std::size_t said_ = 0, heard_ = 0;
};

/// What the server works while member 1 says this line again and again, so many bytes, and all others hear it.
Duration work_for(Server& server, std::span<Peer> members, std::string_view line, std::size_t size) {
  constexpr std::string_view last_words = "and no more\n";
  std::string speech;
  while (speech.size() < size)
    speech += line;
  speech += last_words;
  std::string_view unsaid = speech;
  std::vector<std::string> ends(members.size());  // of what each has heard
  ends[1] = last_words;
  std::vector<char> buffer(64 * KiB);
  const Duration before = server.process().cpu();
  const Time until = Clock::now() + patience();
  while (std::ranges::any_of(ends, [&](const auto& end) { return end != last_words; })) {
    expect(Clock::now() < until, "all to hear what one says", "some have not");
    unsaid.remove_prefix(members[1].offer(unsaid));
    for (std::size_t i = 0; i < members.size(); ++i) {
      if (ends[i] == last_words) continue;
      ends[i].append(buffer.data(), members[i].take(buffer).bytes);
      ends[i].erase(0, ends[i].size() - std::min(ends[i].size(), last_words.size()));
    }
  }
  return server.process().cpu() - before;
}

/// Not by the clock: of a machine that has other work, too, it tells nothing.
std::string expect_work_by_bytes(Scene& scene, std::span<Peer> members) {
  constexpr std::size_t size = 64 * KiB;
  const Duration few = work_for(scene.server(), members, std::string(1023, '.') + '\n', size);
  const Duration many = work_for(scene.server(), members, "\n", size);
  const std::string said =
      text(many) + " for empty lines, " + text(few) + " for as many bytes in lines of 1 KiB";
  expect(many < 5 * few + milliseconds(50), "much the same work for few lines and for many", said);
  return said + "; ";
}

/// Member 0 speaks, and member 1, who hears nothing but that, must hear it soon: all but one word in ten within a second.
std::string speak_beside_a_flood(std::span<Peer> members) {
  constexpr int words = 30;
  Flood flood(members);
  std::vector<Duration> took;
  for (int word = 0; word < words; ++word) {
    const std::string said = "word " + std::to_string(word) + "\n";
    std::string heard;
    members[0].send(said);
    const Time begun = Clock::now();
    while (!heard.ends_with(said)) {
      expect(Clock::now() - begun < patience(), "a word to be heard", "it was not");
      heard += flood.go_on();
    }
    took.push_back(Clock::now() - begun);
    const auto late =
        std::ranges::count_if(took, [](Duration each) { return each > scaled(std::chrono::seconds(1)); });
    expect(late <= words / 10, "all but one word in ten to be heard within a second",
           std::to_string(late) + " of " + std::to_string(word + 1) + " were not");
  }
  flood.end();
  std::ranges::sort(took);
  return "a word took " + text(took[words / 2]) + ", the slowest " + text(took.back());
}

void flood_alone(std::span<Peer> member) {
  member.front().send(std::string(64 * KiB, '\n'));
  expect_silence(member);
}

TEST_CASE("ABUSE-09 150 members of a chat, and one floods it with empty lines") {
  judge({.requirement =
             "a member that says much takes no more of the time than its words are worth: others are heard",
         .source = "contract, point 1; README, \"the services\"",
         .catches = "a send for each line and member: 64 KiB of empty lines are ten million in one callback",
         .service = "chat"},
        [](Scene& scene) {
          constexpr std::size_t size = 150;
          if (scene.served_at_once(size) < size) {
            std::vector<Peer> few = scene.connect_many(3);
            return in_turns(scene, few, flood_alone);
          }
          std::vector<Peer> members = scene.connect_many(size);
          gather(members);
          const std::string work = scene.server().has_process() ? expect_work_by_bytes(scene, members) : "";
          scene.note(work + speak_beside_a_flood(members));
        });
}

/// A line of its own for each number, whole and of one length.
std::string numbered(std::size_t number) {
  std::string line(1000, '.');
  const std::string digits = std::to_string(number);
  std::ranges::copy(digits, line.begin());
  line.back() = '\n';
  return line;
}

/// A member that did not read for a while hears whole lines, in order, but not all.
void expect_whole_lines(std::string_view heard) {
  std::size_t next = 0;
  while (!heard.empty()) {
    const std::string line(heard.substr(0, std::min(heard.find('\n'), heard.size() - 1) + 1));
    heard.remove_prefix(line.size());
    if (line == "\n") continue;
    const std::size_t number = std::strtoul(line.c_str(), nullptr, 10);
    expect(number >= next && line == numbered(number),
           "a whole line, not before number " + std::to_string(next), line);
    next = number + 1;
  }
}

TEST_CASE("ABUSE-10 a member of a chat that does not read holds up nobody, and loses whole lines") {
  judge({.requirement = "a member is waited for only as long as it reads; what it loses are whole lines",
         .source = "README, \"the services\"; contract, point 9",
         .catches = "a talker that waits for the slowest member: one that stops reading stops the chat; a "
                    "line cut where "
                    "the queue was full",
         .needs = Needs::ours},
        [](Scene& scene) {
          Server& server = scene.start({.service = "chat", .options = {"--write-timeout", "0"}});
          need_sends_that_a_close_respects(scene, server);
          std::vector<Peer> members =
              scene.connect_many(3, server);  // a talker, one that reads, one that does not
          if (scene.served_at_once(3) < 3) return in_turns(scene, members, flood_alone);
          gather(members);
          std::string lines, unheard;
          for (std::size_t line = 0; lines.size() < 24 * 1024 * KiB; ++line)
            lines += numbered(line);
          lines += std::string(512 * KiB, '\n');  // they fill a queue to the last byte
          const Time begun = Clock::now();
          std::array both{Talk{&members[0], lines, {}}, Talk{&members[1], {}, lines}};
          talk(both);
          expect(Clock::now() - begun < patience(), "the talker to wait a moment at most",
                 "it waited longer");
          members[0].send("the end\n");
          members[0].finish();
          // Now it reads; what is in its queue comes, and then, since nobody is left, the server's end.
          members[2].finish();
          unheard = expect_rest_and_fin(members[2]);
          if (unheard.ends_with("the end\n")) unheard.resize(unheard.rfind("the end\n"));
          expect(unheard.size() < lines.size(), "lines that were lost to it", "none: nothing was tried");
          expect_whole_lines(unheard);
        });
}

TEST_CASE("ABUSE-11 a peer that is cut off without a word: keep-alive finds it") {
  judge({.requirement = "a connection whose peer does not answer any more is given up, whatever the other "
                        "timeouts are; one whose peer is silent but there is kept",
         .source = "RFC 9293, 3.8.4 (keep-alives); tcp(7), TCP_KEEPIDLE",
         .catches = "keep-alive that is not set: without an idle timeout whoever vanishes is kept for ever",
         .needs = Needs::ours},
        [](Scene& scene) {
          Server& server = scene.start({.options = {"--keep-alive", "1000"}});
          // The first probe comes after a second, then one a second: three of them, under Wine nine (tcp(7), TCP_KEEPCNT).
          const milliseconds due(server.process().under_wine() ? 10'000 : 4000);
          const std::size_t before = server.process().sockets();
          std::vector<Peer> peers = scene.connect_many(scene.fitting(4), server);
          for (Peer& peer : peers)
            expect_echo(peer, "are you there?");
          const bool alone = peers.size() == 1;
          const auto lost = std::span(peers).subspan(alone ? 0 : 1);
          for (Peer& peer : lost)
            peer.cut_off();
          expect_sockets(server, before + peers.size() - lost.size(), due + scaled(milliseconds(4000)));
          if (!alone) expect_echo(peers.front(), "I am");
          for (Peer& peer : lost)
            peer.reset();  // else its system says FIN again and again, and is answered with resets
        });
}

}  // namespace
}  // namespace conformance
