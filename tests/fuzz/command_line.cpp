// The bytes are a command line: the first says which options the model has, then come its words, each ended by a 0.
// A plain reading of the same words must take the same, and come to the same values.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/os/os.h"
#include "common/program/arguments.h"
#include "common/program/options.h"
#include "tests/fuzz/fuzz.h"
#include <ladder/server.h>

namespace {

using namespace ladder;
using fuzz::require;

using Words = std::vector<std::string>;
using Values =
    std::map<std::string, std::string>;  // by option; of one given twice the last, of a switch none

Words words_of(std::string_view input) {
  Words words;
  while (!input.empty()) {
    const std::size_t end = std::min(input.find('\0'), input.size());
    words.emplace_back(input.substr(0, end));
    input.remove_prefix(std::min(end + 1, input.size()));
  }
  return words;
}

constexpr std::uint64_t most_milliseconds = 86'400'000;
const std::map<std::string, std::uint64_t> numbers{{"--port", 65535},
                                                   {"--max-connections", 1'000'000},
                                                   {"--backlog", 65535},
                                                   {"--idle-timeout", most_milliseconds},
                                                   {"--write-timeout", most_milliseconds},
                                                   {"--close-timeout", most_milliseconds},
                                                   {"--keep-alive", most_milliseconds},
                                                   {"--drain-timeout", most_milliseconds},
                                                   {"--threads", 1024}};

bool is_number(std::string text, std::uint64_t most) {
  if (text.empty() || text.find_first_not_of("0123456789") != text.npos) return false;
  text.erase(0, std::min(text.find_first_not_of('0'), text.size() - 1));
  return text.size() <= 18 && std::stoull(text) <= most;
}

bool is_value(const std::string& option, const std::string& text) {
  if (option == "--host") return os::is_numeric_address(text);
  if (option == "--queue") return text == "shared" || text == "per-worker";
  return option == "--service" || is_number(text, numbers.at(option));
}

/// Nothing: the words must be refused.
std::optional<Values> read_plainly(const Words& words, const Profile& profile) {
  Values values;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::size_t equals = words[i].find('=');
    const std::string option = words[i].substr(0, equals);
    if (option == "--stats" || option == "--describe" || option == "--version" || option == "--help") {
      if (equals != words[i].npos) return {};
      values[option];
      continue;
    }
    if (!numbers.contains(option) && option != "--host" && option != "--queue" && option != "--service")
      return {};
    if ((option == "--threads" && !profile.takes_threads) || (option == "--queue" && !profile.takes_queue))
      return {};
    if (equals == words[i].npos && i + 1 == words.size()) return {};
    const std::string value = equals == words[i].npos ? words[++i] : words[i].substr(equals + 1);
    if (!is_value(option, value)) return {};
    values[option] = value;
  }
  return values;
}

std::optional<CommandLine> parsed(Words words, const Profile& profile) {
  words.insert(words.begin(), "server");
  std::vector<char*> argv;
  argv.reserve(words.size());
  for (std::string& word : words)
    argv.push_back(word.data());
  try {
    return parse_command_line(static_cast<int>(argv.size()), argv.data(), profile);
  } catch (const BadArgument& error) {
    require(!std::string_view(error.what()).empty(), "a refusal says why");
    return {};
  }
}

void compare(const CommandLine& line, const Values& values) {
  const auto same = [&values](const std::string& option, std::uint64_t seen, std::uint64_t otherwise) {
    const auto given = values.find(option);
    const std::uint64_t due = given == values.end() ? otherwise : std::stoull(given->second);
    require(seen == due, option + " is " + std::to_string(due) + ", not " + std::to_string(seen));
  };
  const auto text = [&values](const std::string& option, const std::string& seen,
                              const std::string& otherwise) {
    const auto given = values.find(option);
    const std::string& due = given == values.end() ? otherwise : given->second;
    require(seen == due, option + " is " + due + ", not " + seen);
  };
  const Options& options = line.options;
  same("--port", options.port, 0);
  same("--max-connections", options.max_connections, 0);
  same("--backlog", static_cast<std::uint64_t>(options.backlog), 0);
  same("--idle-timeout", static_cast<std::uint64_t>(options.idle_timeout.count()), 0);
  same("--write-timeout", static_cast<std::uint64_t>(options.write_timeout.count()), 30'000);
  same("--close-timeout", static_cast<std::uint64_t>(options.close_timeout.count()), 5'000);
  same("--keep-alive", static_cast<std::uint64_t>(options.keep_alive.count()), 60'000);
  same("--drain-timeout", static_cast<std::uint64_t>(line.drain.count()), 5'000);
  same("--threads", options.threads, 0);
  text("--service", line.service, "echo");
  text("--host", options.host, "127.0.0.1");
  text("--queue", options.queue == Queue::shared ? "shared" : "per-worker", "shared");
  require(line.stats == values.contains("--stats") && line.describe == values.contains("--describe") &&
              line.version == values.contains("--version") && line.help == values.contains("--help"),
          "a switch is on if it is given");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view input = fuzz::text(data, size);
  const unsigned switches = fuzz::take(input);
  const Profile profile{
      .model = "any", .takes_threads = (switches & 1) != 0, .takes_queue = (switches & 2) != 0};
  const Words words = words_of(input);
  const std::optional<Values> due = read_plainly(words, profile);
  const std::optional<CommandLine> seen = parsed(words, profile);
  require(seen.has_value() == due.has_value(), due ? "these words are taken" : "these words are refused");
  if (seen) compare(*seen, *due);
  return 0;
}
