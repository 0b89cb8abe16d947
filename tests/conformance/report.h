// What came of a run, and its four faces: the table of one subject, the grid of several, a page, JUnit's XML.
#pragma once

#include <cstddef>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tests/conformance/platform.h"

namespace conformance {

enum class Verdict {
  pass,
  limit,  ///< a declared limit, observed exactly as declared
  fail,
  info,            ///< recorded, not judged
  not_applicable,  ///< impossible here; the reason says why
};

/// One case, as one subject met it.
struct Row {
  std::string title;  ///< "CLOSE-01 1 MiB, half-close: …"
  std::string requirement{}, source{}, catches{};
  Verdict verdict = Verdict::pass;
  std::string reason{};
  std::string expected{}, actual{}, server{};  ///< of a failure; what the server said last
  std::string wire{};                          ///< what went to and fro, as the clients saw it
  std::string again{};                         ///< the command that runs this case alone
  Duration took{};
  std::string id() const { return title.substr(0, title.find(' ')); }
};

/// All that came of one subject.
struct Result {
  std::string name;     ///< short: the head of a column
  std::string subject;  ///< what was judged, and how
  std::vector<Row> rows{};
};

std::size_t count(const std::vector<Row>&, Verdict);
bool nothing_failed(const Result&);
void sort_by_catalogue(std::vector<Row>&);

/// Text from outside, fit for a terminal, a page and XML: a byte that is none of a printing character in
/// UTF-8 becomes \xNN, and a long text loses its end.
std::string printable(std::string_view);

void print_failure(std::ostream&, const Row&);
void print_table(std::ostream&, const Result&);
void print_grid(std::ostream&, std::span<const Result>);
void write_html(std::ostream&, std::span<const Result>);   ///< report_html.cpp
void write_junit(std::ostream&, std::span<const Result>);  ///< report_junit.cpp

// For the faces among themselves.

std::string_view name_of(Verdict);
std::vector<Verdict> all_verdicts();
double in_seconds(Duration);
/// The rows of all results, each id once, in the catalogue's order.
std::vector<const Row*> one_of_each_case(std::span<const Result>);
const Row* find(const Result&, const std::string& id);  ///< null: this subject did not meet it
/// As text or as an attribute's value in HTML and XML.
std::string escaped(std::string_view);

}  // namespace conformance
