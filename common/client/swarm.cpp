#include "common/client/swarm.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <system_error>

#include "common/client/client.h"
#include "common/client/net.h"
#include "common/client/stream.h"

namespace ladder::client {
namespace {

constexpr std::size_t first_flight = 128;  // the smallest backlog that is usual
constexpr auto patience = std::chrono::milliseconds(200);
constexpr auto tick = std::chrono::milliseconds(100);
using Want = Poller::Want;

}  // namespace

Swarm::Swarm(const Options& options, Dialer& dialer, std::size_t proof)
    : options_(options), dialer_(dialer), proof_(proof), members_(options.connections) {}

void Swarm::open() {
  const Time start = last_served_ = Clock::now();
  run([this](Member& member) { start_connect(member); });
  const auto served = static_cast<double>(count(State::served));
  if (served > 0) opened_a_second_ = served / seconds(last_served_ - start);
}

void Swarm::prove() {
  const auto send_again = [this](Member& member) {
    if (member.state == State::served) send_proof(member);
  };
  run(send_again);
}

/// Takes each member one step further, a flight at a time, until all are settled. While nobody is settled the
/// flight doubles: with a server of one client at a time the others only wait, and all shall do so at once.
void Swarm::run(const std::function<void(Member&)>& begin) {
  std::size_t flight = first_flight, begun = 0;
  const auto may_begin = [&] { return begun < members_.size() && under_way_ < flight; };
  progress_ = Clock::now();
  while (begun < members_.size() || under_way_ > 0) {
    for (int few = 0; few < 16 && may_begin(); ++few, ++begun) {  // few: a connect can take the system 20 ms
      begin(members_[begun]);
    }
    const Time now = Clock::now();
    expire(now);
    const Time until =
        may_begin() || steps_.empty() ? now : std::min(now + tick, steps_.front().begun + options_.timeout);
    for (const Ready& event : poller_.wait(until - now))
      receive(members_[event.token]);
    if (Clock::now() - progress_ >= patience) {
      flight = std::min(2 * flight, members_.size());
      progress_ = Clock::now();
    }
    const std::size_t settled = begun - under_way_;
    bar_.show(now, static_cast<double>(settled) / static_cast<double>(members_.size()), settled, "tried");
  }
  bar_.clear();
}

void Swarm::start_connect(Member& member) {
  std::error_code error;
  member.stream.seed = seed_of(index(member));
  member.stream.socket = dialer_.dial(member.route, error);
  if (error) return drop(member, State::refused, {error.message()});
  begin_step(member);
  member.state = State::connecting;
  poller_.add(member.stream.socket, index(member), Want::write);
}

void Swarm::begin_step(Member& member) {
  if (!is_under_way(member)) ++under_way_;
  member.begun = Clock::now();
  steps_.push_back({index(member), member.begun});
}

void Swarm::connected(Member& member) {
  if (const std::error_code error = connect_result(member.stream.socket))
    return connect_failed(member, error);
  dialer_.answered(member.route);
  poller_.change(member.stream.socket, index(member), Want::read);
  if (proof_ == 0) return settle(member, State::served);
  send_proof(member);
}

/// On to the next address of the server's name, if it has one.
void Swarm::connect_failed(Member& member, std::error_code error) {
  poller_.remove(member.stream.socket);
  member.stream.socket.close();
  if (dialer_.try_another(member.route, error)) return start_connect(member);
  if (member.route.error != std::errc::timed_out)
    return drop(member, State::refused, {member.route.error.message()});
  drop(member, State::waiting, {"the connect is not answered (a full backlog?)"});
}

void Swarm::send_proof(Member& member) {
  Trouble trouble;
  const std::uint64_t end = member.stream.sent + proof_;
  if (!member.stream.send_up_to(end, buffer_, trouble)) return drop(member, State::refused, trouble);
  if (member.stream.sent < end)  // all that went before has come back: there is room
    return drop(member, State::refused, {"a message could not be sent"});
  begin_step(member);
  member.state = State::proving;
}

void Swarm::receive(Member& member) {
  if (member.state == State::connecting) return connected(member);
  if (!member.stream.socket) return;
  Trouble trouble;
  switch (member.stream.receive(buffer_, trouble)) {
    case Stream::Came::nothing:
      return;
    case Stream::Came::bytes:
      break;
    case Stream::Came::end:
      return drop(member, State::refused, {"closed by the server", member.stream.place()});
    case Stream::Came::failure:
      return drop(member, State::refused, trouble);
    case Stream::Came::wrong:
      return drop(member, State::wrong, trouble);
  }
  if (member.state == State::proving && member.stream.received == member.stream.sent)
    settle(member, State::served);
}

bool Swarm::is_under_way(const Member& member) {
  return member.state == State::connecting || member.state == State::proving;
}

void Swarm::settle(Member& member, State state) {
  if (is_under_way(member)) --under_way_;
  member.state = state;
  progress_ = Clock::now();
  if (state == State::served) last_served_ = progress_;
}

void Swarm::drop(Member& member, State state, const Trouble& trouble) {
  if (member.stream.socket) poller_.remove(member.stream.socket);
  member.stream.socket.close();
  failures_.add(trouble, index(member));
  settle(member, state);
}

void Swarm::expire(Time now) {
  for (; !steps_.empty(); steps_.pop_front()) {
    Member& member = members_[steps_.front().member];
    if (!is_under_way(member) || member.begun != steps_.front().begun) continue;  // that step is over
    if (now - member.begun < options_.timeout) return;
    expire(member);
  }
}

void Swarm::expire(Member& member) {
  if (member.state == State::connecting)
    return connect_failed(member, std::make_error_code(std::errc::timed_out));
  poller_.remove(member.stream.socket);  // it stays open, in the queue: no longer to be served in time
  failures_.add({"connected, but no echo in time"}, index(member));
  settle(member, State::waiting);
}

void Swarm::hold() {
  const Time start = Clock::now(), end = start + options_.hold_for;
  for (Time now = start; now < end; now = Clock::now()) {
    bar_.show(now, seconds(now - start) / seconds(options_.hold_for), count(State::served), "held");
    for (const Ready& event : poller_.wait(std::min<Nanoseconds>(end - now, tick)))
      receive(members_[event.token]);
  }
  bar_.clear();
}

void Swarm::leave() {
  std::size_t open = 0;
  for (Member& member : members_) {
    if (!member.stream.socket) continue;
    finish_sending(member.stream.socket);
    if (member.state == State::waiting) poller_.add(member.stream.socket, index(member), Want::read);
    ++open;
  }
  constexpr auto quiet =
      std::chrono::seconds(1);  // a server that does not end is another's business: load tells
  for (Time last = Clock::now(); open > 0 && Clock::now() - last < quiet;) {
    for (const Ready& event : poller_.wait(tick)) {
      Member& member = members_[event.token];
      Trouble trouble;
      const Stream::Came came = member.stream.receive(buffer_, trouble);
      if (came == Stream::Came::nothing || came == Stream::Came::bytes) continue;
      if (came == Stream::Came::wrong) drop(member, State::wrong, trouble);
      poller_.remove(member.stream.socket);
      member.stream.socket.close();
      --open;
      last = Clock::now();
    }
  }
}

std::size_t Swarm::count(State state) const {
  return std::count_if(members_.begin(), members_.end(), [&](const Member& m) { return m.state == state; });
}

}  // namespace ladder::client
