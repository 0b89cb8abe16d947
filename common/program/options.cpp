#include "common/program/options.h"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/os/os.h"
#include "common/program/arguments.h"
#include <ladder/server.h>

namespace ladder {
namespace {

constexpr std::uint64_t most_connections = 1'000'000;
constexpr std::uint64_t most_milliseconds = 86'400'000;  // a day
constexpr std::uint64_t most_threads = 1024;

Argument milliseconds(std::string_view name, std::string_view help, Milliseconds& into) {
  return {name, "MS", help, [name, &into](std::string_view text) {
            into = Milliseconds(number(name, text, 0, most_milliseconds));
          }};
}

template <typename Number>
Argument count(std::string_view name, std::string_view help, std::uint64_t most, Number& into) {
  return {name, "N", help, [name, most, &into](std::string_view text) {
            into = static_cast<Number>(number(name, text, 0, most));
          }};
}

Argument a_switch(std::string_view name, std::string_view help, bool& into) {
  return {name, "", help, [&into](std::string_view) { into = true; }};
}

void store_host(std::string_view text, std::string& into) {
  into = text;
  if (!os::is_numeric_address(into))
    throw BadArgument("--host takes a numeric IPv4 or IPv6 address, such as 0.0.0.0 or ::1, not '" + into +
                      "'");
}

void store_queue(std::string_view text, Queue& into) {
  if (text != "shared" && text != "per-worker")
    throw BadArgument("--queue takes shared or per-worker, not '" + std::string(text) + "'");
  into = text == "shared" ? Queue::shared : Queue::per_worker;
}

std::vector<Argument> table(CommandLine& line, const Profile& profile) {
  Options& o = line.options;
  constexpr std::uint64_t most_ports = std::numeric_limits<std::uint16_t>::max();
  std::vector<Argument> all{
      {"--service", "NAME", "echo (the default), discard, chargen, daytime, chat or http",
       [&line](std::string_view name) { line.service = name; }},
      {"--host", "ADDR", "the address to listen on (127.0.0.1); 0.0.0.0 or :: for all",
       [&o](std::string_view text) { store_host(text, o.host); }},
      count("--port", "the port to listen on; 0, the default, takes a free one", most_ports, o.port),
      count("--max-connections", "close newcomers above so many; 0: no limit", most_connections,
            o.max_connections),
      count("--backlog", "connections that may wait to be accepted; 0: as many as the system allows",
            most_ports, o.backlog),
      milliseconds("--idle-timeout", "close a connection on which nothing moves (0: never)", o.idle_timeout),
      milliseconds("--write-timeout", "reset a peer that takes nothing (30000; 0: never)", o.write_timeout),
      milliseconds("--close-timeout", "wait so long for the peer's FIN after ours (5000; 0: for ever)",
                   o.close_timeout),
      milliseconds("--keep-alive",
                   "have the system probe a peer that is silent for so long (60000; 0: never)", o.keep_alive),
      milliseconds("--drain-timeout", "let a stop wait for what is in flight (5000; 0: not at all)",
                   line.drain),
  };
  if (profile.takes_threads)
    all.push_back(count("--threads", "workers; 0, the default: one a core", most_threads, o.threads));
  if (profile.takes_queue)
    all.push_back({"--queue", "NAME", "shared (the default): one for all workers; per-worker: one each",
                   [&o](std::string_view text) { store_queue(text, o.queue); }});
  all.push_back(a_switch("--stats", "print what was counted, as JSON, at the end", line.stats));
  all.push_back(a_switch("--describe", "print what the model can do, as JSON, and exit", line.describe));
  all.push_back(a_switch("--version", "print the version and exit", line.version));
  all.push_back(a_switch("--help", "print this and exit", line.help));
  return all;
}

std::string quoted(std::string_view text) {
  return '"' + std::string(text) + '"';
}  // no text of ours needs more

std::string number_or_null(std::optional<std::size_t> value) {
  return value ? std::to_string(*value) : "null";
}

}  // namespace

CommandLine parse_command_line(int argc, char** argv, const Profile& profile) {
  CommandLine line;
  const std::span<char* const> words(argv, static_cast<std::size_t>(argc));
  const auto rest = parse(words.subspan(words.empty() ? 0 : 1), table(line, profile));
  if (!rest.empty())
    throw BadArgument("unexpected argument '" + std::string(rest.front()) + "' (--help lists the options)");
  return line;
}

std::string usage(const Profile& profile) {
  CommandLine line;
  return "A TCP server, model " + std::string(profile.model) + ". Options:\n" + help(table(line, profile));
}

std::string describe(const Profile& profile, const CommandLine& line) {
  const auto ms = [](std::string_view name, Milliseconds value) {
    return quoted(name) + ":" + std::to_string(value.count());
  };
  return "{\"model\":" + quoted(profile.model) + ",\"platform\":" + quoted(os::platform()) +
         ",\"clients_at_once\":" + number_or_null(profile.clients_at_once) +
         ",\"ceiling\":{\"connections\":" + number_or_null(profile.ceiling) +
         ",\"set_by\":" + quoted(profile.set_by) + ",\"above\":" + quoted(profile.above) +
         "},\"threads\":" + quoted(profile.threads) + ",\"timeouts\":{" +
         ms("idle_ms", line.options.idle_timeout) + "," + ms("write_ms", line.options.write_timeout) + "," +
         ms("close_ms", line.options.close_timeout) + "," + ms("keep_alive_ms", line.options.keep_alive) +
         "," + ms("drain_ms", line.drain) + "}}";
}

std::string to_json(const Stats& stats) {
  std::string json = "{";
  const auto count = [&json](std::string_view name, std::uint64_t value) {
    if (!json.ends_with('{')) json += ',';
    json += quoted(name) + ':' + std::to_string(value);
  };
  count("accepted", stats.accepted);
  count("refused", stats.refused);
  count("active", stats.active);
  count("peak", stats.peak);
  json += ",\"closed\":{";
  for (std::size_t i = 0; i < close_reasons; ++i)
    count(to_string(static_cast<CloseReason>(i)), stats.closed[i]);
  json += '}';
  count("bytes_in", stats.bytes_in);
  count("bytes_out", stats.bytes_out);
  return json += '}';
}

}  // namespace ladder
