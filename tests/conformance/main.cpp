// conformance: a black box that judges a TCP server. docs/conformance.md says how to point it at your own.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iostream>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "common/program/arguments.h"
#include "tests/conformance/platform.h"
#include "tests/conformance/report.h"
#include "tests/conformance/subject.h"
#include "tests/conformance/suite.h"

namespace {

using namespace conformance;
using ladder::Argument;
using ladder::BadArgument;

double factor(std::string_view text) {
  const std::optional<double> value = ladder::decimal(text);
  if (!value || *value < 0.1 || *value > 1000)
    throw BadArgument("--timeout-scale takes a number from 0.1 to 1000, not '" + std::string(text) + "'");
  return *value;
}

/// "CLOSE-02 reason, to the end of the line"; # begins a comment.
void read_limits(SubjectOptions& into, std::string_view name) {
  std::ifstream file{std::string(name)};
  if (!file) throw BadArgument("--expect: cannot read '" + std::string(name) + "'");
  std::string line;
  while (std::getline(file, line)) {
    if (line.empty() || line.starts_with('#')) continue;
    const std::size_t space = line.find(' ');
    if (space == line.npos) throw BadArgument("--expect: no reason in '" + line + "'");
    into.limits[line.substr(0, space)] = line.substr(space + 1);
  }
}

void store_stop(SubjectOptions& into, std::string_view text) {
  if (text != "SIGTERM") throw BadArgument("--stops-on takes SIGTERM, not '" + std::string(text) + "'");
  into.stops_on_sigterm = true;
}

/// A file to write a report to, opened before anything is judged.
class ReportFile {
 public:
  void open(std::string_view name) {
    name_ = name;
    file_.open(name_, std::ios::binary);
    check();
  }
  void write(void (*as)(std::ostream&, std::span<const Result>), std::span<const Result> results) {
    if (!file_.is_open()) return;
    as(file_, results);
    file_.close();
    check();
  }

 private:
  void check() const {
    if (!file_) throw BadArgument("cannot write " + name_ + ": " + std::generic_category().message(errno));
  }
  std::string name_{};
  std::ofstream file_{};
};

/// What the command line says beside the settings.
struct CommandLine {
  bool help = false;
  SubjectOptions common{};  ///< what stands before the first subject holds for each
  std::vector<SubjectOptions> subjects{};
  std::vector<char*> doctests{};
  ReportFile html{}, junit{};

  SubjectOptions& subject() { return subjects.empty() ? common : subjects.back(); }
};

std::string as_typed(std::string_view name, std::string_view text) {
  return " " + std::string(name) + (text.empty() ? "" : " " + quoted(std::string(text)));
}

/// A setting of the whole run.
Argument setting(std::string_view name, std::string_view value, std::string_view help,
                 void (*store)(Settings&, std::string_view)) {
  return {name, value, help, [name, store](std::string_view text) {
            store(settings(), text);
            settings().command += as_typed(name, text);
          }};
}

/// An option of the subject that it follows.
Argument option(CommandLine& line, std::string_view name, std::string_view value, std::string_view help,
                void (*store)(SubjectOptions&, std::string_view)) {
  return {name, value, help, [&line, name, store](std::string_view text) {
            store(line.subject(), text);
            line.subject().command += as_typed(name, text);
          }};
}

/// Begins a subject.
Argument subject(CommandLine& line, std::string_view name, std::string_view value, std::string_view help,
                 std::string SubjectOptions::* where) {
  return {name, value, help, [&line, name, where](std::string_view text) {
            line.subjects.push_back(line.common);
            line.subject().*where = text;
            line.subject().command += as_typed(name, text);
          }};
}

std::vector<Argument> table(CommandLine& line) {
  using Text = std::string_view;
  return {
      subject(line, "--server", "CMD",
              "start this and judge it; {port} in it: another's server, which is told its port so",
              &SubjectOptions::server),
      subject(line, "--connect", "HOST:PORT", "judge a server that already runs there",
              &SubjectOptions::address),
      option(line, "--name", "NAME", "what the server is called in the reports",
             [](SubjectOptions& into, Text text) { into.name = text; }),
      option(line, "--service", "NAME", "what it serves (another's: echo; ours: each in turn)",
             [](SubjectOptions& into, Text text) { into.service = text; }),
      option(line, "--stops-on", "SIGTERM", "another's server: hold it to an orderly end, too", store_stop),
      option(line, "--expect", "FILE",
             "cases that must fail, with the reason: a line each, such as: CLOSE-02 no half-close",
             read_limits),
      setting("--seed", "N", "of all that is random (1)",
              [](Settings& into, Text text) { into.seed = ladder::number("--seed", text, 0, 1'000'000); }),
      setting("--timeout-scale", "F", "stretch all patience, for slow machines and sanitizers (1)",
              [](Settings& into, Text text) { into.scale = factor(text); }),
      setting("--strict", "", "what could only be recorded (INFO) fails",
              [](Settings& into, Text) { into.strict = true; }),
      {"--html", "FILE", "write a page: the grid, and behind each cell the wire log",
       [&line](Text text) { line.html.open(text); }},
      {"--junit", "FILE", "write JUnit's XML, with every case in it",
       [&line](Text text) { line.junit.open(text); }},
      {"--help", "", "print this and exit", [&line](Text) { line.help = true; }},
  };
}

/// doctest's own switches are one word each: -tc="CLOSE-01*", --list-test-cases.
bool is_doctests(std::string_view word) {
  constexpr std::array<std::string_view, 15> names{
      "list",      "count", "test-case", "test-suite",  "source-file", "reporters", "out", "order-by",
      "rand-seed", "first", "last",      "abort-after", "duration",    "no-",       "dt-"};
  if (!word.starts_with("--")) return word.starts_with('-');
  word.remove_prefix(2);
  return std::ranges::any_of(names, [&](std::string_view name) { return word.starts_with(name); });
}

CommandLine read_command_line(std::span<char*> words) {
  CommandLine line;
  std::vector<char*> ours;
  line.doctests.push_back(words.front());
  settings().command = quoted(words.front());
  for (char* word : words.subspan(1))
    (is_doctests(word) ? line.doctests : ours).push_back(word);
  if (const auto rest = ladder::parse(ours, table(line)); !rest.empty())
    throw BadArgument("unexpected argument '" + std::string(rest.front()) + "' (--help lists the options)");
  return line;
}

std::vector<Subject> find_subjects(const CommandLine& line) {
  if (line.subjects.empty())
    throw BadArgument("what shall be judged? Give --server CMD or --connect HOST:PORT (--help explains)");
  // A server that --connect reaches is not in a network of ours.
  if (std::ranges::all_of(line.subjects, [](const auto& each) { return each.address.empty(); }))
    settings().private_network = enter_private_network();
  return {line.subjects.begin(), line.subjects.end()};
}

int play(CommandLine& line) {
  doctest::Context context;
  context.setOption("reporters", "none");  // the table is ours
  context.applyCommandLine(static_cast<int>(line.doctests.size()), line.doctests.data());
  const bool query = std::ranges::any_of(line.doctests, [](std::string_view word) {
    return word.starts_with("--list") || word.starts_with("--count") || word == "-ltc" || word == "-c";
  });
  if (query) return context.run();
  const std::vector<Result> results = judge_all(find_subjects(line), [&context] { context.run(); });
  if (results.size() > 1) print_grid(std::cout, results);
  line.html.write(write_html, results);
  line.junit.write(write_junit, results);
  return std::ranges::all_of(results, nothing_failed) ? EXIT_SUCCESS : EXIT_FAILURE;
}

void print_help(CommandLine& line) {
  std::cout << "Judges a TCP server by what it does, or several in turn. Options:\n"
            << ladder::help(table(line)) << "and doctest's, such as -tc='CLOSE-01*' and --list-test-cases\n"
            << "The options from --name to --expect are for the server that they follow.\n";
}

}  // namespace

int main(int argc, char** argv) {
  try {
    prepare_console();
    CommandLine line = read_command_line({argv, static_cast<std::size_t>(argc)});
    int status = EXIT_SUCCESS;
    line.help ? print_help(line) : void(status = play(line));
    if (!std::cout.flush()) throw std::runtime_error("standard output cannot be written");
    return status;
  } catch (const std::exception& error) {
    std::cerr << error.what() + std::string("\n");
    return 2;
  }
}
