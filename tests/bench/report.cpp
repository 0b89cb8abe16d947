#include "tests/bench/report.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bench {
namespace {

using Measure = double Figures::*;

std::vector<double> each(const std::vector<Figures>& rounds, Measure what) {
  std::vector<double> values;
  for (const Figures& figures : rounds)
    values.push_back(figures.*what);
  return values;
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}
double median(const std::vector<Figures>& rounds, Measure what) {
  return median(each(rounds, what));
}

struct Spread {
  double middle = 0, least = 0, greatest = 0;
};
Spread spread_of(const std::vector<double>& values) {
  const auto [least, greatest] = std::ranges::minmax(values);
  return {median(values), least, greatest};
}

/// CPU time over the first server's, taken within each round.
Spread ratios_of(const Rounds& all, std::size_t server) {
  std::vector<double> ratios;
  for (std::size_t round = 0; round < all[server].size(); ++round)
    ratios.push_back(all[server][round].cpu / all[0][round].cpu);
  return spread_of(ratios);
}
/// The same of the rounds in which each was best.
double best_ratio_of(const Rounds& all, std::size_t server) {
  return std::ranges::min(each(all[server], &Figures::cpu)) / std::ranges::min(each(all[0], &Figures::cpu));
}

std::string number(double value, int digits) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.*f", digits, value);
  return text.data();
}

using Cells = std::vector<std::string>;

void print_row(const Cells& cells) {
  for (const std::string& cell : cells)
    std::printf("| %s ", cell.c_str());
  std::printf("|\n");
}
void print_heads(const Cells& heads) {
  std::printf("\n");
  print_row(heads);
  for (std::size_t i = 0; i < heads.size(); ++i)
    std::printf("|---");
  std::printf("|\n");
}

std::string range(const Spread& spread, int digits) {
  return number(spread.least, digits) + "–" + number(spread.greatest, digits);
}

// ---- the points of growth

enum class Load { all_active, few_active };  // few: ten, beside silent ones

struct Point {
  int connections;
  const Rounds* all;
};
std::vector<Point> points_of(std::span<const Result> results, Load load) {
  std::vector<Point> points;
  for (const Result& result : results)
    if (result.work->active > 0 && (result.work->idle > 0) == (load == Load::few_active))
      points.push_back({result.work->active + result.work->idle, &result.all});
  std::ranges::sort(points, {}, &Point::connections);
  return points;
}

bool has_growth(std::span<const Result> results) {
  return points_of(results, Load::all_active).size() > 1 && points_of(results, Load::few_active).size() > 1;
}

struct Chart {
  std::string_view title;
  Load load;
  Measure what;
  int digits;
};
constexpr std::array<Chart, 3> charts = {{
    {"CPU, µs a message, all of them active", Load::all_active, &Figures::cpu, 2},
    {"CPU, µs a message, ten of them active", Load::few_active, &Figures::cpu, 2},
    {"bytes a connection, all of them active", Load::all_active, &Figures::bytes, 0},
}};

// ---- the page

/// A colour that can be told from the others', on white and on black.
std::string colour(std::size_t server, std::size_t servers) {
  return "hsl(" + std::to_string(server * 360 / servers) + " 65% 50%)";
}

struct Bar {
  std::string name;
  std::vector<double> parts;  // one behind the other
  double least = 0, greatest = 0;
  std::string value;
};
void write_bars(std::ostream& out, const std::string& caption, const std::vector<Bar>& bars) {
  double most = 0;
  for (const Bar& bar : bars) {
    double sum = 0;
    for (const double part : bar.parts)
      sum += part;
    most = std::max({most, sum, bar.greatest});
  }
  const auto percent = [most](double value) { return number(most > 0 ? value / most * 100 : 0, 1) + "%"; };
  out << "<figure><figcaption>" << caption << "</figcaption><div class=\"bars\">\n";
  for (const Bar& bar : bars) {
    out << "<span>" << bar.name << "</span><span class=\"track\">";
    for (const double part : bar.parts)
      out << "<i style=\"width:" << percent(part) << "\"></i>";
    if (bar.greatest > bar.least)
      out << "<b style=\"left:" << percent(bar.least) << ";width:" << percent(bar.greatest - bar.least)
          << "\"></b>";
    out << "</span><span>" << bar.value << "</span>\n";
  }
  out << "</div></figure>\n";
}

/// A line for each server, over the connections in the logarithm.
void write_chart(std::ostream& out, const Chart& chart, std::span<const Point> points, std::size_t servers) {
  constexpr double left = 52, right = 340, top = 12, bottom = 190;
  const double first = points.front().connections, decades = std::log(points.back().connections / first);
  double most = 1;
  for (const Point& point : points)
    for (const std::vector<Figures>& rounds : *point.all)
      most = std::max(most, median(rounds, chart.what));
  const auto x = [&](int n) { return number(left + std::log(n / first) / decades * (right - left), 1); };
  const auto y = [&](double value) { return number(bottom - value / most * (bottom - top), 1); };
  out << "<figure><figcaption>" << chart.title
      << "</figcaption>\n<svg viewBox=\"0 0 360 220\" role=\"img\" aria-label=\"" << chart.title
      << ", by the number of connections\">\n";
  double step = std::pow(10, std::floor(std::log10(most / 2)));  // a round number: at most five of them
  step *= most / step > 10 ? 5 : most / step > 5 ? 2 : 1;
  for (int i = 0; i * step <= most; ++i)
    out << "<line x1=\"" << left << "\" x2=\"" << right << "\" y1=\"" << y(i * step) << "\" y2=\""
        << y(i * step) << "\"/><text x=\"" << left - 6 << "\" y=\"" << y(i * step)
        << "\" dy=\".35em\" text-anchor=\"end\">" << number(i * step, step < 1 ? 1 : 0) << "</text>\n";
  for (const Point& point : points)
    out << "<text x=\"" << x(point.connections) << "\" y=\"" << bottom + 20 << "\" text-anchor=\"middle\">"
        << point.connections << "</text>\n";
  for (std::size_t server = 0; server < servers; ++server) {
    out << "<polyline stroke=\"" << colour(server, servers) << "\" points=\"";
    for (const Point& point : points)
      out << x(point.connections) << "," << y(median((*point.all)[server], chart.what)) << " ";
    out << "\"/>\n";
  }
  out << "</svg></figure>\n";
}

}  // namespace

void print(const Work& work, std::span<const Server> servers, const Rounds& all, bool ratios_alone) {
  std::printf("\n### %c: %s\n", work.id, std::string(work.title).c_str());
  const bool slow = work.asks_slow_server(), absolute = !slow && !ratios_alone;
  Cells heads{"server"};
  const auto add = [](Cells& row, bool wanted, const Cells& more) {
    if (wanted) row.insert(row.end(), more.begin(), more.end());
  };
  add(heads, slow, {"longest wait, ms", "least–greatest"});
  add(heads, absolute,
      {work.counts_connections() ? "CPU, µs a connection" : "CPU, µs a message", "relative"});
  add(heads, ratios_alone, {"CPU time, relative to " + servers[0].name});
  add(heads, !slow, {"least–greatest", "best rounds"});
  add(heads, absolute, {work.held > 0 ? "opened a second" : "done a second"});
  add(heads, absolute && work.held > 0, {"bytes each", "the kernel's bytes each"});
  add(heads, absolute && work.has_latency(), {"p50, µs", "p99, µs"});
  print_heads(heads);
  for (std::size_t i = 0; i < servers.size(); ++i) {
    const auto of = [&](Measure what, int digits) { return number(median(all[i], what), digits); };
    const Spread ratios = ratios_of(all, i);
    Cells row{servers[i].name};
    add(row, slow, {of(&Figures::ms, 1), range(spread_of(each(all[i], &Figures::ms)), 1)});
    add(row, absolute, {of(&Figures::cpu, 2)});
    add(row, !slow, {number(ratios.middle, 2), range(ratios, 2), number(best_ratio_of(all, i), 2)});
    add(row, absolute, {of(&Figures::rate, 0)});
    add(row, absolute && work.held > 0, {of(&Figures::bytes, 0), of(&Figures::kernel_bytes, 0)});
    add(row, absolute && work.has_latency(), {of(&Figures::p50, 0), of(&Figures::p99, 0)});
    print_row(row);
  }
  std::fflush(stdout);
}

void print_growth(std::span<const Server> servers, std::span<const Result> results) {
  if (!has_growth(results)) return;
  std::printf("\n### Growth: what a message and a connection cost with so many connections\n");
  for (const Chart& chart : charts) {
    const std::vector<Point> points = points_of(results, chart.load);
    Cells heads{std::string(chart.title)};
    for (const Point& point : points)
      heads.push_back(std::to_string(point.connections));
    print_heads(heads);
    for (std::size_t i = 0; i < servers.size(); ++i) {
      Cells row{servers[i].name};
      for (const Point& point : points)
        row.push_back(number(median((*point.all)[i], chart.what), chart.digits));
      print_row(row);
    }
  }
  std::fflush(stdout);
}

void write_plots(std::ostream& out, const Work& work, std::span<const Server> servers, const Rounds& all) {
  std::vector<Bar> main, latency, memory;
  for (std::size_t i = 0; i < servers.size(); ++i) {
    const auto of = [&](Measure what) { return median(all[i], what); };
    const std::string& name = servers[i].name;
    const auto [middle, least, greatest] =
        work.asks_slow_server() ? spread_of(each(all[i], &Figures::ms)) : ratios_of(all, i);
    main.push_back({name, {middle}, least, greatest, number(middle, work.asks_slow_server() ? 1 : 2)});
    const double p50 = of(&Figures::p50), p99 = of(&Figures::p99);
    latency.push_back({name, {p50}, p50, p99, number(p50, 0) + ", " + number(p99, 0)});
    const double ours = of(&Figures::bytes), kernel = of(&Figures::kernel_bytes);
    memory.push_back({name, {ours, kernel}, 0, 0, number(ours, 0) + " + " + number(kernel, 0)});
  }
  out << "<h3>" << work.id << ": " << work.title << "</h3>\n";
  write_bars(out,
             work.asks_slow_server() ? "The longest wait, ms" : "CPU time, relative to " + servers[0].name,
             main);
  if (work.paced)
    write_bars(out, "Latency in µs: the bar is the median, the line reaches to the 99th percentile", latency);
  if (work.held > 0)
    write_bars(out, "Bytes a connection: the process's own, and behind them the kernel's", memory);
}

void write_growth(std::ostream& out, std::span<const Server> servers, std::span<const Result> results) {
  if (!has_growth(results)) return;
  out << "<h3>Growth, by the number of connections</h3>\n<div class=\"charts\">\n";
  for (const Chart& chart : charts)
    write_chart(out, chart, points_of(results, chart.load), servers.size());
  out << "</div>\n<p class=\"legend\">";
  for (std::size_t i = 0; i < servers.size(); ++i)
    out << "<span><i style=\"background:" << colour(i, servers.size()) << "\"></i> " << servers[i].name
        << "</span> ";
  out << "</p>\n";
}

void write_json(std::ostream& out, std::span<const Server> servers, std::span<const Result> results,
                const std::string& machine) {
  out << "{\"machine\": \"" << machine << "\", \"works\": [";
  for (std::size_t at = 0; at < results.size(); ++at) {
    const auto& [work, all] = results[at];
    out << (at ? "," : "") << "\n    {\"work\": \"" << work->id << "\", \"title\": \"" << work->title
        << "\", \"servers\": [";
    for (std::size_t i = 0; i < servers.size(); ++i) {
      out << (i ? "," : "") << "\n      {\"name\": \"" << servers[i].name << "\", \"rounds\": [";
      for (std::size_t round = 0; round < all[i].size(); ++round) {
        const Figures& figures = all[i][round];
        out << (round ? ", " : "") << "{\"cpu_us\": " << figures.cpu << ", \"a_second\": " << figures.rate
            << ", \"p50_us\": " << figures.p50 << ", \"p99_us\": " << figures.p99
            << ", \"bytes\": " << figures.bytes << ", \"kernel_bytes\": " << figures.kernel_bytes
            << ", \"ms\": " << figures.ms << "}";
      }
      out << "]}";
    }
    out << "\n    ]}";
  }
  out << "\n]}\n";
}

}  // namespace bench
