#include <fcntl.h>
#include <io.h>
#include <windows.h>
#include <winsock2.h>
#include <ws2tcpip.h>
// They stand on windows.h and winsock2.h, so after them:
#include <mstcpip.h>
#include <timeapi.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/client/net.h"

namespace ladder::client {
namespace {

struct Meaning {
  int code;
  std::errc condition;
  const char* text;
};

/// What can happen to a socket, in the words of the POSIX half. Windows' own are whole sentences in the
/// user's language and code page, and a standard library may know none of them: libstdc++ 12 compares no WSA
/// code to std::errc.
constexpr Meaning meanings[] = {
    {WSAECONNREFUSED, std::errc::connection_refused, "Connection refused"},
    {WSAECONNRESET, std::errc::connection_reset, "Connection reset by peer"},
    {WSAECONNABORTED, std::errc::connection_aborted, "Connection aborted"},
    {WSAENETRESET, std::errc::network_reset, "Connection dropped by network"},
    {WSAETIMEDOUT, std::errc::timed_out, "Connection timed out"},
    {WSAESHUTDOWN, std::errc::broken_pipe, "Cannot send after shutdown"},
    {WSAENOTCONN, std::errc::not_connected, "Socket is not connected"},
    {WSAEHOSTUNREACH, std::errc::host_unreachable, "No route to host"},
    {WSAENETUNREACH, std::errc::network_unreachable, "Network is unreachable"},
    {WSAENETDOWN, std::errc::network_down, "Network is down"},
    {WSAEADDRINUSE, std::errc::address_in_use, "Address already in use"},
    {WSAEADDRNOTAVAIL, std::errc::address_not_available, "Cannot assign requested address"},
    {WSAEAFNOSUPPORT, std::errc::address_family_not_supported, "Address family not supported"},
    {WSAEACCES, std::errc::permission_denied, "Permission denied"},
    {WSAEINVAL, std::errc::invalid_argument, "Invalid argument"},
    {WSAEFAULT, std::errc::bad_address, "Bad address"},
    {WSAENOTSOCK, std::errc::not_a_socket, "Not a socket"},
    {WSAEMFILE, std::errc::too_many_files_open, "Too many open files"},
    {WSAENOBUFS, std::errc::no_buffer_space, "No buffer space available"},
};

class WinsockErrors : public std::error_category {
 public:
  const char* name() const noexcept override { return "winsock"; }
  std::string message(int code) const override {
    const Meaning* found = find(code);
    return found ? found->text : std::system_category().message(code);
  }
  std::error_condition default_error_condition(int code) const noexcept override {
    const Meaning* found = find(code);
    return found ? std::make_error_condition(found->condition)
                 : std::system_category().default_error_condition(code);
  }

 private:
  static const Meaning* find(int code) {
    const Meaning* found = std::ranges::find(meanings, code, &Meaning::code);
    return found == std::end(meanings) ? nullptr : found;
  }
};

std::error_code winsock_error(int code) {
  static const WinsockErrors category;
  return {code, category};
}

std::error_code last_error() {
  return winsock_error(WSAGetLastError());
}

Moved moved(int count) {
  if (count >= 0) return {.bytes = static_cast<std::size_t>(count)};
  if (WSAGetLastError() == WSAEWOULDBLOCK) return {.would_block = true};
  return {.error = last_error()};
}

/// Winsock counts in int.
int size_of(std::span<const std::byte> bytes) {
  return static_cast<int>(std::min<std::size_t>(bytes.size(), 1 << 30));
}

const sockaddr* as_sockaddr(const Address& address) {
  return reinterpret_cast<const sockaddr*>(address.words.data());
}

void set_nonblocking(const Socket& socket, bool on) {
  u_long value = on;
  ioctlsocket(socket.get(), FIONBIO, &value);
}

template <class Value>
void set_option(const Socket& socket, int level, int option, const Value& value) {
  setsockopt(socket.get(), level, option, reinterpret_cast<const char*>(&value), sizeof value);
}

std::error_code connect_from(const Socket& socket, const Address& source, const Address& server) {
  if (source.size != 0) {
    // The port is chosen by connect, which may share one between destinations; bind alone could not. Windows
    // does so where it has an "AutoReusePortRange" (Set-NetTCPSetting).
    constexpr int reuse_unicast_port = 0x3007;  // SO_REUSE_UNICASTPORT, not in all headers
    set_option(socket, SOL_SOCKET, reuse_unicast_port, DWORD{1});
    if (bind(socket.get(), as_sockaddr(source), static_cast<int>(source.size)) != 0) return last_error();
  }
  if (connect(socket.get(), as_sockaddr(server), static_cast<int>(server.size)) == 0 ||
      WSAGetLastError() == WSAEWOULDBLOCK)
    return {};
  return last_error();
}

bool look(std::span<WSAPOLLFD> list, int milliseconds) {
  const int found = WSAPoll(list.data(), static_cast<ULONG>(list.size()), milliseconds);
  if (found < 0) throw std::system_error(last_error(), "WSAPoll");
  return found > 0;
}

/// Wine only: once its WSAPoll has seen a reset, recv and SO_ERROR know no more of it, and it reads as an end.
/// WSAPoll still does.
bool ended_in_order(const Socket& socket) {
  WSAPOLLFD entry{.fd = socket.get(), .events = POLLRDNORM, .revents = 0};
  return !look({&entry, 1}, 0) || !(entry.revents & POLLERR);
}

}  // namespace

void Socket::close() {
  if (handle_ != no_handle) closesocket(std::exchange(handle_, no_handle));
}

Moved receive(const Socket& socket, std::span<std::byte> into) {
  const int count = recv(socket.get(), reinterpret_cast<char*>(into.data()), size_of(into), 0);
  if (count == 0 && !ended_in_order(socket)) return {.error = winsock_error(WSAECONNRESET)};
  return moved(count);
}

Moved send(const Socket& socket, std::span<const std::byte> bytes) {
  return moved(::send(socket.get(), reinterpret_cast<const char*>(bytes.data()), size_of(bytes), 0));
}

void finish_sending(const Socket& socket) {
  shutdown(socket.get(), SD_SEND);
}

void reset_on_close(const Socket& socket) {
  set_option(socket, SOL_SOCKET, SO_LINGER, linger{.l_onoff = 1, .l_linger = 0});
}

void make_blocking(const Socket& socket) {
  set_nonblocking(socket, false);
}

std::error_code connect_result(const Socket& socket) {
  int error = 0, size = sizeof error;
  if (getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, reinterpret_cast<char*>(&error), &size) != 0)
    return last_error();
  return error == 0 ? std::error_code{} : winsock_error(error);
}

std::vector<Address> resolve(std::string_view host, std::string_view port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const std::string name(host);
  if (const int error = getaddrinfo(name.c_str(), std::string(port).c_str(), &hints, &found);
      error != 0 || !found)
    throw std::runtime_error(name + ": " + winsock_error(error).message());
  std::vector<Address> addresses;
  for (const int family : {AF_INET, AF_INET6})
    for (const addrinfo* each = found; each; each = each->ai_next) {
      if (each->ai_family != family) continue;
      Address& address = addresses.emplace_back();
      std::memcpy(address.words.data(), each->ai_addr, each->ai_addrlen);
      address.size = static_cast<unsigned>(each->ai_addrlen);
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

bool is_loopback(const Address& address) {
  sockaddr_in6 in{};
  std::memcpy(&in, address.words.data(), sizeof in);
  return is_loopback4(address) || (in.sin6_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&in.sin6_addr));
}

/// A connect that is refused on this machine fails at once (TCP_INITIAL_RTO_PARAMETERS). Else Windows sends its SYN
/// twice more, and says so after 2 s. Its price: a backlog that is full refuses at once, too.
void refuse_at_once(const Socket& socket) {
  TCP_INITIAL_RTO_PARAMETERS how{.Rtt = TCP_INITIAL_RTO_UNSPECIFIED_RTT,
                                 .MaxSynRetransmissions = TCP_INITIAL_RTO_NO_SYN_RETRANSMISSIONS};
  DWORD size = 0;
  // A system that does not know it (Windows before 10 1709, Wine) refuses it, and then the connect is only slower.
  WSAIoctl(socket.get(), SIO_TCP_INITIAL_RTO, &how, sizeof how, nullptr, 0, &size, nullptr, nullptr);
}

Socket start_connect(const Address& server, const Address& source, std::error_code& error) {
  Socket socket(WSASocketW(as_sockaddr(server)->sa_family, SOCK_STREAM, 0, nullptr, 0,
                           WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT));
  if (socket) set_nonblocking(socket, true);
  if (socket && is_loopback(server)) refuse_at_once(socket);
  error = socket ? connect_from(socket, source, server) : last_error();
  if (error) return {};
  set_option(socket, IPPROTO_TCP, TCP_NODELAY, DWORD{1});  // a small message does not wait for the last ack
  return socket;
}

/// The list stays between waits, so that a change costs one entry; the wait itself looks at all. The
/// findings of one WSAPoll are handed out before the next: that keeps the cost of the list to a share of an event
/// where many connections are busy, and gives each its turn.
struct Poller::System {
  std::vector<WSAPOLLFD> list;
  std::vector<std::uint32_t> tokens;              // of each entry
  std::unordered_map<SOCKET, std::size_t> where;  // each socket's entry
  std::size_t next = 0;                           // from here on, revents are yet to be handed out

  void set(const Socket&, std::uint32_t token, Want);
  void remove(const Socket&);
  void poll(Nanoseconds at_most);
  std::size_t hand_out(std::span<Ready> into);
};

void Poller::System::set(const Socket& socket, std::uint32_t token, Want want) {
  const auto [at, added] = where.try_emplace(socket.get(), list.size());
  if (added) {
    list.emplace_back();
    tokens.emplace_back();
  }
  const int events = (want != Want::write ? POLLRDNORM : 0) | (want != Want::read ? POLLWRNORM : 0);
  list[at->second] = {.fd = socket.get(), .events = static_cast<SHORT>(events), .revents = 0};
  tokens[at->second] = token;
}

/// The last entry takes its place.
void Poller::System::remove(const Socket& socket) {
  const auto at = where.find(socket.get());
  if (at == where.end()) return;
  const std::size_t place = at->second;
  where[list.back().fd] = place;
  list[place] = list.back();
  tokens[place] = tokens.back();
  list.pop_back();
  tokens.pop_back();
  where.erase(at);
}

/// WSAPoll counts in milliseconds. A wait is rounded down, so what is left of the last one is spent in waits
/// of 0: with --rate the client keeps a core busy while a message is due within 1 ms. Rounded up, each would
/// leave up to 1 ms late, and since latency counts from when it was due, that would be told of the server.
void Poller::System::poll(Nanoseconds at_most) {
  const auto whole = static_cast<int>(std::chrono::floor<std::chrono::milliseconds>(at_most).count());
  if (list.empty()) return Sleep(whole);  // WSAPoll refuses an empty list
  // Wine only: it compares each entry with each, so one look at 6 000 takes it 70 ms, and looks at parts 8.
  constexpr std::size_t part = 256;
  const bool in_parts = list.size() > part;
  bool found = false;
  for (std::size_t at = 0; in_parts && at < list.size(); at += part)
    found |= look(std::span(list).subspan(at, std::min(part, list.size() - at)), 0);
  if (!in_parts || (!found && whole > 0)) found = look(list, whole);
  next = found ? 0 : list.size();
}

std::size_t Poller::System::hand_out(std::span<Ready> into) {
  std::size_t count = 0;
  for (; next < list.size() && count < into.size(); ++next) {
    const SHORT what = list[next].revents;
    if (what == 0) continue;
    // A failed connect: POLLHUP, POLLERR and POLLWRNORM (WSAPoll's page; Wine 8 says POLLERR alone). Before
    // Windows 10 2004 it was never told: such a connect is then found by its timeout.
    // POLLHUP also says that the server has finished: receive() tells which it is.
    const bool failed = what & (POLLERR | POLLHUP | POLLNVAL);
    into[count++] = {
        .token = tokens[next], .read = failed || (what & POLLRDNORM), .write = failed || (what & POLLWRNORM)};
  }
  return count;
}

Poller::Poller() : system_(new System) {}

Poller::~Poller() = default;

void Poller::add(const Socket& socket, std::uint32_t token, Want want) {
  system_->set(socket, token, want);
}

void Poller::change(const Socket& socket, std::uint32_t token, Want want) {
  system_->set(socket, token, want);
}

void Poller::remove(const Socket& socket) {
  system_->remove(socket);
}

std::span<const Ready> Poller::wait(Nanoseconds at_most) {
  std::size_t count = system_->hand_out(ready_);
  if (count == 0) {
    system_->poll(std::max(at_most, Nanoseconds(0)));
    count = system_->hand_out(ready_);
  }
  return std::span(ready_).first(count);
}

// _read and _write leave their reason in errno, and the C library knows its text.

Moved read_input(std::span<std::byte> into) {
  const int count = _read(0, into.data(), static_cast<unsigned>(size_of(into)));
  if (count < 0) return {.error = {errno, std::generic_category()}};
  return {.bytes = static_cast<std::size_t>(count)};
}

std::error_code write_all(Standard where, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const int count = _write(static_cast<int>(where), bytes.data(), static_cast<unsigned>(size_of(bytes)));
    if (count < 0) return {errno, std::generic_category()};
    if (count == 0)
      return std::make_error_code(std::errc::no_space_on_device);  // a device that takes nothing
    bytes = bytes.subspan(count);
  }
  return {};
}

/// A console, and one that can be told to follow the bar's escape sequences.
bool progress_is_seen() {
  const HANDLE console = GetStdHandle(STD_ERROR_HANDLE);
  DWORD mode = 0;
  return GetConsoleMode(console, &mode) && SetConsoleMode(console, mode | ENABLE_VIRTUAL_TERMINAL_PROCESSING);
}

void prepare_process() {
  WSADATA data;
  if (WSAStartup(MAKEWORD(2, 2), &data) != 0) std::_Exit(1);
  timeBeginPeriod(1);  // else a wait of 1 ms takes up to 15.6 ms
  _setmode(0, _O_BINARY);
  _setmode(1, _O_BINARY);
  SetConsoleOutputCP(CP_UTF8);  // our texts are
}

/// Windows sets no number: a handle more costs memory of the kernel's, and the connect that finds none fails.
std::size_t free_descriptors() {
  return std::numeric_limits<std::size_t>::max();
}

}  // namespace ladder::client
