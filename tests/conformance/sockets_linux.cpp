// sockets.h for Linux.
#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "tests/conformance/platform.h"
#include "tests/conformance/sockets.h"
#include "tests/conformance/suite.h"

namespace conformance {
namespace {

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::system_category(), what);
}

int descriptor(std::intptr_t handle) {
  return static_cast<int>(handle);
}

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

Address address_of(const Target& target) {
  Address address;
  auto* const v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
  auto* const v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  if (inet_pton(AF_INET6, target.host.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(target.port);
    address.size = sizeof *v6;
  } else if (inet_pton(AF_INET, target.host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(target.port);
    address.size = sizeof *v4;
  } else {
    throw std::runtime_error("not a numeric address: " + target.host);
  }
  return address;
}

/// What send or recv answered.
Moved moved(ssize_t n, const char* what) {
  if (n >= 0) return {.bytes = static_cast<std::size_t>(n)};
  if (errno == EAGAIN || errno == EINTR) return {.would_block = true};
  if (errno != EPIPE && errno != ECONNRESET) fail(what);
  return {.reset = true};
}

}  // namespace

Socket::Socket(Socket&& other) noexcept
    : handle_(std::exchange(other.handle_, none)), connect_error_(other.connect_error_) {}

Socket& Socket::operator=(Socket&& other) noexcept {
  std::swap(handle_, other.handle_);
  std::swap(connect_error_, other.connect_error_);
  return *this;
}

Socket Socket::dial(const Target& target, int receive_buffer, const std::string& source) {
  Address address = address_of(target);
  Socket dialed(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!dialed) fail("socket");
  const int self = descriptor(dialed.handle_), on = 1;
  setsockopt(self, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (receive_buffer) setsockopt(self, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  if (!source.empty()) {
    Address own = address_of({source, 0});
    setsockopt(self, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on,
               sizeof on);  // the port is chosen by the connect
    if (bind(self, own.get(), own.size) != 0) fail("bind");
  }
  if (::connect(self, address.get(), address.size) == 0 || errno == EINPROGRESS) return dialed;
  if (errno != ECONNREFUSED) fail("connect");
  dialed.connect_error_ = errno;
  return dialed;
}

Socket Socket::listen(const std::string& host) {
  Address address = address_of({host, 0});
  Socket held(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int self = descriptor(held.handle_);
  if (!held || bind(self, address.get(), address.size) != 0 || ::listen(self, 1) != 0) fail("hold a port");
  return held;
}

std::optional<std::string> Socket::connect_error() {
  socklen_t size = sizeof connect_error_;
  if (!connect_error_) getsockopt(descriptor(handle_), SOL_SOCKET, SO_ERROR, &connect_error_, &size);
  if (!connect_error_) return {};
  return connect_error_ == ECONNREFUSED ? "connection refused" : std::strerror(connect_error_);
}

Moved Socket::send(std::string_view bytes) {
  return moved(::send(descriptor(handle_), bytes.data(), bytes.size(), MSG_NOSIGNAL), "send");
}

Moved Socket::send_urgent(char byte) {
  return moved(::send(descriptor(handle_), &byte, 1, MSG_OOB | MSG_NOSIGNAL), "send an urgent byte");
}

Moved Socket::receive(std::span<char> into) {
  return moved(::recv(descriptor(handle_), into.data(), into.size(), 0), "recv");
}

void Socket::finish() {
  shutdown(descriptor(handle_), SHUT_WR);
}

void Socket::reset() {
  const linger at_once{1, 0};
  setsockopt(descriptor(handle_), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close();
}

void Socket::close() {
  if (handle_ != none) ::close(descriptor(std::exchange(handle_, none)));
}

void Socket::vanish() {
  const int on = 1;  // a socket in repair is closed without a word
  if (setsockopt(descriptor(handle_), IPPROTO_TCP, TCP_REPAIR, &on, sizeof on) != 0)
    throw NotApplicable("to leave without a word needs a network of our own");
  close();
}

void Socket::cut_off() {
  sock_filter nothing{
      .code = BPF_RET | BPF_K, .jt = 0, .jf = 0, .k = 0};  // of each packet keep no byte: drop it
  const sock_fprog program{.len = 1, .filter = &nothing};
  if (setsockopt(descriptor(handle_), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0) return;
  if (errno == EPERM) throw NotApplicable("to cut a socket off needs a network of our own");
  fail("SO_ATTACH_FILTER");  // socket(7)
}

std::size_t Socket::unread() const {
  int count = 0;
  if (ioctl(descriptor(handle_), FIONREAD, &count) != 0) fail("FIONREAD");
  return static_cast<std::size_t>(count);
}

std::size_t Socket::unacknowledged() const {
  int count = 0;
  if (ioctl(descriptor(handle_), SIOCOUTQ, &count) != 0) fail("SIOCOUTQ");  // tcp(7)
  return static_cast<std::size_t>(count);
}

std::uint16_t Socket::local_port() const {
  Address address;
  address.size = sizeof address.storage;
  if (getsockname(descriptor(handle_), address.get(), &address.size) != 0) fail("getsockname");
  return ntohs(
      reinterpret_cast<const sockaddr_in*>(&address.storage)->sin_port);  // in IPv6 it stands there too
}

bool wait(std::span<Watch> watched, Duration patience) {
  std::vector<pollfd> polled;
  polled.reserve(watched.size());
  for (const Watch& each : watched)
    polled.push_back({descriptor(each.socket->handle_),
                      static_cast<short>((each.for_read ? POLLIN : 0) | (each.for_write ? POLLOUT : 0)), 0});
  const auto whole = std::chrono::ceil<milliseconds>(patience);
  if (poll(polled.data(), polled.size(), static_cast<int>(whole.count())) <= 0) return false;
  for (std::size_t i = 0; i < polled.size(); ++i) {
    watched[i].readable = (polled[i].revents & (POLLIN | POLLERR | POLLHUP)) != 0;
    watched[i].writable = (polled[i].revents & (POLLOUT | POLLERR | POLLHUP)) != 0;
  }
  return true;
}

}  // namespace conformance
