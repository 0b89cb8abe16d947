#include "tests/soak/traffic.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/conformance/expect.h"
#include "tests/conformance/peer.h"
#include "tests/conformance/platform.h"
#include "tests/conformance/sockets.h"
#include "tests/conformance/subject.h"
#include "tests/conformance/suite.h"

namespace soak {
namespace {

using namespace conformance;

constexpr std::size_t KiB = 1024, MiB = 1024 * KiB;
constexpr int small_window = 16 * KiB;

// ---- any service ---------------------------------------------------------------------------------------------

/// The last one of a flock stays until the server has got to it: then it has accepted the others, too.
void come_and_go(Visitor& visitor) {
  for (int client = 1; client < 50 && !visitor.over(); ++client) {
    Peer peer = visitor.connect();
    if (const std::size_t manner = visitor.any(3); manner < 2) manner ? peer.reset() : peer.finish();
  }
  Peer last = visitor.connect();
  last.finish();
  expect_rest_and_end(last);
}

void reset(Visitor& visitor) {
  std::array<char, 4 * KiB> buffer;
  Peer peer = visitor.connect();
  visitor.sent(peer.offer(visitor.some(visitor.any(16 * KiB))));
  if (visitor.any(2) && peer.readable(milliseconds(20))) visitor.received(peer.take(buffer).bytes);
  peer.reset();
}

/// Takes what comes, until the server has ended them all or the visit is over.
void await_ends(Visitor& visitor, std::span<Peer> peers) {
  std::array<char, 4 * KiB> buffer;
  while (!visitor.over()) {
    std::vector<Watch> open;
    for (Peer& peer : peers)
      if (peer.end() == End::open) open.push_back({&peer.socket(), true, false});
    if (open.empty() || !wait(open, visitor.left())) return;
    for (Peer& peer : peers)
      if (peer.end() == End::open && peer.readable(Duration::zero()))
        visitor.received(peer.take(buffer).bytes);
  }
}

void be_silent(Visitor& visitor) {
  std::vector<Peer> peers;
  while (peers.size() < 20)
    peers.push_back(visitor.connect());
  await_ends(visitor, peers);
  for (Peer& peer : peers) {
    peer.finish();
    expect_rest_and_end(peer);
    peer.close();
  }
}

// ---- echo ----------------------------------------------------------------------------------------------------

/// Sends all that the server takes, reads nothing, and resets in the end, if the server has not done so.
void be_deaf(Visitor& visitor) {
  const std::string_view content = visitor.some(8 * MiB);
  Peer peer = visitor.connect(small_window);
  for (std::size_t sent = 0; sent < content.size() && peer.end() == End::open && !visitor.over();) {
    const std::size_t more = peer.writable(visitor.left()) ? peer.offer(content.substr(sent)) : 0;
    visitor.sent(more);
    sent += more;
  }
}

void half_close(Visitor& visitor) {
  const std::string_view content = visitor.some(visitor.any(64 * KiB));
  Peer peer = visitor.connect();
  peer.send(content);
  peer.finish();
  expect_reply_after_fin(peer, content);
  visitor.echoed(content.size());
}

void read_slowly(Visitor& visitor) {
  const std::string_view content = visitor.some(8 * MiB);
  Peer peer = visitor.connect(small_window);
  const std::size_t sent = push_until_blocked(peer, content);
  peer.finish();
  expect_reply_after_fin(peer, content.substr(0, sent), milliseconds(1));
  visitor.echoed(sent);
}

std::string in_seconds(Duration time, double least) {
  return std::to_string(std::max(least, std::chrono::duration<double>(time).count()));
}

/// What a program says that comes to its end in order.
std::string run(const Visitor& visitor, const std::vector<std::string>& words) {
  Process program({.words = words});
  const auto ended = program.wait(visitor.left() + 3 * patience());
  std::string output = program.output();
  expect(ended && ended->in_order(), "exit 0 of " + words[0] + " " + words[1],
         (ended ? to_string(*ended) : "it still runs") + "; " + program.log() + output);
  return output;
}

/// Runs the client on its command, and returns its JSON.
std::string run_client(Visitor& visitor, const std::string& command, std::size_t connections,
                       std::vector<std::string> options) {
  if (visitor.alone()) connections = 1;
  visitor.came(connections);
  std::vector<std::string> words{beside_us("client"),
                                 command,
                                 to_string(visitor.target()),
                                 "--connections",
                                 std::to_string(connections),
                                 "--json",
                                 "--timeout",
                                 in_seconds(patience(), 0)};
  std::ranges::move(options, std::back_inserter(words));
  return run(visitor, words);
}

void load(Visitor& visitor, std::size_t connections, const std::string& size) {
  const std::string result = run_client(visitor, "load", connections,
                                        {"--size", size, "--duration", in_seconds(visitor.left(), 0.1)});
  visitor.echoed(std::stoull(json_value(result, "bytes")));
}

void send_small(Visitor& visitor) {
  load(visitor, 20, std::to_string(1 + visitor.any(100)));
}

void send_large(Visitor& visitor) {
  load(visitor, 4, std::to_string(1 + visitor.any(MiB)));
}

void hold(Visitor& visitor) {
  constexpr std::uint64_t proofs = 2 * KiB;  // one as a connection opens, one at the end
  const std::string result = run_client(visitor, "hold", 200, {"--for", "0.2"});
  visitor.echoed(proofs * std::stoull(json_value(result, "served")));
}

// ---- http ----------------------------------------------------------------------------------------------------

constexpr std::string_view request = "GET / HTTP/1.1\r\nHost: localhost\r\n";

void ask_in_a_row(Visitor& visitor) {
  constexpr std::size_t requests = 20;
  std::string all;
  for (std::size_t i = 1; i <= requests; ++i)
    all.append(request).append(i < requests ? "\r\n" : "Connection: close\r\n\r\n");
  Peer peer = visitor.connect();
  for (std::size_t at = 0, slice = 1 + visitor.any(all.size()); at < all.size(); at += slice)
    peer.send(std::string_view(all).substr(at, slice));
  const std::string answers = expect_rest_and_fin(peer);
  std::size_t count = 0;
  for (std::size_t at = 0; (at = answers.find("HTTP/1.1 200 OK\r\n", at)) != answers.npos; ++at)
    ++count;
  expect(count == requests, std::to_string(requests) + " answers", std::to_string(count) + ": " + answers);
}

void send_garbage(Visitor& visitor) {
  Peer peer = visitor.connect();
  if (visitor.any(2)) peer.offer(request);
  peer.offer(visitor.some(visitor.any(32 * KiB)));
  peer.finish();
  expect_rest_and_end(peer);
}

void never_end_a_header(Visitor& visitor) {
  Peer peer = visitor.connect();
  peer.offer(request);
  while (peer.end() == End::open && !visitor.over()) {
    peer.offer("x");
    if (peer.readable(std::min<Duration>(visitor.left(), milliseconds(50)))) expect_rest_and_end(peer);
  }
}

void run_wrk(Visitor& visitor) {
  if (!has_program("wrk")) return ask_in_a_row(visitor);
  const auto whole = [](Duration time) {
    return std::to_string(
        std::max(std::chrono::floor<std::chrono::seconds>(time), std::chrono::seconds(1)).count());
  };
  const std::string said = run(visitor, {"wrk", "-t1", "-c8", "-d" + whole(visitor.left()), "--timeout",
                                         whole(patience()), "http://" + to_string(visitor.target()) + "/"});
  for (const std::string_view trouble : {"Socket errors", "Non-2xx"})
    expect(said.find(trouble) == said.npos, "no trouble for wrk", said);
}

// ---- chat ----------------------------------------------------------------------------------------------------

/// A member's ear for one talker.
class Ear {
 public:
  Ear(Peer& member, std::string talker) : member_(member), talker_(std::move(talker)) {}
  /// The next whole line of that talker; empty: none within this time.
  std::string line(Duration patience) {
    const Time until = Clock::now() + patience;
    while (true) {
      for (std::size_t end = 0; (end = heard_.find('\n')) != heard_.npos;) {
        std::string line = heard_.substr(0, end + 1);
        heard_.erase(0, end + 1);
        if (line.starts_with(talker_)) return line;
      }
      if (!member_.readable(std::max(until - Clock::now(), Duration::zero()))) return {};
      const Received more = member_.take(buffer_);
      expect(more.end == End::open, "the member " + member_.name() + " to stay", "its connection ended");
      heard_.append(buffer_.data(), more.bytes);
    }
  }

 private:
  Peer& member_;
  std::string talker_, heard_{};
  std::array<char, 4 * KiB> buffer_{};
};

/// One says numbered lines, and another hears them whole and in order, whatever else is said in the room.
void converse(Visitor& visitor) {
  const std::string name = "talker " + std::to_string(visitor.any(1'000'000'000)) + " says ";
  const auto said = [&name](std::size_t line) { return name + std::to_string(line) + "\n"; };
  Peer talker = visitor.connect(), listener = visitor.connect();
  Ear ear(listener, name);
  const Time until = Clock::now() + patience();
  do {  // until it has joined, it hears nothing
    expect(Clock::now() < until, "both to be in the room", "nothing is heard");
    talker.send(said(0));
  } while (ear.line(milliseconds(100)).empty());
  constexpr std::size_t lines = 50;
  for (std::size_t line = 1; line <= lines; ++line)
    talker.send(said(line));
  for (std::size_t line = 1; line <= lines;) {
    const std::string heard = ear.line(patience());
    if (heard == said(0)) continue;
    expect(heard == said(line), said(line), heard.empty() ? "nothing" : heard);
    ++line;
  }
  for (Peer* const peer : {&talker, &listener}) {
    peer->finish();
    expect_rest_and_fin(*peer);
  }
}

constexpr std::array all_roles{
    Role{"come and go", "", come_and_go},
    Role{"reset", "", reset},
    Role{"be silent", "", be_silent},
    Role{"be deaf", "echo", be_deaf},
    Role{"half-close", "echo", half_close},
    Role{"read slowly", "echo", read_slowly},
    Role{"send small messages", "echo", send_small},
    Role{"send large messages", "echo", send_large},
    Role{"hold", "echo", hold},
    Role{"ask in a row", "http", ask_in_a_row},
    Role{"send garbage", "http", send_garbage},
    Role{"never end a header", "http", never_end_a_header},
    Role{"wrk", "http", run_wrk},
    Role{"converse", "chat", converse},
    Role{"converse, too", "chat", converse},
    Role{"be deaf", "timeouts", be_deaf},
};

}  // namespace

Peer Visitor::connect(int receive_buffer) {
  constexpr std::size_t addresses = 16;  // each has its own ports: closing first keeps one for a minute
  Peer peer(log_, 1 + any(1000), target(), receive_buffer, "127.0.0." + std::to_string(1 + any(addresses)));
  expect(peer.connected(patience()), "a connection", "none");
  came(1);
  return peer;
}

Duration Visitor::left() const {
  return std::max(until_ - Clock::now(), Duration::zero());
}

std::string_view Visitor::some(std::size_t size) {
  static const std::string all = noise(1, 9 * MiB);
  return std::string_view(all).substr(any(all.size() - size), size);
}

std::vector<Role> roles_of(std::string_view kind) {
  std::vector<Role> roles;
  std::ranges::copy_if(all_roles, std::back_inserter(roles),
                       [&](const Role& role) { return role.kind.empty() || role.kind == kind; });
  return roles;
}

std::string beside_us(const std::string& program) {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / program;
}

}  // namespace soak
