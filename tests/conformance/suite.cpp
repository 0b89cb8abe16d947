#include "tests/conformance/suite.h"

#include <doctest/doctest.h>

#include <chrono>
#include <exception>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tests/conformance/expect.h"
#include "tests/conformance/platform.h"
#include "tests/conformance/report.h"
#include "tests/conformance/scene.h"
#include "tests/conformance/subject.h"

namespace conformance {
namespace {

/// The subject that is judged, its servers that stand, its rows so far.
struct Run {
  const Subject* subject{};
  std::map<std::string, std::unique_ptr<Server>, std::less<>> standing{};
  std::vector<Row> rows{};
  std::set<std::string> known{};           ///< ids of all cases, filtered out ones too
  const doctest::TestCaseData* current{};  ///< the case that plays
};

Run& run() {
  static Run the_run;
  return the_run;
}

void end_standing(const std::string& service) {
  run().standing.erase(service);
}

/// The server that stands for the service; a new one if it has died.
Server& standing(const std::string& service) {
  auto& server = run().standing[service];
  if (!server || !server->running()) {
    server.reset();
    server = run().subject->start({.service = service});
  }
  return *server;
}

void require(const Case& about) {
  const Subject& subject = *run().subject;
  if (about.needs == Needs::ours && !subject.ours())
    throw NotApplicable("needs READY and the options of the ladder's servers");
  if (!subject.offers(about.service))
    throw NotApplicable("the service " + std::string(about.service) + " is not offered");
  if (about.needs == Needs::port) return;
  if (!subject.starts()) throw NotApplicable("needs a server that the suite starts (--server)");
  if (about.needs == Needs::stop && !subject.ends_in_order())
    throw NotApplicable("is not said to end in order (--stops-on SIGTERM)");
}

/// A second, and what Wine takes for itself: its WSACleanup asks the wineserver once for each entry of a table that
/// has grown with the sockets there ever were at once: 16 384 times after 10 000, some 0.7 s.
Duration time_to_end(const Process& process) {
  return scaled(std::chrono::seconds(process.under_wine() ? 3 : 1));
}

/// A server of the case's own that still runs is held to what the standing one is, and then must end in
/// order.
void end_own(Scene& scene) {
  for (const auto& server : scene.own()) {
    if (server->running() && server->has_process()) {
      server->expect_unharmed();
      if (run().subject->ends_in_order()) {
        server->process().stop();
        expect_exit_in_order(server->process(), time_to_end(server->process()));
      }
    }
    server->expect_no_sanitizer_report();
  }
}

void check_after(Scene& scene, Server* server) {
  try {
    if (server) server->expect_unharmed();
    end_own(scene);
  } catch (const Failed& failed) {
    throw Failed("after the case: " + failed.expected, failed.actual);
  }
}

std::string last_words(Scene& scene, Server* server) {
  std::string words = server ? server->last_words() : "";
  for (const auto& own : scene.own())
    words += own->last_words();
  return words;
}

/// A failure that is listed (--expect) is a limit; one that is listed and does not come is a failure.
void apply_limits(Row& row) {
  const auto& limits = run().subject->options().limits;
  const auto listed = limits.find(row.id());
  if (listed == limits.end()) return;
  if (row.verdict == Verdict::fail) {
    row.verdict = Verdict::limit;
    row.reason = listed->second;
  } else if (row.verdict == Verdict::pass || row.verdict == Verdict::limit) {
    row.verdict = Verdict::fail;
    row.reason = "listed as a failure (" + listed->second + "), and it did not fail";
  }
}

void enter(Row row) {
  apply_limits(row);
  if (settings().strict && row.verdict == Verdict::info) row.verdict = Verdict::fail;
  for (std::string* text : {&row.reason, &row.expected, &row.actual, &row.wire, &row.server})
    *text = printable(*text);
  if (row.verdict == Verdict::fail) {
    print_failure(std::cout, row);
    settings().impatient = count(run().rows, Verdict::fail) >= 10;
    ADD_FAIL_CHECK_AT(run().current->m_file.c_str(), static_cast<int>(run().current->m_line),
                      row.reason.c_str());
  }
  run().rows.push_back(std::move(row));
}

void enter_failure(Row& row, const Failed& failed) {
  row.verdict = Verdict::fail;
  row.expected = failed.expected;
  row.actual = failed.actual;
  row.reason = "expected " + failed.expected + "; seen: " + failed.actual.substr(0, failed.actual.find('\n'));
}

/// Enters in the row what the case came to.
void play(Row& row, const Case& about, const std::function<void(Scene&)>& body) {
  Scene scene(*run().subject);
  Server* server = nullptr;
  try {
    require(about);
    if (about.needs == Needs::port || about.needs == Needs::process)
      scene.stand(*(server = &standing(std::string(about.service))));
    body(scene);
    check_after(scene, server);
    row.reason = scene.note();
    if (!scene.info().empty()) row.verdict = Verdict::info, row.reason = scene.info();
    if (!scene.limit().empty()) row.verdict = Verdict::limit, row.reason = scene.limit();
  } catch (const NotApplicable& why) {
    row.verdict = Verdict::not_applicable;
    row.reason = why.what();
  } catch (const Failed& failed) {
    enter_failure(row, failed);
  } catch (const std::exception& error) {
    row.verdict = Verdict::fail;
    row.reason = std::string("the suite itself failed: ") + error.what();
  }
  row.wire = scene.log().text();
  if (row.verdict != Verdict::fail) return;
  row.server = last_words(scene, server);
  end_standing(std::string(about.service));  // one failure must not be seen again in the next case
}

}  // namespace

Settings& settings() {
  static Settings the_settings;
  return the_settings;
}

void judge(const Case& about, const std::function<void(Scene&)>& body) {
  const doctest::TestCaseData* const current = run().current;
  if (!current) throw std::logic_error("a case is judged that nobody has started");
  Row row{.title = current->m_name,
          .requirement = std::string(about.requirement),
          .source = std::string(about.source),
          .catches = std::string(about.catches)};
  row.again = run().subject->command() + " -tc=" + quoted(row.id() + "*");
  const Time started = Clock::now();
  play(row, about, body);
  row.took = Clock::now() - started;
  enter(std::move(row));
}

namespace {

void end_servers() {
  Row row{.title = "END each server ends in order when asked, and no sanitizer has spoken"};
  for (auto& [service, server] : run().standing) {
    if (!server || !server->has_process()) continue;
    try {
      if (run().subject->ends_in_order()) {
        server->process().stop();
        expect_exit_in_order(server->process(), time_to_end(server->process()));
      }
      server->expect_no_sanitizer_report();
    } catch (const Failed& failed) {
      row.verdict = Verdict::fail;
      row.reason += service + ": " + failed.what() + " ";
    }
  }
  run().standing.clear();
  if (row.verdict == Verdict::pass && !run().subject->ends_in_order()) {
    row.verdict = Verdict::not_applicable;
    row.reason = "is not said to end in order (--stops-on SIGTERM), or was not started by the suite";
  }
  run().rows.push_back(std::move(row));
}

void check_listed_limits() {
  for (const auto& [id, reason] : run().subject->options().limits)
    if (!run().known.contains(id))
      run().rows.push_back(
          {.title = id + " is listed, and no such case exists", .verdict = Verdict::fail, .reason = reason});
}

}  // namespace

std::vector<Result> judge_all(std::span<const Subject> subjects, const std::function<void()>& play_cases) {
  std::vector<Result> results;
  for (const Subject& subject : subjects) {
    run() = {.subject = &subject};
    settings().impatient = false;
    play_cases();
    if (run().rows.empty())
      throw std::runtime_error("no case has such a name (--list-test-cases lists them)");
    end_servers();
    check_listed_limits();
    sort_by_catalogue(run().rows);
    results.push_back({subject.name(), subject.describe(), std::move(run().rows)});
    print_table(std::cout, results.back());
  }
  return results;
}

namespace {

/// Tells judge() which case plays, and lists names; all else is judge()'s to say.
class Reporter : public doctest::IReporter {
 public:
  explicit Reporter(const doctest::ContextOptions&) {}
  void report_query(const doctest::QueryData& in) override {
    for (unsigned i = 0; i < in.num_data; ++i)
      std::cout << in.data[i]->m_name << '\n';
    if (in.num_data == 0 && in.run_stats) std::cout << in.run_stats->numTestCasesPassingFilters << " cases\n";
  }
  void test_run_start() override {}
  void test_run_end(const doctest::TestRunStats&) override {}
  void test_case_start(const doctest::TestCaseData& in) override {
    run().current = &in;
    meet(in.m_name);
  }
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_end(const doctest::CurrentTestCaseStats&) override {}
  void test_case_exception(const doctest::TestCaseException& in) override {
    enter({.title = run().current->m_name,
           .verdict = Verdict::fail,
           .reason = std::string("the suite itself failed: ") + in.error_string.c_str()});
  }
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData&) override {}
  void log_message(const doctest::MessageData&) override {}
  void test_case_skipped(const doctest::TestCaseData& in) override { meet(in.m_name); }

 private:
  static void meet(const std::string& title) { run().known.insert(title.substr(0, title.find(' '))); }
};

}  // namespace

REGISTER_LISTENER("conformance", 1, Reporter);

}  // namespace conformance
