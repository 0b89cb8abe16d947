#include "tests/conformance/report.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <iomanip>
#include <ios>
#include <map>
#include <ostream>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace conformance {
namespace {

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

std::string padded(std::string_view text, std::size_t width) {
  return std::string(text) + std::string(std::max(characters(text), width) - characters(text), ' ');
}

/// How many bytes the printing character at the text's begin has; 0: there is none.
std::size_t printing_character(std::string_view text) {
  constexpr std::array<char32_t, 5> least{0, ' ', 0xa0, 0x800, 0x10000};  // of so many bytes
  const auto first = static_cast<unsigned char>(text.front());
  const std::size_t size = first < 0x80 ? 1 : first < 0xc0 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (size == 0 || first >= 0xf8 || size > text.size()) return 0;
  char32_t value = size == 1 ? first : first & (0x7fU >> size);
  for (const char next : text.substr(1, size - 1)) {
    if ((next & 0xc0) != 0x80) return 0;
    value = value << 6 | (next & 0x3fU);
  }
  const bool surrogate = value >= 0xd800 && value < 0xe000, none = value == 0xfffe || value == 0xffff;
  return value < least[size] || value == 0x7f || value > 0x10ffff || surrogate || none ? 0 : size;
}

void print_block(std::ostream& out, std::string_view name, const std::string& text) {
  std::istringstream lines(text);
  std::string line;
  for (bool first = true; std::getline(lines, line); first = false)
    out << "  " << padded(first ? name : "", 10) << line << '\n';
}

void print_row(std::ostream& out, const Row& row) {
  out << padded(name_of(row.verdict), 6) << padded(row.title, 76) << std::right << std::fixed
      << std::setprecision(2) << std::setw(7) << in_seconds(row.took) << " s\n";
  if (!row.reason.empty()) out << "        " << row.reason << '\n';
}

/// What could not be judged, by the reason: for another's server that is half of the catalogue.
void print_not_applicable(std::ostream& out, const Result& result) {
  constexpr std::size_t ids_a_line = 10;
  std::map<std::string, std::vector<std::string>> by_reason;
  for (const Row& row : result.rows)
    if (row.verdict == Verdict::not_applicable) by_reason[row.reason].push_back(row.id());
  for (const auto& [reason, ids] : by_reason) {
    out << padded(name_of(Verdict::not_applicable), 6) << reason;
    for (std::size_t i = 0; i < ids.size(); ++i)
      out << (i % ids_a_line == 0 ? "\n        " : " ") << ids[i];
    out << '\n';
  }
}

}  // namespace

std::string_view name_of(Verdict verdict) {
  constexpr std::array<std::string_view, 5> names{"PASS", "LIMIT", "FAIL", "INFO", "N/A"};
  return names[static_cast<std::size_t>(verdict)];
}

std::vector<Verdict> all_verdicts() {
  using enum Verdict;
  return {pass, limit, fail, info, not_applicable};
}

std::size_t count(const std::vector<Row>& rows, Verdict verdict) {
  return std::ranges::count(rows, verdict, &Row::verdict);
}

bool nothing_failed(const Result& result) {
  return count(result.rows, Verdict::fail) == 0;
}

double in_seconds(Duration time) {
  return std::chrono::duration<double>(time).count();
}

void sort_by_catalogue(std::vector<Row>& rows) {
  std::ranges::stable_sort(rows, {}, catalogue_order);
}

std::string printable(std::string_view text) {
  constexpr std::size_t most = 4000;
  std::string result;
  for (std::string_view rest = text.substr(0, most); !rest.empty();) {
    const bool space = rest.front() == '\n' || rest.front() == '\t';
    const std::size_t size = space ? 1 : printing_character(rest);
    std::array<char, 5> code{};
    if (size == 0) std::snprintf(code.data(), code.size(), "\\x%02x", rest.front() & 0xffU);
    result += size == 0 ? code.data() : rest.substr(0, size);
    rest.remove_prefix(std::max<std::size_t>(size, 1));
  }
  if (text.size() > most) result += "… " + std::to_string(text.size() - most) + " more bytes";
  return result;
}

void print_failure(std::ostream& out, const Row& row) {
  out << "FAIL " << row.title << '\n';
  print_block(out, "required", row.requirement);
  print_block(out, "source", row.source);
  print_block(out, "catches", row.catches);
  if (row.expected.empty()) print_block(out, "reason", row.reason);
  print_block(out, "expected", row.expected);
  print_block(out, "actual", row.actual);
  print_block(out, "wire", row.wire);
  print_block(out, "server", row.server);
  print_block(out, "again", row.again);
  out << '\n' << std::flush;
}

void print_table(std::ostream& out, const Result& result) {
  out << '\n' << result.subject << "\n\n";
  for (const Row& row : result.rows)
    if (row.verdict != Verdict::not_applicable) print_row(out, row);
  print_not_applicable(out, result);
  std::string totals;
  for (const Verdict verdict : all_verdicts())
    totals += (totals.empty() ? "" : ", ") + std::string(name_of(verdict)) + " " +
              std::to_string(count(result.rows, verdict));
  const std::size_t passed = count(result.rows, Verdict::pass), failed = count(result.rows, Verdict::fail);
  out << '\n'
      << totals << '\n'
      << passed << " passed, " << failed << " failed, " << result.rows.size() - passed - failed
      << " skipped\n";
}

std::vector<const Row*> one_of_each_case(std::span<const Result> results) {
  std::vector<const Row*> rows;
  for (const Result& result : results)
    for (const Row& row : result.rows)
      rows.push_back(&row);
  std::ranges::stable_sort(rows, {}, [](const Row* row) { return catalogue_order(*row); });
  const auto same = [](const Row* a, const Row* b) { return a->id() == b->id(); };
  rows.erase(std::unique(rows.begin(), rows.end(), same), rows.end());
  return rows;
}

const Row* find(const Result& result, const std::string& id) {
  const auto found = std::ranges::find(result.rows, id, &Row::id);
  return found == result.rows.end() ? nullptr : &*found;
}

void print_grid(std::ostream& out, std::span<const Result> results) {
  constexpr std::size_t id_width = 10;
  const auto width = [](const Result& result) {
    return std::max<std::size_t>(characters(result.name) + 2, 7);
  };
  out << '\n' << padded("", id_width);
  for (const Result& result : results)
    out << padded(result.name, width(result));
  out << '\n';
  for (const Row* one : one_of_each_case(results)) {
    out << padded(one->id(), id_width);
    for (const Result& result : results) {
      const Row* const row = find(result, one->id());
      out << padded(row ? name_of(row->verdict) : "", width(result));
    }
    out << one->title.substr(one->id().size() + 1) << '\n';
  }
  for (const Verdict verdict : all_verdicts()) {
    out << (verdict == Verdict::pass ? "\n" : "") << padded(name_of(verdict), id_width);
    for (const Result& result : results)
      out << padded(std::to_string(count(result.rows, verdict)), width(result));
    out << '\n';
  }
}

std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text)
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += c;
    }
  return result;
}

}  // namespace conformance
