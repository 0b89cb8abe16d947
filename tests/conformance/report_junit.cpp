// The form that build servers read. Every case appears: what was neither passed nor failed as skipped, with
// its verdict and reason.
#include <cstddef>
#include <iomanip>
#include <ios>
#include <ostream>
#include <span>
#include <sstream>
#include <string>

#include "tests/conformance/report.h"

namespace conformance {
namespace {

std::size_t skipped(const Result& result) {
  return result.rows.size() - count(result.rows, Verdict::pass) - count(result.rows, Verdict::fail);
}

void write_case(std::ostream& out, const Result& result, const Row& row) {
  const std::string id = row.id();
  out << "    <testcase classname=\"" << escaped(result.name + "." + id.substr(0, id.find('-')))
      << "\" name=\"" << escaped(row.title) << "\" time=\"" << in_seconds(row.took) << "\">\n";
  if (row.verdict == Verdict::fail) {
    std::ostringstream details;
    print_failure(details, row);
    out << "      <failure message=\"" << escaped(row.reason) << "\">" << escaped(details.str())
        << "</failure>\n";
  } else if (row.verdict != Verdict::pass) {
    out << "      <skipped message=\"" << escaped(std::string(name_of(row.verdict)) + ": " + row.reason)
        << "\"/>\n";
  } else if (!row.reason.empty()) {
    out << "      <system-out>" << escaped(row.reason) << "</system-out>\n";
  }
  out << "    </testcase>\n";
}

void write_suite(std::ostream& out, const Result& result) {
  Duration took{};
  for (const Row& row : result.rows)
    took += row.took;
  out << "  <testsuite name=\"" << escaped(result.name) << "\" tests=\"" << result.rows.size()
      << "\" failures=\"" << count(result.rows, Verdict::fail) << "\" errors=\"0\" skipped=\""
      << skipped(result) << "\" time=\"" << in_seconds(took) << "\">\n"
      << "    <properties><property name=\"subject\" value=\"" << escaped(result.subject)
      << "\"/></properties>\n";
  for (const Row& row : result.rows)
    write_case(out, result, row);
  out << "  </testsuite>\n";
}

}  // namespace

void write_junit(std::ostream& out, std::span<const Result> results) {
  out << "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n" << std::fixed << std::setprecision(3);
  for (const Result& result : results)
    write_suite(out, result);
  out << "</testsuites>\n";
}

}  // namespace conformance
