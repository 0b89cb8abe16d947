// chat: each line goes as it is to everybody else. Connections that talk to each other, from many threads.
//
// Rules: a line ends in '\n'; an unfinished one at the end of a stream is dropped, since it would run into
// somebody else's. A line has at most 64 KiB; a longer one ends its sender, by close() and not abort(), so
// that it still gets what it was told. A member who does not read loses whole lines (`full` takes nothing),
// then its connection (the write timeout).
//
// Order: callbacks of one talker never overlap and each send is queued when it returns, so every member gets
// a talker's lines in the order they were said. Two talkers' lines may meet in a different order at each
// member.
#include <any>
#include <cstddef>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "common/server.h"
#include "common/services/services.h"

namespace ladder::services {
namespace {

constexpr std::size_t longest_line = std::size_t{64} * 1024;  // its '\n' included

class Room {
 public:
  void join(ConnectionId id) {
    const std::lock_guard lock(mutex_);
    members_.push_back(id);
  }
  void leave(ConnectionId id) {
    const std::lock_guard lock(mutex_);
    std::erase(members_, id);
  }
  /// A copy, so that nobody calls the library with the lock held. A member may leave meanwhile: its id is
  /// stale then, and a send by it answers `gone`.
  std::vector<ConnectionId> members() {
    const std::lock_guard lock(mutex_);
    return members_;
  }

 private:
  std::mutex mutex_;
  std::vector<ConnectionId> members_;
};

void broadcast(Connection& talker, Room& room, const std::string& line) {
  for (const ConnectionId member : room.members())
    if (member != talker.id()) talker.server().send(member, std::as_bytes(std::span(line)));
}

void hear(Connection& talker, Room& room, std::string_view text) {
  auto& line = std::any_cast<std::string&>(talker.context());  // what it has said of a line so far
  while (!text.empty()) {
    const std::size_t newline = text.find('\n');
    const std::string_view piece = text.substr(0, newline == text.npos ? newline : newline + 1);
    if (line.size() + piece.size() > longest_line) return talker.close();
    line += piece;
    text.remove_prefix(piece.size());
    if (newline != text.npos) broadcast(talker, room, std::exchange(line, {}));
  }
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
      .on_receive =
          [room](Connection& c, Bytes bytes) {
            hear(c, *room, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
          },
      .on_close = [room](Connection& c, CloseReason, std::error_code) { room->leave(c.id()); },
  };
}

}  // namespace ladder::services
