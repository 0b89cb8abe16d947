// A soak: servers under all kinds of clients at once, for minutes, in rounds. After each round all clients have left:
// then a server holds what it held at first, rests, and serves the next one. Its memory at rest must not grow from
// the middle third of the rounds to the last, and at the end its sums must be those of its clients.
//
//   soak                  ten minutes
//   soak --minutes 0.2
//   soak --only 03        the servers whose command has this in it
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <iomanip>
#include <iostream>
#include <memory>
#include <mutex>
#include <optional>
#include <ratio>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "common/program/arguments.h"
#include "tests/conformance/expect.h"
#include "tests/conformance/platform.h"
#include "tests/conformance/subject.h"
#include "tests/conformance/suite.h"
#include "tests/soak/traffic.h"

namespace conformance {

Settings& settings() {
  static Settings the_settings{.scale = 4};  // all servers share the processors
  return the_settings;
}

}  // namespace conformance

namespace soak {
namespace {

using namespace conformance;

constexpr std::size_t KiB = 1024;

struct CommandLine {
  double minutes = 10;
  std::string only{};
  std::uint64_t seed = 1;
  bool help = false;
};

/// A server, its clients, and what has been seen of them.
class Stand {
 public:
  Stand(std::string command, std::string kind) : command_(std::move(command)), kind_(std::move(kind)) {}

  void run(const CommandLine&);  ///< does not throw: failures() says what went wrong
  const std::vector<std::string>& failures() const { return failures_; }
  void print_row(std::ostream&) const;

 private:
  void start();
  void play_round(std::uint64_t seed, Duration);
  void play(const Role&, std::uint64_t seed, Time until);
  void play_in_turns(std::uint64_t seed, Duration);
  void check_at_rest();
  void check_memory();
  void check_sums();
  void failed(const std::string& what, const std::string& details);
  std::uint64_t memory_in_third(std::size_t third) const;

  std::string command_, kind_;
  bool alone_ = false;  // it has time for one client
  std::unique_ptr<Server> server_{};
  std::uint64_t probes_ = 0;  // our own clients, of one byte each
  Tally tally_{};
  std::vector<std::uint64_t> memory_{};  // after each round
  std::mutex mutex_{};
  std::vector<std::string> failures_{};
};

void Stand::start() {
  const Subject subject({.server = beside_us(command_)});
  alone_ = subject.profile().clients_at_once == 1;
  std::vector<std::string> options{"--stats"};
  if (kind_ == "timeouts")
    options.insert(options.end(), {"--idle-timeout", "1000", "--write-timeout", "1000"});
  server_ = subject.start({.service = kind_ == "timeouts" ? "echo" : kind_, .options = options});
  probes_ = 2;
}

void Stand::failed(const std::string& what, const std::string& details) {
  const std::lock_guard lock(mutex_);
  failures_.push_back(command_ + ", " + kind_ + ": " + what + "\n" + details);
  std::cerr << failures_.back() + "\n";
}

void Stand::play(const Role& role, std::uint64_t seed, Time until) {
  Visitor visitor(*server_, tally_, seed, alone_, until);
  try {
    do {
      const Time begun = Clock::now();
      role.play(visitor);
      visitor.forget();
      // A break as long as the visit: else those who want least would take all of the processors.
      std::this_thread::sleep_for(std::min(visitor.left(), Clock::now() - begun));
    } while (!visitor.over());
  } catch (const std::exception& error) {
    failed(std::string(role.name) + ": " + error.what(), visitor.wire());
  }
}

void Stand::play_in_turns(std::uint64_t seed, Duration time) {
  const std::vector<Role> roles = roles_of(kind_);
  for (const Role& role : roles)
    play(role, ++seed, Clock::now() + time / roles.size());
}

void Stand::play_round(std::uint64_t seed, Duration time) {
  if (alone_) return play_in_turns(seed, time);
  std::vector<std::jthread> threads;
  for (const Role& role : roles_of(kind_))
    threads.emplace_back(
        [this, role, seed = ++seed, until = Clock::now() + time] { play(role, seed, until); });
}

void Stand::check_at_rest() {
  server_->expect_holdings_returned();  // first: the next in a chat would hear what these have said
  server_->expect_unharmed();
  ++probes_;
  memory_.push_back(server_->process().memory());
}

std::uint64_t Stand::memory_in_third(std::size_t third) const {
  const auto from = memory_.begin() + static_cast<std::ptrdiff_t>(memory_.size() * third / 3);
  std::vector<std::uint64_t> part(
      from, memory_.begin() + static_cast<std::ptrdiff_t>(memory_.size() * (third + 1) / 3));
  const auto middle = part.begin() + static_cast<std::ptrdiff_t>(part.size() / 2);
  std::ranges::nth_element(part, middle);
  return *middle;
}

void Stand::check_memory() {
  if (server_->process().sanitized()) return;               // a sanitizer keeps what was freed
  constexpr std::uint64_t allowed = 8, grain = 1024 * KiB;  // pools grow with the most that came at once
  const std::uint64_t clients = tally_.clients / 3, middle = memory_in_third(1), last = memory_in_third(2);
  expect(last <= middle + grain + allowed * clients, "memory at rest that does not grow",
         std::to_string(middle / KiB) + " KiB, then " + std::to_string(last / KiB) + " KiB, with " +
             std::to_string(clients) + " clients between");
}

void Stand::check_sums() {
  Process& process = server_->process();
  process.stop();
  expect_exit_in_order(process, patience());
  server_->expect_no_sanitizer_report();
  const std::string stats = process.output();
  expect(stats.starts_with('{'), "statistics", "'" + stats + "'");
  const auto count = [&stats](const std::string& key) { return std::stoull(json_value(stats, key)); };
  std::uint64_t closed = 0;
  for (const char* const reason :
       {"peer", "local", "reset", "idle_timeout", "write_timeout", "stopping", "exception", "error"})
    closed += count(reason);
  expect(count("accepted") == closed && count("active") == 0, "as many closed as accepted", stats);
  const std::uint64_t came = tally_.clients + probes_;
  expect(count("accepted") >= came, std::to_string(came) + " accepted, and wrk's", stats);
  expect(count("exception") == 0 && count("error") == 0, "no exception, no error", stats);
  if (server_->service() != "echo") return;
  expect(count("accepted") == came, std::to_string(came) + " accepted", stats);
  // Between the two lies what it had not yet sent back to those who were cut off.
  const std::uint64_t least = tally_.received + probes_, most = tally_.sent + probes_;
  expect(least <= count("bytes_out") && count("bytes_out") <= count("bytes_in") && count("bytes_in") <= most,
         std::to_string(least) + " <= bytes_out <= bytes_in <= " + std::to_string(most), stats);
}

void Stand::run(const CommandLine& line) {
  const std::chrono::duration<double, std::ratio<60>> time(line.minutes);
  const auto rounds = std::max<std::size_t>(3, static_cast<std::size_t>(time / std::chrono::seconds(20)));
  try {
    start();
    for (std::size_t round = 0; round < rounds && failures_.empty(); ++round) {
      play_round(line.seed * 1'000'000 + round * 100, std::chrono::duration_cast<Duration>(time / rounds));
      check_at_rest();
    }
    if (!failures_.empty()) return;
    check_memory();
    check_sums();
  } catch (const std::exception& error) {
    failed(error.what(), server_ ? server_->last_words() : "");
  }
}

void Stand::print_row(std::ostream& out) const {
  const auto megabytes = static_cast<double>(tally_.received) / 1e6;
  out << std::left << std::setw(30) << command_ << std::setw(10) << kind_ << std::right << std::setw(9)
      << tally_.clients << std::setw(10) << std::fixed << std::setprecision(1) << megabytes;
  for (std::size_t third = 0; third < 3; ++third)
    out << std::setw(9) << (memory_.size() < 3 ? 0 : memory_in_third(third) / KiB);
  out << "  " << (failures_.empty() ? "ok" : "FAILED") << '\n';
}

ladder::Argument decimal(std::string_view name, std::string_view help, double& into) {
  return {name, "N", help, [=, &into](std::string_view text) {
            const std::optional<double> value = ladder::decimal(text);
            if (!value || *value < 0.05 || *value > 1e4)
              throw ladder::BadArgument(std::string(name) + " takes a number such as 10 or 0.2, not '" +
                                        std::string(text) + "'");
            into = *value;
          }};
}

CommandLine read_command_line(std::span<char*> words) {
  CommandLine line;
  const std::vector<ladder::Argument> table{
      decimal("--minutes", "how long it lasts (10)", line.minutes),
      {"--only", "TEXT", "the servers whose command has this in it",
       [&line](std::string_view text) { line.only = text; }},
      {"--seed", "N", "of all that is random (1)",
       [&line](std::string_view text) { line.seed = ladder::number("--seed", text, 0, 1'000'000); }},
      decimal("--timeout-scale", "stretch all patience, for slow machines and sanitizers (4)",
              settings().scale),
      {"--help", "", "print this and exit", [&line](std::string_view) { line.help = true; }},
  };
  if (!ladder::parse(words.subspan(1), table).empty())
    throw ladder::BadArgument("soak takes options only (--help lists them)");
  if (line.help) std::cout << "Servers under all kinds of clients at once. Options:\n" << ladder::help(table);
  return line;
}

int soak(const CommandLine& line) {
  std::vector<std::unique_ptr<Stand>> stands;
  for (const char* const command :
       {"01_blocking", "02_thread_per_conn", "03_select", "05_epoll", "05_epoll --queue per-worker"})
    for (const char* const kind : {"echo", "http", "chat", "timeouts"})
      if (std::string_view(command).find(line.only) != std::string_view::npos &&
          (command[1] != '1' || kind[0] == 'e'))
        stands.push_back(std::make_unique<Stand>(command, kind));
  if (stands.empty()) throw ladder::BadArgument("no server's command has '" + line.only + "' in it");
  enter_private_network();  // or, where that is not allowed, in this machine's
  // What is freed goes back to the system, so that what stays is seen (mallopt(3)).
  setenv("MALLOC_ARENA_MAX", "1", 1);
  setenv("MALLOC_MMAP_THRESHOLD_", "16384", 1);
  {
    std::vector<std::jthread> threads;
    for (const auto& stand : stands)
      threads.emplace_back([&stand, &line] { stand->run(line); });
  }
  std::cout
      << "server                        service     clients  received   memory at rest, KiB, by thirds\n";
  for (const auto& stand : stands)
    stand->print_row(std::cout);
  return std::ranges::all_of(stands, [](const auto& stand) { return stand->failures().empty(); })
             ? EXIT_SUCCESS
             : EXIT_FAILURE;
}

}  // namespace
}  // namespace soak

int main(int argc, char** argv) {
  try {
    const soak::CommandLine line = soak::read_command_line({argv, static_cast<std::size_t>(argc)});
    const int status = line.help ? EXIT_SUCCESS : soak::soak(line);
    if (!std::cout.flush()) throw std::runtime_error("standard output cannot be written");
    return status;
  } catch (const std::exception& error) {
    std::cerr << error.what() + std::string("\n");
    return 2;
  }
}
