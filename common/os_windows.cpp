// os.h for Windows (10 or later). What only Wine needs is marked so.
#include "common/os_select.h"  // first: it sets how many sockets a set holds
//
#include <fcntl.h>
#include <io.h>
#include <mswsock.h>
#include <windows.h>
#include <ws2tcpip.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "common/os.h"
#include "common/server.h"

namespace ladder::os {

namespace {

/// Winsock's codes, in the words of std::errc where it has one: not every library's system_category knows them.
std::error_code to_error(int code) {
  switch (code) {
    case WSAECONNRESET:
    case WSAECONNABORTED:  // the system gave the connection up; here the same as a reset
    case WSAENETRESET:
    case ERROR_NETNAME_DELETED:  // the same, of an operation that ended later
      return std::make_error_code(std::errc::connection_reset);
    case WSAENOTCONN:
      return std::make_error_code(std::errc::not_connected);
    case WSAESHUTDOWN:
      return std::make_error_code(std::errc::broken_pipe);
    case WSAEADDRINUSE:
    case WSAEACCES:  // bind: another has the port for itself (SO_EXCLUSIVEADDRUSE)
      return std::make_error_code(std::errc::address_in_use);
    case WSAEADDRNOTAVAIL:
      return std::make_error_code(std::errc::address_not_available);
    case WSAEMFILE:
      return std::make_error_code(std::errc::too_many_files_open);
    case WSAENOBUFS:
      return std::make_error_code(std::errc::no_buffer_space);
    case WSAETIMEDOUT:
      return std::make_error_code(std::errc::timed_out);
    case WSAEAFNOSUPPORT:
      return std::make_error_code(std::errc::address_family_not_supported);
    case WSA_OPERATION_ABORTED:
      return std::make_error_code(std::errc::operation_canceled);
    default:
      return {code, std::system_category()};
  }
}

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(last_error(), what);
}

/// Before the first socket of this process.
void start_winsock() {
  struct Winsock {
    Winsock() {
      WSADATA data;
      if (const int error = ::WSAStartup(MAKEWORD(2, 2), &data))
        throw std::system_error(to_error(error), "WSAStartup");
    }
    ~Winsock() { ::WSACleanup(); }
  };
  static const Winsock started;
}

void set(Handle socket, int level, int option, DWORD value) {
  if (::setsockopt(socket, level, option, reinterpret_cast<const char*>(&value), sizeof value) != 0)
    fail("setsockopt");
}

bool set_mode(Handle socket, Mode mode) {
  u_long on = mode == Mode::non_blocking;
  return ::ioctlsocket(socket, FIONBIO, &on) == 0;
}

struct Address {
  sockaddr_storage storage{};
  int size = sizeof storage;
  sockaddr* any() { return reinterpret_cast<sockaddr*>(&storage); }
};

/// Only numeric addresses: a name could take seconds and could mean several.
std::optional<Address> numeric_address(const std::string& host, std::uint16_t port) {
  Address address;
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  if (::inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    std::memcpy(&address.storage, &v4, address.size = sizeof v4);
  } else if (::inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    std::memcpy(&address.storage, &v6, address.size = sizeof v6);
  } else {
    return std::nullopt;
  }
  return address;
}

Result to_result(int count) {
  if (count >= 0) return {.bytes = static_cast<std::size_t>(count)};
  if (::WSAGetLastError() == WSAEWOULDBLOCK) return {.would_block = true};
  return {.error = last_error()};
}

constexpr std::size_t most_at_once = 1 << 30;  // lengths are ints

Result send_at_most(Handle socket, Bytes bytes, std::size_t most) {
  const int size = static_cast<int>(std::min(bytes.size(), most));
  return to_result(::send(socket, reinterpret_cast<const char*>(bytes.data()), size, 0));
}

/// A call that another thread sleeps in on this socket returns.
void cancel(Handle socket) {
  ::CancelIoEx(reinterpret_cast<HANDLE>(socket), nullptr);  // fails if there is none
}

}  // namespace

std::error_code last_error() {
  return to_error(::WSAGetLastError());
}

Descriptor make_socket(int family, int type) {
  start_winsock();
  Descriptor socket(
      ::WSASocketW(family, type, 0, nullptr, 0, WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT));
  if (!socket) fail("socket");
  return socket;
}

void Descriptor::reset() {
  if (handle_ != no_handle) ::closesocket(std::exchange(handle_, no_handle));
}

bool is_numeric_address(const std::string& host) {
  return numeric_address(host, 0).has_value();
}

namespace {

Descriptor listen(const std::string& host, std::uint16_t port, int backlog, Mode mode) {
  std::optional<Address> address = numeric_address(host, port);
  const std::string where =
      (host.find(':') == host.npos ? host : "[" + host + "]") + ":" + std::to_string(port);
  if (!address)
    throw std::system_error(std::make_error_code(std::errc::invalid_argument), "address " + where);
  Descriptor socket = make_socket(address->storage.ss_family, SOCK_STREAM);
  // Never SO_REUSEADDR, which lets another process take the port away here. What it does elsewhere, to let a server
  // start again while old connections are in TIME_WAIT, Windows does unasked. LIFE-02, LIFE-03
  set(socket.get(), SOL_SOCKET, SO_EXCLUSIVEADDRUSE, 1);
  if (address->storage.ss_family == AF_INET6) set(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, 1);
  if (!set_mode(socket.get(), mode)) fail("ioctlsocket");
  if (::bind(socket.get(), address->any(), address->size) != 0) fail("bind " + where);
  if (::listen(socket.get(), backlog > 0 ? backlog : SOMAXCONN) != 0) fail("listen " + where);
  return socket;
}

}  // namespace

Endpoint to_endpoint(const sockaddr* address) {
  Endpoint endpoint;
  if (address->sa_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, address, sizeof v6);
    std::memcpy(endpoint.address.data(), &v6.sin6_addr, 16);
    endpoint.scope = v6.sin6_scope_id;
    endpoint.port = ntohs(v6.sin6_port);
    endpoint.v6 = true;
  } else {
    sockaddr_in v4{};
    std::memcpy(&v4, address, sizeof v4);
    std::memcpy(endpoint.address.data(), &v4.sin_addr, 4);
    endpoint.port = ntohs(v4.sin_port);
  }
  return endpoint;
}

Endpoint local_endpoint(Handle socket) {
  Address address;
  if (::getsockname(socket, address.any(), &address.size) != 0) fail("getsockname");
  return to_endpoint(address.any());
}

Listener::Listener(const std::string& host, std::uint16_t port, int backlog, Mode mode, Milliseconds)
    : socket_(listen(host, port, backlog, mode)), mode_(mode), handle_(socket_.get()) {}

Accepted Listener::accept() {
  for (int dead = 0; dead < dead_at_once || mode_ == Mode::blocking; ++dead) {
    if (!begin([] { return true; })) return {};
    Address peer;
    Descriptor socket(::accept(handle_, peer.any(), &peer.size));
    const int error = socket ? 0 : ::WSAGetLastError();
    let_go();
    switch (error) {
      case 0:
        if (!prepare_accepted(socket.get(), mode_)) return {.error = last_error()};
        return {.socket = std::move(socket), .peer = to_endpoint(peer.any())};
      case WSAEWOULDBLOCK:
      case WSA_OPERATION_ABORTED:  // stop()
        return {};
      default:
        if (!died_in_backlog(to_error(error))) return {.error = to_error(error)};  // WSAEMFILE, WSAENOBUFS
    }
  }
  return {};
}

bool Listener::begin(const std::function<bool()>& start) {
  const std::lock_guard lock(mutex_);
  if (stopped_ || !start()) return false;
  ++under_way_;
  return true;
}

void Listener::let_go() {
  const std::lock_guard lock(mutex_);
  if (--under_way_ > 0) return;
  if (stopped_) socket_.reset();
  ended_.notify_all();
}

void Listener::stop() {
  std::unique_lock lock(mutex_);
  stopped_ = true;
  if (under_way_ == 0) return socket_.reset();  // select is told: it has an event of its own for that
  if (mode_ == Mode::non_blocking) return cancel(handle_);
  // A thread that is about to sleep in accept has nothing to cancel yet. It does not sleep in a listener that does not
  // block; but it may have looked at that just before, so again until it has answered.
  u_long on = 1;
  do {
    ::ioctlsocket(handle_, FIONBIO, &on);
    cancel(handle_);
  } while (!ended_.wait_for(lock, Milliseconds{1}, [this] { return under_way_ == 0; }));
}

bool prepare_accepted(Handle socket, Mode mode) {
  const DWORD on = 1;  // replies are written whole, so that Nagle's delay would only hold them back
  return set_mode(socket, mode) &&
         ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, reinterpret_cast<const char*>(&on), sizeof on) == 0 &&
         ::SetHandleInformation(reinterpret_cast<HANDLE>(socket), HANDLE_FLAG_INHERIT, 0) != 0;
}

bool died_in_backlog(const std::error_code& error) {
  return error == std::errc::connection_reset ||
         error == std::errc::not_connected;  // Wine only: found when it asks for the peer's address
}

Result finish(Handle socket, OVERLAPPED& operation) {
  DWORD bytes = 0, flags = 0;
  if (!::WSAGetOverlappedResult(socket, &operation, &bytes, FALSE, &flags)) return {.error = last_error()};
  return {.bytes = bytes};
}

Result wait_for_bytes(Handle socket) {
  char first = 0;
  return to_result(::recv(socket, &first, 1, MSG_PEEK));
}

Result receive(Handle socket, std::span<std::byte> into) {
  const int size = static_cast<int>(std::min(into.size(), most_at_once));
  const Result result = to_result(::recv(socket, reinterpret_cast<char*>(into.data()), size, 0));
  if (result.bytes > 0 || result.error || result.would_block) return result;
  // Wine only: where something else has been told of a reset first, recv makes an orderly end of it.
  WSAPOLLFD watch{.fd = socket, .events = POLLRDNORM, .revents = 0};
  if (::WSAPoll(&watch, 1, 0) == 1 && (watch.revents & POLLERR) != 0)
    return {.error = to_error(WSAECONNRESET)};
  return result;
}

Result send(Handle socket, Bytes bytes) {
  // One that sleeps returns when all has gone. A part at a time, so that a slow peer is seen to take something.
  return send_at_most(socket, bytes, 64 * 1024);
}

Result send_now(Handle socket, Bytes bytes) {
  // There is no MSG_DONTWAIT. Who sleeps in recv on this socket sleeps on; who comes to it now is told would_block.
  u_long on = 1, off = 0;
  ::ioctlsocket(socket, FIONBIO, &on);
  const Result result = send_at_most(socket, bytes, most_at_once);
  ::ioctlsocket(socket, FIONBIO, &off);
  return result;
}

// shutdown fails only if the connection is over already, which the next call on it reports.
void finish_sending(Handle socket) {
  ::shutdown(socket, SD_SEND);
}
// It refuses a recv or send that comes later, but wakes nobody (seen under Wine 8, and reported of Windows); to cancel
// wakes those who sleep.
void wake_receiver(Handle socket) {
  ::shutdown(socket, SD_RECEIVE);
  cancel(socket);
}
void wake_sender(Handle socket) {
  ::shutdown(socket, SD_SEND);
  cancel(socket);
}

void reset_on_close(Handle socket) {
  const linger now{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(socket, SOL_SOCKET, SO_LINGER, reinterpret_cast<const char*>(&now), sizeof now);
}

Acknowledged acknowledged(Handle) {
  return {};
}

std::optional<std::size_t> unacknowledged(Handle) {
  return std::nullopt;
}

bool unread(Handle socket) {
  u_long bytes = 0;
  return ::ioctlsocket(socket, FIONREAD, &bytes) == 0 && bytes > 0;
}

Bell::Bell() : descriptor_(make_socket(AF_INET, SOCK_DGRAM)) {
  std::optional<Address> self = numeric_address("127.0.0.1", 0);
  if (!set_mode(descriptor_.get(), Mode::non_blocking) ||
      ::bind(descriptor_.get(), self->any(), self->size) != 0 ||
      ::getsockname(descriptor_.get(), self->any(), &self->size) != 0 ||
      ::connect(descriptor_.get(), self->any(), self->size) != 0)  // now it hears nobody else
    fail("a bell's socket");
}

void Bell::ring() noexcept {
  const char any = 0;
  ::send(descriptor_.get(), &any, 1, 0);  // fails only if its buffer is full, and then it is readable
}

void Bell::quiet() noexcept {
  std::array<char, 16> any{};
  while (::recv(descriptor_.get(), any.data(), any.size(), 0) > 0) {
  }
}

bool fits_select(Handle, std::size_t others) {
  return others < FD_SETSIZE;
}

void wait_while(const std::atomic<std::uint32_t>& value, std::uint32_t seen) {
  ::WaitOnAddress(const_cast<std::atomic<std::uint32_t>*>(&value), &seen, sizeof seen, INFINITE);
}
void wake_all(std::atomic<std::uint32_t>& value) {
  ::WakeByAddressAll(&value);
}

std::string_view platform() {
  return "windows";
}
unsigned cores() {
  return std::max(1u, std::thread::hardware_concurrency());
}
std::uint64_t process_id() {
  return ::GetCurrentProcessId();
}
bool is_terminal_output() {
  DWORD mode = 0;
  return ::GetConsoleMode(::GetStdHandle(STD_OUTPUT_HANDLE), &mode) != 0;
}

namespace {

/// Nobody can ask standard error whether a write to it would wait. So a thread of its own writes, and what comes while
/// it is held up and much is queued is dropped.
class LogWriter {
 public:
  LogWriter() : state_(std::make_shared<State>()) {
    std::thread([state = state_] { write(*state); }).detach();
  }
  /// At the end of the process; the thread may be held up for ever.
  ~LogWriter() {
    std::unique_lock lock(state_->mutex);
    state_->changed.wait_for(lock, Milliseconds{200},
                             [this] { return state_->idle && state_->text.empty(); });
  }
  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;

  void line(std::string_view line) {
    const std::lock_guard lock(state_->mutex);
    if (state_->text.size() > 64 * 1024) return;
    state_->text.append(line).push_back('\n');
    state_->changed.notify_all();
  }

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    std::string text;
    bool idle = false;
  };
  static void write(State& state) {
    std::unique_lock lock(state.mutex);
    for (;;) {
      state.idle = true;
      state.changed.notify_all();
      state.changed.wait(lock, [&] { return !state.text.empty(); });
      state.idle = false;
      const std::string text = std::exchange(state.text, {});
      lock.unlock();
      DWORD written = 0;
      ::WriteFile(::GetStdHandle(STD_ERROR_HANDLE), text.data(), static_cast<DWORD>(text.size()), &written,
                  nullptr);
      lock.lock();
    }
  }
  std::shared_ptr<State> state_;
};

LogWriter& log_writer() {
  static LogWriter writer;
  return writer;
}

}  // namespace

void write_log_line(std::string_view line) noexcept try {
  log_writer().line(line);
} catch (const std::exception&) {  // no memory, or no thread: nobody can be told
}

namespace {

std::atomic<std::uint32_t> stop_signals = 0;

BOOL WINAPI on_control(DWORD event) {
  ++stop_signals;
  wake_all(stop_signals);
  // After these Windows ends the process as soon as we return. It waits some seconds for that (HandlerRoutine).
  if (event == CTRL_CLOSE_EVENT || event == CTRL_LOGOFF_EVENT || event == CTRL_SHUTDOWN_EVENT)
    ::Sleep(INFINITE);
  return TRUE;
}

}  // namespace

void prepare_process() {
  log_writer();                              // while there is a thread to be had. LIFE-07
  ::_setmode(::_fileno(stdout), _O_BINARY);  // a line ends with \n here too: programs read it
  ::SetConsoleCtrlHandler(nullptr, FALSE);   // a parent may have had Ctrl-C ignored, and that is inherited
  if (!::SetConsoleCtrlHandler(on_control, TRUE))
    throw std::system_error(static_cast<int>(::GetLastError()), std::system_category(),
                            "SetConsoleCtrlHandler");
}

void wait_for_stop_signal() {
  static std::atomic<std::uint32_t> heard = 0;
  const std::uint32_t before = heard++;  // each call waits for one more
  for (std::uint32_t seen = stop_signals; seen <= before; seen = stop_signals)
    wait_while(stop_signals, seen);
}

void exit_at_once(int status) noexcept {
  ::TerminateProcess(::GetCurrentProcess(), static_cast<UINT>(status));
  std::abort();
}

}  // namespace ladder::os

std::string ladder::host_of(const Endpoint& endpoint) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(endpoint.v6 ? AF_INET6 : AF_INET, endpoint.address.data(), text.data(), text.size());
  return text.data();
}
