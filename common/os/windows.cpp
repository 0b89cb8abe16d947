// os.h for Windows (10 or later). Code for Wine alone is marked so.
#include "common/os/select.h"  // first: it sets how many sockets a set holds
//
#include <fcntl.h>
#include <io.h>
#include <mstcpip.h>
#include <mswsock.h>
#include <windows.h>
#include <ws2tcpip.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
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

#include "common/os/address.h"
#include "common/os/os.h"
#include <ladder/server.h>

namespace ladder::os {

namespace {

struct Meaning {
  int code;
  std::errc condition;
  const char* text;
};

/// Windows' codes in the words of std::errc. No library will do for that: MSVC's and libstdc++'s system_category know
/// few of Winsock's codes, and under MinGW-w64 the text of std::errc::address_in_use is "Unknown error". LIFE-02
constexpr auto meanings = std::to_array<Meaning>({
    {WSAECONNRESET, std::errc::connection_reset, "Connection reset by peer"},
    {ERROR_NETNAME_DELETED, std::errc::connection_reset, "Connection reset by peer"},  // of a later end
    {WSAECONNABORTED, std::errc::connection_reset, "Connection given up by the system"},
    {ERROR_CONNECTION_ABORTED, std::errc::connection_reset, "Connection given up by the system"},
    {WSAENETRESET, std::errc::connection_reset, "Connection dropped by network"},
    {WSAESHUTDOWN, std::errc::broken_pipe, "Cannot send after shutdown"},
    {WSAENOTCONN, std::errc::not_connected, "Socket is not connected"},
    {WSAETIMEDOUT, std::errc::timed_out, "Connection timed out"},
    {ERROR_SEM_TIMEOUT, std::errc::timed_out, "Connection timed out"},
    {WSAECONNREFUSED, std::errc::connection_refused, "Connection refused"},
    {WSAENETDOWN, std::errc::network_down, "Network is down"},
    {WSAENETUNREACH, std::errc::network_unreachable, "Network is unreachable"},
    {WSAEHOSTUNREACH, std::errc::host_unreachable, "No route to host"},
    {WSAEADDRINUSE, std::errc::address_in_use, "Address already in use"},
    // Of bind, and it does not tell which (bind; netsh interface ipv4 show excludedportrange).
    {WSAEACCES, std::errc::address_in_use,
     "Access denied: another process has this port for itself, or it lies in an excluded range, which "
     "\"netsh int ipv4 show excludedportrange tcp\" lists"},
    {WSAEADDRNOTAVAIL, std::errc::address_not_available, "Cannot assign requested address"},
    {WSAEAFNOSUPPORT, std::errc::address_family_not_supported, "Address family not supported"},
    {WSAEPROTONOSUPPORT, std::errc::protocol_not_supported, "Protocol not supported"},
    {WSAENOPROTOOPT, std::errc::no_protocol_option, "Protocol option not supported"},
    {WSAEOPNOTSUPP, std::errc::operation_not_supported, "Operation not supported"},
    {WSAEINVAL, std::errc::invalid_argument, "Invalid argument"},
    {WSAEFAULT, std::errc::bad_address, "Bad address"},
    {WSAENOTSOCK, std::errc::not_a_socket, "Not a socket"},
    {WSAEINTR, std::errc::interrupted, "Interrupted"},
    {WSAEWOULDBLOCK, std::errc::operation_would_block, "Operation would block"},
    {WSA_OPERATION_ABORTED, std::errc::operation_canceled, "Operation cancelled"},
    {WSAEMFILE, std::errc::too_many_files_open, "Too many open files"},
    {WSAENOBUFS, std::errc::no_buffer_space, "No buffer space available"},
    {WSA_NOT_ENOUGH_MEMORY, std::errc::not_enough_memory, "Cannot allocate memory"},
    {ERROR_NO_SYSTEM_RESOURCES, std::errc::not_enough_memory, "No system resources"},
    {ERROR_WORKING_SET_QUOTA, std::errc::not_enough_memory, "No more memory may be locked"},
    {ERROR_COMMITMENT_LIMIT, std::errc::not_enough_memory, "Cannot allocate memory"},
});

/// What the system says of a code; empty if it has no text. In English if it can, as all that the programs print is.
std::string text_of_system(int code) {
  for (const DWORD language : {DWORD{MAKELANGID(LANG_ENGLISH, SUBLANG_ENGLISH_US)}, DWORD{0}}) {
    std::array<char, 512> text{};
    constexpr DWORD how = FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS |
                          FORMAT_MESSAGE_MAX_WIDTH_MASK;  // one line
    const DWORD size = ::FormatMessageA(how, nullptr, static_cast<DWORD>(code), language, text.data(),
                                        static_cast<DWORD>(text.size()), nullptr);
    const std::string_view found(text.data(), size);
    if (size > 0) return std::string(found.substr(0, found.find_last_not_of(". ") + 1));
  }
  return {};
}

class WindowsErrors final : public std::error_category {
 public:
  const char* name() const noexcept override { return "windows"; }
  std::string message(int code) const override {
    if (const Meaning* found = find(code)) return found->text;
    const std::string text = text_of_system(code);
    return text.empty() ? "error " + std::to_string(code) : text;  // Wine only: it has no text for most
  }
  std::error_condition default_error_condition(int code) const noexcept override {
    const Meaning* found = find(code);
    return found ? std::make_error_condition(found->condition) : std::error_condition(code, *this);
  }

 private:
  static const Meaning* find(int code) {
    const auto found = std::ranges::find(meanings, code, &Meaning::code);
    return found == meanings.end() ? nullptr : &*found;
  }
};

std::error_code to_error(int code) {
  static const WindowsErrors category;
  return {code, category};
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

Result to_result(int count) {
  if (count >= 0) return {.bytes = static_cast<std::size_t>(count)};
  if (::WSAGetLastError() == WSAEWOULDBLOCK) return {.would_block = true};
  return {.error = last_error()};
}

constexpr std::size_t most_a_receive = 1 << 30;  // lengths are ints

/// A send that does not block takes any number of bytes if there is room for one (send; SO_SNDBUF), and one that blocks
/// returns when all have gone. Without a bound no mark and no write timeout would see a peer that takes nothing. BP-01
constexpr std::size_t most_a_send = 64 * 1024;

/// The documented layout of TCP_INFO_v0 (mstcpip.h), which headers have for a later version of Windows alone.
struct TcpInfo {
  int state;
  ULONG mss;
  ULONG64 connection_time;
  BOOLEAN timestamps;
  ULONG rtt, least_rtt, bytes_in_flight, congestion_window, send_window, receive_window, receive_buffer;
  ULONG64 bytes_out, bytes_in;
  ULONG bytes_reordered, bytes_retransmitted, fast_retransmissions, duplicate_acks, timeouts;
  UCHAR syn_retransmissions;
};
static_assert(sizeof(TcpInfo) == 88);

/// Since Windows 10 1703 (SIO_TCP_INFO). None: not so with this system (Wine), or with this socket.
std::optional<TcpInfo> tcp_info(Handle socket) {
  constexpr DWORD sio_tcp_info = _WSAIORW(IOC_VENDOR, 39);
  DWORD version = 0, size = 0;
  TcpInfo info{};
  if (::WSAIoctl(socket, sio_tcp_info, &version, sizeof version, &info, sizeof info, &size, nullptr,
                 nullptr) != 0)
    return std::nullopt;
  return info;
}

/// As listen wants it. SOMAXCONN alone is about 200 there, and a client above it is reset after its handshake;
/// SOMAXCONN_HINT(N), which is -N and not in all headers, is taken up to 65535.
int backlog_for_listen(int backlog) {
  constexpr int most = 65535;
  constexpr int taken_as_it_is = 200;
  if (backlog > 0 && backlog <= taken_as_it_is) return backlog;
  return -(backlog > 0 ? std::min(backlog, most) : most);
}

/// A call that another thread sleeps in on this socket returns.
void cancel(Handle socket) {
  ::CancelIoEx(reinterpret_cast<HANDLE>(socket), nullptr);  // fails if there is none
}

}  // namespace

Error::operator std::error_code() const {
  return to_error(number);
}

Error last_error() {
  return {::WSAGetLastError()};
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
  const std::string where = to_text(host, port);
  if (!address)
    throw std::system_error(std::make_error_code(std::errc::invalid_argument), "address " + where);
  Descriptor socket = make_socket(address->storage.ss_family, SOCK_STREAM);
  // Never SO_REUSEADDR: two processes that both set it share the port here. Elsewhere it lets a server start again while old
  // connections are in TIME_WAIT; Windows allows that unasked. LIFE-02, LIFE-03
  set(socket.get(), SOL_SOCKET, SO_EXCLUSIVEADDRUSE, 1);
  if (address->storage.ss_family == AF_INET6) set(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, 1);
  if (!set_mode(socket.get(), mode)) fail("ioctlsocket");
  if (::bind(socket.get(), address->any(), address->size) != 0) fail("bind " + where);
  if (::listen(socket.get(), backlog_for_listen(backlog)) != 0) fail("listen " + where);
  return socket;
}

}  // namespace

Endpoint local_endpoint(Handle socket) {
  Address address;
  if (::getsockname(socket, address.any(), &address.size) != 0) fail("getsockname");
  return to_endpoint(address.any());
}

Listener::Listener(const std::string& host, std::uint16_t port, int backlog, Mode mode,
                   Milliseconds keep_alive)
    : socket_(listen(host, port, backlog, mode)),
      mode_(mode),
      handle_(socket_.get()),
      keep_alive_(keep_alive) {}

Accepted Listener::accept() {
  for (;;) {
    if (!begin([] { return true; })) return {};
    Address peer;
    Descriptor socket(::accept(handle_, peer.any(), &peer.size));
    const bool prepared = socket && prepare_accepted(socket.get(), mode_, keep_alive_);
    const int error = prepared ? 0 : ::WSAGetLastError();
    let_go();
    if (prepared) {
      dead_ = 0;
      return {.socket = std::move(socket), .peer = to_endpoint(peer.any())};
    }
    if (error == WSAEWOULDBLOCK || error == WSA_OPERATION_ABORTED) {  // the latter is stop()
      dead_ = 0;
      return {};
    }
    // A socket that cannot be prepared is that client's loss alone.
    if (!socket && !died_in_backlog(to_error(error)))
      return {.error = to_error(error)};  // WSAEMFILE, WSAENOBUFS
    if (++dead_ < dead_in_a_row) continue;
    dead_ = 0;  // each is seen here, and a storm leaves many: so many a pause, not one. CONC-05
    return {.error = to_error(error)};
  }
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

namespace {

/// Where a provider refuses these times the system's own remain: two hours, then ten probes.
bool probe(Handle socket, Milliseconds silence) {
  if (silence.count() <= 0) return true;
  const DWORD on = 1;
  if (::setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, reinterpret_cast<const char*>(&on), sizeof on) != 0)
    return false;
  DWORD probes = 3, size = 0;
  constexpr int tcp_keepcnt = 16;  // TCP_KEEPCNT, which MinGW-w64's headers lack
  // Windows before 10 1703 does not know it, and sends ten.
  ::setsockopt(socket, IPPROTO_TCP, tcp_keepcnt, reinterpret_cast<const char*>(&probes), sizeof probes);
  const auto pause = [](Milliseconds time) { return static_cast<ULONG>(probe_seconds(time)) * 1000; };
  tcp_keepalive times{.onoff = 1, .keepalivetime = pause(silence), .keepaliveinterval = pause(silence / 4)};
  ::WSAIoctl(socket, SIO_KEEPALIVE_VALS, &times, sizeof times, nullptr, 0, &size, nullptr, nullptr);
  return true;
}

}  // namespace

bool prepare_accepted(Handle socket, Mode mode, Milliseconds keep_alive) {
  const DWORD on = 1;  // replies are written whole, so that Nagle's delay would only hold them back
  return set_mode(socket, mode) && probe(socket, keep_alive) &&
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
  const int size = static_cast<int>(std::min(into.size(), most_a_receive));
  const Result result = to_result(::recv(socket, reinterpret_cast<char*>(into.data()), size, 0));
  if (result.bytes > 0 || result.error || result.would_block) return result;
  // Wine only: where something else has been told of a reset first, recv makes an orderly end of it.
  WSAPOLLFD watch{.fd = socket, .events = POLLRDNORM, .revents = 0};
  if (::WSAPoll(&watch, 1, 0) == 1 && (watch.revents & POLLERR) != 0) return {.error = {WSAECONNRESET}};
  return result;
}

Result send(Handle socket, Bytes bytes) {
  const int size = static_cast<int>(std::min(bytes.size(), most_a_send));
  return to_result(::send(socket, reinterpret_cast<const char*>(bytes.data()), size, 0));
}

Result send_now(Handle socket, Bytes bytes) {
  // There is no MSG_DONTWAIT. A thread asleep in recv on this socket sleeps on; one that calls it now gets would_block.
  u_long on = 1, off = 0;
  ::ioctlsocket(socket, FIONBIO, &on);
  const Result result = send(socket, bytes);
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

Acknowledged acknowledged(Handle socket) {
  const auto info = tcp_info(socket);
  if (!info) return {};
  // Whether bytes that were sent again count twice in bytes_out is not said (TCP_INFO_v0). If they do, they are taken out
  // here; if not, this falls behind with each of them. It never grows without an acknowledgement.
  const std::uint64_t pending = std::uint64_t{info->bytes_in_flight} + info->bytes_retransmitted;
  return {.bytes = info->bytes_out > pending ? info->bytes_out - pending : 0};
}

std::optional<std::size_t> unacknowledged(Handle socket) {
  const auto info = tcp_info(socket);
  if (!info || info->bytes_in_flight == 0)
    return std::nullopt;  // what waits for the peer's window is not in it
  return info->bytes_in_flight;
}

bool unread(Handle socket) {
  u_long bytes = 0;
  return ::ioctlsocket(socket, FIONREAD, &bytes) == 0 && bytes > 0;
}

Waker::Waker() : descriptor_(make_socket(AF_INET, SOCK_DGRAM)) {
  std::optional<Address> self = numeric_address("127.0.0.1", 0);
  if (!set_mode(descriptor_.get(), Mode::non_blocking) ||
      ::bind(descriptor_.get(), self->any(), self->size) != 0 ||
      ::getsockname(descriptor_.get(), self->any(), &self->size) != 0 ||
      ::connect(descriptor_.get(), self->any(), self->size) != 0)  // now it hears nobody else
    fail("a waker's socket");
}

void Waker::notify() noexcept {
  const char any = 0;
  // Full is readable, so the threads wake. Another failure is a lack of memory that passes (WSAENOBUFS), and a wake-up
  // that is lost does not come again.
  while (::send(descriptor_.get(), &any, 1, 0) < 0 && ::WSAGetLastError() != WSAEWOULDBLOCK)
    ::Sleep(1);
}

void Waker::clear() noexcept {
  std::array<char, 16> any{};
  while (::recv(descriptor_.get(), any.data(), any.size(), 0) > 0) {
  }
}

bool fits_select(Handle, std::size_t others) {
  return others < FD_SETSIZE;
}

template <class Number>
void wait_while(const std::atomic<Number>& value, Number seen) {
  ::WaitOnAddress(const_cast<std::atomic<Number>*>(&value), &seen, sizeof seen, INFINITE);
}
template <class Number>
void wake_all(std::atomic<Number>& value) {
  ::WakeByAddressAll(&value);
}
template void wait_while(const std::atomic<std::uint8_t>&, std::uint8_t);
template void wait_while(const std::atomic<std::uint32_t>&, std::uint32_t);
template void wake_all(std::atomic<std::uint8_t>&);
template void wake_all(std::atomic<std::uint32_t>&);

std::size_t usual_stack() {  // from the header of the program, where the linker wrote it (/STACK)
  const auto* const program = reinterpret_cast<const char*>(::GetModuleHandleW(nullptr));
  const auto* const first = reinterpret_cast<const IMAGE_DOS_HEADER*>(program);
  return reinterpret_cast<const IMAGE_NT_HEADERS*>(program + first->e_lfanew)
      ->OptionalHeader.SizeOfStackReserve;
}
std::size_t descriptor_limit() {
  return std::size_t{16} * 1024 * 1024;  // handles of a process: memory ends before
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
std::atomic<bool> system_ends_us = false;

// Windows ends a process 5 s after it has told it so (HandlerRoutine): time to say good-bye is kept back.
constexpr Milliseconds until_ended{4'000};

BOOL WINAPI on_control(DWORD event) {
  if (event == CTRL_LOGOFF_EVENT) return TRUE;  // comes to services, whichever user it is: no reason to end
  const bool ends = event == CTRL_CLOSE_EVENT || event == CTRL_SHUTDOWN_EVENT;
  if (ends) system_ends_us = true;
  ++stop_signals;
  wake_all(stop_signals);
  if (ends) ::Sleep(INFINITE);  // Windows ends the process as soon as we return
  return TRUE;
}

}  // namespace

void prepare_process() {
  log_writer();                              // while there is a thread to be had. LIFE-07
  ::_setmode(::_fileno(stdout), _O_BINARY);  // a line ends with \n here too: programs read it
  catch_stop_signals();
}

void catch_stop_signals() {
  static std::once_flag caught;
  std::call_once(caught, [] {
    ::SetConsoleCtrlHandler(nullptr, FALSE);  // a parent may have had Ctrl-C ignored, and that is inherited
    if (!::SetConsoleCtrlHandler(on_control, TRUE)) fail("SetConsoleCtrlHandler");
  });
}

StopSignal wait_for_stop_signal(Time from) {
  static std::atomic<std::uint32_t> heard = 0;
  for (;;) {
    const std::uint32_t before = heard++;  // each call waits for one more
    for (std::uint32_t seen = stop_signals; seen <= before; seen = stop_signals)
      wait_while(stop_signals, seen);
    if (const Time now = Clock::now(); now >= from)
      return {.received = now, .at_most = system_ends_us ? until_ended : Milliseconds::max()};
  }
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
