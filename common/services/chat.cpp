// chat: each line goes as it is to everybody else. Connections that talk to each other, from many threads.
//
// Rules: a line ends in '\n'; an unfinished one at the end of a stream is dropped, since it would run into
// somebody else's. A line has at most 64 KiB; a longer one ends its sender, by close() and not abort(), so
// that it still gets what it was told. A member who does not read loses whole lines (`full` takes nothing),
// then its connection (the write timeout).
//
// Lines that came together go on together: one send for each member, not one for each line and member. Of empty lines a
// chunk of 64 KiB has 65 536, and with 150 members that would be ten million sends in one callback. ABUSE-09
//
// A talker whose lines a member cannot take as fast as they come is not read until that member has caught up, so a
// member who reads all the time loses nothing (SVC-18). One that does not catch up within `patience` does not read: it is
// not waited for again before it has (ABUSE-10).
//
// Order: callbacks of one talker never overlap and each send is queued when it returns, so every member gets
// a talker's lines in the order they were said. Two talkers' lines may meet in a different order at each
// member.
#include <algorithm>
#include <any>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "common/services/services.h"
#include <ladder/server.h>

namespace ladder::services {
namespace {

constexpr std::size_t longest_line = std::size_t{64} * 1024;  // its '\n' included
constexpr Milliseconds patience{250};

struct Member {
  ConnectionId id;
  unsigned drains = 0;  // how often its queue has been short again
  Time given_up_at{};   // it is behind, and waited for until then; no time: it keeps up
  bool keeps_up() const { return given_up_at == Time{}; }
};

/// The members, and the talkers that wait for some of them. It has a thread of its own: that a member has not caught up
/// only the clock can tell.
class Room {
 public:
  void join(ConnectionId id) {
    const std::lock_guard lock(mutex_);
    members_.push_back({id});
  }
  void leave(ConnectionId);
  /// A copy, to send to with no lock held. A member may leave meanwhile: its id is stale then, and a send by it
  /// answers `gone`.
  std::vector<Member> members() {
    const std::lock_guard lock(mutex_);
    return members_;
  }
  /// A send to this member was answered `congested` or `full`; `before` is a copy from before that send.
  void fell_behind(const Member& before);
  void caught_up(ConnectionId);
  /// True: somebody is behind, and resume() tells the talker when nobody is any more.
  bool must_wait(Connection& talker);

 private:
  struct Waiting {
    Server* server;
    ConnectionId id;
  };
  Member* find(ConnectionId);
  Time next_to_give_up() const;
  void resume_talkers() noexcept;
  void keep_time(const std::stop_token&);

  std::mutex mutex_{};
  std::condition_variable_any changed_{};
  std::vector<Member> members_{};
  std::vector<Waiting> waiting_{};  // never a closed one, so that its server is there
  std::jthread timekeeper_{
      [this](const std::stop_token& stop) { keep_time(stop); }};  // last: it uses all of the above
};

Member* Room::find(ConnectionId id) {
  const auto found = std::ranges::find(members_, id, &Member::id);
  return found == members_.end() ? nullptr : &*found;
}

void Room::leave(ConnectionId id) {
  const std::lock_guard lock(mutex_);
  std::erase_if(members_, [id](const Member& each) { return each.id == id; });
  std::erase_if(waiting_, [id](const Waiting& each) { return each.id == id; });
  resume_talkers();
}

void Room::fell_behind(const Member& before) {
  const std::lock_guard lock(mutex_);
  Member* member = find(before.id);
  // If it has caught up meanwhile, nothing would tell of that again.
  if (!member || member->drains != before.drains || !member->keeps_up()) return;
  member->given_up_at = Clock::now() + patience;
}

void Room::caught_up(ConnectionId id) {
  const std::lock_guard lock(mutex_);
  Member* member = find(id);
  if (!member) return;
  ++member->drains;
  member->given_up_at = {};
  resume_talkers();
}

bool Room::must_wait(Connection& talker) {
  const std::lock_guard lock(mutex_);
  if (next_to_give_up() == Time::max()) return false;
  waiting_.push_back({&talker.server(), talker.id()});
  changed_.notify_one();
  return true;
}

/// Time::max(): nobody is behind, of those who are waited for.
Time Room::next_to_give_up() const {
  Time next = Time::max();
  const Time now = Clock::now();
  for (const Member& each : members_)
    if (each.given_up_at > now) next = std::min(next, each.given_up_at);
  return next;
}

/// With the lock held: on_close, which takes it, comes before its server goes. resume() calls nobody.
void Room::resume_talkers() noexcept try {
  if (next_to_give_up() != Time::max()) return;
  for (; !waiting_.empty(); waiting_.pop_back())
    waiting_.back().server->resume(waiting_.back().id);
} catch (const std::exception&) {  // no memory for it: keep_time() tries again
}

void Room::keep_time(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    resume_talkers();
    if (waiting_.empty())
      changed_.wait(lock, stop, [this] { return !waiting_.empty(); });  // sleeps here
    else
      changed_.wait_until(lock, stop, std::min(next_to_give_up(), Clock::now() + patience),
                          [] { return false; });  // and here
  }
}

/// The first of several lines, up to half of their bytes but one at least; nothing if there is only one.
std::string_view first_half(std::string_view lines) {
  const std::size_t middle = lines.substr(0, lines.size() / 2).rfind('\n');
  const std::size_t end = (middle != lines.npos ? middle : lines.find('\n')) + 1;
  return lines.substr(0, end < lines.size() ? end : 0);
}

/// As many of the lines, from the first on, as there is room for. The rest is lost to this member: it does not read.
/// False: it should be waited for.
bool send_lines(Server& server, ConnectionId member, std::string_view lines) {
  bool keeps_up = true;
  for (std::string_view part = lines; !part.empty();) {
    const SendResult sent = server.send(member, part);
    if (sent == SendResult::gone) return true;
    if (sent != SendResult::queued) keeps_up = false;
    if (sent == SendResult::full) {
      part = first_half(part);
    } else {
      lines.remove_prefix(part.size());
      part = lines;
    }
  }
  return keeps_up;
}

void broadcast(Connection& talker, Room& room, std::string_view lines) {
  for (const Member& member : room.members())
    if (member.id != talker.id() && !send_lines(talker.server(), member.id, lines)) room.fell_behind(member);
  if (room.must_wait(talker)) talker.pause();
}

void hear(Connection& talker, Room& room, std::string_view text) {
  auto& unfinished = std::any_cast<std::string&>(talker.context());  // what it has said of a line so far
  std::string_view rest = text;                                      // behind the last line that has ended
  std::size_t length = unfinished.size();                            // of the line that `rest` goes on with
  bool too_long = false;
  while (!rest.empty()) {
    const std::size_t newline = rest.find('\n');
    length += newline == rest.npos ? rest.size() : newline + 1;
    too_long = length > longest_line;
    if (too_long || newline == rest.npos) break;
    rest.remove_prefix(newline + 1);
    length = 0;
  }
  if (rest.size() < text.size())
    broadcast(talker, room, std::exchange(unfinished, {}).append(text.substr(0, text.size() - rest.size())));
  if (too_long) return talker.close();
  unfinished += rest;
}

}  // namespace

Callbacks chat() {
  const auto room = std::make_shared<Room>();
  return {
      .on_open =
          [room](Connection& c) {
            c.context() = std::string();
            room->join(c.id());
          },
      .on_receive = [room](Connection& c, Bytes bytes) { hear(c, *room, text(bytes)); },
      .on_drained = [room](Connection& c) { room->caught_up(c.id()); },
      .on_close = [room](Connection& c, CloseReason, std::error_code) { room->leave(c.id()); },
  };
}

}  // namespace ladder::services
