#include "tests/conformance/peer.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "tests/conformance/platform.h"
#include "tests/conformance/sockets.h"
#include "tests/conformance/suite.h"

namespace conformance {
namespace {

std::string seconds(Duration time) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "+%.3f", std::chrono::duration<double>(time).count());
  return text.data();
}

std::string counted(std::size_t done, std::size_t all) {
  return std::to_string(done) + " of " + std::to_string(all) + " bytes";
}

}  // namespace

void WireLog::bytes(std::size_t peer, Direction direction, std::size_t count) {
  if (!entries_.empty() && entries_.back().peer == peer && entries_.back().direction == direction &&
      entries_.back().count > 0)
    entries_.back().count += count;
  else
    entries_.push_back({Clock::now() - started_, peer, direction, count});
}

void WireLog::event(std::size_t peer, Direction direction, std::string_view what) {
  entries_.push_back({Clock::now() - started_, peer, direction, 0, std::string(what)});
}

std::string WireLog::line(const Entry& entry) const {
  const bool alone = std::all_of(entries_.begin(), entries_.end(),
                                 [&](const Entry& other) { return other.peer == entry.peer; });
  const std::string peer = alone ? "C" : "C" + std::to_string(entry.peer);
  return seconds(entry.at) +
         (entry.direction == Direction::to_server ? " " + peer + ">S " : " S>" + peer + " ") +
         (entry.count ? std::to_string(entry.count) : entry.what) + "\n";
}

std::string WireLog::text() const {
  constexpr std::size_t head = 12, tail = 20;
  std::string text;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (i == head && entries_.size() > head + tail + 1) {
      i = entries_.size() - tail;
      text += "… " + std::to_string(i - head) + " more …\n";
    }
    text += line(entries_[i]);
  }
  return text;
}

std::string to_string(const Target& target) {
  const bool v6 = target.host.find(':') != target.host.npos;
  return (v6 ? "[" + target.host + "]" : target.host) + ":" + std::to_string(target.port);
}

bool has_ipv6() {
  try {
    Socket::listen("::1");
    return true;
  } catch (const std::system_error&) {
    return false;
  }
}

Peer::Peer(WireLog& log, std::size_t number, const Target& target, int receive_buffer,
           const std::string& source)
    : log_(&log), number_(number), socket_(Socket::dial(target, receive_buffer, source)) {
  log_->event(number_, WireLog::Direction::to_server, "connect");
  if (socket_.connect_error()) end_ = End::reset;
}

Peer& Peer::operator=(Peer&& other) noexcept {
  std::swap(log_, other.log_);
  std::swap(number_, other.number_);
  std::swap(socket_, other.socket_);
  std::swap(end_, other.end_);
  return *this;
}

Peer::~Peer() {
  close();
}

bool Peer::readable(Duration patience) {
  Watch self{&socket_, true, false};
  return wait({&self, 1}, patience);
}

bool Peer::writable(Duration patience) {
  Watch self{&socket_, false, true};
  return wait({&self, 1}, patience);
}

bool Peer::connected(Duration patience) {
  if (end_ == End::open && !writable(patience)) return false;
  const std::optional<std::string> error = socket_.connect_error();
  if (error || end_ != End::open) {
    end_ = End::reset;
    log_->event(number_, WireLog::Direction::from_server, "RST");
    throw Failed("a connection", error.value_or("connection refused"));
  }
  return true;
}

bool Peer::refused(Duration patience) {
  try {
    connected(patience);
  } catch (const Failed&) {
  }
  return end_ == End::reset;
}

std::size_t Peer::offer(std::string_view bytes) {
  const Moved step = socket_.send(bytes);
  if (step.bytes > 0) log_->bytes(number_, WireLog::Direction::to_server, step.bytes);
  if (!step.reset) return step.bytes;
  if (end_ != End::reset) log_->event(number_, WireLog::Direction::from_server, "RST");
  end_ = End::reset;
  return 0;
}

Received Peer::take(std::span<char> into) {
  const Moved step = socket_.receive(into);
  if (step.would_block) return {};
  if (step.bytes > 0) {
    log_->bytes(number_, WireLog::Direction::from_server, step.bytes);
    return {.bytes = step.bytes};
  }
  const End end = !step.reset && end_ != End::reset ? End::fin : End::reset;
  if (end != end_) log_->event(number_, WireLog::Direction::from_server, end == End::fin ? "FIN" : "RST");
  end_ = end;
  return {.end = end_};
}

void Peer::send(std::string_view bytes) {
  for (std::size_t sent = 0; sent < bytes.size();) {
    const std::size_t n = writable(patience()) ? offer(bytes.substr(sent)) : 0;
    if (end_ == End::reset)
      throw Failed("the server to take " + counted(bytes.size(), bytes.size()), "a reset");
    if (n == 0 && !writable(Duration::zero()))
      throw Failed(name() + " to send " + std::to_string(bytes.size()) + " bytes",
                   "the server took no more after " + std::to_string(sent));
    sent += n;
  }
}

void Peer::send_urgent(char byte) {
  expect(socket_.send_urgent(byte).bytes == 1, name() + " to send an urgent byte", "the server took none");
  log_->event(number_, WireLog::Direction::to_server, "urgent byte");
}

std::string Peer::receive(std::size_t count) {
  std::string bytes(count, '\0');
  std::size_t got = 0;
  while (got < count) {
    const Received step = readable(patience())
                              ? take(std::span(bytes).subspan(got))
                              : throw Failed(counted(count, count), "nothing after " + std::to_string(got));
    got += step.bytes;
    if (step.end != End::open)
      throw Failed(name() + " to receive " + std::to_string(count) + " bytes",
                   std::string(step.end == End::fin ? "FIN" : "a reset") + " after " + std::to_string(got));
  }
  return bytes;
}

void Peer::finish() {
  log_->event(number_, WireLog::Direction::to_server, "FIN");
  socket_.finish();
}

void Peer::reset() {
  if (!socket_) return;
  log_->event(number_, WireLog::Direction::to_server, "RST");
  socket_.reset();
}

void Peer::close() {
  if (!socket_) return;
  log_->event(number_, WireLog::Direction::to_server,
              socket_.unread() ? "RST (closed with input unread)" : "close");
  socket_.close();
}

void Peer::vanish() {
  socket_.vanish();
  log_->event(number_, WireLog::Direction::to_server, "vanishes");
}

void Peer::cut_off() {
  socket_.cut_off();
  log_->event(number_, WireLog::Direction::to_server, "is cut off");
}

namespace {

/// A conversation under way.
struct Turn {
  Talk talk;
  std::size_t sent = 0, received = 0;
  bool wants_in() const { return received < talk.in.size(); }
  bool wants_out() const { return sent < talk.out.size() && talk.peer->end() != End::reset; }
  bool over() const { return !wants_in() && sent == talk.out.size(); }
  std::string progress() const {
    return talk.peer->name() + " had sent " + counted(sent, talk.out.size()) + " and received " +
           counted(received, talk.in.size());
  }
};

void compare(const Turn& turn, std::string_view got) {
  const std::string_view due = turn.talk.in.substr(turn.received, got.size());
  if (due == got) return;
  const std::size_t at = std::mismatch(due.begin(), due.end(), got.begin()).first - due.begin();
  std::array<char, 96> text{};
  std::snprintf(text.data(), text.size(), "byte %zu is 0x%02x, not 0x%02x", turn.received + at,
                static_cast<unsigned char>(got[at]), static_cast<unsigned char>(due[at]));
  throw Failed(turn.talk.peer->name() + ": the bytes that are due, in order", text.data());
}

/// True: something moved.
bool receive_some(Turn& turn, std::span<char> buffer) {
  const std::size_t due = turn.talk.in.size() - turn.received;
  const Received step = turn.talk.peer->take(buffer.first(std::min(due, buffer.size())));
  if (step.end != End::open)
    throw Failed("all " + std::to_string(turn.talk.in.size()) + " bytes for " + turn.talk.peer->name(),
                 (step.end == End::fin ? "FIN: " : "a reset: ") + turn.progress());
  compare(turn, {buffer.data(), step.bytes});
  turn.received += step.bytes;
  return step.bytes > 0;
}

bool send_some(Turn& turn) {
  const std::size_t n = turn.talk.peer->offer(turn.talk.out.substr(turn.sent, turn.talk.slice));
  turn.sent += n;
  if (turn.talk.peer->end() == End::reset && !turn.wants_in())
    throw Failed(turn.talk.peer->name() + " to send " + counted(turn.talk.out.size(), turn.talk.out.size()),
                 "a reset: " + turn.progress());
  return n > 0;
}

bool step(Turn& turn, const Watch& ready, std::span<char> buffer) {
  bool moved = false;
  if (turn.wants_out() && ready.writable) moved |= send_some(turn);
  if (turn.wants_in() && ready.readable) moved |= receive_some(turn, buffer);
  return moved;
}

}  // namespace

void talk(std::span<Talk> talks) {
  std::vector<Turn> turns;
  for (const Talk& each : talks)
    turns.push_back({each});
  std::vector<char> buffer(1 << 18);
  std::size_t bytes = 0;
  for (const Talk& each : talks)
    bytes += each.out.size() + each.in.size();
  const Time until = Clock::now() + longest_talk(bytes);
  Time deadline = Clock::now() + patience();
  while (std::erase_if(turns, [](const Turn& turn) { return turn.over(); }), !turns.empty()) {
    std::vector<Watch> watched;
    watched.reserve(turns.size());
    for (const Turn& turn : turns)
      watched.push_back({&turn.talk.peer->socket(), turn.wants_in(), turn.wants_out()});
    const Duration left = deadline - Clock::now();
    expect(Clock::now() < until, "a conversation that comes to its end",
           "it drags on: " + turns.front().progress());
    if (left <= Duration::zero() || !wait(watched, left))
      throw Failed("the conversation to go on", "nothing moved any more: " + turns.front().progress());
    for (std::size_t i = 0; i < turns.size(); ++i)
      if (step(turns[i], watched[i], buffer)) deadline = Clock::now() + patience();
  }
}

std::string noise(std::uint64_t seed, std::size_t size) {
  std::string bytes(size, '\0');
  for (std::size_t at = 0; at < size; at += sizeof seed) {
    std::uint64_t word = (seed << 40) + at + 0x9e3779b97f4a7c15;  // splitmix64
    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9;
    word = (word ^ (word >> 27)) * 0x94d049bb133111eb;
    word ^= word >> 31;
    std::memcpy(bytes.data() + at, &word, std::min(sizeof word, size - at));
  }
  return bytes;
}

std::size_t push_until_blocked(Peer& peer, std::string_view bytes) {
  return push_until_blocked(std::span(&peer, 1), bytes).front();
}

std::vector<std::size_t> push_until_blocked(std::span<Peer> peers, std::string_view bytes) {
  std::vector<std::size_t> sent(peers.size());
  while (std::ranges::any_of(sent, [&](std::size_t count) { return count < bytes.size(); })) {
    std::vector<Watch> watched;
    for (std::size_t i = 0; i < peers.size(); ++i)
      watched.push_back({&peers[i].socket(), false, sent[i] < bytes.size()});
    if (!wait(watched, scaled(std::chrono::milliseconds(150)))) break;
    for (std::size_t i = 0; i < peers.size(); ++i) {
      if (watched[i].writable) sent[i] += peers[i].offer(bytes.substr(sent[i], 1 << 16));
      if (peers[i].end() == End::reset)
        throw Failed("a server that lets its peer wait",
                     "a reset after " + std::to_string(sent[i]) + " bytes");
    }
  }
  return sent;
}

}  // namespace conformance
