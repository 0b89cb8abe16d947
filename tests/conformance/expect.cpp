#include "tests/conformance/expect.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iomanip>
#include <ios>
#include <ratio>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "tests/conformance/peer.h"
#include "tests/conformance/platform.h"
#include "tests/conformance/sockets.h"
#include "tests/conformance/subject.h"
#include "tests/conformance/suite.h"

namespace conformance {
namespace {

struct Rest {
  std::string bytes;
  End end = End::open;
};

/// All that still comes, while something comes, but not without end.
Rest read_to_the_end(Peer& peer) {
  constexpr std::size_t most = 1 << 26;
  const Time until = Clock::now() + longest_talk(most);
  Rest rest;
  std::vector<char> buffer(1 << 16);
  while (rest.end == End::open && rest.bytes.size() < most && Clock::now() < until) {
    if (!peer.readable(patience())) return rest;
    const Received step = peer.take(buffer);
    rest.bytes.append(buffer.data(), step.bytes);
    rest.end = step.end;
  }
  return rest;
}

std::string to_string(const Rest& rest) {
  const std::string after =
      rest.bytes.empty() ? "" : " after " + std::to_string(rest.bytes.size()) + " more bytes";
  if (rest.end == End::fin) return "FIN" + after;
  return (rest.end == End::reset ? "a reset" : "no end") + after;
}

void expect_end_of(const Peer& peer, const Rest& rest, End end) {
  expect(rest.end == end, (end == End::fin ? "FIN for " : "a reset for ") + peer.name(), to_string(rest));
}

constexpr std::string_view closes_on_fin =
    "\nIt closed when its peer had finished sending, though it owed the rest. A FIN says \"I have no more "
    "to\n"
    "send\", not \"I no longer listen\" (RFC 9293, 3.6). Some libraries close then by design (muduo, libhv,\n"
    "trantor): a client that half-closes loses its answer there.";

void serve_probe(Peer& peer, std::string_view service) {
  if (service == "echo") {
    expect_echo(peer, "?");
  } else if (service == "chargen") {
    expect_chargen(peer, 74);
  } else if (service == "daytime") {
    expect(expect_rest_and_fin(peer).ends_with('\n'), "a line", "none");
  } else if (service == "mirror") {
    peer.send(std::string_view("\0\2ab", 4));
    expect_reply(peer, std::string_view("\0\2ba", 4));
  } else if (service == "http") {
    peer.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    expect_reply(peer, "HTTP/1.1 200");
  } else {  // discard, and chat to somebody who is alone: heard to the end
    peer.send("anybody?\n");
    expect_orderly_end(peer);
  }
}

}  // namespace

void expect_echo(Peer& peer, std::string_view content, std::size_t slice) {
  std::array both{Talk{&peer, content, content, slice}};
  talk(both);
}

void expect_reply(Peer& peer, std::string_view content) {
  std::array reply{Talk{&peer, {}, content}};
  talk(reply);
}

void expect_reply_after_fin(Peer& peer, std::string_view content, Duration pause) {
  constexpr std::size_t piece = 1 << 16;
  std::size_t at = 0;
  try {
    for (; at < content.size(); at += piece) {
      expect_reply(peer, content.substr(at, piece));
      if (pause > Duration::zero()) std::this_thread::sleep_for(pause);  // that is what makes a reader slow
    }
  } catch (const Failed& failed) {
    throw Failed("all " + std::to_string(content.size()) + " bytes after its FIN for " + peer.name(),
                 "after " + std::to_string(at) + " bytes, " + failed.actual +
                     (peer.end() == End::open ? "" : std::string(closes_on_fin)));
  }
  expect_fin(peer);
}

void expect_fin(Peer& peer) {
  const Rest rest = read_to_the_end(peer);
  expect_end_of(peer, rest, End::fin);
  expect(rest.bytes.empty(), "nothing but FIN for " + peer.name(), to_string(rest));
}

void expect_end(Peer& peer, Duration within) {
  char byte = 0;
  expect(peer.readable(within), "an end for " + peer.name(), "silence");
  expect(peer.take({&byte, 1}).end != End::open, "an end for " + peer.name(), "a byte");
}

void expect_reset(Peer& peer) {
  expect_end_of(peer, read_to_the_end(peer), End::reset);
}

std::string expect_rest_and_fin(Peer& peer) {
  Rest rest = read_to_the_end(peer);
  expect_end_of(peer, rest, End::fin);
  return std::move(rest.bytes);
}

std::string expect_rest_and_end(Peer& peer) {
  Rest rest = read_to_the_end(peer);
  expect(rest.end != End::open, "an end for " + peer.name(), to_string(rest));
  return std::move(rest.bytes);
}

void expect_orderly_end(Peer& peer) {
  peer.finish();
  expect_fin(peer);
}

void leave_in_order(std::span<Peer> peers) {
  for (Peer& peer : peers) {
    expect_orderly_end(peer);
    peer.close();
  }
}

void expect_silence(std::span<Peer> peers) {
  std::vector<Watch> watched;
  for (Peer& peer : peers)
    watched.push_back({&peer.socket(), true, false});
  if (!wait(watched, milliseconds(5))) return;
  const auto loud = std::ranges::find_if(watched, [](const Watch& each) { return each.readable; });
  Peer& peer = peers[loud - watched.begin()];
  std::array<char, 4096> buffer{};
  const Received step = peer.take(buffer);
  throw Failed("silence for " + peer.name(), to_string(Rest{std::string(step.bytes, ' '), step.end}));
}

void expect_next_client_served(const Target& target, std::string_view service) {
  WireLog log;
  try {
    Peer peer(log, 1, target);
    expect(peer.connected(patience()), "a connection", "none");
    serve_probe(peer, service);
    if (peer.end() == End::open) peer.finish();
  } catch (const Failed& failed) {
    throw Failed("the next client to be served: " + failed.expected, failed.actual + "\n" + log.text());
  }
}

std::string chargen_lines(std::size_t size) {
  constexpr std::size_t printing = 95, width = 72;
  std::string text;
  for (std::size_t line = 0; text.size() < size; ++line) {
    for (std::size_t column = 0; column < width; ++column)
      text += static_cast<char>(' ' + (line + column) % printing);
    text += "\r\n";
  }
  text.resize(size);
  return text;
}

void expect_sockets(Server& server, std::size_t count, Duration within) {
  const Time until = Clock::now() + within;
  std::size_t now = server.process().sockets();
  while (now > count && Clock::now() < until) {
    server.process().wait(milliseconds(2));
    now = server.process().sockets();
  }
  const auto limit = std::chrono::duration_cast<milliseconds>(within).count();
  expect(now <= count, std::to_string(count) + " sockets within " + std::to_string(limit) + " ms",
         std::to_string(now));
}

void require_chargen_lines(Scene& scene) {
  if (scene.subject().ours()) return;
  const std::string round = chargen_lines(95UL * 74);  // each character has once been the first of a line
  Peer peer = scene.connect();
  if (peer.receive(round.size()) != round)
    throw NotApplicable("its pattern is not the one of RFC 864, which lets the data be anything");
}

void expect_chargen(Peer& peer, std::size_t size) {
  const std::string text = peer.receive(size);
  const bool lines =
      std::ranges::all_of(text, [](char c) { return (c >= ' ' && c <= '~') || c == '\r' || c == '\n'; });
  expect(lines, "lines of printing characters", "'" + text + "'");
}

void expect_exit_in_order(Process& process, Duration within) {
  const auto ended = process.wait(within);
  expect(ended && ended->in_order(),
         "exit 0 within " + std::to_string(std::chrono::duration_cast<milliseconds>(within).count()) + " ms",
         ended ? to_string(*ended) : "it still runs");
}

void expect_refusal(Process& process, int status, const std::vector<std::string>& named,
                    const std::string& command) {
  const auto ended = process.wait(patience());
  const std::string log = process.log();
  expect(ended && ended->signal == 0 && ended->status == status,
         "exit " + std::to_string(status) + " for " + command,
         (ended ? to_string(*ended) : "it still runs") + "; it said: " + log);
  expect(std::ranges::count(log, '\n') == 1 && log.ends_with('\n'),
         "one line on standard error for " + command, "'" + log + "'");
  const auto names = [&log](const std::string& word) {
    return !word.empty() && log.find(word.substr(0, word.find('='))) != log.npos;
  };
  expect(std::ranges::any_of(named, names), "a line that names what is wrong with " + command, log);
  expect(process.output().empty(), "nothing on standard output for " + command, process.output());
}

std::vector<Asker> askers(std::span<Peer> peers) {
  std::vector<Asker> all;
  for (Peer& peer : peers)
    all.push_back({&peer});
  return all;
}

namespace {

/// True: that was its answer, or its end.
bool ask(Asker& asker, const Watch& ready, Answers& answers) {
  if (ready.writable && !asker.asked) asker.asked = asker.peer->offer("?") == 1;
  char answer = 0;
  const Received step = ready.readable ? asker.peer->take({&answer, 1}) : Received{};
  if (step.bytes) {
    expect(answer == '?', "an echo for " + asker.peer->name(), "another byte");
    answers.served.push_back(asker.peer);
  } else if (asker.peer->end() != End::open) {
    answers.closed.push_back(asker.peer);
  } else {
    return false;
  }
  return true;
}

}  // namespace

Answers ask(std::vector<Asker> all, Duration quiet) {
  Answers answers;
  for (bool moved = true; moved && !all.empty();) {
    std::vector<Watch> watched;
    for (const Asker& each : all)
      watched.push_back({&each.peer->socket(), true, !each.asked});
    const bool first = answers.served.empty() && answers.closed.empty();
    moved = wait(watched, first ? patience() : quiet);
    std::vector<Asker> left;
    for (std::size_t i = 0; i < all.size(); ++i)
      if (!ask(all[i], watched[i], answers)) left.push_back(all[i]);
    all = std::move(left);
  }
  answers.waiting = std::move(all);
  return answers;
}

std::size_t serve_the_waiting(Answers answers) {
  std::size_t closed = answers.closed.size();
  while (!answers.waiting.empty()) {
    expect(!answers.served.empty(), "service for some of those who wait", "for none");
    for (Peer* const peer : answers.served)
      peer->close();
    answers = ask(std::move(answers.waiting));
    closed += answers.closed.size();
  }
  return closed;
}

void expect_counts(const Answers& answers, std::size_t served, std::size_t closed, std::size_t waiting) {
  const auto text = [](std::size_t a, std::size_t b, std::size_t c) {
    return std::to_string(a) + " served, " + std::to_string(b) + " closed, " + std::to_string(c) + " waiting";
  };
  const std::string seen = text(answers.served.size(), answers.closed.size(), answers.waiting.size());
  expect(seen == text(served, closed, waiting), text(served, closed, waiting), seen);
}

void in_turns(Scene& scene, std::span<Peer> peers, const std::function<void(std::span<Peer>)>& act) {
  const std::size_t room = scene.served_at_once(peers.size());
  while (!peers.empty()) {
    const std::span<Peer> served = peers.first(std::min(room, peers.size()));
    peers = peers.subspan(served.size());
    act(served);
    if (!peers.empty()) expect_silence(peers);
    for (Peer& peer : served)
      peer.finish();
    for (Peer& peer : served) {
      expect_fin(peer);
      peer.close();
    }
  }
}

namespace {

/// Clients that ask one byte a time, each the next when it has the answer.
class Askers {
 public:
  explicit Askers(std::span<Peer> peers) : peers_(peers), asked_(peers.size()), answers_(peers.size()) {
    for (std::size_t i = 0; i < peers.size(); ++i)
      ask(i);
  }
  bool done() const { return took_.size() == peers_.size() * questions; }
  /// Takes the answers that come within this time. False: none.
  bool look(Duration patience) {
    std::vector<Watch> watched;
    for (std::size_t i = 0; i < peers_.size(); ++i)
      watched.push_back({&peers_[i].socket(), answers_[i] < questions, false});
    if (!wait(watched, patience)) return false;
    for (std::size_t i = 0; i < peers_.size(); ++i)
      if (watched[i].readable) answered(i);
    return true;
  }
  Duration slowest_but_one_in_100() {
    const auto at = took_.begin() + static_cast<std::ptrdiff_t>(took_.size() * 99 / 100);
    std::ranges::nth_element(took_, at);
    return *at;
  }

 private:
  static constexpr std::size_t questions = 50;

  std::string question(std::size_t i) const { return {static_cast<char>('0' + (i + answers_[i]) % 75)}; }
  void ask(std::size_t i) {
    asked_[i] = Clock::now();
    peers_[i].send(question(i));
  }
  void answered(std::size_t i) {
    expect_reply(peers_[i], question(i));
    took_.push_back(Clock::now() - asked_[i]);
    if (++answers_[i] < questions) ask(i);
  }

  std::span<Peer> peers_;
  std::vector<Time> asked_;
  std::vector<std::size_t> answers_;
  std::vector<Duration> took_{};
};

std::string in_milliseconds(Duration time) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(1) << std::chrono::duration<double, std::milli>(time).count()
       << " ms";
  return text.str();
}

}  // namespace

void expect_quick_answers(Scene& scene, std::span<Peer> peers, const std::function<void()>& meanwhile) {
  const Duration most = scaled(std::chrono::seconds(1));
  Askers askers(peers);
  for (Time moved = Clock::now(); !askers.done();) {
    if (meanwhile) meanwhile();
    if (askers.look(meanwhile ? Duration::zero() : patience()))
      moved = Clock::now();
    else
      expect(Clock::now() - moved < patience(), "each client to be answered, whatever another one does",
             "no answer any more");
  }
  const std::string p99 = in_milliseconds(askers.slowest_but_one_in_100());
  expect(askers.slowest_but_one_in_100() < most, "99 of 100 answers within " + in_milliseconds(most), p99);
  scene.note("99 of 100 answers within " + p99);
}

std::string receive_line(Peer& peer) {
  std::string line;
  while (!line.ends_with('\n') && line.size() < std::size_t{64} * 1024)
    line += peer.receive(1);
  return line;
}

void gather(std::span<Peer> members) {
  for (std::size_t i = 1; i < members.size(); ++i) {
    const std::string hello = "join " + std::to_string(i) + "\n";
    const Time until = Clock::now() + patience();
    members[i].send(hello);
    for (bool heard = false; !heard;) {
      expect(Clock::now() < until, "member 0 to hear " + members[i].name(), "nothing");
      if (members[0].readable(milliseconds(100)))
        heard = receive_line(members[0]) == hello;
      else
        members[i].send(hello);  // member 0 was not in the room yet
    }
  }
  // The others may hear a greeting later than what member 0 says next. Behind a talker's last word none of its own comes.
  for (Peer& member : members)
    member.send("here\n");
  for (Peer& member : members)
    for (std::size_t heard = 1; heard < members.size();)
      heard += receive_line(member) == "here\n" ? 1 : 0;
}

TableEntry server_end(const Server& server, const Peer& peer) {
  for (const TableEntry& entry : socket_table())
    if (entry.local_port == server.target().port && entry.remote_port == peer.local_port()) return entry;
  throw Failed("the server's end of " + peer.name(), "no such socket");
}

std::string text(Duration time) {
  return std::to_string(std::chrono::duration_cast<milliseconds>(time).count()) + " ms";
}

void need_threads_that_take_no_descriptor(const Scene& scene) {
  if (scene.profile().platform == "windows" && scene.profile().model == "thread_per_conn")
    throw NotApplicable("under Wine a thread takes descriptors too: not they run out first, but threads");
}

/// Wine 10 takes a send whole and goes on with it by itself, until the socket is closed. Only an overlapped send, as 04's
/// are, can be waited for or cancelled. docs/iocp_on_linux.md
void need_sends_that_a_close_respects(const Scene& scene, Server& server) {
  if (server.has_process() && server.process().wine_version() > 8 && scene.profile().model != "iocp")
    throw NotApplicable(
        "Wine 10 takes a send whole, and a close drops, or a reset keeps, what it has not done of it");
}

std::vector<Peer> exhaust_descriptors(Scene& scene, Server& server, std::size_t clients) {
  server.process().deny_descriptors();
  std::vector<Peer> peers;
  peers.reserve(clients);
  while (peers.size() < clients)
    peers.push_back(scene.dial(server.target()));
  peers.front().close();  // a thread asleep in accept(2) has its descriptor already, and serves this one
  return peers;
}

ExpectNoReset::ExpectNoReset(Scene& scene) : scene_(scene) {
  if (settings().private_network)
    before_ = counters();
  else
    scene_.info("no reset was seen, but the kernel's counters are not ours alone here");
}

void ExpectNoReset::now() const {
  if (!settings().private_network) return;
  const Counters after = counters();
  std::string seen;
  const auto count = [&seen](std::string_view name, std::uint64_t now, std::uint64_t before) {
    seen += " " + std::string(name) + " +" + std::to_string(now - before);
    return now - before;
  };
  const std::uint64_t resets = count("EstabResets", after.connections_reset, before_.connections_reset) +
                               count("TCPAbortOnData", after.aborts_on_data, before_.aborts_on_data) +
                               count("TCPAbortOnClose", after.aborts_on_close, before_.aborts_on_close);
  count("OutRsts", after.resets_sent, before_.resets_sent);
  expect(resets == 0, "no connection reset by anybody", "the kernel counted" + seen);
}

}  // namespace conformance
