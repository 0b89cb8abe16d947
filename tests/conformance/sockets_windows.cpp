// sockets.h for Windows.

// In this order: the later ones need what the first declares.
// clang-format off
#include <winsock2.h>
#include <ws2tcpip.h>
#include <mstcpip.h>
// clang-format on

#include <algorithm>
#include <cstddef>
#include <cstdint>
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
  throw std::system_error(WSAGetLastError(), std::system_category(), what);
}

/// Winsock wants to be asked in, once a process.
void use_winsock() {
  static const int refused = [] {
    WSADATA about{};
    return WSAStartup(MAKEWORD(2, 2), &about);
  }();
  if (refused) throw std::system_error(refused, std::system_category(), "WSAStartup");
}

SOCKET socket_of(std::intptr_t handle) {
  return static_cast<SOCKET>(handle);
}

struct Address {
  sockaddr_storage storage{};
  int size = 0;
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

template <typename Value>
int set(SOCKET socket, int level, int option, const Value& value) {
  return setsockopt(socket, level, option, reinterpret_cast<const char*>(&value), sizeof value);
}

/// No child of ours gets it, so that a close of ours is one.
std::intptr_t new_socket(int family) {
  use_winsock();
  return static_cast<std::intptr_t>(WSASocketW(family, SOCK_STREAM, IPPROTO_TCP, nullptr, 0,
                                               WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT));
}

/// Windows answers a refusal by two more tries, half a second apart. The first one is the answer here; where
/// the system does not know of this, it only takes longer.
void take_the_first_refusal(SOCKET socket) {
  TCP_INITIAL_RTO_PARAMETERS once{TCP_INITIAL_RTO_UNSPECIFIED_RTT, TCP_INITIAL_RTO_NO_SYN_RETRANSMISSIONS};
  DWORD nothing = 0;
  WSAIoctl(socket, SIO_TCP_INITIAL_RTO, &once, sizeof once, nullptr, 0, &nothing, nullptr, nullptr);
}

/// What send or recv answered.
Moved moved(int n, const char* what) {
  if (n >= 0) return {.bytes = static_cast<std::size_t>(n)};
  const int error = WSAGetLastError();
  if (error == WSAEWOULDBLOCK || error == WSAEINTR) return {.would_block = true};
  if (error != WSAECONNRESET && error != WSAECONNABORTED && error != WSAESHUTDOWN) fail(what);
  return {.reset = true};
}

int length(std::size_t size) {
  constexpr std::size_t most = 1 << 30;
  return static_cast<int>(std::min(size, most));
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
  Socket dialed(new_socket(address.storage.ss_family));
  if (!dialed) fail("socket");
  const SOCKET self = socket_of(dialed.handle_);
  u_long on = 1;
  if (ioctlsocket(self, FIONBIO, &on) != 0) fail("FIONBIO");
  set(self, IPPROTO_TCP, TCP_NODELAY, 1);
  if (receive_buffer) set(self, SOL_SOCKET, SO_RCVBUF, receive_buffer);
  take_the_first_refusal(self);
  if (!source.empty()) {
    Address own = address_of({source, 0});
    if (bind(self, own.get(), own.size) != 0) fail("bind");
  }
  if (::connect(self, address.get(), address.size) == 0 || WSAGetLastError() == WSAEWOULDBLOCK) return dialed;
  if (WSAGetLastError() != WSAECONNREFUSED) fail("connect");
  dialed.connect_error_ = WSAECONNREFUSED;
  return dialed;
}

Socket Socket::listen(const std::string& host) {
  Address address = address_of({host, 0});
  Socket held(new_socket(address.storage.ss_family));
  const SOCKET self = socket_of(held.handle_);
  if (!held || set(self, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, 1) != 0 ||
      bind(self, address.get(), address.size) != 0 || ::listen(self, 1) != 0)
    fail("hold a port");
  return held;
}

std::optional<std::string> Socket::connect_error() {
  int size = sizeof connect_error_;
  if (!connect_error_)
    getsockopt(socket_of(handle_), SOL_SOCKET, SO_ERROR, reinterpret_cast<char*>(&connect_error_), &size);
  if (!connect_error_) return {};
  if (connect_error_ == WSAECONNREFUSED) return "connection refused";
  return std::system_category().message(connect_error_);
}

Moved Socket::send(std::string_view bytes) {
  return moved(::send(socket_of(handle_), bytes.data(), length(bytes.size()), 0), "send");
}

Moved Socket::send_urgent(char byte) {
  return moved(::send(socket_of(handle_), &byte, 1, MSG_OOB), "send an urgent byte");
}

Moved Socket::receive(std::span<char> into) {
  Moved step = moved(::recv(socket_of(handle_), into.data(), length(into.size()), 0), "recv");
  if (broken_ && step.bytes == 0 && !step.would_block) step.reset = true;
  return step;
}

void Socket::finish() {
  shutdown(socket_of(handle_), SD_SEND);
}

void Socket::reset() {
  set(socket_of(handle_), SOL_SOCKET, SO_LINGER, linger{1, 0});
  close();
}

void Socket::close() {
  if (handle_ != none) closesocket(socket_of(std::exchange(handle_, none)));
}

void Socket::vanish() {
  throw NotApplicable("Windows closes no connection without a word");
}

void Socket::cut_off() {
  throw NotApplicable("Windows has no filter that drops what comes for a socket");
}

std::size_t Socket::unread() const {
  u_long count = 0;
  if (ioctlsocket(socket_of(handle_), FIONREAD, &count) != 0) fail("FIONREAD");
  return count;
}

std::size_t Socket::unacknowledged() const {
  throw NotApplicable("Windows does not tell what is unacknowledged");
}

std::uint16_t Socket::local_port() const {
  Address address;
  address.size = sizeof address.storage;
  if (getsockname(socket_of(handle_), address.get(), &address.size) != 0) fail("getsockname");
  return ntohs(
      reinterpret_cast<const sockaddr_in*>(&address.storage)->sin_port);  // in IPv6 it stands there too
}

bool wait(std::span<Watch> watched, Duration patience) {
  std::vector<WSAPOLLFD> polled;
  polled.reserve(watched.size());
  for (const Watch& each : watched)
    polled.push_back({socket_of(each.socket->handle_),
                      static_cast<short>((each.for_read ? POLLIN : 0) | (each.for_write ? POLLOUT : 0)), 0});
  const auto whole = std::chrono::ceil<milliseconds>(patience);
  const auto count = static_cast<ULONG>(polled.size());
  if (WSAPoll(polled.data(), count, static_cast<int>(whole.count())) <= 0) return false;
  for (std::size_t i = 0; i < polled.size(); ++i) {  // here POLLHUP is the peer's FIN as well
    watched[i].readable = (polled[i].revents & (POLLIN | POLLERR | POLLHUP)) != 0;
    watched[i].writable = (polled[i].revents & (POLLOUT | POLLERR)) != 0;
    if (polled[i].revents & POLLERR) watched[i].socket->broken_ = true;
  }
  return true;
}

}  // namespace conformance
