// A chat by lines, with names: connections that talk to each other, from several threads.
//
//   example_chat PORT [IDLE_SECONDS]     port 0: any free one
//
// The first line is `NICK name`, and the same line changes your name later. Other lines go to all others as "name: text".
// You are out after too many lines at once, a line that is too long, or when nothing moves on your connection.
#include <algorithm>
#include <any>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <iostream>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>

#include <ladder/server.h>

using namespace ladder;
using namespace std::chrono_literals;

constexpr std::size_t longest_line = 1000, longest_name = 20, most_lines = 10;  // of these within a second

/// One connection's own state. Its callbacks never overlap, so no lock is needed for it.
struct Talker {
  std::string name{}, unfinished{};  // a line that has begun; at the end of the connection it is dropped
  std::size_t lines = 0;             // in the second that began at `since`
  Time since = Clock::now();
};

/// Everybody who has a name. Callbacks of different connections run in parallel, so this needs a lock. We keep it while
/// we send: send() by id never waits and calls nobody. So all members see all lines in the same order.
class Room {
 public:
  /// False: another member has that name.
  bool rename(Connection& c, const std::string& old_name, const std::string& name) {
    const std::lock_guard lock(mutex_);
    if (std::ranges::any_of(names_, [&](auto& each) { return each.second == name && each.first != c.id(); }))
      return false;
    names_[c.id()] = name;
    tell_others(c, old_name.empty() ? "* " + name + " joins\n" : "* " + old_name + " is now " + name + "\n");
    return true;
  }
  void say(Connection& c, const std::string& line) {
    const std::lock_guard lock(mutex_);
    tell_others(c, line);
  }
  void leave(Connection& c, CloseReason why) {
    const std::lock_guard lock(mutex_);
    if (const auto me = names_.extract(c.id()))
      tell_others(c, "* " + me.mapped() + " leaves (" + std::string(to_string(why)) + ")\n");
  }

 private:
  void tell_others(Connection& c, const std::string& line) {
    for (const auto& [id, name] : names_)  // `congested`: 256 KiB wait for a member who does not read them
      if (id != c.id() && c.server().send(id, line) == SendResult::congested) c.server().abort(id);
  }
  std::mutex mutex_{};
  std::unordered_map<ConnectionId, std::string> names_{};
};

void kick(Connection& c, const std::string& why) {
  c.send("* " + why + "\n");
  c.close();  // sends that first; then only on_close comes, which tells the others
}

bool may_be_a_name(std::string_view word) {
  const auto is_visible = [](char letter) { return letter > ' ' && letter <= '~'; };
  return !word.empty() && word.size() <= longest_name && std::ranges::all_of(word, is_visible);
}

void hear_line(Connection& c, Room& room, Talker& me, std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (!line.starts_with("NICK "))
    return me.name.empty() ? void(c.send("* first say: NICK name\n"))
                           : room.say(c, me.name + ": " + std::string(line) + "\n");
  const std::string name(line.substr(5));
  if (!may_be_a_name(name) || !room.rename(c, me.name, name)) return void(c.send("* not that name\n"));
  me.name = name;
}

void hear(Connection& c, Room& room, std::string_view text) {
  auto& me = std::any_cast<Talker&>(c.context());
  me.unfinished += text;
  std::string_view rest = me.unfinished;
  for (auto end = rest.find('\n'); end <= longest_line; end = rest.find('\n')) {
    if (const Time now = Clock::now(); now - me.since >= 1s) me.since = now, me.lines = 0;
    if (++me.lines > most_lines) return kick(c, "too many lines at once");
    hear_line(c, room, me, rest.substr(0, end));
    rest.remove_prefix(end + 1);
  }
  if (rest.size() > longest_line) return kick(c, "that line is too long");
  me.unfinished = std::string(rest);
}

int main(int argc, char** argv) try {
  catch_stop_signals();  // one may come before we wait for it
  const int port = argc > 1 ? std::stoi(argv[1]) : 0, idle = argc > 2 ? std::stoi(argv[2]) : 600;
  if (port < 0 || port > 65535) throw std::out_of_range("no port");
  Room room;  // before the server, which uses it until it has stopped
  const Running server =
      start({.port = static_cast<std::uint16_t>(port), .idle_timeout = std::chrono::seconds(idle)},
            {.on_open = [](Connection& c) { c.context() = Talker{}; },
             .on_receive = [&](Connection& c, Bytes bytes) { hear(c, room, text(bytes)); },
             .on_close = [&](Connection& c, CloseReason why, std::error_code) { room.leave(c, why); }});
  std::cout << "READY " << to_string(server->endpoint()) << std::endl;
  wait_for_stop_signal();
  server->stop(5s);
} catch (const std::exception& error) {
  std::cerr << "example_chat: " << error.what() << '\n';
  return 1;
}
