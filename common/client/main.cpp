// client: the command line. talk, load and hold are one file each.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "common/client/client.h"
#include "common/client/net.h"
#include "common/program/arguments.h"

namespace {

using namespace ladder;
using namespace ladder::client;

constexpr std::string_view usage =
    "client talk HOST:PORT            standard input to the server and back; half-close at its end\n"
    "client load HOST:PORT [options]  messages to an echo server: each byte verified, latency measured\n"
    "client hold HOST:PORT [options]  many connections, held, each proved by an echo\n\n"
    "client COMMAND --help lists a command's options. An IPv6 address goes in brackets: [::1]:7000\n"
    "Exit status: 0 all were served and every byte was right, 1 not so, 2 bad arguments.\n";

constexpr std::string_view about_hold =
    "Each connection echoes as it opens, and again at the end. Then hold closes first, in order (FIN, then\n"
    "the server's), which keeps its ports in TIME_WAIT for a minute. To have enough of them it connects\n"
    "from 127.0.0.1 to 127.0.0.16 if the server is on this machine, 1000 connections from each in turn.\n";

struct Request {
  Options options;
  std::string from;
  bool help = false;
};

Argument count(std::string_view name, std::string_view help, std::uint64_t most, std::uint64_t& into) {
  return {name, "N", help, [=, &into](std::string_view text) { into = number(name, text, 1, most); }};
}

double decimal(std::string_view name, std::string_view text, double least, double most) {
  const std::optional<double> value = ladder::decimal(text);
  if (!value || *value < least || *value > most)
    throw BadArgument(std::string(name) + " takes a number such as 2 or 0.5, not '" + std::string(text) +
                      "'");
  return *value;
}

Argument time_span(std::string_view name, std::string_view help, double least, Nanoseconds& into) {
  return {name, "S", help, [=, &into](std::string_view text) {
            const std::chrono::duration<double> value(decimal(name, text, least, 1e6));
            into = std::chrono::duration_cast<Nanoseconds>(value);
          }};
}

std::vector<Argument> table(std::string_view command, Request& request) {
  Options& o = request.options;
  constexpr std::uint64_t most_connections = 1'000'000, most_bytes = 1 << 30, most_depth = 1 << 20;
  std::vector<Argument> all;
  if (command == "load") {
    all = {count("--connections", "open so many (1)", most_connections, o.connections),
           count("--size", "bytes of a message (64)", most_bytes, o.size),
           time_span("--duration", "send for so many seconds, from when all are connected (5)", 0.001,
                     o.duration),
           count("--messages", "or send so many on each connection", unlimited, o.messages),
           {"--rate", "R", "an open loop: messages a second in all; latency counts from when each is due",
            [&o](std::string_view text) { o.rate = decimal("--rate", text, 1e-3, 1e9); }},
           count("--depth", "messages under way on a connection (1)", most_depth, o.depth)};
  } else if (command == "hold") {
    o.connections = 6000;
    all = {count("--connections", "open so many (6000)", most_connections, o.connections),
           time_span("--for", "hold them for so many seconds (2)", 0, o.hold_for)};
  }
  if (command != "talk")
    all.push_back(
        {"--json", "", "the result as one JSON document", [&o](std::string_view) { o.json = true; }});
  all.push_back(time_span(
      "--timeout",
      command == "talk" ? "seconds to connect (5)" : "seconds without an awaited byte that are a failure (5)",
      0.001, o.timeout));
  all.push_back({"--from", "ADDR", "the source address, and no other",
                 [&request](std::string_view text) { request.from = text; }});
  all.push_back({"--help", "", "print this and exit", [&request](std::string_view) { request.help = true; }});
  return all;
}

struct HostPort {
  std::string_view host, port;
};

HostPort host_and_port(std::string_view target) {
  const auto wrong = [&](const std::string& rule) -> BadArgument {
    return BadArgument(rule + ", not '" + std::string(target) + "'");
  };
  HostPort result{};
  const bool bracketed = target.starts_with('[');
  const std::size_t end = bracketed ? target.find("]:") : target.find(':');
  if (end != target.npos) {
    result.host = target.substr(bracketed ? 1 : 0, bracketed ? end - 1 : end);
    result.port = target.substr(end + (bracketed ? 2 : 1));
  }
  // A second colon: which one begins the port, nobody can tell (RFC 3986, 3.2.2).
  if (!bracketed && result.port.find(':') != target.npos)
    throw wrong("an IPv6 address goes in brackets, [::1]:7000");
  if (result.host.empty()) throw wrong("the server is given as HOST:PORT");
  number("PORT", result.port, 1, 65535);
  return result;
}

void check(Options& options, std::string_view command) {
  if (command == "load" && options.duration.count() > 0 && options.messages != unlimited)
    throw BadArgument("--duration and --messages: one of them says when to end");
  if (options.rate > 0 && options.depth > 0)
    throw BadArgument(
        "--rate and --depth: an open loop sends when a message is due, however many are under way");
  if (options.depth == 0) options.depth = 1;
  if (options.duration.count() == 0 && options.messages == unlimited)
    options.duration = std::chrono::seconds(5);
  if (command == "talk") return;
  constexpr std::size_t pollers = 2;  // of the opening, and of load
  if (const std::size_t free = free_descriptors(); free < options.connections + pollers)
    throw std::runtime_error(std::to_string(options.connections) +
                             " connections need as many descriptors, and " +
                             std::to_string(free - std::min(free, pollers)) + " are left (ulimit -Hn)");
}

int run(std::span<char* const> words) {
  const std::string_view command = words.empty() ? "" : words.front();
  if (command == "--help" || command == "--version") {
    print(command == "--help" ? std::string(usage) : "socket ladder " LADDER_VERSION ", client\n");
    return 0;
  }
  if (command != "talk" && command != "load" && command != "hold")
    throw BadArgument("the first word is talk, load or hold, not '" + std::string(command) +
                      "' (--help tells more)");
  Request request;
  const std::vector<Argument> arguments = table(command, request);
  const std::vector<std::string_view> rest = parse(words.subspan(1), arguments);
  if (request.help) {
    print("client " + std::string(command) + " HOST:PORT, and options:\n" + help(arguments) +
          std::string(command == "hold" ? about_hold : ""));
    return 0;
  }
  if (rest.size() != 1) throw BadArgument("client " + std::string(command) + " takes one server, HOST:PORT");
  const auto [host, port] = host_and_port(rest.front());
  request.options.target = rest.front();
  check(request.options, command);
  Dialer dialer(host, port, request.from);
  return command == "talk"   ? talk(request.options, dialer)
         : command == "load" ? load(request.options, dialer)
                             : hold(request.options, dialer);
}

int failed(const char* why, int status) {
  tell(why);
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  prepare_process();
  try {
    const std::span<char* const> words(argv, static_cast<std::size_t>(argc));
    return run(words.subspan(words.empty() ? 0 : 1));
  } catch (const ladder::BadArgument& error) {
    return failed(error.what(), 2);
  } catch (const std::exception& error) {
    return failed(error.what(), 1);
  }
}
