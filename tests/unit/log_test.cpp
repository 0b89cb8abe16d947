#include "common/library/log.h"

#include <doctest/doctest.h>

#include <new>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <ladder/server.h>

using namespace ladder;
using namespace std::chrono_literals;

TEST_CASE(
    "log: at most one line a second of a kind, and the next one tells how many were left out (OBS-04)") {
  std::vector<std::string> lines;
  Log log([&](std::string_view line) { lines.emplace_back(line); });
  const Time start = Clock::now();
  for (int i = 0; i < 1000; ++i)
    log.limited("descriptors", start + i * 1ms, [] { return "out of descriptors"; });
  CHECK(lines == std::vector<std::string>{"out of descriptors"});

  log.limited("threads", start + 500ms, [] { return "no thread"; });  // another kind has a second of its own
  log.line("plain");  // and a line of no kind is never left out
  log.line("plain");
  CHECK(lines.size() == 4);

  log.limited("descriptors", start + 1s, [] { return "again"; });
  CHECK(lines.back() == "again (999 more like it were left out)");
  log.limited("descriptors", start + 2s, [] { return "once more"; });
  CHECK(lines.back() == "once more");
}

TEST_CASE("log: a line for which there is no memory is not written, and the next one is") {
  std::vector<std::string> lines;
  Log log([&](std::string_view line) { lines.emplace_back(line); });
  log.limited("kind", Time{}, []() -> std::string { throw std::bad_alloc(); });
  CHECK(lines.empty());
  log.limited("kind", Time{} + 1ms, [] { return "now"; });
  CHECK(lines == std::vector<std::string>{"now"});
}

TEST_CASE("log: lines of many threads never interleave (OBS-05)") {
  bool writing = false;
  bool interleaved = false;
  int lines = 0;
  Log log([&](std::string_view) {
    interleaved |= std::exchange(writing, true);
    std::this_thread::yield();
    ++lines;
    writing = false;
  });
  {
    std::vector<std::jthread> threads;
    threads.reserve(4);
    for (int i = 0; i < 4; ++i)
      threads.emplace_back([&] {
        for (int n = 0; n < 500; ++n) {
          log.line("line");
          log.limited("kind", Time{} + n * 1s, [] { return "line"; });
        }
      });
  }
  CHECK_FALSE(interleaved);
  CHECK(lines >= 2000 + 500);
}
