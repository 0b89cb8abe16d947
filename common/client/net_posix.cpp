#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

#include "common/client/net.h"

namespace ladder::client {
namespace {

std::error_code last_error() {
  return {errno, std::system_category()};
}

Moved moved(ssize_t count) {
  if (count >= 0) return {.bytes = static_cast<std::size_t>(count)};
  if (errno == EAGAIN || errno == EWOULDBLOCK) return {.would_block = true};
  return {.error = last_error()};
}

/// Makes a call again for as long as a signal cuts it short.
template <class Call>
auto uninterrupted(Call call) {
  decltype(call()) result;
  do
    result = call();
  while (result == -1 && errno == EINTR);
  return result;
}

/// For a descriptor that turned out to be non-blocking.
std::error_code wait_until_ready(int descriptor, short events) {
  pollfd entry{.fd = descriptor, .events = events, .revents = 0};
  if (uninterrupted([&] { return poll(&entry, 1, -1); }) < 0) return last_error();  // sleeps here
  return {};
}

const sockaddr* as_sockaddr(const Address& address) {
  return reinterpret_cast<const sockaddr*>(address.words.data());
}

std::error_code connect_from(const Socket& socket, const Address& source, const Address& server) {
  if (source.size != 0) {
    // The port is chosen by connect, which may share one between destinations; bind alone could not (ip(7)).
    const int on = 1;
    setsockopt(socket.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(socket.get(), as_sockaddr(source), source.size) != 0) return last_error();
  }
  if (connect(socket.get(), as_sockaddr(server), server.size) == 0 || errno == EINPROGRESS) return {};
  return last_error();
}

void control(const Socket& epoll, int operation, const Socket& socket, std::uint32_t token,
             Poller::Want want) {
  epoll_event event{};
  if (want != Poller::Want::write) event.events |= EPOLLIN;
  if (want != Poller::Want::read) event.events |= EPOLLOUT;
  event.data.u32 = token;
  if (epoll_ctl(epoll.get(), operation, socket.get(), &event) != 0)
    throw std::system_error(last_error(), "epoll_ctl");
}

}  // namespace

void Socket::close() {
  if (handle_ != -1) ::close(std::exchange(handle_, -1));
}

Moved receive(const Socket& socket, std::span<std::byte> into) {
  return moved(uninterrupted([&] { return recv(socket.get(), into.data(), into.size(), 0); }));
}

Moved send(const Socket& socket, std::span<const std::byte> bytes) {
  return moved(uninterrupted([&] { return ::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL); }));
}

void finish_sending(const Socket& socket) {
  shutdown(socket.get(), SHUT_WR);
}

void reset_on_close(const Socket& socket) {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

void make_blocking(const Socket& socket) {
  fcntl(socket.get(), F_SETFL, fcntl(socket.get(), F_GETFL) & ~O_NONBLOCK);
}

std::error_code connect_result(const Socket& socket) {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) return last_error();
  return {error, std::system_category()};
}

std::vector<Address> resolve(std::string_view host, std::string_view port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const std::string name(host);
  if (const int error = getaddrinfo(name.c_str(), std::string(port).c_str(), &hints, &found);
      error != 0 || !found)
    throw std::runtime_error(name + ": " + gai_strerror(error));
  std::vector<Address> addresses;
  for (const int family : {AF_INET, AF_INET6})
    for (const addrinfo* each = found; each; each = each->ai_next) {
      if (each->ai_family != family) continue;
      Address& address = addresses.emplace_back();
      std::memcpy(address.words.data(), each->ai_addr, each->ai_addrlen);
      address.size = each->ai_addrlen;
    }
  freeaddrinfo(found);
  if (addresses.empty()) throw std::runtime_error(name + ": no address of the internet");
  return addresses;
}

bool is_loopback4(const Address& address) {
  sockaddr_in in{};
  std::memcpy(&in, address.words.data(), sizeof in);
  return in.sin_family == AF_INET && ntohl(in.sin_addr.s_addr) >> 24 == 127;
}

Socket start_connect(const Address& server, const Address& source, std::error_code& error) {
  Socket socket(::socket(as_sockaddr(server)->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  error = socket ? connect_from(socket, source, server) : last_error();
  if (error) return {};
  const int on = 1;  // a small message does not wait for the last one's acknowledgement
  setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return socket;
}

struct Poller::System {
  Socket epoll;
  bool has_pwait2 = true;
};

Poller::Poller() : system_(new System{.epoll = Socket(epoll_create1(EPOLL_CLOEXEC))}) {
  if (!system_->epoll) throw std::system_error(last_error(), "epoll_create1");
  prctl(PR_SET_TIMERSLACK, 1);  // a paced message leaves on time, not up to 50 µs late
}

Poller::~Poller() = default;

void Poller::add(const Socket& socket, std::uint32_t token, Want want) {
  control(system_->epoll, EPOLL_CTL_ADD, socket, token, want);
}

void Poller::change(const Socket& socket, std::uint32_t token, Want want) {
  control(system_->epoll, EPOLL_CTL_MOD, socket, token, want);
}

void Poller::remove(const Socket& socket) {
  epoll_ctl(system_->epoll.get(), EPOLL_CTL_DEL, socket.get(), nullptr);
}

std::span<const Ready> Poller::wait(Nanoseconds at_most) {
  at_most = std::max(at_most, Nanoseconds(0));
  const timespec limit{.tv_sec = at_most.count() / 1'000'000'000, .tv_nsec = at_most.count() % 1'000'000'000};
  std::array<epoll_event, std::tuple_size_v<decltype(ready_)>> events;
  int count = -1;
  if (system_->has_pwait2) {
    count = epoll_pwait2(system_->epoll.get(), events.data(), events.size(), &limit, nullptr);
    // Before Linux 5.11, and in a container whose filter of system calls is older than the call: EPERM.
    system_->has_pwait2 = count >= 0 || (errno != ENOSYS && errno != EPERM);
  }
  if (!system_->has_pwait2) {  // a paced message is up to 1 ms late
    const auto whole = std::chrono::ceil<std::chrono::milliseconds>(at_most);
    count = epoll_wait(system_->epoll.get(), events.data(), events.size(), static_cast<int>(whole.count()));
  }
  if (count < 0 && errno != EINTR) throw std::system_error(last_error(), "epoll_wait");
  for (int i = 0; i < count; ++i) {
    const bool failed = events[i].events & (EPOLLERR | EPOLLHUP);
    ready_[i] = {.token = events[i].data.u32,
                 .read = failed || (events[i].events & EPOLLIN),
                 .write = failed || (events[i].events & EPOLLOUT)};
  }
  return std::span(ready_).first(std::max(count, 0));
}

Moved read_input(std::span<std::byte> into) {
  for (;;) {
    const Moved got = moved(uninterrupted([&] { return read(STDIN_FILENO, into.data(), into.size()); }));
    if (!got.would_block) return got;
    if (const std::error_code error = wait_until_ready(STDIN_FILENO, POLLIN)) return {.error = error};
  }
}

std::error_code write_all(Standard where, std::span<const std::byte> bytes) {
  const int descriptor = static_cast<int>(where);
  while (!bytes.empty()) {
    const Moved taken = moved(uninterrupted([&] { return write(descriptor, bytes.data(), bytes.size()); }));
    if (taken.error) return taken.error;
    bytes = bytes.subspan(taken.bytes);
    if (!taken.would_block) continue;
    if (const std::error_code error = wait_until_ready(descriptor, POLLOUT)) return error;
  }
  return {};
}

bool progress_is_seen() {
  return isatty(STDERR_FILENO) == 1;
}

void prepare_process() {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);   // a write beyond `ulimit -f` is then an error like another
  for (int fd = 0; fd <= 2; ++fd)  // the wrong way round, so that using it fails as it would have
    if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) == -1) std::_Exit(1);
}

std::size_t free_descriptors() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  getrlimit(RLIMIT_NOFILE, &limit);
  std::error_code none;
  std::size_t open = 0;
  for (auto each = std::filesystem::directory_iterator("/proc/self/fd", none); each != end(each); ++each)
    ++open;
  return limit.rlim_cur - std::min<std::size_t>(limit.rlim_cur, std::max<std::size_t>(open, 3));
}

}  // namespace ladder::client
