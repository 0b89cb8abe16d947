// SVC: each service does what its RFC says.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <chrono>
#include <cstddef>
#include <cstdlib>
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

TEST_CASE("SVC-01 echo: one byte comes back") {
  judge({.requirement = "what is sent comes back",
         .source = "RFC 862",
         .catches = "a server that waits for a line or for a full buffer"},
        [](Scene& scene) {
          Peer peer = scene.connect();
          expect_echo(peer, "x");
          expect_orderly_end(peer);
        });
}

TEST_CASE("SVC-02 echo: all 256 values come back") {
  judge({.requirement = "every byte is data, NUL and 255 too",
         .source = "RFC 862",
         .catches = "text functions on binary data: a stop at NUL, a lost carriage return, a signed char"},
        [](Scene& scene) {
          std::string all;
          for (int value = 0; value < 256; ++value)
            all += static_cast<char>(value);
          Peer peer = scene.connect();
          for (const char& byte : all)
            expect_echo(peer, {&byte, 1});
          expect_echo(peer, all);
          expect_orderly_end(peer);
        });
}

TEST_CASE("SVC-03 echo: sizes 1, around each usual buffer, 1 MiB") {
  judge({.requirement = "a message comes back whole, whatever its size",
         .source = "RFC 862",
         .catches = "off by one at the end of a buffer"},
        [](Scene& scene) {
          std::vector<std::size_t> sizes{1, MiB};
          for (const std::size_t buffer : {KiB / 2, KiB, 4 * KiB, 8 * KiB, 16 * KiB, 32 * KiB, 64 * KiB})
            sizes.insert(sizes.end(), {buffer - 1, buffer, buffer + 1});
          Peer peer = scene.connect();
          for (const std::size_t size : sizes)
            expect_echo(peer, noise(settings().seed + size, size));
          expect_orderly_end(peer);
        });
}

TEST_CASE("SVC-04 echo: connect and FIN: FIN and nothing else") {
  judge({.requirement = "a client that says nothing is told nothing, and is let go",
         .source = "RFC 862; RFC 9293, 3.6",
         .catches = "a greeting; a connection kept that has nothing left to say"},
        [](Scene& scene) {
          Peer peer = scene.connect();
          expect_orderly_end(peer);
        });
}

TEST_CASE("SVC-05 discard takes 10 MiB, returns none, FINs") {
  judge({.requirement = "all input is taken and thrown away; nothing comes back but a FIN",
         .source = "RFC 863",
         .catches = "a receiver that stops taking, or never sees the end of input",
         .service = "discard"},
        [](Scene& scene) {
          Peer peer = scene.connect();
          peer.send(noise(settings().seed, 10 * MiB));
          expect_orderly_end(peer);
        });
}

TEST_CASE("SVC-06 chargen: exactly the RFC's pattern, across partial sends") {
  judge({.requirement =
             "lines of 72 of the 95 printing characters, each begun one further, for as long as one reads",
         .source = "RFC 864",
         .catches = "a pattern that starts anew where a send was short",
         .service = "chargen"},
        [](Scene& scene) {
          require_chargen_lines(scene);
          const std::string pattern = chargen_lines(8 * MiB);
          Peer slow = scene.connect(4 * KiB);
          constexpr std::size_t odd = 997;
          for (std::size_t at = 0; at + odd < 100'000; at += odd)
            expect_reply(slow, std::string_view(pattern).substr(at, odd));
          slow.close();
          Peer quick = scene.connect();
          expect_reply(quick, pattern);
        });
}

TEST_CASE("SVC-07 chargen ignores input") {
  judge({.requirement = "input is thrown away and changes nothing",
         .source = "RFC 864",
         .catches = "a server that does not read while it sends: its peer blocks, and then both do",
         .service = "chargen"},
        [](Scene& scene) {
          require_chargen_lines(scene);
          Peer peer = scene.connect();
          const std::string input = noise(settings().seed, MiB), pattern = chargen_lines(MiB);
          std::array both{Talk{&peer, input, pattern}};
          talk(both);
        });
}

TEST_CASE("SVC-08 chargen's client leaves: survives") {
  judge({.requirement = "a client that has had enough ends its own connection and nothing else",
         .source = "RFC 864 (until the user terminates it); send(2), EPIPE",
         .catches = "SIGPIPE; a sender that never learns that nobody is there",
         .service = "chargen"},
        [](Scene& scene) {
          for (int client = 0; client < 10; ++client) {
            Peer peer = scene.connect();
            expect_chargen(peer, 1000);
            client % 2 ? peer.close() : peer.reset();
          }
        });
}

void expect_daytime(const std::string& line) {
  using namespace std::chrono;
  const std::string year = std::to_string(int(year_month_day(floor<days>(system_clock::now())).year()));
  expect(line.ends_with('\n') && std::ranges::count(line, '\n') == 1, "one line", "'" + line + "'");
  expect(line.find(year) != line.npos, "a date in " + year, "'" + line + "'");
  expect(std::ranges::all_of(line.substr(0, line.find_last_not_of("\r\n") + 1),
                             [](char c) { return c >= ' ' && c <= '~'; }),
         "printing characters", "'" + line + "'");
}

TEST_CASE("SVC-09 daytime: one line, FIN") {
  judge({.requirement = "the server speaks first, one line with the date, and closes",
         .source = "RFC 867",
         .catches = "a server that waits for its client to speak; a close before the line has gone",
         .service = "daytime"},
        [](Scene& scene) {
          for (int client = 0; client < 10; ++client) {
            Peer peer = scene.connect();
            expect_daytime(expect_rest_and_fin(peer));
          }
        });
}

TEST_CASE("SVC-10 daytime's client sent first: the whole line still arrives") {
  judge({.requirement = "input that nobody wants does not destroy the answer",
         .source = "RFC 867 (any data received is thrown away); RFC 1122, 4.2.2.13; contract, point 6",
         .catches = "close with input unread: a reset, which overtakes the line and eats it",
         .service = "daytime"},
        [](Scene& scene) {
          const ExpectNoReset no_reset(scene);
          for (int client = 0; client < 10; ++client) {
            auto frozen = scene.server().freeze_if_possible();
            Peer peer = scene.connect();
            peer.send(noise(settings().seed, 32 * KiB));
            frozen.thaw();
            expect_daytime(expect_rest_and_fin(peer));
            peer.finish();
          }
          no_reset.now();
        });
}

struct HttpReply {
  int status = 0;
  std::string head, body;
  /// "Allow" → "GET, HEAD"; empty if there is none.
  std::string field(std::string_view name) const {
    std::string lower = head, key = "\r\n" + std::string(name) + ":";
    for (std::string* text : {&lower, &key})
      std::ranges::transform(*text, text->begin(), [](unsigned char c) { return std::tolower(c); });
    const std::size_t at = lower.find(key);
    if (at == lower.npos) return {};
    const std::size_t begin = head.find_first_not_of(' ', at + key.size());
    return head.substr(begin, head.find("\r\n", begin) - begin);
  }
};

enum class Body { as_announced, none };

HttpReply receive_reply(Peer& peer, Body body = Body::as_announced) {
  HttpReply reply;
  while (!reply.head.ends_with("\r\n\r\n") && reply.head.size() < 64 * KiB)
    reply.head += peer.receive(1);
  expect(reply.head.starts_with("HTTP/1.1 ") && reply.head.size() > 12, "a status line of HTTP/1.1",
         reply.head);
  reply.status = std::atoi(reply.head.c_str() + 9);
  const std::string length = reply.field("Content-Length");
  expect(!length.empty(), "a Content-Length", reply.head);
  if (body == Body::as_announced) reply.body = peer.receive(std::stoul(length));
  return reply;
}

void expect_status(const HttpReply& reply, int status, const std::string& request) {
  expect(reply.status == status, std::to_string(status) + " for " + request.substr(0, 60), reply.head);
}

constexpr std::string_view get = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
constexpr std::string_view head = "HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n";
constexpr std::string_view get_and_close = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

TEST_CASE("SVC-11 http: keep-alive") {
  judge({.requirement = "a connection serves one request after another, until one asks to close",
         .source = "RFC 9112, 9.3 and 9.6",
         .catches = "state of the last request that is left in the next; a close that was not asked for",
         .service = "http"},
        [](Scene& scene) {
          Peer peer = scene.connect();
          std::string body;
          for (int request = 0; request < 5; ++request) {
            peer.send(get);
            const HttpReply reply = receive_reply(peer);
            expect_status(reply, 200, std::string(get));
            expect(!reply.body.empty() && (body.empty() || reply.body == body), "the same page each time",
                   reply.body);
            body = reply.body;
          }
          peer.send(get_and_close);
          expect_status(receive_reply(peer), 200, std::string(get_and_close));
          expect_fin(peer);
        });
}

TEST_CASE("SVC-12 http: 16 pipelined requests in one segment") {
  judge({.requirement = "requests that arrive together are answered all, and in order",
         .source = "RFC 9112, 9.3.2",
         .catches = "a parser that forgets what follows the first request of a read",
         .service = "http"},
        [](Scene& scene) {
          std::string requests;
          for (int request = 0; request < 16; ++request)
            requests += request % 2 ? head : get;
          Peer peer = scene.connect();
          peer.send(requests + std::string(get_and_close));
          for (int request = 0; request < 16; ++request)
            expect_status(receive_reply(peer, request % 2 ? Body::none : Body::as_announced), 200,
                          "GET and HEAD in turns");
          expect_status(receive_reply(peer), 200, std::string(get_and_close));
          expect_fin(peer);
        });
}

TEST_CASE("SVC-13 http: byte by byte") {
  judge({.requirement = "a request is what its bytes say, however they arrive",
         .source = "RFC 9112, 2.2; RFC 9293, 2.2",
         .catches = "a parser that needs the whole request in one read, or a line end in one piece",
         .service = "http"},
        [](Scene& scene) {
          Peer peer = scene.connect();
          for (const std::string_view request : {get, head, get_and_close}) {
            for (const char& byte : request) {
              expect(peer.unread() == 0, "no answer before the request has ended", "one");
              peer.send({&byte, 1});
            }
            expect_status(receive_reply(peer, request == head ? Body::none : Body::as_announced), 200,
                          std::string(request));
          }
          expect_fin(peer);
        });
}

/// A request of which nothing can be understood any more: the answer, whole, though the client goes on; then
/// FIN.
void expect_refused(Scene& scene, const std::string& request, int status) {
  Peer peer = scene.connect();
  peer.send(request);
  peer.send(std::string(64 * KiB, 'x'));
  expect_status(receive_reply(peer), status, request);
  expect_fin(peer);
}

void expect_bad_requests(Scene& scene) {
  for (const std::string fields : {
           "",
           "Host: localhost\r\nHost: localhost\r\n",
           "Host : localhost\r\n",
           "Host: localhost\r\nno colon at all\r\n",
           "Host: localhost\r\n: no name\r\n",
           "Host: localhost\r\nContent-Length: many\r\n",
           "Host: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n",
       })
    expect_refused(scene, "GET / HTTP/1.1\r\n" + fields + "\r\n", 400);
  for (const std::string line : {"GET /", "GET", "GET / HTTX/1.1", "\x16\x03\x01 https to an http port"})
    expect_refused(scene, line + "\r\nHost: localhost\r\n\r\n", 400);
}

HttpReply ask(Peer& peer, std::string_view request, int status) {
  peer.send(request);
  HttpReply reply = receive_reply(peer, request.starts_with("HEAD") ? Body::none : Body::as_announced);
  expect_status(reply, status, std::string(request));
  return reply;
}

void expect_head_like_get(Scene& scene) {
  Peer peer = scene.connect();
  peer.send(std::string(head) + std::string(get));
  const HttpReply bare = receive_reply(peer, Body::none), full = receive_reply(peer);
  expect(bare.status == 200 && bare.field("Content-Length") == full.field("Content-Length"),
         "HEAD to answer as GET does, without the body", bare.head);
  expect_orderly_end(peer);
}

void expect_close_after_http_1_0(Scene& scene) {
  Peer peer = scene.connect();
  ask(peer, "GET / HTTP/1.0\r\n\r\n", 200);
  expect_fin(peer);
}

void expect_allow_with_405(Scene& scene) {
  Peer peer = scene.connect();
  const HttpReply reply = ask(peer, "DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405);
  const std::string allow = reply.field("Allow");
  expect(allow.find("GET") != allow.npos && allow.find("HEAD") != allow.npos, "Allow: GET, HEAD", reply.head);
}

TEST_CASE("SVC-14 http: HEAD, 1.0, 400, 404, 405, 431, 505") {
  judge(
      {.requirement = "each request gets its status, and a refusal arrives though the client sends on",
       .source = "RFC 9112, 3 to 5 and 9.3; RFC 9110, 9.3.2, 10.2.1 and 15; RFC 6585, 5",
       .catches = "a body after HEAD; a lenient parser (request smuggling); a refusal that a reset destroys",
       .service = "http"},
      [](Scene& scene) {
        expect_head_like_get(scene);
        expect_close_after_http_1_0(scene);
        expect_allow_with_405(scene);
        Peer lost = scene.connect();
        ask(lost, "GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n", 404);
        lost.close();
        expect_bad_requests(scene);
        const std::string endless = "GET / HTTP/1.1\r\nHost: localhost\r\nX: " + std::string(256 * KiB, 'x');
        expect_refused(scene, endless, 431);
        expect_refused(scene, "GET / HTTP/2.0\r\nHost: localhost\r\n\r\n", 505);
      });
}

TEST_CASE("SVC-17 http: 414 for a line that is too long, 501 for a method that nobody knows") {
  judge({.requirement =
             "a target of 8 000 octets is read; a longer one is told what is wrong; a method that is known "
             "and not served is a 405, any other a 501",
         .source = "RFC 9112, 3; RFC 9110, 9.1, 15.5.6, 15.5.15 and 15.6.2",
         .catches =
             "431 for whatever is too long; 405 for whatever is not GET, with a list of what else to try; "
             "content behind the answer to a HEAD that is refused",
         .service = "http"},
        [](Scene& scene) {
          const std::string path(8000, 'x'), end = " HTTP/1.1\r\nHost: localhost\r\n\r\n", root = " /" + end;
          Peer peer = scene.connect();
          ask(peer, "GET /" + path + end, 404);
          for (const std::string known : {"POST", "PUT", "DELETE", "OPTIONS"})
            ask(peer, known + root, 405);
          for (const std::string unknown : {"BREW", "get"}) {
            const HttpReply reply = ask(peer, unknown + root, 501);
            expect(reply.field("Allow").empty(), "no Allow with a 501", reply.head);
          }
          ask(peer, get, 200);  // none of them is a reason to end the connection
          expect_orderly_end(peer);
          expect_refused(scene, "GET /" + std::string(256 * KiB, 'x'), 414);
          Peer bare = scene.connect();
          bare.send("HEAD /" + std::string(64 * KiB, 'x'));
          expect_status(receive_reply(bare, Body::none), 414, "HEAD of a target that is too long");
          expect_fin(bare);
        });
}

/// A line stays whole though its talker pauses in the middle of it, and another one speaks meanwhile.
void interrupt(std::span<Peer> members) {
  members[1].send("join one half, ");
  expect_silence(members.first(1));
  members[2].send("join between them\n");
  const std::string between = receive_line(members[0]);
  members[1].send("the other\n");
  const std::string whole = receive_line(members[0]);
  expect(between == "join between them\n" && whole == "join one half, the other\n",
         "two whole lines, the one that ended first before the other", between + whole);
}

std::string said(std::size_t talker, std::size_t line) {
  const std::size_t length = 10 + (talker * 131 + line * 17) % 400;
  return std::to_string(talker) + " " + std::to_string(line) + " " + std::string(length, '-') + "\n";
}

/// One member's ear: whole lines, each talker's in order, none of its own.
class Ear {
 public:
  Ear(std::size_t self, std::size_t talkers) : self_(self), heard_(talkers, 0) {}
  void hear(std::string_view bytes) {
    rest_ += bytes;
    for (std::size_t end = 0; (end = rest_.find('\n')) != rest_.npos; rest_.erase(0, end + 1))
      if (!rest_.starts_with("join ")) hear_line(rest_.substr(0, end + 1));
  }
  bool heard_all(std::size_t lines) const {
    const std::size_t all = std::ranges::count(heard_, lines);
    return all == heard_.size() - 1;
  }

 private:
  void hear_line(const std::string& line) {
    const std::size_t talker = std::strtoul(line.c_str(), nullptr, 10);
    const std::string due =
        talker < heard_.size() && talker != self_ ? said(talker, heard_[talker]++) : "nobody's";
    expect(line == due, "member " + std::to_string(self_) + " to hear whole lines in order: " + due, line);
  }

  std::size_t self_;
  std::vector<std::size_t> heard_;
  std::string rest_{};
};

/// All talk at once; until each has heard all that the others said.
void converse(std::span<Peer> members, std::size_t lines) {
  std::vector<Ear> ears;
  std::vector<std::string> unsaid(members.size());
  for (std::size_t i = 0; i < members.size(); ++i) {
    ears.emplace_back(i, members.size());
    for (std::size_t line = 0; line < lines; ++line)
      unsaid[i] += said(i, line);
  }
  std::vector<char> buffer(64 * KiB);
  Time deadline = Clock::now() + patience();
  while (std::ranges::any_of(ears, [&](const Ear& ear) { return !ear.heard_all(lines); })) {
    expect(Clock::now() < deadline, "every line to reach everybody", "nothing moves any more");
    bool moved = false;
    for (std::size_t i = 0; i < members.size(); ++i) {
      const std::size_t out =
          unsaid[i].empty() ? 0 : members[i].offer(std::string_view(unsaid[i]).substr(0, 300));
      unsaid[i].erase(0, out);
      const Received in = members[i].take(buffer);
      expect(in.end == End::open, "member " + std::to_string(i) + " to stay", "its connection ended");
      ears[i].hear({buffer.data(), in.bytes});
      moved |= out + in.bytes > 0;
    }
    if (moved)
      deadline = Clock::now() + patience();
    else
      members.front().readable(milliseconds(1));  // the server's turn
  }
}

TEST_CASE("SVC-15 chat: each line to all others, none to oneself, whole with 50 talkers") {
  judge({.requirement = "every member hears each line of the others, whole, and in the order each one spoke",
         .source = "docs/services: chat; contract, points 1 and 4",
         .catches = "two lines mixed into one; a talker that hears itself; a member that is left out",
         .service = "chat"},
        [](Scene& scene) {
          constexpr std::size_t talkers = 50, lines = 20;
          std::vector<Peer> members = scene.connect_many(talkers);
          if (scene.served_at_once(talkers) < talkers) {
            in_turns(scene, members, [](std::span<Peer> alone) {
              alone.front().send("is anybody here?\n");
              expect_silence(alone);
            });
            return;
          }
          gather(members);
          interrupt(members);
          converse(members, lines);
        });
}

/// Numbered lines of many lengths.
std::string speech(std::size_t size) {
  std::string lines;
  for (std::size_t line = 0; lines.size() < size; ++line)
    lines += said(0, line);
  return lines;
}

/// Member 0 says all of it, as fast as it is taken. The others read all the time, at most 32 MB a second each, and must
/// hear all of it.
void expect_speech_heard(std::span<Peer> members, std::string_view speech) {
  std::vector<std::size_t> heard(members.size());
  std::vector<char> buffer(32 * KiB);
  std::size_t said = 0;
  Time deadline = Clock::now() + patience();
  while (
      std::any_of(heard.begin() + 1, heard.end(), [&](std::size_t bytes) { return bytes < speech.size(); })) {
    expect(Clock::now() < deadline, "the speech to be heard to its end", "nothing comes any more");
    said += members[0].offer(speech.substr(said, MiB));
    for (std::size_t i = 1; i < members.size(); ++i) {
      const Received in = members[i].take(buffer);
      expect(std::string_view(buffer.data(), in.bytes) == speech.substr(heard[i], in.bytes),
             "all lines, in order, behind byte " + std::to_string(heard[i]), "others: some are lost");
      heard[i] += in.bytes;
      if (in.bytes > 0) deadline = Clock::now() + patience();
    }
    members[0].readable(milliseconds(1));  // never: this is what they take their time for
  }
}

TEST_CASE("SVC-18 chat: a member that reads all the time loses no line, however much one says") {
  judge(
      {.requirement = "lines are lost to a member that does not read, and to nobody else",
       .source = "README, \"the services\"; contract, points 4 and 9",
       .catches =
           "a talker that is read faster than what it says is passed on: queues grow to their cap, and whole "
           "lines are dropped for members that take all they get",
       .service = "chat"},
      [](Scene& scene) {
        constexpr std::size_t size = 4;
        std::vector<Peer> members = scene.connect_many(size);
        if (scene.served_at_once(size) < size) {
          in_turns(scene, members, [](std::span<Peer> alone) {
            alone.front().send("is anybody here?\n");
            expect_silence(alone);
          });
          return;
        }
        gather(members);
        expect_speech_heard(members, speech(32 * MiB));
      });
}

std::string run_tool(const std::string& command) {
  Process tool({.words = {"sh", "-c", command}});
  const auto ended = tool.wait(patience() * 2);
  expect(ended && ended->in_order(), "exit 0 of: " + command,
         (ended ? to_string(*ended) : "it still runs") + "; " + tool.log());
  return tool.output();
}

void expect_in(const std::string& output, std::string_view part, const std::string& command) {
  expect(output.find(part) != output.npos, "'" + std::string(part) + "' from: " + command, output);
}

/// A message of "mirror": its size in two bytes, the higher first, then its bytes. The answer is the same, backwards.
std::string framed(std::string_view text) {
  std::string message{static_cast<char>(text.size() / 256), static_cast<char>(text.size() % 256)};
  return message.append(text);
}
std::string mirrored(std::string_view text) {
  return framed(std::string(text.rbegin(), text.rend()));
}

TEST_CASE("SVC-19 mirror: messages whole, however they are cut") {
  judge(
      {.requirement = "a message is as long as its size says, whatever one recv brings of it",
       .source = "RFC 9293, 2.2: a stream of bytes, which has no messages; ./learn 02-mirror",
       .catches = "one recv taken for one message: each test by hand passes, and the network cuts elsewhere",
       .service = "mirror"},
      [](Scene& scene) {
        const std::string small = "a message", large = noise(settings().seed, 65535);
        Peer peer = scene.connect();
        for (const char& byte : framed(small)) {
          expect(peer.unread() == 0, "no answer before the message has ended", "one");
          peer.send({&byte, 1});
        }
        expect_reply(peer, mirrored(small));
        peer.send(framed(small) + framed("") + framed("three in one piece"));
        expect_reply(peer, mirrored(small) + mirrored("") + mirrored("three in one piece"));
        const std::string two = framed(large) + framed(small);
        peer.send(std::string_view(two).substr(0, large.size() + 3));  // and one byte of the next one's size
        expect_reply(peer, mirrored(large));
        peer.send(std::string_view(two).substr(large.size() + 3));
        expect_reply(peer, mirrored(small));
        peer.send(framed(small).substr(0, 5));
        expect_orderly_end(peer);  // no answer to half a message
      });
}

TEST_CASE("SVC-16 nc, socat, curl and wrk work") {
  judge({.requirement = "the tools that people have at hand work with the servers",
         .source = "RFC 862; RFC 9112; nc(1), socat(1), curl(1), wrk(1)",
         .catches = "a server that only our own clients understand",
         .needs = Needs::ours},
        [](Scene& scene) {
          if (!has_program("sh")) throw NotApplicable("no sh here to run them");
          const std::string echo = "127.0.0.1 " + std::to_string(scene.start().target().port);
          const std::string http = "http://" + to_string(scene.start({.service = "http"}).target()) + "/";
          const std::size_t at_once = scene.profile().clients_at_once.value_or(4);
          const std::vector<std::array<std::string, 3>> tools{
              {"nc", "echo hello | nc $(nc -h 2>&1 | grep -q -- -N && echo -N || echo -q1) " + echo, "hello"},
              {"socat", "echo hello | socat - TCP:" + std::string(echo).replace(echo.find(' '), 1, ":"),
               "hello"},
              {"curl", "curl -sS --noproxy '*' -D - " + http, "200 OK"},
              {"wrk", "wrk -t1 -d1s -c" + std::to_string(std::min<std::size_t>(at_once, 4)) + " " + http,
               "Requests/sec"},
          };
          std::string missing;
          for (const auto& [tool, command, part] : tools) {
            if (!has_program(tool)) {
              missing += " " + tool;
              continue;
            }
            const std::string output = run_tool(command);
            expect_in(output, part, command);
            for (const std::string_view trouble : {"Socket errors", "Non-2xx"})
              expect(output.find(trouble) == output.npos, "no trouble from: " + command, output);
          }
          if (missing == " nc socat curl wrk") throw NotApplicable("not installed:" + missing);
          if (!missing.empty()) scene.note("not installed:" + missing);
        });
}

}  // namespace
}  // namespace conformance
