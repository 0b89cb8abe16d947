#include "tests/conformance/suite.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <iomanip>
#include <iostream>
#include <set>
#include <sstream>

#include "tests/conformance/expect.h"
#include "tests/conformance/scene.h"
#include "tests/conformance/subject.h"

namespace conformance {
namespace {

constexpr std::array<std::string_view, 5> verdict_names{"PASS", "LIMIT", "FAIL", "INFO", "N/A"};

struct Row {
  std::string title;  ///< "CLOSE-01 1 MiB, half-close: …"
  Verdict verdict = Verdict::pass;
  std::string reason{};
  Duration took{};
  std::string id() const { return title.substr(0, title.find(' ')); }
};

/// One run: the subject, the servers that stand, the rows of the table.
struct Run {
  Subject subject{};
  std::map<std::string, std::unique_ptr<Server>, std::less<>> standing{};
  std::vector<Row> rows{};
  std::set<std::string> known{};           ///< ids of all cases, filtered out ones too
  const doctest::TestCaseData* current{};  ///< the case that plays
};

Run& run() {
  static Run the_run;
  return the_run;
}

std::string rerun_command(const Row& row) {
  return settings().rerun + " -tc=" + quoted(row.id() + "*");
}

void end_standing(const std::string& service) {
  run().standing.erase(service);
}

/// The server that stands for the service; a new one if it has died.
Server& standing(const std::string& service) {
  auto& server = run().standing[service];
  if (!server || !server->running()) {
    server.reset();
    server = run().subject.start({.service = service});
  }
  return *server;
}

void require(const Case& about) {
  const Subject& subject = run().subject;
  if (about.needs == Needs::ours && !subject.ours())
    throw NotApplicable("needs READY and the options of the ladder's servers");
  if (!subject.offers(about.service))
    throw NotApplicable("the service " + std::string(about.service) + " is not offered");
  if (about.needs == Needs::port) return;
  if (!subject.starts()) throw NotApplicable("needs a server that the suite starts (--server)");
  if (about.needs == Needs::stop && !subject.ours() && !settings().stops_on_sigterm)
    throw NotApplicable("is not said to end in order (--stops-on SIGTERM)");
}

bool ends_in_order() {
  return run().subject.starts() && (run().subject.ours() || settings().stops_on_sigterm);
}

/// A server of the case's own that still runs is held to what the standing one is, and then must end in
/// order.
void end_own(Scene& scene) {
  for (const auto& server : scene.own()) {
    if (server->running() && server->has_process()) {
      server->expect_unharmed();
      if (ends_in_order()) {
        server->process().stop();
        expect_exit_in_order(server->process(), scaled(std::chrono::seconds(1)));
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

void print_block(std::ostream& out, std::string_view name, const std::string& text) {
  out << "  " << std::left << std::setw(10) << name;
  std::istringstream lines(text.empty() ? "(none)" : text);
  std::string line;
  for (bool first = true; std::getline(lines, line); first = false)
    out << (first ? "" : "            ") << line << '\n';
}

std::string failure_report(const Row& row, const Case& about, const Failed& failed, Scene& scene,
                           Server* server) {
  std::ostringstream out;
  out << "FAIL " << row.title << '\n';
  print_block(out, "required", std::string(about.requirement));
  print_block(out, "source", std::string(about.source));
  print_block(out, "catches", std::string(about.catches));
  print_block(out, "expected", failed.expected);
  print_block(out, "actual", failed.actual);
  print_block(out, "wire", scene.log().text());
  print_block(out, "server", last_words(scene, server));
  print_block(out, "again", rerun_command(row));
  return out.str();
}

/// A failure that is listed (--expect) is a limit; one that is listed and does not come is a failure.
void apply_limits(Row& row) {
  const auto listed = settings().limits.find(row.id());
  if (listed == settings().limits.end()) return;
  if (row.verdict == Verdict::fail) {
    row.verdict = Verdict::limit;
    row.reason = listed->second;
  } else if (row.verdict == Verdict::pass || row.verdict == Verdict::limit) {
    row.verdict = Verdict::fail;
    row.reason = "listed as a failure (" + listed->second + "), and it did not fail";
  }
}

void enter(Row row, const std::string& details) {
  apply_limits(row);
  if (settings().strict && row.verdict == Verdict::info) row.verdict = Verdict::fail;
  if (row.verdict == Verdict::fail) {
    std::cout << (details.empty() ? "FAIL " + row.title + "\n  " + row.reason + "\n" : details) << '\n'
              << std::flush;
    ADD_FAIL_CHECK_AT(run().current->m_file.c_str(), static_cast<int>(run().current->m_line),
                      (details + row.reason).c_str());
  }
  run().rows.push_back(std::move(row));
}

/// What the case came to; empty details unless it failed.
std::string play(Row& row, const Case& about, const std::function<void(Scene&)>& body) {
  Scene scene(run().subject);
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
    return {};
  } catch (const NotApplicable& why) {
    row.verdict = Verdict::not_applicable;
    row.reason = why.what();
    return {};
  } catch (const Failed& failed) {
    row.verdict = Verdict::fail;
    row.reason =
        "expected " + failed.expected + "; seen: " + failed.actual.substr(0, failed.actual.find('\n'));
    std::string details = failure_report(row, about, failed, scene, server);
    end_standing(std::string(about.service));  // one failure must not be seen again in the next case
    return details;
  }
}

}  // namespace

Settings& settings() {
  static Settings the_settings;
  return the_settings;
}

void open_subject() {
  run();
}

void judge(const Case& about, const std::function<void(Scene&)>& body) {
  const doctest::TestCaseData* const current = run().current;
  if (!current) throw std::logic_error("a case is judged that nobody has started");
  Row row{.title = current->m_name};
  const Time started = Clock::now();
  std::string details;
  try {
    details = play(row, about, body);
  } catch (const std::exception& error) {
    row.verdict = Verdict::fail;
    row.reason = std::string("the suite itself failed: ") + error.what();
    end_standing(std::string(about.service));
  }
  row.took = Clock::now() - started;
  enter(std::move(row), details);
}

namespace {

void end_servers() {
  Row row{.title = "END each server ends in order when asked, and no sanitizer has spoken"};
  for (auto& [service, server] : run().standing) {
    if (!server || !server->has_process()) continue;
    try {
      if (ends_in_order()) {
        server->process().stop();
        expect_exit_in_order(server->process(), scaled(std::chrono::seconds(1)));
      }
      server->expect_no_sanitizer_report();
    } catch (const Failed& failed) {
      row.verdict = Verdict::fail;
      row.reason += service + ": " + failed.what() + " ";
    }
  }
  run().standing.clear();
  if (row.verdict == Verdict::pass && !ends_in_order()) {
    row.verdict = Verdict::not_applicable;
    row.reason = "is not said to end in order (--stops-on SIGTERM), or was not started by the suite";
  }
  run().rows.push_back(std::move(row));
}

void check_listed_limits() {
  for (const auto& [id, reason] : settings().limits)
    if (!run().known.contains(id))
      run().rows.push_back(
          {.title = id + " is listed, and no such case exists", .verdict = Verdict::fail, .reason = reason});
}

/// The catalogue's order of families, and the numbers within one.
std::pair<std::size_t, std::string> catalogue_order(const Row& row) {
  constexpr std::array<std::string_view, 13> families{"LIFE",  "SVC",  "IO",   "CLOSE", "BP",  "CONC", "LIM",
                                                      "ABUSE", "TIME", "STOP", "LEAK",  "OBS", "SCALE"};
  const std::string id = row.id();
  const auto family = std::ranges::find(families, std::string_view(id).substr(0, id.find('-')));
  return {family - families.begin(), id};
}

std::size_t characters(std::string_view text) {  // UTF-8: continuation bytes are none of their own
  return std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; });
}

void print_row(const Row& row) {
  constexpr std::size_t width = 76;
  std::cout << std::left << std::setw(6) << verdict_names[static_cast<std::size_t>(row.verdict)] << row.title
            << std::string(std::max<std::size_t>(characters(row.title), width) - characters(row.title), ' ')
            << std::right << std::fixed << std::setprecision(2) << std::setw(7)
            << std::chrono::duration<double>(row.took).count() << " s\n";
  if (!row.reason.empty()) std::cout << "        " << row.reason << '\n';
}

}  // namespace

bool report() {
  if (run().rows.empty()) throw std::runtime_error("no case has such a name (--list-test-cases lists them)");
  end_servers();
  check_listed_limits();
  std::array<std::size_t, verdict_names.size()> totals{};
  std::ranges::stable_sort(run().rows, {}, catalogue_order);
  std::cout << "\n" << run().subject.describe() << ", seed " << settings().seed << "\n";
  if (const std::string hidden = unseen(); !hidden.empty()) std::cout << "not seen here: " << hidden << "\n";
  std::cout << "\n";
  for (const Row& row : run().rows) {
    print_row(row);
    ++totals[static_cast<std::size_t>(row.verdict)];
  }
  std::cout << '\n';
  for (std::size_t i = 0; i < totals.size(); ++i)
    std::cout << verdict_names[i] << ' ' << totals[i] << (i + 1 < totals.size() ? ", " : "\n");
  const std::size_t passed = totals[0], failed = totals[2];
  std::cout << passed << " passed, " << failed << " failed, " << run().rows.size() - passed - failed
            << " skipped\n";
  return failed == 0;
}

namespace {

/// Tells judge() which case plays, and lists names; all else is judge()'s and report()'s to say.
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
  void test_case_exception(const doctest::TestCaseException&) override {}
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
