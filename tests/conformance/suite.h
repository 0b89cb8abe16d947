// The frame: what a case is, how it is judged, and the report of a whole run.
//
//   TEST_CASE("SVC-01 one byte comes back") {
//     judge({.requirement = "...", .source = "RFC 862", .catches = "..."}, [](Scene& scene) {
//       Peer peer = scene.connect();
//       expect_echo(peer, "x");
//     });
//   }
//
// A body says what is done and what must be seen; it throws Failed where it is not. What must hold after
// every case (the server lives, serves the next client, rests, has given everything back) judge() sees to.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "tests/conformance/platform.h"

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

/// The command line, as main.cpp reads it.
struct Settings {
  std::string program, server, address, service;
  std::string rerun{};  ///< the command without its -tc=
  std::uint64_t seed = 1;
  double scale = 1;
  bool strict = false;
  bool stops_on_sigterm = false;                ///< a foreign server: STOP and "exits 0" hold for it too
  bool private_network = false;                 ///< the kernel's counters are ours alone
  std::map<std::string, std::string> limits{};  ///< cases expected to fail, with the reason
};
Settings& settings();

/// A span of time, stretched by --timeout-scale.
inline Duration scaled(std::chrono::duration<double> time) {
  return std::chrono::duration_cast<Duration>(time * settings().scale);
}
/// No case waits longer without progress.
inline Duration patience() {
  return scaled(std::chrono::seconds(3));
}

enum class Verdict {
  pass,
  limit,  ///< a declared limit, observed exactly as declared
  fail,
  info,            ///< recorded, not judged
  not_applicable,  ///< impossible here; the reason says why
};

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

/// Plays the body, checks what must hold after every case, and enters the verdict in the report.
void judge(const Case&, const std::function<void(Scene&)>& body);

/// Finds out what is judged, by the settings. Throws std::runtime_error if that cannot be.
void open_subject();

/// After all cases: ends the servers that still run and prints the table. True: nothing failed.
bool report();

}  // namespace conformance
