// Servers under the same load, in turn: A B C, then C B A, and so on, a fresh process each time. Prints what each spends
// on a message, relative to the first one. CPU time is judged: throughput moves with whatever else the machine does.
//
//   bench [options] NAME=COMMAND NAME=COMMAND…
//
// A server prints a line with "port=N" or "127.0.0.1:N" when it listens. The ratio is taken within a round. Beside its median stands the
// ratio of the best rounds: noise only adds, so the two should agree; if they do not, more rounds are needed. Give a server
// twice, and the difference that you see is none. Exit 0 if every reply byte of every run was right.
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <exception>
#include <fstream>
#include <iostream>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include "common/program/arguments.h"

namespace {

using ladder::BadArgument;

struct Work {
  char id;
  std::string_view title;
  std::string_view program;  // client load, client hold, churn
  std::string_view arguments;
  int idle = 0;         // connections that stand beside
  int connections = 0;  // of a hold: what is counted, and what memory is divided by
  // A second run with these, and the difference is measured: so many connections take longer to open than to serve.
  std::string_view longer = {};
  int grows = 0;  // connections that echo 64 bytes, each as soon as it can: a point of the chart of growth
};
constexpr std::array<Work, 12> works = {{
    {'a', "100 connections, 64 bytes", "load", "--connections 100 --size 64 --duration 0.65", 0, 0, {}, 100},
    {'b',
     "1000 connections, 64 bytes",
     "load",
     "--connections 1000 --size 64 --duration 0.65",
     0,
     0,
     {},
     1000},
    {'c', "50 connections, 16 KiB", "load", "--connections 50 --size 16384 --duration 0.65"},
    {'d', "50 connections, 64 bytes, 16 under way on each", "load",
     "--connections 50 --size 64 --depth 16 --duration 0.65"},
    {'e', "come and go, 64 at a time, one echo each", "churn", "0.65"},
    {'f', "6000 held, each echoes twice", "hold", "--connections 6000 --for 0", 0, 6000},
    {'g', "19 000 held, each echoes twice", "hold", "--connections 19000 --for 0", 0, 19'000},
    {'h', "100 connections, 64 bytes, 20 000 a second", "load",
     "--connections 100 --size 64 --rate 20000 --duration 0.65"},
    {'i', "10 connections, 64 bytes, beside 900 that are silent", "load",
     "--connections 10 --size 64 --duration 0.65", 900},
    {'j', "one connection, 64 bytes", "load", "--connections 1 --size 64 --duration 0.65"},
    {'k', "6000 connections, 64 bytes", "load", "--connections 6000 --size 64 --duration 0.3", 0, 0,
     "--connections 6000 --size 64 --duration 1.3", 6000},
    {'l', "19 000 connections, 64 bytes", "load", "--connections 19000 --size 64 --duration 0.3", 0, 0,
     "--connections 19000 --size 64 --duration 1.3", 19'000},
}};

struct Server {
  std::string name, command;
};
struct Figures {
  double cpu = 0;   // microseconds a message; of a hold or a churn, a connection
  double rate = 0;  // of these, in a second
  double p50 = 0;   // microseconds until a reply was back
  double p99 = 0;
  double bytes = 0;  // resident memory of a connection that is held
};

// ---- processes

struct Child {
  pid_t pid = 0;
  std::FILE* output = nullptr;  // its standard output
};

void pin(int core) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(core, &cores);
  if (::sched_setaffinity(0, sizeof cores, &cores) != 0) std::perror("sched_setaffinity");
}

/// core: where it runs; negative: anywhere.
Child start(const std::string& command, int core) {
  std::vector<std::string> words;
  std::istringstream text(command);
  for (std::string word; text >> word;)
    words.push_back(word);
  std::vector<char*> argv;
  for (std::string& word : words)
    argv.push_back(word.data());
  argv.push_back(nullptr);
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::system_error(errno, std::system_category(), "pipe2");
  const pid_t pid = ::fork();
  if (pid < 0) throw std::system_error(errno, std::system_category(), "fork");
  if (pid == 0) {
    if (core >= 0) pin(core);
    ::dup2(ends[1], STDOUT_FILENO);
    ::execvp(argv[0], argv.data());
    std::perror(argv[0]);
    ::_exit(127);
  }
  ::close(ends[1]);
  return {pid, ::fdopen(ends[0], "r")};
}

std::string read_all(std::FILE* file, bool a_line = false) {
  std::string text;
  for (int c = 0; (c = std::fgetc(file)) != EOF && !(a_line && c == '\n');)
    text.push_back(static_cast<char>(c));
  return text;
}

/// The number behind `key` in the text.
double number_after(const std::string& text, const std::string& key) {
  const std::size_t at = text.find(key);
  if (at == std::string::npos) throw std::runtime_error("no " + key + " in: " + text);
  return std::stod(text.substr(at + key.size()));
}

/// All threads of the process, those that have ended too.
double cpu_seconds(pid_t pid) {
  clockid_t clock{};
  timespec time{};
  if (::clock_getcpuclockid(pid, &clock) != 0 || ::clock_gettime(clock, &time) != 0)
    throw std::runtime_error("no CPU clock of the server: it has ended");
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

/// VmRSS or VmHWM, its highest so far (proc(5)).
double memory(pid_t pid, const std::string& which) {
  std::ostringstream text;
  text << std::ifstream("/proc/" + std::to_string(pid) + "/status").rdbuf();
  return number_after(text.str(), which + ":") * 1024;
}

/// Connections that say nothing, as long as this lives.
class Idle {
 public:
  Idle(int count, std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    for (int i = 0; i < count; ++i) {
      sockets_.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      if (::connect(sockets_.back(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
        throw std::system_error(errno, std::system_category(), "connect");
    }
  }
  ~Idle() {
    for (const int socket : sockets_)
      ::close(socket);
  }
  Idle(const Idle&) = delete;
  Idle& operator=(const Idle&) = delete;

 private:
  std::vector<int> sockets_{};
};

// ---- measuring

struct Run {
  double cpu = 0;     // seconds of the server's
  double memory = 0;  // bytes it has grown by
  std::string report{};
};

Run run_once(const Server& server, const Work& work, std::string_view arguments, const std::string& folder,
             bool pinned) {
  const Child subject = start(server.command, pinned ? 0 : -1);
  const std::string ready = read_all(subject.output, true);
  const bool sketch = ready.find("port=") == std::string::npos;  // it says "listening on 127.0.0.1:7777"
  const int port = static_cast<int>(number_after(ready, sketch ? "127.0.0.1:" : "port="));
  Run run;
  {
    const Idle idle(work.idle, static_cast<std::uint16_t>(port));
    const double memory_before = memory(subject.pid, "VmRSS"), before = cpu_seconds(subject.pid);
    const std::string command = work.program == "churn"
                                    ? folder + "churn " + std::to_string(port) + " " + std::string(arguments)
                                    : folder + "client " + std::string(work.program) +
                                          " 127.0.0.1:" + std::to_string(port) + " " +
                                          std::string(arguments) + " --json";
    const Child user = start(command, pinned ? 1 : -1);
    run.report = read_all(user.output);
    run.cpu = cpu_seconds(subject.pid) - before;
    run.memory = memory(subject.pid, "VmHWM") - memory_before;
    int status = 0;
    ::waitpid(user.pid, &status, 0);
    std::fclose(user.output);
    if (status != 0) throw std::runtime_error(server.name + ": " + run.report);
  }
  ::kill(subject.pid, SIGTERM);
  ::waitpid(subject.pid, nullptr, 0);
  std::fclose(subject.output);
  return run;
}

Figures measure(const Server& server, const Work& work, const std::string& folder, bool pinned) {
  const Run run = run_once(server, work, work.arguments, folder, pinned);
  if (work.connections > 0)
    return {.cpu = run.cpu / work.connections * 1e6,
            .rate = number_after(run.report, "\"connects_per_second\":"),
            .bytes = run.memory / work.connections};
  const auto messages = [](const Run& of) { return number_after(of.report, "\"messages\":"); };
  const auto seconds = [](const Run& of) { return number_after(of.report, "\"seconds\":"); };
  const Run last = work.longer.empty() ? run : run_once(server, work, work.longer, folder, pinned);
  const Run none{.report = "\"messages\":0"};
  const Run& first = work.longer.empty() ? none : run;
  Figures figures{.cpu = (last.cpu - first.cpu) / (messages(last) - messages(first)) * 1e6,
                  .rate = messages(last) / seconds(last)};
  if (work.program == "load") {
    figures.p50 = number_after(last.report, "\"p50\":");
    figures.p99 = number_after(last.report, "\"p99\":");
  }
  return figures;
}

using Rounds = std::vector<std::vector<Figures>>;  // [server][round]

Rounds measure_all(std::span<const Server> servers, const Work& work, std::uint64_t rounds,
                   const std::string& folder, bool pinned) {
  Rounds all(servers.size());
  for (std::uint64_t round = 0; round < rounds; ++round)
    for (std::size_t i = 0; i < servers.size(); ++i) {
      const std::size_t which = round % 2 == 0 ? i : servers.size() - 1 - i;
      all[which].push_back(measure(servers[which], work, folder, pinned));
      std::fprintf(stderr, "%c %s: %.2f us\n", work.id, servers[which].name.c_str(), all[which].back().cpu);
    }
  return all;
}

// ---- reporting

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

template <class Of>
std::vector<double> each(const std::vector<Figures>& rounds, Of of) {
  std::vector<double> values;
  for (const Figures& figures : rounds)
    values.push_back(of(figures));
  return values;
}

double cpu_of(const Figures& figures) {
  return figures.cpu;
}

double of_median(const std::vector<Figures>& rounds, double Figures::* what) {
  return median(each(rounds, [what](const Figures& figures) { return figures.*what; }));
}

struct Ratios {
  double middle = 0, least = 0, greatest = 0, best = 0;
};
/// To the first server, taken within each round; best: of the rounds in which each was best.
Ratios ratios_of(const Rounds& all, std::size_t server) {
  std::vector<double> ratios;
  for (std::size_t round = 0; round < all[server].size(); ++round)
    ratios.push_back(all[server][round].cpu / all[0][round].cpu);
  const auto [least, greatest] = std::ranges::minmax(ratios);
  return {median(ratios), least, greatest,
          std::ranges::min(each(all[server], cpu_of)) / std::ranges::min(each(all[0], cpu_of))};
}

void print(const Work& work, std::span<const Server> servers, const Rounds& all) {
  const bool holds = work.connections > 0, waits = work.program == "load";
  std::printf("\n### %c: %s\n\n", work.id, std::string(work.title).c_str());
  std::printf("| server | CPU, µs a %s | relative | least–greatest | best rounds | %s a second |%s%s\n",
              waits ? "message" : "connection", holds ? "opened" : "done", holds ? " bytes each |" : "",
              waits ? " p50, µs | p99, µs |" : "");
  std::printf("|---|---|---|---|---|---|%s%s\n", holds ? "---|" : "", waits ? "---|---|" : "");
  for (std::size_t i = 0; i < servers.size(); ++i) {
    const auto [middle, least, greatest, best] = ratios_of(all, i);
    std::printf("| %s | %.2f | %.2f | %.2f–%.2f | %.2f | %.0f |", servers[i].name.c_str(),
                median(each(all[i], cpu_of)), middle, least, greatest, best,
                of_median(all[i], &Figures::rate));
    if (holds) std::printf(" %.0f |", of_median(all[i], &Figures::bytes));
    if (waits)
      std::printf(" %.0f | %.0f |", of_median(all[i], &Figures::p50), of_median(all[i], &Figures::p99));
    std::printf("\n");
  }
  std::fflush(stdout);
}

/// A bar for each server, as long as its CPU time relative to the first one, and a line from the least to the greatest.
void write_plot(std::ostream& out, const Work& work, std::span<const Server> servers, const Rounds& all) {
  constexpr int row = 22, label = 150, unit = 200, width = 720;
  out << "<h3>" << work.id << ": " << work.title << "</h3>\n<svg viewBox=\"0 0 " << width << " "
      << servers.size() * row
      << "\" role=\"img\" aria-label=\"CPU time of each server, relative to the first\">\n";
  for (std::size_t i = 0; i < servers.size(); ++i) {
    const auto [middle, least, greatest, best] = ratios_of(all, i);
    const std::size_t y = i * row;
    const auto x = [](double ratio) { return std::min<double>(label + ratio * unit, width - 50); };
    out << "<text x=\"" << label - 8 << "\" y=\"" << y + 15 << "\" text-anchor=\"end\">" << servers[i].name
        << "</text><rect x=\"" << label << "\" y=\"" << y + 3 << "\" width=\"" << x(middle) - label
        << "\" height=\"" << row - 6 << "\"/><line x1=\"" << x(least) << "\" x2=\"" << x(greatest)
        << "\" y1=\"" << y + row / 2 << "\" y2=\"" << y + row / 2 << "\"/><text x=\""
        << x(std::max(middle, greatest)) + 6 << "\" y=\"" << y + 15 << "\">" << std::round(middle * 100) / 100
        << "</text>\n";
  }
  out << "</svg>\n";
}

struct Point {  // of the chart of growth, fewer connections first
  int connections = 0;
  std::vector<double> cpu{};  // of each server, microseconds a message
};

/// How a message's CPU time grows with the connections: a line for each server, from left to right in the logarithm.
void write_growth(std::ostream& out, std::span<const Server> servers, std::span<const Point> points) {
  if (points.size() < 2) return;
  constexpr int left = 60, right = 520, top = 10, bottom = 240;
  const double first = points.front().connections, decades = std::log(points.back().connections / first);
  double most = 0;
  for (const Point& point : points)
    most = std::max(most, std::ranges::max(point.cpu));
  const auto x = [&](int n) { return left + std::log(n / first) / decades * (right - left); };
  const auto y = [&](double cpu) { return bottom - cpu / most * (bottom - top); };
  out << "<h3>Growth: CPU time a message, µs, by connections</h3>\n<svg viewBox=\"0 0 720 270\" role=\"img\" "
         "aria-label=\"CPU time a message of each server, by the number of connections\">\n";
  for (const double cpu : {0.0, most / 2, most})
    out << "<line x1=\"" << left << "\" x2=\"" << right << "\" y1=\"" << y(cpu) << "\" y2=\"" << y(cpu)
        << "\" opacity=\"0.25\"/><text x=\"" << left - 8 << "\" y=\"" << y(cpu) + 4
        << "\" text-anchor=\"end\">" << std::round(cpu * 10) / 10 << "</text>\n";
  for (const Point& point : points)
    out << "<text x=\"" << x(point.connections) << "\" y=\"" << bottom + 20 << "\" text-anchor=\"middle\">"
        << point.connections << "</text>\n";
  for (std::size_t server = 0; server < servers.size(); ++server) {
    const std::size_t hue = server * 360 / servers.size();
    out << "<polyline fill=\"none\" stroke-width=\"2\" stroke=\"hsl(" << hue << " 60% 50%)\" points=\"";
    for (const Point& point : points)
      out << x(point.connections) << "," << y(point.cpu[server]) << " ";
    out << "\"/><rect x=\"" << right + 20 << "\" y=\"" << top + server * 20
        << "\" width=\"12\" height=\"12\" style=\"fill: hsl(" << hue << " 60% 50%)\"/><text x=\""
        << right + 38 << "\" y=\"" << top + server * 20 + 11 << "\">" << servers[server].name << "</text>\n";
  }
  out << "</svg>\n";
}

void write_json(std::ostream& out, const Work& work, std::span<const Server> servers, const Rounds& all) {
  out << "    {\"work\": \"" << work.id << "\", \"title\": \"" << work.title << "\", \"servers\": [";
  for (std::size_t i = 0; i < servers.size(); ++i) {
    out << (i ? "," : "") << "\n      {\"name\": \"" << servers[i].name << "\", \"rounds\": [";
    for (std::size_t round = 0; round < all[i].size(); ++round) {
      const Figures& figures = all[i][round];
      out << (round ? ", " : "") << "{\"cpu_us\": " << figures.cpu << ", \"a_second\": " << figures.rate
          << ", \"p50_us\": " << figures.p50 << ", \"p99_us\": " << figures.p99
          << ", \"bytes\": " << figures.bytes << "}";
    }
    out << "]}";
  }
  out << "\n    ]}";
}

std::string machine() {
  utsname system{};
  ::uname(&system);
  std::ifstream info("/proc/cpuinfo");
  std::string line, model = "unknown";
  while (std::getline(info, line))
    if (line.starts_with("model name")) model = line.substr(line.find(':') + 2);
  return std::to_string(std::thread::hardware_concurrency()) + " cores (" + model + "), Linux " +
         std::string(system.release);
}

void write(const std::string& file, const std::string& text) {
  if (!file.empty() && !(std::ofstream(file) << text).flush())
    throw std::runtime_error("cannot write " + file);
}

struct Settings {
  std::uint64_t rounds = 9;
  bool pinned = false;
  std::string chosen;  // the works' letters; empty: all
  std::string json, plots;
  std::vector<Server> servers;
};

Settings parse(int argc, char** argv) {
  Settings settings;
  const std::vector<ladder::Argument> table = {
      {"--rounds", "N", "rounds (9)",
       [&](std::string_view v) { settings.rounds = ladder::number("--rounds", v, 1, 1000); }},
      {"--pin", "", "the servers on core 0, the load on core 1: for one worker",
       [&](std::string_view) { settings.pinned = true; }},
      {"--works", "LETTERS", "which works (all): abcdefghijkl",
       [&](std::string_view v) { settings.chosen = v; }},
      {"--json", "FILE", "every figure of every round", [&](std::string_view v) { settings.json = v; }},
      {"--plots", "FILE", "a piece of a page, with a plot for each work",
       [&](std::string_view v) { settings.plots = v; }},
  };
  for (const std::string_view word : ladder::parse({argv + 1, argv + argc}, table)) {
    const std::size_t at = word.find('=');
    if (at == 0 || at == std::string_view::npos)
      throw BadArgument("'" + std::string(word) + "' is no NAME=COMMAND");
    settings.servers.push_back({std::string(word.substr(0, at)), std::string(word.substr(at + 1))});
  }
  if (settings.servers.empty()) throw BadArgument("usage: bench [options] NAME=COMMAND…");
  for (const char letter : settings.chosen)
    if (std::ranges::none_of(works, [&](const Work& work) { return work.id == letter; }))
      throw BadArgument(std::string("there is no work '") + letter + "'");
  return settings;
}

void run(const Settings& settings, const std::string& folder) {
  std::printf("%s; %d rounds%s. Relative: to %s.\n", machine().c_str(), static_cast<int>(settings.rounds),
              settings.pinned ? ", the servers on one core, the load on another" : "",
              settings.servers[0].name.c_str());
  std::ostringstream json, plots;
  json << "{\"machine\": \"" << machine() << "\", \"works\": [\n";
  bool first = true;
  std::vector<Point> growth;
  for (const Work& work : works) {
    if (!settings.chosen.empty() && settings.chosen.find(work.id) == std::string::npos) continue;
    const Rounds all = measure_all(settings.servers, work, settings.rounds, folder, settings.pinned);
    print(work, settings.servers, all);
    json << (first ? "" : ",\n");
    write_json(json, work, settings.servers, all);
    write_plot(plots, work, settings.servers, all);
    first = false;
    if (work.grows == 0) continue;
    growth.push_back({.connections = work.grows});
    for (const auto& rounds : all)
      growth.back().cpu.push_back(median(each(rounds, cpu_of)));
  }
  write_growth(plots, settings.servers, growth);
  json << "\n]}\n";
  write(settings.json, json.str());
  write(settings.plots, plots.str());
  if (std::fflush(stdout) != 0 || std::ferror(stdout))
    throw std::runtime_error("standard output cannot be written");
}

}  // namespace

int main(int argc, char** argv) try {
  const std::string self = argv[0];
  run(parse(argc, argv), self.substr(0, self.find_last_of('/') + 1));  // the client and churn stand beside
} catch (const BadArgument& error) {
  std::cerr << "bench: " << error.what() << "\n";
  return 2;
} catch (const std::exception& error) {
  std::cerr << "bench: " << error.what() << "\n";
  return 1;
}
