// One page that needs nothing else: the grid, and behind each cell the case, the verdict and the wire log.
// It is well-formed XML, too.
#include <array>
#include <cstddef>
#include <iomanip>
#include <ios>
#include <ostream>
#include <span>
#include <string>
#include <string_view>

#include "tests/conformance/report.h"

namespace conformance {
namespace {

constexpr std::string_view style = R"css(
:root { color-scheme: light dark; --text: #1c2024; --page: #fff; --soft: #f3f4f6; --line: #d5d8dd;
  --pass: #1a7f37; --limit: #8a5a00; --fail: #c4151c; --info: #0a5fb4; --none: #6b7280; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e6ea; --page: #16181c; --soft: #22252b; --line: #3a3f47;
  --pass: #56c271; --limit: #e0a83e; --fail: #ff7b72; --info: #6cb2ff; --none: #9aa1ac; } }
body { margin: 1rem auto; max-width: 76rem; padding: 0 1rem; background: var(--page); color: var(--text);
  font: 1rem/1.45 system-ui, sans-serif; }
h2 { margin: 0 0 .4rem; font-size: 1.05rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { border-bottom: 1px solid var(--line); padding: .15rem .6rem; text-align: left; }
th { white-space: nowrap; }
section { border-top: 1px solid var(--line); padding: .8rem 0; }
dl { display: grid; grid-template-columns: 6rem 1fr; gap: .1rem .6rem; margin: .3rem 0; }
dt { color: var(--none); }
dd { margin: 0; min-width: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
details { margin: .2rem 0; }
summary { cursor: pointer; }
:target { outline: 2px solid var(--info); outline-offset: 3px; }
pre { margin: .2rem 0; padding: .5rem; background: var(--soft); overflow-x: auto; }
.verdict { font-weight: 600; text-decoration: none; }
.pass { color: var(--pass); } .limit { color: var(--limit); } .fail { color: var(--fail); }
.info { color: var(--info); } .none { color: var(--none); }
)css";

std::string_view class_of(Verdict verdict) {
  constexpr std::array<std::string_view, 5> names{"pass", "limit", "fail", "info", "none"};
  return names[static_cast<std::size_t>(verdict)];
}

/// Where a cell's story stands: the case, and the number of the subject.
std::string anchor(const std::string& id, std::size_t subject) {
  return escaped(id) + "-" + std::to_string(subject + 1);
}

void write_totals(std::ostream& out, std::span<const Result> results) {
  out << "<div class=\"wide\"><table>\n<thead><tr><th>server</th>";
  for (const Verdict verdict : all_verdicts())
    out << "<th class=\"" << class_of(verdict) << "\">" << name_of(verdict) << "</th>";
  out << "<th>what was judged</th></tr></thead>\n<tbody>\n";
  for (const Result& result : results) {
    out << "<tr><th scope=\"row\">" << escaped(result.name) << "</th>";
    for (const Verdict verdict : all_verdicts())
      out << "<td>" << count(result.rows, verdict) << "</td>";
    out << "<td>" << escaped(result.subject) << "</td></tr>\n";
  }
  out << "</tbody></table></div>\n";
}

void write_grid(std::ostream& out, std::span<const Result> results) {
  out << "<div class=\"wide\"><table>\n<thead><tr><th>case</th>";
  for (const Result& result : results)
    out << "<th>" << escaped(result.name) << "</th>";
  out << "<th></th></tr></thead>\n<tbody>\n";
  for (const Row* one : one_of_each_case(results)) {
    const std::string id = one->id();
    out << "<tr><th scope=\"row\"><a href=\"#" << escaped(id) << "\">" << escaped(id) << "</a></th>";
    for (std::size_t i = 0; i < results.size(); ++i) {
      out << "<td>";
      if (const Row* const row = find(results[i], id))
        out << "<a class=\"verdict " << class_of(row->verdict) << "\" href=\"#" << anchor(id, i) << "\">"
            << name_of(row->verdict) << "</a>";
      out << "</td>";
    }
    out << "<td>" << escaped(one->title.substr(id.size() + 1)) << "</td></tr>\n";
  }
  out << "</tbody></table></div>\n";
}

/// An entry of a list; nothing if there is nothing to say.
void write_entry(std::ostream& out, std::string_view name, const std::string& text) {
  if (!text.empty()) out << "<dt>" << name << "</dt><dd>" << escaped(text) << "</dd>\n";
}

void write_log(std::ostream& out, std::string_view name, const std::string& text) {
  if (!text.empty()) out << "<dt>" << name << "</dt><dd><pre>" << escaped(text) << "</pre></dd>\n";
}

void write_story(std::ostream& out, const Result& result, const Row& row, const std::string& id) {
  out << "<details" << (row.verdict == Verdict::fail ? " open=\"open\"" : "") << "><summary><b class=\""
      << class_of(row.verdict) << "\">" << name_of(row.verdict) << "</b> " << escaped(result.name) << ", "
      << in_seconds(row.took) << " s</summary>\n<dl id=\"" << id << "\">\n";
  write_entry(out, "reason", row.verdict == Verdict::fail && !row.expected.empty() ? "" : row.reason);
  write_entry(out, "expected", row.expected);
  write_entry(out, "actual", row.actual);
  write_log(out, "wire", row.wire);
  write_log(out, "server", row.server);
  write_log(out, "again", row.again);
  out << "</dl></details>\n";
}

void write_case(std::ostream& out, std::span<const Result> results, const Row& one) {
  const std::string id = one.id();
  out << "<section id=\"" << escaped(id) << "\">\n<h2>" << escaped(one.title) << "</h2>\n<dl>\n";
  write_entry(out, "required", one.requirement);
  write_entry(out, "source", one.source);
  write_entry(out, "catches", one.catches);
  out << "</dl>\n";
  for (std::size_t i = 0; i < results.size(); ++i)
    if (const Row* const row = find(results[i], id)) write_story(out, results[i], *row, anchor(id, i));
  out << "</section>\n";
}

}  // namespace

void write_html(std::ostream& out, std::span<const Result> results) {
  out << "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
      << "<meta name=\"viewport\" content=\"width=device-width\"/>\n<title>Conformance</title>\n<style>"
      << style << "</style>\n</head>\n<body>\n<h1>Conformance</h1>\n"
      << "<p>LIMIT: a declared limit, observed as declared. INFO: recorded, not judged. N/A: cannot be "
         "judged "
         "here; the reason says why. A verdict leads to its reason and its wire log.</p>\n"
      << std::fixed << std::setprecision(2);
  write_totals(out, results);
  write_grid(out, results);
  for (const Row* one : one_of_each_case(results))
    write_case(out, results, *one);
  out << "</body>\n</html>\n";
}

}  // namespace conformance
