// What a system call may answer and hardly ever does, for a server under test: preloaded, it stands between the server
// and its C library (ld.so(8), LD_PRELOAD).
//
//   LD_PRELOAD=libfaults.so FAULTS=accept4:EMFILE@3-9,recv:EINTR@2/3,send:short@1/2 build/linux/bin/05_epoll
//
// A rule is CALL:WHAT@WHEN. WHAT is the name of an error (errno(3)), which the call then answers without having been
// made; or `short`: send is asked for half of its bytes, recv for a hundredth; or `late`: the call does its work, and
// returns 300 ms later (accept4, recv, send). WHEN is N, the N-th call; N-M, those from
// N to M; N/K and N-M/K, the N-th and each K-th after it. Calls are counted over all threads; of two rules that are due
// the first is followed. EAGAIN is for calls that must not sleep, and only those are counted for it; of epoll_ctl only
// EPOLL_CTL_ADD, which alone can run out of something; of malloc the calls from the first wait for a client on.
//
// A rule that is followed for the first time is written to the file FAULTS_LOG: so the test knows that it was.
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <limits>
#include <string_view>
#include <system_error>

// glibc's own name for malloc: to look malloc up may need malloc.
extern "C" void* __libc_malloc(std::size_t) noexcept;  // NOLINT(bugprone-reserved-identifier)

namespace {

constexpr std::array<std::string_view, 15> calls{"accept4",        "bind",    "epoll_create1", "epoll_ctl",
                                                 "epoll_wait",     "eventfd", "listen",        "malloc",
                                                 "pthread_create", "recv",    "select",        "send",
                                                 "setsockopt",     "socket",  "timerfd_create"};

struct Rule {
  std::string_view text{}, call{};
  int error = 0;  // 0: short or late
  bool late = false;
  unsigned first = 0, last = 0, step = 1;
  std::atomic<unsigned> counted = 0;
  std::atomic<bool> followed = false;
};
constinit std::array<Rule, 16> rules;

bool take(std::string_view& text, char mark) {
  const bool there = text.starts_with(mark);
  if (there) text.remove_prefix(1);
  return there;
}

bool take(std::string_view& text, unsigned& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return error == std::errc{} && number > 0;
}

int number_of(std::string_view error) {
  for (int number = 1; number < 256; ++number)
    if (const char* const name = strerrorname_np(number); name && error == name) return number;
  return 0;
}

/// False: it is none.
bool read(Rule& rule, std::string_view text) {
  rule.text = text;
  const std::size_t colon = text.find(':'), at = text.find('@');
  if (colon > at || at == text.npos) return false;
  rule.call = text.substr(0, colon);
  const std::string_view what = text.substr(colon + 1, at - colon - 1);
  rule.error = number_of(what);
  rule.late = what == "late" && (rule.call == "recv" || rule.call == "send" || rule.call == "accept4");
  const bool shorter = what == "short" && (rule.call == "recv" || rule.call == "send");
  if (rule.error == 0 && !rule.late && !shorter) return false;
  text.remove_prefix(at + 1);
  if (!take(text, rule.first)) return false;
  rule.last = rule.first;
  if (text.starts_with('/')) rule.last = std::numeric_limits<unsigned>::max();
  if (take(text, '-') && !take(text, rule.last)) return false;
  if (take(text, '/') && !take(text, rule.step)) return false;
  return text.empty() && std::ranges::count(calls, rule.call) == 1;
}

void append(int file, std::string_view text) {
  [[maybe_unused]] const ssize_t count =
      write(file, text.data(), text.size());  // short for want of disk: seen there
}

[[gnu::constructor]] void read_rules() {
  const char* const faults = std::getenv("FAULTS");
  std::string_view text = faults ? faults : "";
  for (Rule& rule : rules) {
    if (text.empty()) return;
    const std::size_t end = std::min(text.find(','), text.size());
    if (!read(rule, text.substr(0, end))) break;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  if (text.empty()) return;
  append(STDERR_FILENO, "FAULTS: no rule, or one too many: ");
  append(STDERR_FILENO, text);
  append(STDERR_FILENO, "\n");
  _exit(2);
}

void note(Rule& rule) {
  if (rule.followed.exchange(true)) return;
  const char* const name = std::getenv("FAULTS_LOG");
  const int file = name ? open(name, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;
  if (file < 0) return;
  std::array<char, 64> line{};
  const std::size_t size = rule.text.copy(line.data(), line.size() - 1);
  line[size] = '\n';
  append(file, {line.data(), size + 1});
  close(file);
}

enum class Fault { none, error, shorter, late };

/// Counts a call, and sets errno if it is to fail.
Fault fault_of(std::string_view call, bool may_sleep = false) {
  Rule* due = nullptr;
  for (Rule& rule : rules) {
    if (rule.call != call || (rule.error == EAGAIN && may_sleep)) continue;
    const unsigned number = ++rule.counted;
    if (!due && number >= rule.first && number <= rule.last && (number - rule.first) % rule.step == 0)
      due = &rule;
  }
  if (!due) return Fault::none;
  note(*due);
  errno = due->error;
  if (due->late) return Fault::late;
  return due->error ? Fault::error : Fault::shorter;
}

bool fails(std::string_view call, bool may_sleep = false) {
  return fault_of(call, may_sleep) == Fault::error;
}

/// The C library's own.
template <class Call>
Call* real(const char* name) {
  return reinterpret_cast<Call*>(dlsym(RTLD_NEXT, name));
}

bool may_sleep(int socket, int flags = 0) {
  return (flags & MSG_DONTWAIT) == 0 && (fcntl(socket, F_GETFL) & O_NONBLOCK) == 0;
}

std::atomic<bool> serving = false;

/// 300 ms, whatever signals come. errno is kept.
void be_late() {
  timespec left{.tv_sec = 0, .tv_nsec = 300'000'000};
  while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR) {
  }
}

}  // namespace

extern "C" {

int accept4(int socket, sockaddr* from, socklen_t* size, int flags) {
  serving = true;
  const Fault fault = fault_of("accept4", may_sleep(socket));
  if (fault == Fault::error) return -1;
  const int accepted = real<decltype(accept4)>("accept4")(socket, from, size, flags);
  if (fault == Fault::late && accepted >= 0) be_late();
  return accepted;
}

ssize_t recv(int socket, void* into, std::size_t size, int flags) {
  const Fault fault = fault_of("recv", may_sleep(socket, flags));
  if (fault == Fault::error) return -1;
  if (fault == Fault::shorter) size -= size / 100 * 99;
  const ssize_t count = real<decltype(recv)>("recv")(socket, into, size, flags);
  if (fault == Fault::late && count > 0) be_late();
  return count;
}

ssize_t send(int socket, const void* from, std::size_t size, int flags) {
  const Fault fault = fault_of("send", may_sleep(socket, flags));
  if (fault == Fault::error) return -1;
  if (fault == Fault::shorter) size -= size / 2;
  const ssize_t count = real<decltype(send)>("send")(socket, from, size, flags);
  if (fault == Fault::late && count > 0) be_late();
  return count;
}

int select(int count, fd_set* readers, fd_set* writers, fd_set* others, timeval* timeout) {
  serving = true;
  return fails("select") ? -1 : real<decltype(select)>("select")(count, readers, writers, others, timeout);
}

int epoll_wait(int epoll, epoll_event* events, int most, int timeout) {
  serving = true;
  return fails("epoll_wait") ? -1 : real<decltype(epoll_wait)>("epoll_wait")(epoll, events, most, timeout);
}

int epoll_ctl(int epoll, int operation, int descriptor, epoll_event* event) noexcept {
  if (operation == EPOLL_CTL_ADD && fails("epoll_ctl")) return -1;
  return real<decltype(epoll_ctl)>("epoll_ctl")(epoll, operation, descriptor, event);
}

int epoll_create1(int flags) noexcept {
  return fails("epoll_create1") ? -1 : real<decltype(epoll_create1)>("epoll_create1")(flags);
}

int eventfd(unsigned count, int flags) noexcept {
  return fails("eventfd") ? -1 : real<decltype(eventfd)>("eventfd")(count, flags);
}

int timerfd_create(clockid_t clock, int flags) noexcept {
  return fails("timerfd_create") ? -1 : real<decltype(timerfd_create)>("timerfd_create")(clock, flags);
}

int socket(int family, int type, int protocol) noexcept {
  return fails("socket") ? -1 : real<decltype(socket)>("socket")(family, type, protocol);
}

int setsockopt(int socket, int level, int option, const void* value, socklen_t size) noexcept {
  return fails("setsockopt") ? -1
                             : real<decltype(setsockopt)>("setsockopt")(socket, level, option, value, size);
}

int bind(int socket, const sockaddr* address, socklen_t size) noexcept {
  return fails("bind") ? -1 : real<decltype(bind)>("bind")(socket, address, size);
}

int listen(int socket, int backlog) noexcept {
  return fails("listen") ? -1 : real<decltype(listen)>("listen")(socket, backlog);
}

int pthread_create(pthread_t* thread, const pthread_attr_t* how, void* (*work)(void*),
                   void* argument) noexcept {
  return fails("pthread_create")
             ? errno
             : real<decltype(pthread_create)>("pthread_create")(thread, how, work, argument);
}

void* malloc(std::size_t size) noexcept {
  return serving && fails("malloc") ? nullptr : __libc_malloc(size);
}

}  // extern "C"
