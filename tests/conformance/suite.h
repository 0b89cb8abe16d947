// The frame: what a case is, and how it is judged.
//
//   TEST_CASE("SVC-01 one byte comes back") {
//     judge({.requirement = "...", .source = "RFC 862", .catches = "..."}, [](Scene& scene) {
//       Peer peer = scene.connect();
//       expect_echo(peer, "x");
//     });
//   }
//
// A body says what is done and what must be seen; it throws Failed where it is not. judge() sees to what
// must hold after every case: the server lives, serves the next client, rests, has given everything back.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/conformance/platform.h"
#include "tests/conformance/report.h"

namespace conformance {

/// A requirement was not met.
struct Failed : std::runtime_error {
  Failed(std::string what_was_expected, std::string what_was_seen)
      : std::runtime_error("expected " + what_was_expected + ", seen: " + what_was_seen),
        expected(std::move(what_was_expected)),
        actual(std::move(what_was_seen)) {}
  std::string expected, actual;
};

/// The case cannot be judged on this subject or platform; the text says why.
struct NotApplicable : std::runtime_error {
  using std::runtime_error::runtime_error;
};

inline void expect(bool met, const std::string& expected, const std::string& actual) {
  if (!met) throw Failed(expected, actual);
}

/// What holds for the whole run, as main.cpp reads it from the command line.
struct Settings {
  std::string command{};  ///< the program and the options that a case depends on, for whoever repeats it
  std::uint64_t seed = 1;
  double scale = 1;
  bool strict = false;
  bool private_network = false;  ///< the kernel's counters are ours alone
  bool impatient = false;        ///< so much has failed that less time is given to the rest
};
Settings& settings();

/// A span of time, stretched by --timeout-scale.
inline Duration scaled(std::chrono::duration<double> time) {
  return std::chrono::duration_cast<Duration>(time * settings().scale);
}
/// No case waits longer without progress.
inline Duration patience() {
  return scaled(std::chrono::seconds(settings().impatient ? 1 : 3));
}
/// Nor, though each byte is progress, for a conversation of so many bytes.
inline Duration longest_talk(std::size_t bytes) {
  constexpr double bytes_a_second = 4 << 20;
  return patience() * 5 + scaled(std::chrono::duration<double>(static_cast<double>(bytes) / bytes_a_second));
}

enum class Needs {
  port,     ///< anybody's server that offers the service
  process,  ///< that we started, so that we may look inside
  stop,     ///< that ends in order when asked
  ours,     ///< options, READY, --describe
};

struct Case {
  std::string_view requirement;
  std::string_view
      source;  ///< an RFC's section, a manual page, or a point of the contract (docs/contract.md)
  std::string_view catches;  ///< the bug that the case earns its place by
  std::string_view service = "echo";
  Needs needs = Needs::port;
};

class Scene;
class Subject;

/// Plays the body, checks what must hold after every case, and enters the verdict in the report.
void judge(const Case&, const std::function<void(Scene&)>& body);

/// Judges each subject in turn by the cases that `play_cases` plays, and prints each one's table. Throws
/// std::runtime_error if there is no such case.
std::vector<Result> judge_all(std::span<const Subject> subjects, const std::function<void()>& play_cases);

}  // namespace conformance
