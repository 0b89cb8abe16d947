// All that is Linux's own in the suite: processes, /proc, namespaces.
#include <fcntl.h>
#include <linux/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "tests/conformance/platform.h"
#include "tests/conformance/proc.h"
#include "tests/conformance/suite.h"
#include "tests/conformance/wine.h"

namespace conformance {
namespace {

namespace fs = std::filesystem;
using proc::contents;
using proc::directory;

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::system_category(), what);
}

struct Pipe {
  Pipe() {
    if (pipe2(ends.data(), O_CLOEXEC) != 0) fail("pipe");
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    for (const int end : ends)
      if (end >= 0) close(end);
  }
  int keep(std::size_t end) { return std::exchange(ends[end], -1); }
  std::array<int, 2> ends{-1, -1};
};

void fill(int pipe_end) {
  if (fcntl(pipe_end, F_SETFL, O_NONBLOCK) != 0) fail("fcntl");
  const std::array<char, 4096> page{};
  while (write(pipe_end, page.data(), page.size()) > 0) {
  }
  while (write(pipe_end, page.data(), 1) > 0) {
  }
  if (fcntl(pipe_end, F_SETFL, 0) != 0) fail("fcntl");  // the server's own end: a write to it waits
}

/// In the child. Root's threads are not counted, so it becomes a user that nobody else is; others get a user
/// namespace, in which it is the only program. First the namespace: it keeps the limit of that moment for whoever its user is
/// outside, and would count all that runs there. False: neither is allowed.
bool limit_threads(rlim_t most) {
  const rlimit limit{most, most};
  const uid_t nobody_else = 1'000'000 + static_cast<uid_t>(getpid());
  if (geteuid() == 0 && setrlimit(RLIMIT_NPROC, &limit) == 0 &&
      setresuid(nobody_else, nobody_else, nobody_else) == 0)
    return true;
  return unshare(CLONE_NEWUSER) == 0 && setrlimit(RLIMIT_NPROC, &limit) == 0;
}

/// In the child.
void set_limit(const Limit& wanted) {
  const auto which = wanted.of == Limit::Of::descriptors ? RLIMIT_NOFILE
                     : wanted.of == Limit::Of::stack     ? RLIMIT_STACK
                                                         : RLIMIT_FSIZE;
  rlimit limit{};
  getrlimit(which, &limit);
  limit.rlim_cur = wanted.soft;
  if (wanted.hard_too) limit.rlim_max = wanted.soft;
  if (setrlimit(which, &limit) == 0) return;
  dprintf(STDERR_FILENO, "cannot set a limit: %s\n", std::strerror(errno));
  _exit(127);
}

/// In the child: a file that each system has.
int opened(const char* device, int flags) {
  if (const int file = open(device, flags); file >= 0) return file;
  dprintf(STDERR_FILENO, "cannot open %s: %s\n", device, std::strerror(errno));
  _exit(127);
}

/// In the child: what a program finds when a person starts it, whoever started us. No way back.
[[noreturn]] void become(const Launch& launch, std::vector<char*> words, int out, int log) {
  setpgid(0, 0);
  for (const int signal : {SIGINT, SIGTERM, SIGPIPE, SIGXFSZ, SIGTTOU, SIGHUP, SIGCHLD})
    std::signal(signal, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  dup2(opened("/dev/null", O_RDONLY), STDIN_FILENO);
  dup2(launch.takes_output ? out : opened("/dev/full", O_WRONLY), STDOUT_FILENO);
  dup2(log, STDERR_FILENO);
  close_range(STDERR_FILENO + 1, ~0U, 0);  // what we were given by whoever started us is not the server's
  for (const int descriptor : launch.closed)
    close(descriptor);
  for (int i = launch.gap; i < launch.inherited; ++i)
    dup2(STDIN_FILENO, STDERR_FILENO + 1 + i);
  // Opened first: another user may not get as far as its folder.
  const int program = launch.threads ? open(words[0], O_PATH | O_CLOEXEC) : -1;
  if (launch.threads) limit_threads(launch.threads);
  for (const Limit& limit : launch.limits)
    set_limit(limit);
  prctl(PR_SET_PDEATHSIG, launch.gently ? SIGINT : SIGKILL);  // no server outlives the suite
  setenv("TSAN_OPTIONS", "atexit_sleep_ms=0", 0);             // else each exit would take a second
  if (program >= 0) fexecve(program, words.data(), environ);
  execvp(words[0], words.data());
  dprintf(STDERR_FILENO, "cannot run %s: %s\n", words[0], std::strerror(errno));
  _exit(127);
}

Ended ended_from(int status) {
  if (WIFSIGNALED(status)) return {.status = 0, .signal = WTERMSIG(status)};
  return {.status = WEXITSTATUS(status), .signal = 0};
}

}  // namespace

struct Process::State {
  int id = -1;
  int handle = -1;  // pidfd: readable when the process has ended
  int out = -1, log = -1;
  std::string unread{};
  std::optional<Ended> ended{};
  std::optional<rlim_t> usual_limit{};  // of descriptors
  Process* wineserver = nullptr;        // of a Windows program: wine.h
  std::string program{};                // ... its name,
  std::size_t before = 0;               // ... the wineserver's sockets when it was started,
  std::size_t share = 0;                // ... and which of them are its own

  std::size_t sockets_in_wineserver() const {
    // It does not tell whose a socket is: what is more than the others' shares is this one's.
    return internet_sockets(wineserver->self_->id) - left_behind() - (all_shares() - share);
  }
  void has_ended(int wait_status) {
    ended = ended_from(wait_status);
    if (!wineserver) return;
    // Its sockets are closed when the wineserver has heard of its end, and done what is to do.
    const Time until = Clock::now() + std::chrono::seconds(1);
    while (!wineserver->asleep() && Clock::now() < until)
      wineserver->wait(milliseconds(1));
    // Killed in select or in an accept it leaves some there for good (Wine 8): nobody's, from now on.
    if (ended->signal) left_behind() += sockets_in_wineserver();
    all_shares() -= std::exchange(share, 0);
  }

  ~State() {
    if (id > 0) {
      // For the others' sake: killed it may leave sockets there, which keep the wineserver busy.
      if (wineserver && !ended) {
        ::kill(id, SIGINT);
        pollfd end{handle, POLLIN, 0};
        poll(&end, 1, 1000);
      }
      ::kill(-id, SIGKILL);  // and what it may have started
      int status = 0;
      if (!ended && waitpid(id, &status, 0) == id) has_ended(status);
    }
    if (wineserver && wineserver->self_->usual_limit)
      wineserver->allow_descriptors();  // it serves the next one
    for (const int descriptor : {handle, out, log})
      if (descriptor >= 0) close(descriptor);
  }
};

std::string to_string(const Ended& ended) {
  if (ended.signal)
    return "killed by signal " + std::to_string(ended.signal) + " (" + strsignal(ended.signal) + ")";
  return "exit " + std::to_string(ended.status);
}

Process::Process(const Launch& launch) : self_(std::make_unique<State>()) {
  if (needs_wine(launch.words)) {
    self_->wineserver = &wineserver(launch.words);
    self_->program = *std::ranges::find_if(launch.words, is_windows_program);
    self_->before = internet_sockets(self_->wineserver->self_->id) - left_behind();
  }
  Pipe out, log;
  if (launch.log == Log::kept) {
    self_->log = memfd_create("log", MFD_CLOEXEC);
    if (self_->log < 0) fail("memfd_create");
  } else if (launch.log == Log::full) {
    self_->log = log.keep(0);
    fill(log.ends[1]);
  } else if (launch.log == Log::pieces) {
    self_->log = log.keep(0);
    if (fcntl(self_->log, F_SETFL, O_NONBLOCK) != 0 || fcntl(log.ends[1], F_SETFL, O_DIRECT) != 0)
      fail("fcntl");  // O_DIRECT: each write is a packet of its own, pipe(2)
  } else {
    close(log.keep(0));
  }
  std::vector<std::string> words = launch.words;
  std::vector<char*> pointers;
  pointers.reserve(words.size() + 1);
  for (std::string& word : words)
    pointers.push_back(word.data());
  pointers.push_back(nullptr);
  const int log_end = launch.log == Log::kept ? self_->log : log.ends[1];
  self_->id = fork();
  if (self_->id < 0) fail("fork");
  if (self_->id == 0) become(launch, pointers, launch.announces ? out.ends[1] : log_end, log_end);
  setpgid(self_->id, self_->id);
  self_->handle =
      static_cast<int>(syscall(SYS_pidfd_open, self_->id, 0));  // glibc declares it in newer versions only
  if (self_->handle < 0) fail("pidfd_open");
  self_->out = out.keep(0);
}

Process::Process(Process&&) noexcept = default;

Process::~Process() = default;

std::optional<Ended> Process::wait(Duration patience) {
  if (self_->ended) return self_->ended;
  pollfd end{self_->handle, POLLIN, 0};
  const auto whole = std::chrono::ceil<milliseconds>(patience);
  if (poll(&end, 1, static_cast<int>(whole.count())) <= 0) return {};
  int status = 0;
  if (waitpid(self_->id, &status, 0) == self_->id) self_->has_ended(status);
  return self_->ended;
}

std::optional<std::string> Process::line(Duration patience) {
  const Time until = Clock::now() + patience;
  while (true) {
    if (const std::size_t end = self_->unread.find('\n'); end != self_->unread.npos) {
      std::string line = self_->unread.substr(0, end);
      self_->unread.erase(0, end + 1);
      if (line.ends_with('\r')) line.pop_back();  // a Windows program's
      return line;
    }
    pollfd input{self_->out, POLLIN, 0};
    const auto left = std::chrono::ceil<milliseconds>(until - Clock::now());
    if (left.count() < 0 || poll(&input, 1, static_cast<int>(left.count())) <= 0) return {};
    std::array<char, 4096> chunk;
    const ssize_t n = read(self_->out, chunk.data(), chunk.size());
    if (n <= 0) return {};
    self_->unread.append(chunk.data(), n);
  }
}

std::string Process::output() {
  std::array<char, 4096> chunk;
  pollfd input{self_->out, POLLIN, 0};
  while (poll(&input, 1, 0) > 0) {
    const ssize_t n = read(self_->out, chunk.data(), chunk.size());
    if (n <= 0) break;
    self_->unread.append(chunk.data(), n);
  }
  return self_->unread;
}

void Process::hang_up() {
  close(std::exchange(self_->out, -1));
}

std::string Process::log() const {
  std::string text;
  std::array<char, 4096> chunk;
  ssize_t n = 0;
  while (self_->log >= 0 &&
         (n = pread(self_->log, chunk.data(), chunk.size(), static_cast<off_t>(text.size()))) > 0)
    text.append(chunk.data(), n);  // a pipe answers ESPIPE: nothing of it was kept
  return text;
}

std::vector<std::string> Process::log_pieces() {
  std::vector<std::string> pieces;
  std::array<char, 4096> packet;  // PIPE_BUF: none is larger
  for (ssize_t n = 0; (n = read(self_->log, packet.data(), packet.size())) > 0;)
    pieces.emplace_back(packet.data(), n);
  return pieces;
}

WaysToStop Process::ways_to_stop() const {
  if (!self_->wineserver) return {{Signal::terminate, Signal::interrupt, Signal::hang_up}, {}};
  return {{Signal::interrupt}, "asked by Ctrl-C; Linux cannot ask a program under Wine by Ctrl-Break"};
}

void Process::send(Signal signal) {
  const int number = signal == Signal::terminate ? SIGTERM : signal == Signal::interrupt ? SIGINT : SIGHUP;
  if (running()) ::kill(self_->id, number);  // Wine: SIGINT is Ctrl-C
}

void Process::kill() {
  if (!running()) return;
  ::kill(self_->id, SIGKILL);
  wait(std::chrono::seconds(10));
}

int Process::id() const {
  return self_->id;
}

bool Process::can_freeze() {
  return true;
}

void Process::freeze() {
  if (!running()) return;
  ::kill(-self_->id, SIGSTOP);  // the whole group: some servers are made of several processes
  siginfo_t seen{};             // left there: two programs share a wineserver, and may both freeze it
  waitid(P_PID, static_cast<id_t>(self_->id), &seen, WEXITED | WSTOPPED | WNOWAIT);
  if (self_->wineserver) self_->wineserver->freeze();  // an accept or a receive under way is its work
}

void Process::thaw() {
  if (self_->wineserver) self_->wineserver->thaw();
  if (running()) ::kill(-self_->id, SIGCONT);
}

bool Process::under_wine() const {
  return self_->wineserver;
}

int Process::wine_version() const {
  return self_->wineserver ? conformance::wine_version() : 0;
}

Duration Process::cpu() const {
  clockid_t clock{};
  timespec time{};
  if (clock_getcpuclockid(self_->id, &clock) != 0 || clock_gettime(clock, &time) != 0) return {};
  const Duration own = std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
  return self_->wineserver ? own + self_->wineserver->cpu() : own;
}

std::map<std::uint64_t, Duration> Process::cpu_by_thread() const {
  std::map<std::uint64_t, Duration> all;
  std::error_code gone;
  for (const auto& task : fs::directory_iterator(directory(self_->id) / "task", gone)) {
    std::istringstream times(contents(task.path() / "schedstat"));  // nanoseconds on a processor, waiting, …
    std::uint64_t used = 0;
    if (times >> used) all[std::stoull(task.path().filename())] = std::chrono::nanoseconds(used);
  }
  return all;
}

namespace {

/// "VmData:	    8456 kB" in /proc/PID/status, in bytes.
std::uint64_t memory_of(int process, std::string_view kind) {
  const std::string status = contents(directory(process) / "status");  // proc(5)
  const std::size_t at = status.find(kind);
  if (at == status.npos) throw NotApplicable("this kernel does not tell how much memory is a process's own");
  return std::stoull(status.substr(at + kind.size())) * 1024;
}

bool maps(int process, std::string_view library) {
  return contents(directory(process) / "maps").find(library) != std::string::npos;
}

}  // namespace

std::uint64_t Process::memory() const {
  return memory_of(self_->id, "RssAnon:");
}

bool Process::sanitized() const {
  return maps(self_->id, "/libasan.") || maps(self_->id, "/libtsan.");
}

bool Process::tells_leaks() const {
  return maps(self_->id, "/libasan.");
}

bool Process::asleep() const {
  if (self_->wineserver && !self_->wineserver->asleep()) return false;
  std::error_code gone;
  const fs::directory_iterator tasks(directory(self_->id) / "task", gone);
  return std::all_of(begin(tasks), end(tasks), [](const fs::directory_entry& task) {
    const std::string stat = contents(task.path() / "stat");  // "4711 (name) S ...", proc(5)
    const std::size_t state = stat.rfind(") ");
    return state != stat.npos && stat[state + 2] == 'S';
  });
}

std::size_t Process::threads() const {
  std::error_code gone;
  const fs::directory_iterator tasks(directory(self_->id) / "task", gone);
  return static_cast<std::size_t>(std::distance(begin(tasks), end(tasks)));
}

std::size_t Process::descriptors() const {
  const std::size_t own = proc::descriptors(self_->id).size();
  // Of a socket a Windows program may hold a copy, from its first use of it on.
  return self_->wineserver ? own - internet_sockets(self_->id) + sockets() : own;
}

std::size_t Process::sockets() const {
  if (self_->wineserver) return self_->sockets_in_wineserver();
  const std::vector<int> all = proc::descriptors(self_->id);
  return std::ranges::count_if(all, [this](int descriptor) { return has_socket_at(descriptor); });
}

std::map<std::string, std::size_t> Process::kinds() const {
  std::map<std::string, std::size_t> kinds;
  std::error_code gone;
  for (const int descriptor : proc::descriptors(self_->id)) {
    const std::string link = fs::read_symlink(directory(self_->id) / "fd" / std::to_string(descriptor), gone);
    const std::size_t number = link.find(":[");  // "socket:[4711]"; but "anon_inode:[eventpoll]"
    ++kinds[number != link.npos && std::isdigit(static_cast<unsigned char>(link[number + 2]))
                ? link.substr(0, number)
                : link];
  }
  if (self_->wineserver) kinds["socket in the wineserver"] = sockets();
  return kinds;
}

std::size_t Process::note_share() {
  if (!self_->wineserver) return descriptors();
  static std::map<std::string, std::size_t> at_rest;  // what a program holds, seen when it was the only one
  std::size_t& usual = at_rest[self_->program];
  if (all_shares() == self_->share) {
    self_->share = sockets();
    usual = std::max(usual, self_->share - std::min(self_->share, self_->before));
    all_shares() = self_->share;
  } else {  // the others need not be at rest: what is more than they held then is not for certain this one's
    all_shares() += usual - self_->share;
    self_->share = usual;
  }
  return proc::descriptors(self_->id).size() - internet_sockets(self_->id) + self_->share;
}

bool Process::has_socket_at(int descriptor) const {
  return proc::socket_number(self_->id, descriptor).has_value();
}

std::string Process::deaf_without_descriptors() const {
  return self_->wineserver ? "Wine needs descriptors to hand it a Ctrl-C" : "";
}

void Process::deny_descriptors(std::size_t beyond) {
  if (self_->wineserver) return self_->wineserver->deny_descriptors(beyond);
  rlimit limit{};
  if (prlimit(self_->id, RLIMIT_NOFILE, nullptr, &limit) != 0) fail("prlimit");
  if (!self_->usual_limit) self_->usual_limit = limit.rlim_cur;
  limit.rlim_cur = beyond;  // numbers below it that are free
  for (const int used : proc::descriptors(self_->id))
    if (static_cast<rlim_t>(used) <= limit.rlim_cur) ++limit.rlim_cur;
  if (prlimit(self_->id, RLIMIT_NOFILE, &limit, nullptr) != 0) fail("prlimit");
}

void Process::allow_descriptors() {
  if (self_->wineserver) return self_->wineserver->allow_descriptors();
  rlimit limit{};
  if (!self_->usual_limit || prlimit(self_->id, RLIMIT_NOFILE, nullptr, &limit) != 0) fail("prlimit");
  limit.rlim_cur = *self_->usual_limit;
  if (prlimit(self_->id, RLIMIT_NOFILE, &limit, nullptr) != 0) fail("prlimit");
}

namespace {

void set_memory_limit(int process, rlim_t bytes) {
  const rlimit limit{bytes, RLIM_INFINITY};
  if (prlimit(process, RLIMIT_DATA, &limit, nullptr) != 0) fail("prlimit");
}

}  // namespace

void Process::deny_memory(std::size_t beyond) {
  if (sanitized()) throw NotApplicable("a sanitizer ends its program when there is no memory");
  if (self_->wineserver) throw NotApplicable("the limit is one of Linux's: Wine itself meets it, and ends");
  set_memory_limit(self_->id, memory_of(self_->id, "VmData:") + beyond);
}

void Process::allow_memory() {
  set_memory_limit(self_->id, RLIM_INFINITY);
}

bool can_limit_threads() {
  const pid_t trial = fork();
  if (trial < 0) fail("fork");
  if (trial == 0) _exit(limit_threads(10) ? EXIT_SUCCESS : EXIT_FAILURE);
  int status = 0;
  return waitpid(trial, &status, 0) == trial && ended_from(status).in_order();
}

std::size_t most_descriptors() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) fail("getrlimit");
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) fail("setrlimit");
  return limit.rlim_cur;
}

namespace {

void write_file(const char* path, const std::string& text) {
  std::ofstream file(path);
  file << text;
}

bool raise_loopback() {
  const int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  bool up = any >= 0 && ioctl(any, SIOCGIFFLAGS, &request) == 0;
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  up = up && ioctl(any, SIOCSIFFLAGS, &request) == 0;
  if (any >= 0) close(any);
  return up;
}

/// Two lines a group: the names, then the values in the same order.
std::uint64_t counter(const std::string& table, std::string_view group, std::string_view name) {
  std::istringstream lines(table);
  std::string names, values;
  while (std::getline(lines, names) && std::getline(lines, values)) {
    std::istringstream each_name(names), each_value(values);
    std::string a_name, a_value;
    each_name >> a_name;
    each_value >> a_value;
    if (a_name != group) continue;
    while (each_name >> a_name && each_value >> a_value)
      if (a_name == name) return std::stoull(a_value);
  }
  throw std::runtime_error("this kernel does not count " + std::string(name));
}

/// "00000020:00000010" → 32 and 16; "0100007F:1F90" → an address and a port; of an IPv6 address only the port
/// counts.
std::uint64_t before_colon(const std::string& field) {
  return std::stoull(field.substr(0, field.find(':')), nullptr, 16);
}
std::uint64_t after_colon(const std::string& field) {
  return std::stoull(field.substr(field.rfind(':') + 1), nullptr, 16);
}

TableEntry::State state_from(const std::string& code) {
  using enum TableEntry::State;
  if (code == "01") return established;
  if (code == "06") return time_wait;
  if (code == "08") return close_wait;
  return other;
}

}  // namespace

bool enter_private_network() {
  const std::string user = std::to_string(getuid()), group = std::to_string(getgid());
  if (unshare(CLONE_NEWNET) != 0) {
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) return false;
    write_file("/proc/self/setgroups", "deny");
    write_file("/proc/self/uid_map", user + " " + user + " 1");
    write_file("/proc/self/gid_map", group + " " + group + " 1");
  }
  if (!raise_loopback()) throw std::system_error(errno, std::system_category(), "a network without loopback");
  return true;
}

Counters counters() {
  const std::string snmp = contents("/proc/thread-self/net/snmp");
  const std::string netstat = contents("/proc/thread-self/net/netstat");
  return {.resets_sent = counter(snmp, "Tcp:", "OutRsts"),
          .connections_reset = counter(snmp, "Tcp:", "EstabResets"),
          .aborts_on_data = counter(netstat, "TcpExt:", "TCPAbortOnData"),
          .aborts_on_close = counter(netstat, "TcpExt:", "TCPAbortOnClose"),
          .listen_overflows = counter(netstat, "TcpExt:", "ListenOverflows")};
}

std::vector<TableEntry> socket_table() {
  std::vector<TableEntry> table;
  std::istringstream lines(contents("/proc/thread-self/net/tcp"));
  std::string line;
  std::getline(lines, line);  // the names of the columns
  while (std::getline(lines, line)) {
    std::istringstream fields(line);
    std::string number, local, remote, state, queues;
    fields >> number >> local >> remote >> state >> queues;
    table.push_back({.state = state_from(state),
                     .local_port = static_cast<std::uint16_t>(after_colon(local)),
                     .remote_port = static_cast<std::uint16_t>(after_colon(remote)),
                     .unread = after_colon(queues),
                     .unacknowledged = before_colon(queues)});
  }
  return table;
}

bool counts_are_exact() {
  return true;
}

bool shows_queues() {
  return true;
}

bool has_program(std::string_view name) {
  const char* const path = std::getenv("PATH");
  std::istringstream folders(path ? path : "");
  std::string folder;
  while (std::getline(folders, folder, ':'))
    if (access((fs::path(folder) / name).c_str(), X_OK) == 0) return true;
  return false;
}

std::string quoted(const std::string& word) {
  if (word.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=") ==
      word.npos)
    return word;
  std::string text = "'";
  for (const char c : word)
    text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "'";
}

std::string unseen() {
  return {};
}

void prepare_console() {}  // as it is

}  // namespace conformance
