// A server's command line: what it takes, what it refuses, what it prints.
#include "common/program/options.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/program/arguments.h"
#include <ladder/server.h>

namespace {

using namespace ladder;

const Profile plain{
    .model = "select", .ceiling = 1021, .set_by = "FD_SETSIZE", .above = "close", .threads = "one"};
const Profile pool{.model = "epoll", .takes_threads = true, .takes_queue = true};

CommandLine parsed(std::vector<std::string> words, const Profile& profile = pool) {
  words.insert(words.begin(), "server");
  std::vector<char*> argv;
  argv.reserve(words.size());
  for (std::string& word : words)
    argv.push_back(word.data());
  return parse_command_line(static_cast<int>(argv.size()), argv.data(), profile);
}

/// The one line that the words earn, or nothing if they are taken.
std::string refused(const std::vector<std::string>& words, const Profile& profile = pool) {
  try {
    parsed(words, profile);
  } catch (const BadArgument& error) {
    return error.what();
  }
  return {};
}

}  // namespace

TEST_CASE("options: what is not said has its default") {
  const CommandLine line = parsed({});
  CHECK(line.service == "echo");
  CHECK(line.options.host == "127.0.0.1");
  CHECK(line.options.port == 0);
  CHECK(line.options.max_connections == 0);
  CHECK(line.options.idle_timeout == Milliseconds(0));
  CHECK(line.options.write_timeout == Milliseconds(30'000));
  CHECK(line.options.close_timeout == Milliseconds(5'000));
  CHECK(line.drain == Milliseconds(5'000));
  CHECK(line.options.backlog == 0);
  CHECK(line.options.threads == 0);
  CHECK(line.options.queue == Queue::shared);
  CHECK_FALSE((line.stats || line.describe || line.version || line.help));
}

TEST_CASE("options: each is stored where it belongs") {
  const CommandLine line = parsed({"--service",
                                   "chat",
                                   "--host",
                                   "::1",
                                   "--port",
                                   "65535",
                                   "--backlog",
                                   "9",
                                   "--idle-timeout",
                                   "1",
                                   "--write-timeout",
                                   "2",
                                   "--threads",
                                   "3",
                                   "--close-timeout",
                                   "4",
                                   "--keep-alive",
                                   "5",
                                   "--drain-timeout",
                                   "0",
                                   "--queue",
                                   "per-worker",
                                   "--max-connections=10",
                                   "--stats",
                                   "--describe",
                                   "--version",
                                   "--help"});
  CHECK(line.service == "chat");
  CHECK(line.options.host == "::1");
  CHECK(line.options.port == 65535);
  CHECK(line.options.backlog == 9);
  CHECK(line.options.idle_timeout == Milliseconds(1));
  CHECK(line.options.write_timeout == Milliseconds(2));
  CHECK(line.options.threads == 3);
  CHECK(line.options.close_timeout == Milliseconds(4));
  CHECK(line.options.keep_alive == Milliseconds(5));
  CHECK(line.drain == Milliseconds(0));
  CHECK(line.options.queue == Queue::per_worker);
  CHECK(line.options.max_connections == 10);
  CHECK((line.stats && line.describe && line.version && line.help));
}

TEST_CASE("options: given twice, the last counts") {
  CHECK(parsed({"--port", "1", "--port=2"}).options.port == 2);
  CHECK(parsed({"--queue", "per-worker", "--queue", "shared"}).options.queue == Queue::shared);
}

TEST_CASE("options: bad arguments earn one line that names them") {
  struct Bad {
    std::vector<std::string> words;
    std::string named;
  };
  const std::vector<Bad> table{
      {{"--port"}, "--port needs a value"},
      {{"--port", ""}, "--port"},
      {{"--port", "65536"}, "65535"},
      {{"--port", "-1"}, "'-1'"},
      {{"--port", "+1"}, "'+1'"},
      {{"--port", "80x"}, "'80x'"},
      {{"--port", " 80"}, "' 80'"},
      {{"--port", "99999999999999999999"}, "65535"},
      {{"--port", "1", "--port", "x"}, "'x'"},
      {{"--port", "x", "--port", "1"}, "'x'"},
      {{"--host", "localhost"}, "numeric"},
      {{"--host", "127.0.0.1.1"}, "--host"},
      {{"--host", ""}, "--host"},
      {{"--host", "127.0.0.1:80"}, "--host"},
      {{"--host", "[::1]"}, "--host"},
      {{"--backlog", "65536"}, "--backlog"},
      {{"--max-connections", "-5"}, "--max-connections"},
      {{"--max-connections", "1000001"}, "1000000"},
      {{"--idle-timeout", "86400001"}, "86400000"},
      {{"--write-timeout", "1.5"}, "--write-timeout"},
      {{"--close-timeout", "1s"}, "--close-timeout"},
      {{"--keep-alive", "86400001"}, "86400000"},
      {{"--drain-timeout", "never"}, "--drain-timeout"},
      {{"--threads", "1025"}, "1024"},
      {{"--queue", "both"}, "'both'"},
      {{"--stats=1"}, "--stats takes no value"},
      {{"--no-such-thing"}, "--no-such-thing"},
      {{"--Port", "1"}, "--Port"},
      {{"-h"}, "'-h'"},
      {{"8080"}, "'8080'"},
      {{"--"}, "--"},
  };
  for (const Bad& bad : table) {
    CAPTURE(bad.words);
    const std::string text = refused(bad.words);
    CAPTURE(text);
    CHECK(text.find(bad.named) != text.npos);
    CHECK(text.find('\n') == text.npos);
  }
}

TEST_CASE("options: what a model has no use for, it does not know") {
  CHECK(refused({"--threads", "2"}, plain).find("unknown option --threads") == 0);
  CHECK(refused({"--queue", "shared"}, plain).find("unknown option --queue") == 0);
  CHECK(usage(plain).find("--threads") == std::string::npos);
  CHECK(usage(pool).find("--threads") != std::string::npos);
  for (const std::string_view name : {"--service", "--host", "--port", "--max-connections", "--idle-timeout",
                                      "--write-timeout", "--close-timeout", "--keep-alive", "--drain-timeout",
                                      "--backlog", "--stats", "--describe", "--version", "--help"})
    CHECK(usage(plain).find(name) != std::string::npos);
}

TEST_CASE("options: --describe is the profile and the timeouts, as JSON") {
  const std::string text = describe(plain, parsed({"--idle-timeout", "7", "--drain-timeout", "0"}, plain));
  const std::string start = R"({"model":"select","platform":")";
  CHECK(text.find(start) == 0);
  CHECK(
      text.substr(text.find('"', start.size())) ==
      R"(","clients_at_once":null,"ceiling":{"connections":1021,"set_by":"FD_SETSIZE","above":"close"},)"
      R"("threads":"one","timeouts":{"idle_ms":7,"write_ms":30000,"close_ms":5000,"keep_alive_ms":60000,"drain_ms":0}})");
  CHECK(describe({.model = "blocking", .clients_at_once = 1}, {})
            .find(R"("clients_at_once":1,"ceiling":{"connections":null,)") != std::string::npos);
}

TEST_CASE("options: --stats is what was counted, as JSON") {
  Stats stats{.accepted = 10, .refused = 1, .active = 2, .peak = 5, .bytes_in = 1ull << 40, .bytes_out = 3};
  for (std::size_t i = 0; i < close_reasons; ++i)
    stats.closed[i] = i;
  CHECK(to_json(stats) ==
        R"({"accepted":10,"refused":1,"active":2,"peak":5,"closed":{"peer":0,"local":1,"reset":2,)"
        R"("idle_timeout":3,"write_timeout":4,"stopping":5,"exception":6,"error":7},)"
        R"("bytes_in":1099511627776,"bytes_out":3})");
}

TEST_CASE("arguments: a decimal number is all of the text, and nothing but digits, a dot and an exponent") {
  struct Spelling {
    std::string_view text;
    double value;
  };
  for (const auto& [text, value] : {Spelling{"0", 0.0},
                                    {"2", 2.0},
                                    {"0.5", 0.5},
                                    {".5", 0.5},
                                    {"5.", 5.0},
                                    {"007.250", 7.25},
                                    {"-1.5", -1.5},
                                    {"1e-3", 0.001},
                                    {"1.5E+2", 150.0},
                                    {"0.1", 0.1},
                                    {"9007199254740993", 9007199254740992.0},
                                    {"1e308", 1e308}}) {
    CAPTURE(text);
    CHECK(decimal(text) == value);
  }
  CHECK(std::signbit(decimal("-0").value()));
  for (const std::string_view text :
       {"",     " ",        " 1",  "1 ",  "\t1",    "1\n",   "+1",  "--1",   "-+1",    "-",      ".",
        "-.",   "e1",       "1e",  "1e+", "1e1.5",  "1.2.3", "1,5", "1_000", "0x10",   "0x1p3",  "inf",
        "-inf", "INFINITY", "nan", "NaN", "nan(1)", "1f",    "one", "1e999", "-1e999", "1e-999", "1-1"}) {
    CAPTURE(text);
    CHECK_FALSE(decimal(text).has_value());
  }
  CHECK_FALSE(decimal(std::string_view("1\0", 2)).has_value());
  CHECK(decimal(std::string_view("12345", 2)) == 12.0);  // the text ends where its view does
}
