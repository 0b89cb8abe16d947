#include "tests/conformance/subject.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <iterator>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/conformance/expect.h"
#include "tests/conformance/peer.h"
#include "tests/conformance/platform.h"
#include "tests/conformance/sockets.h"
#include "tests/conformance/suite.h"

namespace conformance {
namespace {

/// The words of a command, with '…' and "…" as a shell takes them.
std::vector<std::string> split(const std::string& command) {
  std::vector<std::string> words;
  bool inside = false;
  char quote = 0;
  for (const char c : command) {
    if (quote == 0 && c == ' ') {
      inside = false;
    } else if (c == quote) {
      quote = 0;
    } else {
      if (!std::exchange(inside, true)) words.emplace_back();
      if (quote == 0 && (c == '\'' || c == '"'))
        quote = c;
      else
        words.back() += c;
    }
  }
  return words;
}

Target parse_address(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  std::string host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  const int port = colon == text.npos ? 0 : std::atoi(text.c_str() + colon + 1);
  if (port < 1 || port > 65535) throw std::runtime_error("--connect takes HOST:PORT, not '" + text + "'");
  return {host, static_cast<std::uint16_t>(port)};
}

constexpr std::string_view port_mark = "{port}";

std::string replaced(std::string word, std::uint16_t port) {
  for (std::size_t at = 0; (at = word.find(port_mark)) != word.npos;)
    word.replace(at, port_mark.size(), std::to_string(port));
  return word;
}

std::optional<std::size_t> number_or_none(const std::string& text) {
  if (text.empty() || text == "null") return {};
  return std::stoul(text);
}

/// "… port=40123 pid=4711" → 40123.
std::string field(const std::string& line, const std::string& key) {
  const std::size_t at = line.find(" " + key + "=");
  if (at == line.npos) throw Failed("a READY line with " + key + "=", "'" + line + "'");
  const std::size_t begin = at + key.size() + 2;
  return line.substr(begin, line.find(' ', begin) - begin);
}

std::string state_of(Process& process) {
  if (const auto ended = process.wait(milliseconds(20))) return to_string(*ended);  // it may be about to
  return "it runs, " + std::to_string(process.threads()) + " threads, " +
         std::to_string(std::chrono::duration_cast<milliseconds>(process.cpu()).count()) +
         " ms of processor time so far";
}

std::string how_it_is(Process& process) {
  const std::string log = process.log();
  return state_of(process) + (log.empty() ? "" : "; it says: " + log);
}

constexpr std::size_t report_size = 2000;

/// Where in a log a sanitizer speaks; npos: nowhere.
std::size_t sanitizer_report(const std::string& log) {
  std::size_t first = log.npos;
  for (const std::string_view mark :
       {"ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "WARNING: ThreadSanitizer", "runtime error:"})
    first = std::min(first, log.find(mark));
  return first;
}

/// What a sanitizer says, or else the last lines.
std::string end_of(const std::string& log) {
  std::size_t from = sanitizer_report(log);
  if (from != log.npos) return log.substr(from, report_size);
  from = log.size();
  for (int lines = 0; lines < 6 && from != log.npos && from > 0; ++lines)
    from = log.rfind('\n', from - 1);
  return from == log.npos || from == 0 ? log : log.substr(from + 1);
}

/// For --connect: somebody must be there.
void require_an_answer(const Target& target) {
  WireLog log;
  Peer peer(log, 1, target);
  try {
    expect(peer.connected(patience()), "a connection", "no answer");
  } catch (const Failed& failed) {
    throw std::runtime_error("nobody answers at " + to_string(target) + ": " + failed.actual);
  }
}

/// Where its standard output is closed, READY cannot be read.
bool announces(const StartOptions& how) {
  return std::ranges::find(how.closed, 1) == how.closed.end();
}

/// A server without READY listens when somebody can connect. To start takes as long as ever, whatever failed.
void wait_until_it_answers(Process& process, const Target& target) {
  const Time until = Clock::now() + scaled(std::chrono::seconds(3));
  while (Clock::now() < until && process.running()) {
    WireLog log;
    Peer peer(log, 1, target);
    if (!peer.refused(milliseconds(100)) && peer.connected(Duration::zero())) return;
    process.wait(milliseconds(5));
  }
  throw Failed("a server that listens on " + to_string(target), how_it_is(process));
}

}  // namespace

std::string json_value(const std::string& json, const std::string& key) {
  const std::string name = "\"" + key + "\":";
  std::size_t at = json.find(name);
  if (at == json.npos) return {};
  at = json.find_first_not_of(' ', at + name.size());
  if (at == json.npos) return {};
  if (json[at] == '"') return json.substr(at + 1, json.find('"', at + 1) - at - 1);
  return json.substr(at, json.find_first_of(",} \n", at) - at);
}

Server::Server(Target target, std::string service)
    : target_(std::move(target)), service_(std::move(service)) {}

Server::Server(Process process, Target target, const StartOptions& how, std::string ready, bool ours)
    : target_(std::move(target)),
      service_(how.service),
      ready_(std::move(ready)),
      process_(std::move(process)),
      ours_(ours) {
  if (how.warm) warm_up();
}

Process& Server::process() {
  if (!process_) throw NotApplicable("the server's process is not ours to start, stop or look into");
  return *process_;
}

void Server::warm_up() {
  try {
    for (int client = 0; client < 2; ++client)
      expect_next_client_served(target_, service_);
  } catch (const Failed& failed) {
    throw Failed("of a server just started, " + failed.expected, failed.actual + last_words());
  }
  const Time until = Clock::now() + patience();
  Holdings seen = holdings();
  for (Time since = Clock::now(); Clock::now() < until && Clock::now() - since < scaled(milliseconds(100));) {
    process_->wait(milliseconds(5));
    const Holdings now = holdings();
    if (now != seen || !process_->asleep()) since = Clock::now();
    seen = now;
  }
  seen.descriptors = process_->note_share();
  baseline_ = seen;
  kinds_before_ = process_->kinds();
}

bool Server::returned_to_baseline() const {
  const Holdings now = holdings();
  if (ours_ && counts_are_exact()) return now == *baseline_;
  // A runtime may open a few descriptors and threads when it first needs them; a leak goes on growing.
  constexpr std::size_t few_descriptors = 8, few_threads = 16;
  return now.descriptors <= baseline_->descriptors + few_descriptors &&
         now.threads <= baseline_->threads + few_threads;
}

std::string Server::more_than_before() const {
  std::string text;
  for (const auto& [kind, count] : process_->kinds()) {
    const auto before = kinds_before_.find(kind);
    const std::size_t then = before == kinds_before_.end() ? 0 : before->second;
    if (count > then) text += ", " + std::to_string(count - then) + " more: " + kind;
  }
  return text;
}

namespace {

/// False: it is not done, and for all our patience there has not been less left than before. Thousands take their
/// time, but move.
bool comes_to_an_end(Process& process, Duration look_every, const std::function<bool()>& done,
                     const std::function<std::size_t()>& left) {
  std::size_t least = std::numeric_limits<std::size_t>::max();
  for (Time until{}; !done();) {
    if (const std::size_t now = left(); now < least)
      least = now, until = Clock::now() + patience();
    else if (Clock::now() >= until)
      return false;
    process.wait(look_every);  // nothing tells us when a descriptor is closed
  }
  return true;
}

/// On a busy machine a server that spins may get no time, but it never sleeps. One look would not do: a server that looks at
/// its clock ten times a second may be at it whenever we look.
bool falls_asleep(Process& process) {
  for (int look = 0; look < 20; ++look) {
    if (process.asleep()) return true;
    process.wait(milliseconds(3));
  }
  return false;
}

}  // namespace

void Server::expect_holdings_returned() {
  if (!baseline_) return;
  const auto left = [this] { return holdings().descriptors + holdings().threads; };
  if (comes_to_an_end(*process_, milliseconds(2), [this] { return returned_to_baseline(); }, left)) return;
  const Holdings now = holdings();
  throw Failed("what the server held before the case: " + std::to_string(baseline_->descriptors) +
                   " descriptors, " + std::to_string(baseline_->threads) + " threads",
               std::to_string(now.descriptors) + " descriptors, " + std::to_string(now.threads) + " threads" +
                   more_than_before());
}

std::size_t Server::close_waits() const {
  return std::ranges::count_if(socket_table(), [this](const TableEntry& entry) {
    return entry.local_port == target_.port && entry.state == TableEntry::State::close_wait;
  });
}

void Server::expect_closed_what_was_left() {
  std::size_t left = 0;
  const auto done = [&] { return (left = close_waits()) == 0; };
  const bool came = comes_to_an_end(process(), milliseconds(50), done, [&] { return left; });  // a long table
  expect(came, "an end of each connection whose client has gone",
         "none of " + std::to_string(left) + " in CLOSE_WAIT ends");
}

/// A moment's work after the last client is none of our business; a server that spins never has a quiet
/// interval.
void Server::expect_rest() {
  constexpr milliseconds interval(100);
  const milliseconds allowed(process().under_wine() ? 10 : 5);  // there each call is work for two processes
  Duration used{};
  bool rests = false;
  const Time until = Clock::now() + scaled(std::chrono::seconds(1));
  do {
    const Duration before = process().cpu();
    process().wait(interval);
    used = process().cpu() - before;
    rests = used < allowed && falls_asleep(process());
  } while (!rests && Clock::now() < until);
  expect(rests,
         "no work at rest (less than " + std::to_string(allowed.count()) + " ms of processor time in 100 ms)",
         std::to_string(std::chrono::duration_cast<milliseconds>(used).count()) + " ms in the last 100");
}

void Server::expect_unharmed() {
  if (process_) {
    process_->thaw();
    if (!process_->running()) throw Failed("a server that still runs", how_it_is(*process_));
  }
  expect_next_client_served(target_, service_);
  if (!process_) return;
  expect_holdings_returned();
  expect_rest();
  expect_no_sanitizer_report();
}

void Server::expect_no_sanitizer_report() const {
  const std::string log = process_ ? process_->log() : "";
  const std::size_t at = sanitizer_report(log);
  expect(at == log.npos, "a sanitizer that has nothing to say",
         at == log.npos ? "" : log.substr(at, report_size));
}

std::string Server::last_words() {
  if (!process_) return "not ours to look into\n";
  return service_ + ": " + state_of(*process_) + "\n" + end_of(process_->log());
}

Subject::Subject(SubjectOptions options) : options_(std::move(options)) {
  if (!options_.service.empty()) foreign_service_ = options_.service;
  if (options_.server.empty()) {
    require_an_answer(parse_address(options_.address));
    return;
  }
  words_ = split(options_.server);
  if (words_.empty()) throw std::runtime_error("--server takes a command");
  if (std::ranges::none_of(words_, [](const auto& word) { return word.find(port_mark) != word.npos; }))
    profile_ = ask_profile({}), ours_ = true;
  else
    try_a_start();
}

Profile Subject::ask_profile(std::vector<std::string> arguments) const {
  arguments.emplace_back("--describe");
  Process asked = run(std::move(arguments));
  const auto ended = asked.wait(patience());
  if (ended && ended->status == 127) throw std::runtime_error(asked.log());
  const std::string answer = asked.output();
  if (!ended || !ended->in_order() || json_value(answer, "model").empty())
    throw std::runtime_error(
        "'" + options_.server +
        "' does not answer --describe as a server of the ladder does. For another's, write "
        "{port} where its command takes the port");
  return {.model = json_value(answer, "model"),
          .platform = json_value(answer, "platform"),
          .clients_at_once = number_or_none(json_value(answer, "clients_at_once")),
          .ceiling = number_or_none(json_value(answer, "connections")),
          .set_by = json_value(answer, "set_by"),
          .above = json_value(answer, "above"),
          .threads = json_value(answer, "threads"),
          .service = json_value(answer, "service")};
}

void Subject::try_a_start() const {
  try {
    start_foreign({.warm = false});
  } catch (const Failed& failed) {
    throw std::runtime_error("expected " + failed.expected + ", seen: " + failed.actual);
  }
}

bool Subject::offers(std::string_view service) const {
  if (ours_ && service == "mirror") return false;  // an exercise, for sketches
  if (ours_ && !profile_.service.empty()) return profile_.service == service;
  if (ours_) return options_.service.empty() || options_.service == service;
  return foreign_service_ == service;
}

std::string Subject::name() const {
  if (!options_.name.empty()) return options_.name;
  if (!starts()) return options_.address;
  return ours_ ? profile_.model : words_.front().substr(words_.front().find_last_of("/\\") + 1);
}

std::string Subject::describe() const {
  const std::string hidden = unseen();
  return (starts() ? options_.server + " (" + profile_.model + ")" : options_.address) + ", seed " +
         std::to_string(settings().seed) + (hidden.empty() ? "" : "; not seen here: " + hidden);
}

std::string Subject::command() const {
  return settings().command + options_.command;
}

Process Subject::run(std::vector<std::string> arguments) const {
  Launch launch{.words = words_};
  std::ranges::move(arguments, std::back_inserter(launch.words));
  return Process(launch);
}

std::unique_ptr<Server> Subject::start(const StartOptions& how) const {
  if (!starts()) return std::make_unique<Server>(parse_address(options_.address), std::string(how.service));
  if (ours_) return start_ours(how);
  return start_foreign(how);
}

Process Subject::launch(const StartOptions& how) const {
  Launch launch{.words = words_,
                .closed = how.closed,
                .inherited = how.inherited,
                .gap = how.gap,
                .threads = how.threads,
                .log = how.log,
                .announces = announces(how),
                .takes_output = how.takes_output,
                .limits = how.limits};
  std::ranges::copy(how.options, std::back_inserter(launch.words));
  return Process(launch);
}

/// A self-contained server has these alone.
void Subject::require_few_options(const std::vector<std::string>& options) {
  static constexpr std::array<std::string_view, 6> few = {
      "--port", "--host", "--max-connections", "--idle-timeout", "--write-timeout", "--drain-timeout"};
  for (const std::string& option : options)
    if (option.starts_with("--") && std::ranges::find(few, option) == few.end())
      throw NotApplicable("the server has no " + option);
}

std::unique_ptr<Server> Subject::start_ours(StartOptions how) const {
  const std::uint16_t port = announces(how) ? 0 : free_port();
  how.options.insert(how.options.begin(), {"--port", std::to_string(port)});
  if (!profile_.service.empty() && profile_.service != how.service)
    throw NotApplicable("the service " + std::string(how.service) + " is not offered");
  if (profile_.service.empty())
    how.options.insert(how.options.begin(), {"--service", std::string(how.service)});
  else
    require_few_options(how.options);
  Process process = launch(how);
  if (!announces(how)) {
    const Target target{"127.0.0.1", port};
    wait_until_it_answers(process, target);
    return std::make_unique<Server>(std::move(process), target, how, "", true);
  }
  const auto ready = process.line(patience());
  if (!ready || !ready->starts_with("READY "))
    throw Failed("a READY line", ready ? "'" + *ready + "'" : "none; " + how_it_is(process));
  const Target target{field(*ready, "host"), static_cast<std::uint16_t>(std::stoul(field(*ready, "port")))};
  return std::make_unique<Server>(std::move(process), target, how, *ready, true);
}

std::unique_ptr<Server> Subject::start_foreign(const StartOptions& how) const {
  const Target target{"127.0.0.1", free_port()};
  Launch launch{.words = words_, .log = how.log, .announces = false, .limits = how.limits};
  for (std::string& word : launch.words)
    word = replaced(word, target.port);
  Process process(launch);
  wait_until_it_answers(process, target);
  return std::make_unique<Server>(std::move(process), target, how, "", false);
}

}  // namespace conformance
