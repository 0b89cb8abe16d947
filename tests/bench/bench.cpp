// Servers under the same load, in turn: A B C, then C B A, and so on, a fresh process each time. Prints what each spends
// on a message, relative to the first one. CPU time is judged: throughput moves with whatever else the machine does.
//
//   bench [options] NAME=COMMAND NAME=COMMAND…
//
// A server prints a line with "port=N" or "127.0.0.1:N" when it listens. The ratio is taken within a round. Beside its median stands the
// ratio of the best rounds: noise only adds, so the two should agree; if they do not, more rounds are needed. Give a server
// twice, and the difference that you see is none. Exit 0 if every reply byte of every run was right. A work that fails is
// left out.
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <exception>
#include <fstream>
#include <iostream>
#include <limits>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "common/program/arguments.h"
#include "tests/bench/report.h"

namespace {

using namespace bench;
using ladder::BadArgument;

constexpr std::string_view few = "--connections 10 --size 64 --duration 0.65";
constexpr std::array<Work, 18> works = {{
    {.id = 'a',
     .title = "100 connections, 64 bytes",
     .program = "load",
     .arguments = "--connections 100 --size 64 --duration 0.65",
     .active = 100},
    {.id = 'b',
     .title = "1000 connections, 64 bytes",
     .program = "load",
     .arguments = "--connections 1000 --size 64 --duration 0.65",
     .active = 1000},
    {.id = 'c',
     .title = "50 connections, 16 KiB",
     .program = "load",
     .arguments = "--connections 50 --size 16384 --duration 0.65"},
    {.id = 'd',
     .title = "50 connections, 64 bytes, 16 under way on each",
     .program = "load",
     .arguments = "--connections 50 --size 64 --depth 16 --duration 0.65"},
    {.id = 'e', .title = "come and go, 64 at a time, one echo each", .program = "churn", .arguments = "0.65"},
    {.id = 'f',
     .title = "6000 held, each echoes twice",
     .program = "hold",
     .arguments = "--connections 6000 --for 0",
     .held = 6000},
    {.id = 'g',
     .title = "19 000 held, each echoes twice",
     .program = "hold",
     .arguments = "--connections 19000 --for 0",
     .held = 19'000},
    {.id = 'h',
     .title = "100 connections, 64 bytes, 20 000 a second",
     .program = "load",
     .arguments = "--connections 100 --size 64 --rate 20000 --duration 0.65",
     .paced = true},
    {.id = 'i',
     .title = "10 connections, 64 bytes, beside 900 that are silent",
     .program = "load",
     .arguments = few,
     .active = 10,
     .idle = 900},
    {.id = 'j',
     .title = "one connection, 64 bytes",
     .program = "load",
     .arguments = "--connections 1 --size 64 --duration 0.65"},
    {.id = 'k',
     .title = "6000 connections, 64 bytes",
     .program = "load",
     .arguments = "--connections 6000 --size 64 --messages 1",
     .active = 6000,
     .longer = "--connections 6000 --size 64 --messages 21"},
    {.id = 'l',
     .title = "19 000 connections, 64 bytes",
     .program = "load",
     .arguments = "--connections 19000 --size 64 --messages 1",
     .active = 19'000,
     .longer = "--connections 19000 --size 64 --messages 6"},
    {.id = 'm',
     .title = "10 connections, 64 bytes, beside 90 that are silent",
     .program = "load",
     .arguments = few,
     .active = 10,
     .idle = 90},
    {.id = 'n',
     .title = "10 connections, 64 bytes, beside 5990 that are silent",
     .program = "load",
     .arguments = few,
     .active = 10,
     .idle = 5990},
    {.id = 'o',
     .title = "10 connections, 64 bytes, beside 18 990 that are silent",
     .program = "load",
     .arguments = few,
     .active = 10,
     .idle = 18'990},
    {.id = 'p',
     .title = "four requests at once, each takes 200 ms",
     .program = "slow_client",
     .arguments = "four"},
    {.id = 'q',
     .title = "newcomers, while a request takes 200 ms",
     .program = "slow_client",
     .arguments = "callback"},
    {.id = 'r',
     .title = "newcomers, while a connection takes 200 ms to open",
     .program = "slow_client",
     .arguments = "open"},
}};

// ---- processes

void pin(int core) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(core, &cores);
  if (::sched_setaffinity(0, sizeof cores, &cores) != 0) std::perror("sched_setaffinity");
}

/// A program, and what it prints. It ends with this object.
class Child {
 public:
  Child(const std::string& command, int core);  ///< core: where it runs; negative: anywhere
  ~Child() {
    if (pid_ > 0) ::kill(pid_, SIGTERM);
    wait();
    std::fclose(output_);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  pid_t pid() const { return pid_; }
  std::FILE* output() const { return output_; }
  /// Its exit status, once it has ended.
  int wait() {
    int status = 0;
    if (pid_ > 0) ::waitpid(std::exchange(pid_, 0), &status, 0);
    return status;
  }

 private:
  pid_t pid_ = 0;
  std::FILE* output_ = nullptr;
};

Child::Child(const std::string& command, int core) {
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
  pid_ = ::fork();
  if (pid_ < 0) throw std::system_error(errno, std::system_category(), "fork");
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);  // if bench itself is killed
    if (core >= 0) pin(core);
    ::dup2(ends[1], STDOUT_FILENO);
    ::execvp(argv[0], argv.data());
    std::perror(argv[0]);
    ::_exit(127);
  }
  ::close(ends[1]);
  output_ = ::fdopen(ends[0], "r");
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

/// Bytes that the kernel uses for sockets, threads and page tables, of the whole machine (proc(5), /proc/meminfo).
double kernel_memory() {
  std::ostringstream text;
  text << std::ifstream("/proc/meminfo").rdbuf();
  double sum = 0;
  for (const char* const which : {"\nSlab:", "\nKernelStack:", "\nPageTables:"})
    sum += number_after(text.str(), which) * 1024;
  return sum;
}

/// The same, once what has been closed before is free: the kernel takes its time (RCU).
double kernel_memory_at_rest() {
  double last = 0, now = kernel_memory();
  for (int i = 0; i < 20 && std::abs(now - last) > 256 * 1024; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    last = std::exchange(now, kernel_memory());
  }
  return now;
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
  double kernel = 0;  // bytes the kernel has grown by, for both ends
  std::string report{};
};

struct Place {
  std::string folder;   // of the programs
  bool pinned = false;  // the servers on core 0, the load on core 1
  pid_t also = 0;       // a process that works for the servers: Wine's server
};

Run run_once(const Server& server, const Work& work, std::string_view arguments, const Place& place) {
  const Child subject(server.command, place.pinned ? 0 : -1);
  const std::string ready = read_all(subject.output(), true);
  const bool sketch = ready.find("port=") == std::string::npos;  // it says "listening on 127.0.0.1:7777"
  const std::string port =
      std::to_string(static_cast<int>(number_after(ready, sketch ? "127.0.0.1:" : "port=")));
  const auto cpu = [&] { return cpu_seconds(subject.pid()) + (place.also ? cpu_seconds(place.also) : 0); };
  Run run;
  const Idle idle(work.idle, static_cast<std::uint16_t>(std::stoi(port)));
  const double memory_before = memory(subject.pid(), "VmRSS");
  const double kernel_before = work.held > 0 ? kernel_memory_at_rest() : 0;
  const double before = cpu();
  const bool of_client = work.program == "load" || work.program == "hold";
  Child user(place.folder + (of_client ? "client " : "") + std::string(work.program) +
                 (of_client ? " --json --timeout 20 127.0.0.1:" : " ") + port + " " + std::string(arguments),
             place.pinned ? 1 : -1);
  pollfd report{.fd = ::fileno(user.output()), .events = POLLIN, .revents = 0};
  while (work.held > 0 && ::poll(&report, 1, 10) == 0)  // it is printed when all is over
    run.kernel = std::max(run.kernel, kernel_memory() - kernel_before);
  run.report = read_all(user.output());
  run.cpu = cpu() - before;
  run.memory = memory(subject.pid(), "VmHWM") - memory_before;
  if (user.wait() != 0) throw std::runtime_error(server.name + ": " + run.report);
  return run;
}

/// The kernel's bytes for the client's end of a connection. Against a bare loop both ends are alike: a socket, watched by
/// epoll.
double kernel_bytes_of_client(const Work& work, const Place& place) {
  const Server bare{.name = "bare epoll loop", .command = place.folder + "bare epoll"};
  return run_once(bare, work, work.arguments, place).kernel / work.held / 2;
}

Figures measure(const Server& server, const Work& work, const Place& place) {
  const Run run = run_once(server, work, work.arguments, place);
  if (work.asks_slow_server()) return {.ms = number_after(run.report, "\"ms\":")};
  if (work.held > 0)
    return {.cpu = run.cpu / work.held * 1e6,
            .rate = number_after(run.report, "\"connects_per_second\":"),
            .bytes = run.memory / work.held,
            .kernel_bytes = run.kernel / work.held};  // of both ends
  const auto messages = [](const Run& of) { return number_after(of.report, "\"messages\":"); };
  const auto seconds = [](const Run& of) { return number_after(of.report, "\"seconds\":"); };
  const Run last = work.longer.empty() ? run : run_once(server, work, work.longer, place);
  const Run none{.report = "\"messages\":0"};
  const Run& first = work.longer.empty() ? none : run;
  const double more = messages(last) - messages(first);
  if (more < 100) throw std::runtime_error(server.name + ": too few messages to measure one");
  Figures figures{.cpu = (last.cpu - first.cpu) / more * 1e6,
                  .rate = messages(last) / seconds(last),
                  .bytes = work.active > 0 && work.idle == 0 ? last.memory / work.active : 0};
  if (work.has_latency()) {
    figures.p50 = number_after(last.report, "\"p50\":");
    figures.p99 = number_after(last.report, "\"p99\":");
  }
  return figures;
}

Rounds measure_all(std::span<const Server> servers, const Work& work, std::uint64_t rounds,
                   const Place& place) {
  Rounds all(servers.size());
  for (std::uint64_t round = 0; round < rounds; ++round) {
    const double clients_end = work.held > 0 ? kernel_bytes_of_client(work, place) : 0;
    for (std::size_t i = 0; i < servers.size(); ++i) {
      const std::size_t which = round % 2 == 0 ? i : servers.size() - 1 - i;
      all[which].push_back(measure(servers[which], work, place));
      Figures& figures = all[which].back();
      figures.kernel_bytes -= clients_end;
      std::fprintf(stderr, "%c %s: %.2f us, %.0f + %.0f bytes, %.2f ms\n", work.id,
                   servers[which].name.c_str(), figures.cpu, figures.bytes, figures.kernel_bytes, figures.ms);
    }
  }
  return all;
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
  pid_t also = 0;
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
      {"--also", "PID",
       "count in the CPU time of this process, and print no more than ratios: for Wine's server",
       [&](std::string_view v) {
         settings.also =
             static_cast<pid_t>(ladder::number("--also", v, 1, std::numeric_limits<pid_t>::max()));
       }},
      {"--works", "LETTERS", "which works (all): abcdefghijklmnopqr",
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

/// The works that only draw how cost grows are long, and half of the rounds will do.
std::uint64_t rounds_of(const Work& work, const Settings& settings) {
  return work.active > 1000 || work.idle > 0 ? (settings.rounds + 1) / 2 : settings.rounds;
}

/// False: a work has failed.
bool run(const Settings& settings, const std::string& folder) {
  const auto chosen = [&](const Work& work) {
    return settings.chosen.empty() || settings.chosen.find(work.id) != std::string::npos;
  };
  const bool relative =
      std::ranges::any_of(works, [&](const Work& work) { return chosen(work) && !work.asks_slow_server(); });
  std::printf("%s; %d rounds%s.%s\n", machine().c_str(), static_cast<int>(settings.rounds),
              settings.pinned ? ", the servers on one core, the load on another" : "",
              relative ? (" Relative: to " + settings.servers[0].name + ".").c_str() : "");
  const Place place{.folder = folder, .pinned = settings.pinned, .also = settings.also};
  std::ostringstream json, plots;
  std::vector<Result> results;
  bool failed = false;
  for (const Work& work : works) {
    if (!chosen(work)) continue;
    try {
      const Result& result =
          results.emplace_back(&work, measure_all(settings.servers, work, rounds_of(work, settings), place));
      print(work, settings.servers, result.all, settings.also != 0);
      write_plots(plots, work, settings.servers, result.all);
    } catch (const std::runtime_error& error) {
      std::fprintf(stderr, "bench: %c is left out: %s\n", work.id, error.what());
      failed = true;
    }
  }
  print_growth(settings.servers, results);
  write_growth(plots, settings.servers, results);
  write_json(json, settings.servers, results, machine());
  write(settings.json, json.str());
  write(settings.plots, plots.str());
  if (std::fflush(stdout) != 0 || std::ferror(stdout))
    throw std::runtime_error("standard output cannot be written");
  return !failed;
}

}  // namespace

int main(int argc, char** argv) try {
  const std::string self = argv[0];
  // The client and churn stand beside.
  return run(parse(argc, argv), self.substr(0, self.find_last_of('/') + 1)) ? 0 : 1;
} catch (const BadArgument& error) {
  std::cerr << "bench: " << error.what() << "\n";
  return 2;
} catch (const std::exception& error) {
  std::cerr << "bench: " << error.what() << "\n";
  return 1;
}
