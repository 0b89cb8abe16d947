// os.h for Linux.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "common/os/address.h"
#include "common/os/os.h"
#include <ladder/server.h>

namespace ladder::os {

Error::operator std::error_code() const {
  return {number, std::system_category()};
}

Error last_error() {
  return {errno};
}

namespace {

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(last_error(), what);
}

Result to_result(ssize_t count) {
  if (count >= 0) return {.bytes = static_cast<std::size_t>(count)};
  if (errno == EAGAIN || errno == EWOULDBLOCK) return {.would_block = true};
  return {.error = last_error()};
}

Result receive_with(Handle socket, std::span<std::byte> into, int flags) {
  for (;;) {
    const ssize_t count = ::recv(socket, into.data(), into.size(), flags);
    if (count >= 0 || errno != EINTR) return to_result(count);
  }
}

Result send_with(Handle socket, Bytes bytes, int flags) {
  for (;;) {
    const ssize_t count = ::send(socket, bytes.data(), bytes.size(), flags | MSG_NOSIGNAL);
    if (count >= 0 || errno != EINTR) return to_result(count);
  }
}

}  // namespace

void Descriptor::reset() {
  // close(2): after EINTR the descriptor is gone on Linux; to close again could hit another's.
  if (handle_ != no_handle) ::close(std::exchange(handle_, no_handle));
}

bool is_numeric_address(const std::string& host) {
  return numeric_address(host, 0).has_value();
}

namespace {

Descriptor listen(const std::string& host, std::uint16_t port, int backlog, Mode mode, Milliseconds silence) {
  std::optional<Address> address = numeric_address(host, port);
  const std::string where = to_text(host, port);
  if (!address)
    throw std::system_error(std::make_error_code(std::errc::invalid_argument), "address " + where);
  const int flags = SOCK_STREAM | SOCK_CLOEXEC | (mode == Mode::non_blocking ? SOCK_NONBLOCK : 0);
  Descriptor socket(::socket(address->storage.ss_family, flags, 0));
  if (!socket) fail("socket " + where);
  const auto set = [&](int level, int option, int value) {
    if (::setsockopt(socket.get(), level, option, &value, sizeof value) != 0) fail("setsockopt " + where);
  };
  // Without it, bind fails for a minute after a restart: connections that we closed first are in TIME_WAIT.
  // LIFE-03
  set(SOL_SOCKET, SO_REUSEADDR, 1);
  // Replies are written whole, so Nagle's delay would only hold them back. Accepted sockets inherit it on
  // Linux.
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  if (silence.count() > 0) {  // accepted sockets inherit it on Linux
    set(SOL_SOCKET, SO_KEEPALIVE, 1);
    set(IPPROTO_TCP, TCP_KEEPIDLE, probe_seconds(silence));
    set(IPPROTO_TCP, TCP_KEEPINTVL, probe_seconds(silence / 4));
    set(IPPROTO_TCP, TCP_KEEPCNT, 3);
  }
  if (address->storage.ss_family == AF_INET6) set(IPPROTO_IPV6, IPV6_V6ONLY, 1);
  if (::bind(socket.get(), address->any(), address->size) != 0) fail("bind " + where);
  if (::listen(socket.get(), backlog > 0 ? backlog : SOMAXCONN) != 0) fail("listen " + where);
  return socket;
}

}  // namespace

Listener::Listener(const std::string& host, std::uint16_t port, int backlog, Mode mode,
                   Milliseconds keep_alive)
    : socket_(listen(host, port, backlog, mode, keep_alive)), mode_(mode), handle_(socket_.get()) {}

Endpoint local_endpoint(Handle socket) {
  Address address;
  if (::getsockname(socket, address.any(), &address.size) != 0) fail("getsockname");
  return to_endpoint(address.any());
}

Accepted Listener::accept() {
  for (;;) {
    Address peer;
    const int flags = SOCK_CLOEXEC | (mode_ == Mode::non_blocking ? SOCK_NONBLOCK : 0);
    Descriptor socket(::accept4(handle_, peer.any(), &peer.size, flags));
    if (socket) {
      dead_ = 0;
      return {.socket = std::move(socket), .peer = to_endpoint(peer.any())};
    }
    switch (errno) {
      case EINTR:
        continue;
      case EAGAIN:
        dead_ = 0;
        return {};
      // accept(2): a connection that died in the backlog, or an error that waited on it. It concerns that one
      // only.
      case ECONNABORTED:
      case EPROTO:
      case EPERM:
      case ENETDOWN:
      case ENOPROTOOPT:
      case EHOSTDOWN:
      case ENONET:
      case EHOSTUNREACH:
      case EOPNOTSUPP:
      case ENETUNREACH:
      case ETIMEDOUT:
        if (++dead_ < dead_in_a_row) continue;
        dead_ = dead_in_a_row;  // the next one tells at once
        [[fallthrough]];
      default:
        return {.error = last_error()};  // EMFILE, ENFILE, ENOBUFS, ENOMEM
    }
  }
}

/// shutdown(2) on a listener, as Linux understands it. The descriptor stays open, for threads may sleep on it.
void Listener::stop() {
  ::shutdown(handle_, SHUT_RDWR);
}

Result receive(Handle socket, std::span<std::byte> into) {
  return receive_with(socket, into, 0);
}
Result wait_for_bytes(Handle socket) {
  std::byte first{};
  return receive_with(socket, {&first, 1}, MSG_PEEK);
}

Result send(Handle socket, Bytes bytes) {
  return send_with(socket, bytes, 0);
}
Result send_now(Handle socket, Bytes bytes) {
  return send_with(socket, bytes, MSG_DONTWAIT);
}

// shutdown(2) fails only if the peer has reset the connection meanwhile, which the next call on it reports.
void finish_sending(Handle socket) {
  ::shutdown(socket, SHUT_WR);
}
void wake_receiver(Handle socket) {
  ::shutdown(socket, SHUT_RD);
}
void wake_sender(Handle socket) {
  ::shutdown(socket, SHUT_WR);
}

void reset_on_close(Handle socket) {
  const linger now{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(socket, SOL_SOCKET, SO_LINGER, &now, sizeof now);  // cannot fail on a TCP socket of ours
}

Acknowledged acknowledged(Handle socket) {
  tcp_info info{};
  socklen_t size = sizeof info;
  // Since Linux 4.1. Not what was handed over less SIOCOUTQ: while a thread sleeps in send, that leaves out
  // what the system has already taken of its bytes.
  if (::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return {};
  // Not the last acknowledgement: a keep-alive probe brings one too, and that is no byte taken.
  return {.bytes = info.tcpi_bytes_acked, .ago = Milliseconds(info.tcpi_last_data_sent)};
}

std::error_code pending_error(Handle socket) {
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return last_error();
  return {error, std::system_category()};
}

std::optional<std::size_t> unacknowledged(Handle socket) {
  int bytes = 0;
  return ::ioctl(socket, SIOCOUTQ, &bytes) == 0 && bytes > 0 ? static_cast<std::size_t>(bytes) : 0;
}

bool unread(Handle socket) {
  int bytes = 0;
  return ::ioctl(socket, FIONREAD, &bytes) == 0 && bytes > 0;
}

Waker::Waker() : descriptor_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!descriptor_) fail("eventfd");
}

void Waker::notify() noexcept {
  const std::uint64_t one = 1;
  // It fails only if the counter is full, and then it is readable anyway.
  [[maybe_unused]] const ssize_t count = ::write(descriptor_.get(), &one, sizeof one);
}

void Waker::clear() noexcept {
  std::uint64_t notified = 0;
  [[maybe_unused]] const ssize_t count =
      ::read(descriptor_.get(), &notified, sizeof notified);  // EAGAIN: it was quiet
}

bool fits_select(Handle handle, std::size_t) {
  return handle < FD_SETSIZE;
}

template <class Number>
void wait_while(const std::atomic<Number>& value, Number seen) {
  value.wait(seen);
}
template <class Number>
void wake_all(std::atomic<Number>& value) {
  value.notify_all();
}
template void wait_while(const std::atomic<std::uint8_t>&, std::uint8_t);
template void wait_while(const std::atomic<std::uint32_t>&, std::uint32_t);
template void wake_all(std::atomic<std::uint8_t>&);
template void wake_all(std::atomic<std::uint32_t>&);

std::size_t usual_stack() {
  pthread_attr_t usual;
  std::size_t size = 0;
  int error = ::pthread_getattr_default_np(&usual);
  if (error == 0) {
    error = ::pthread_attr_getstacksize(&usual, &size);
    ::pthread_attr_destroy(&usual);
  }
  if (error != 0) throw std::system_error(error, std::system_category(), "the threads' stack size");
  return size;
}

std::size_t descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) fail("getrlimit");
  return limit.rlim_cur;
}

std::string_view platform() {
  return "linux";
}

unsigned cores() {
  return std::max(1u, std::thread::hardware_concurrency());
}
std::uint64_t process_id() {
  return static_cast<std::uint64_t>(::getpid());
}
bool is_terminal_output() {
  return ::isatty(STDOUT_FILENO) == 1;
}

void write_log_line(std::string_view line) noexcept {
  // LIFE-07: a pipe that nobody reads is full one day. With room for PIPE_BUF a write neither sleeps nor
  // mixes with another thread's (pipe(7)).
  std::array<char, 1024> text{};
  const std::size_t size = std::min(line.size(), text.size() - 1);
  std::memcpy(text.data(), line.data(), size);
  text[size] = '\n';
  pollfd watch{.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
  if (::poll(&watch, 1, 0) != 1 || (watch.revents & POLLOUT) == 0) return;
  [[maybe_unused]] const ssize_t count =
      ::write(STDERR_FILENO, text.data(), size + 1);  // nobody left to tell
}

namespace {

void ignore(int signal) {
  struct sigaction action{};
  action.sa_handler = SIG_IGN;
  if (::sigaction(signal, &action, nullptr) != 0) fail("sigaction");
}

bool is_ignored(int signal) {
  struct sigaction action{};
  return ::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

/// It interrupts what cannot go on as if nothing had happened (signal(7)).
void handle(int signal, void (*handler)(int)) {
  struct sigaction action{};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  if (::sigaction(signal, &action, nullptr) != 0) fail("sigaction");
}

sem_t stop_signals;  // a count: what wait_for_stop_signal() has not taken yet

/// For this thread, and for those that it makes.
void mask_stop_signals(int how) {
  sigset_t ends;
  ::sigemptyset(&ends);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP})
    ::sigaddset(&ends, signal);
  ::pthread_sigmask(how, &ends, nullptr);  // fails for bad arguments alone
}

/// 1024 is the usual soft limit, and with it epoll holds fewer connections than select could: each process may raise its
/// own to the hard one (setrlimit(2)). If that fails, it serves fewer. LIM-09
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

/// The first thread's stack grows up to the soft limit of the moment. The others get what the limit was at the start
/// (pthread_attr_init(3)), which may be 64 KiB: less than a model's buffer, and a crash at the first byte. LIM-10
void provide_stacks() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_STACK, &limit) != 0) fail("getrlimit");
  if (limit.rlim_cur < stack_needed) {
    limit.rlim_cur = std::min<rlim_t>(stack_needed, limit.rlim_max);
    if (::setrlimit(RLIMIT_STACK, &limit) != 0) fail("setrlimit");
    if (limit.rlim_cur < stack_needed)
      throw std::runtime_error("a stack may have no more than " + std::to_string(limit.rlim_max / 1024) +
                               " KiB (ulimit -s), and " + std::to_string(stack_needed / 1024) +
                               " are needed");
  }
  if (usual_stack() >= stack_needed) return;
  pthread_attr_t usual;
  int error = ::pthread_getattr_default_np(&usual);
  if (error == 0) {
    error = ::pthread_attr_setstacksize(&usual, stack_needed);
    if (error == 0) error = ::pthread_setattr_default_np(&usual);
    ::pthread_attr_destroy(&usual);
  }
  if (error != 0) throw std::system_error(error, std::system_category(), "the threads' stack size");
}

}  // namespace

void prepare_process() {
  for (int descriptor = 0; descriptor <= 2; ++descriptor)
    if (::fcntl(descriptor, F_GETFD) == -1 && ::open("/dev/null", O_RDWR) != descriptor)
      fail("open /dev/null");
  // What a line of the log may bring upon a process: its reader is gone; the file is as large as it may be
  // (ulimit -f); the terminal stops those who write to it from the background (stty tostop). LIFE-07, LIFE-11
  for (const int signal : {SIGPIPE, SIGXFSZ, SIGTTOU})
    ignore(signal);
  catch_stop_signals();
  mask_stop_signals(
      SIG_BLOCK);  // only the thread that waits for them gets them: no call of another's is interrupted
  // A process that was stopped (SIGSTOP, Ctrl-Z) and goes on: without a handler Linux starts select(2) again with the time
  // that was left at the stop, and a deadline that has passed waits as long again. With one select fails with EINTR, which
  // SA_RESTART does not change (signal(7)). TIME-07
  handle(SIGCONT, [](int) {});
  raise_descriptor_limit();
  provide_stacks();
}

void catch_stop_signals() {
  static std::once_flag caught;
  std::call_once(caught, [] {
    ::sem_init(&stop_signals, 0, 0);  // fails for bad arguments alone
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
      if (signal == SIGHUP && is_ignored(signal)) continue;    // the terminal may go: nohup(1)
      handle(signal, [](int) { ::sem_post(&stop_signals); });  // one of the few calls that a handler may make
    }
  });
}

StopSignal wait_for_stop_signal(Time from) {
  mask_stop_signals(SIG_UNBLOCK);  // whoever blocked them: a parent's mask is inherited, too
  // SIGCONT's handler runs on one thread: not on this one, which it would wake for nothing. TIME-07
  sigset_t for_others;
  ::sigemptyset(&for_others);
  ::sigaddset(&for_others, SIGCONT);
  ::pthread_sigmask(SIG_BLOCK, &for_others, nullptr);  // fails for bad arguments alone
  for (;;) {
    if (::sem_wait(&stop_signals) != 0) continue;  // a signal of the service's own
    if (const Time now = Clock::now(); now >= from) return {.received = now};
  }
}

void exit_at_once(int status) noexcept {
  ::_exit(status);
}

}  // namespace ladder::os

std::string ladder::host_of(const Endpoint& endpoint) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(endpoint.v6 ? AF_INET6 : AF_INET, endpoint.address.data(), text.data(), text.size());
  return text.data();
}
