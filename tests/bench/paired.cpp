// Two servers under the same load, in turn (A B, B A, …), a fresh process each run: the CPU time that each
// spends on a message, and their ratio, taken within a round. CPU time is steadier than throughput; both are
// printed.
//
//   paired [--rounds N] [--pin 1] [--load "ARGUMENTS"] "SERVER A" "SERVER B" CLIENT
//
// A server prints a line with "port=N" when it listens; CLIENT is the project's client, run as
//   CLIENT load 127.0.0.1:N ARGUMENTS --json
// and its "messages" are what the CPU time is divided by. Exit 0 if every run was clean.
#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <exception>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "common/program/arguments.h"

namespace {

using ladder::BadArgument;

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

Child start(const std::string& command, int core) {
  std::vector<std::string> words;
  std::istringstream text(command);
  for (std::string word; text >> word;)
    words.push_back(word);
  std::vector<char*> argv;
  for (std::string& word : words)
    argv.push_back(word.data());
  argv.push_back(nullptr);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw std::system_error(errno, std::system_category(), "pipe2");
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

std::string read_all(std::FILE* file) {
  std::string text;
  for (int c; (c = std::fgetc(file)) != EOF;)
    text.push_back(static_cast<char>(c));
  return text;
}

/// The number behind `key` in the text.
double number_after(const std::string& text, const std::string& key) {
  const std::size_t at = text.find(key);
  if (at == text.npos) throw std::runtime_error("no " + key + " in: " + text);
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

struct Run {
  double cpu = 0;   // microseconds a message
  double rate = 0;  // messages a second
};

Run measure(const std::string& server, const std::string& client, const std::string& load, bool pinned) {
  Child subject = start(server, pinned ? 0 : -1);
  std::string ready;
  for (int c; (c = std::fgetc(subject.output)) != EOF && c != '\n';)
    ready.push_back(static_cast<char>(c));
  const std::string port = std::to_string(static_cast<int>(number_after(ready, "port=")));
  const double before = cpu_seconds(subject.pid);
  Child user = start(client + " load 127.0.0.1:" + port + " " + load + " --json", pinned ? 1 : -1);
  const std::string report = read_all(user.output);
  const double spent = cpu_seconds(subject.pid) - before;
  int status = 0;
  ::waitpid(user.pid, &status, 0);
  ::kill(subject.pid, SIGTERM);
  ::waitpid(subject.pid, nullptr, 0);
  std::fclose(subject.output);
  std::fclose(user.output);
  if (status != 0) throw std::runtime_error("the client failed on " + server + ": " + report);
  const double messages = number_after(report, "\"messages\":");
  return {spent / messages * 1e6, messages / number_after(report, "\"seconds\":")};
}

void print(const char* what, std::vector<double> values) {
  std::sort(values.begin(), values.end());
  std::printf("%-34s median %8.3f   least %8.3f   greatest %8.3f\n", what, values[values.size() / 2],
              values.front(), values.back());
}

}  // namespace

int main(int argc, char** argv) try {
  std::uint64_t rounds = 9;
  bool pinned = false;
  std::string load = "--connections 100 --size 64 --duration 0.65";
  const std::vector<ladder::Argument> table = {
      {"--rounds", "N", "rounds of A B (9)",
       [&](std::string_view v) { rounds = ladder::number("--rounds", v, 1, 1000); }},
      {"--pin", "", "the server on core 0, the client on core 1", [&](std::string_view) { pinned = true; }},
      {"--load", "TEXT", "arguments for client load", [&](std::string_view v) { load = v; }},
  };
  const auto rest = ladder::parse({argv + 1, argv + argc}, table);
  if (rest.size() != 3) throw BadArgument("usage: paired [options] \"SERVER A\" \"SERVER B\" CLIENT");
  const std::string a(rest[0]), b(rest[1]), client(rest[2]);
  std::vector<double> cpu_a, cpu_b, ratio, rate;
  for (std::uint64_t round = 0; round < rounds; ++round) {
    const bool a_first = round % 2 == 0;
    Run first = measure(a_first ? a : b, client, load, pinned);
    Run second = measure(a_first ? b : a, client, load, pinned);
    if (!a_first) std::swap(first, second);
    cpu_a.push_back(first.cpu);
    cpu_b.push_back(second.cpu);
    ratio.push_back(first.cpu / second.cpu);
    rate.push_back(first.rate / second.rate);
  }
  std::printf("A: %s\nB: %s\nload: %s, %d rounds%s\n", a.c_str(), b.c_str(), load.c_str(),
              static_cast<int>(rounds), pinned ? ", pinned" : "");
  print("A: CPU us a message", cpu_a);
  print("B: CPU us a message", cpu_b);
  print("A / B: CPU a message", ratio);
  std::printf("%-34s        %8.3f\n", "A / B: CPU, best rounds",
              *std::min_element(cpu_a.begin(), cpu_a.end()) / *std::min_element(cpu_b.begin(), cpu_b.end()));
  print("A / B: messages a second", rate);
  if (std::fflush(stdout) != 0 || std::ferror(stdout))
    throw std::runtime_error("standard output cannot be written");
} catch (const BadArgument& error) {
  std::cerr << "paired: " << error.what() << "\n";
  return 2;
} catch (const std::exception& error) {
  std::cerr << "paired: " << error.what() << "\n";
  return 1;
}
