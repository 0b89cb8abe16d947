// conformance: a black box that judges a TCP server. docs/conformance.md says how to point it at your own.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <iostream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/arguments.h"
#include "tests/conformance/platform.h"
#include "tests/conformance/suite.h"

namespace {

using namespace conformance;
using ladder::Argument;
using ladder::BadArgument;

double factor(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 0.1 || value > 1000)
    throw BadArgument("--timeout-scale takes a number from 0.1 to 1000, not '" + std::string(text) + "'");
  return value;
}

/// "CLOSE-02 reason, to the end of the line"; # begins a comment.
void read_limits(std::string_view name, Settings& into) {
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

void store_stop(std::string_view text, Settings& into) {
  if (text != "SIGTERM") throw BadArgument("--stops-on takes SIGTERM, not '" + std::string(text) + "'");
  into.stops_on_sigterm = true;
}

std::vector<Argument> table(Settings& into, bool& help) {
  return {
      {"--server", "CMD",
       "start this and judge it; {port} in it: another's server, which is told its port so",
       [&into](std::string_view text) { into.server = text; }},
      {"--connect", "HOST:PORT", "judge a server that already runs there",
       [&into](std::string_view text) { into.address = text; }},
      {"--service", "NAME", "what it serves (another's: echo; ours: each in turn)",
       [&into](std::string_view text) { into.service = text; }},
      {"--stops-on", "SIGTERM", "another's server: hold it to an orderly end, too",
       [&into](std::string_view text) { store_stop(text, into); }},
      {"--expect", "FILE",
       "cases that must fail, with the reason: a line each, such as: CLOSE-02 no half-close",
       [&into](std::string_view text) { read_limits(text, into); }},
      {"--seed", "N", "of all that is random (1)",
       [&into](std::string_view text) { into.seed = ladder::number("--seed", text, 0, 1'000'000); }},
      {"--timeout-scale", "F", "stretch all patience, for slow machines and sanitizers (1)",
       [&into](std::string_view text) { into.scale = factor(text); }},
      {"--strict", "", "what could only be recorded (INFO) fails",
       [&into](std::string_view) { into.strict = true; }},
      {"--help", "", "print this and exit", [&help](std::string_view) { help = true; }},
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

/// Splits the command line between the two, and stores ours.
std::vector<char*> read_command_line(std::span<char*> words, Settings& into, bool& help) {
  std::vector<char*> ours, doctests{words.front()};
  into.rerun = quoted(words.front());
  for (char* word : words.subspan(1)) {
    const bool theirs = is_doctests(word);
    (theirs ? doctests : ours).push_back(word);
    if (!theirs) into.rerun += " " + quoted(word);
  }
  if (const auto rest = ladder::parse(ours, table(into, help)); !rest.empty())
    throw BadArgument("unexpected argument '" + std::string(rest.front()) + "' (--help lists the options)");
  return doctests;
}

void require_one_subject(const Settings& all) {
  if (all.server.empty() == all.address.empty())
    throw BadArgument("what is to be judged? Give --server CMD or --connect HOST:PORT (--help explains)");
}

int play(std::span<char*> doctests_words, Settings& all) {
  doctest::Context context;
  context.setOption("reporters", "none");  // the table is ours
  context.applyCommandLine(static_cast<int>(doctests_words.size()), doctests_words.data());
  const bool query = std::ranges::any_of(doctests_words, [](std::string_view word) {
    return word.starts_with("--list") || word.starts_with("--count") || word == "-ltc" || word == "-c";
  });
  if (query) return context.run();
  require_one_subject(all);
  if (!all.server.empty()) all.private_network = enter_private_network();
  open_subject();
  context.run();
  return report() ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    prepare_console();
    bool help = false;
    Settings& all = settings();
    std::vector<char*> doctests = read_command_line({argv, static_cast<std::size_t>(argc)}, all, help);
    if (help) {
      std::cout << "Judges a TCP server by what it does. Options:\n"
                << ladder::help(table(all, help))
                << "and doctest's, such as -tc='CLOSE-01*' and --list-test-cases\n";
      return EXIT_SUCCESS;
    }
    return play(doctests, all);
  } catch (const std::exception& error) {
    std::cerr << error.what() + std::string("\n");
    return 2;
  }
}
