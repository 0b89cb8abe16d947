// 04, a completion port: sketch.cpp made fit for real networks, in one file to take home. An echo: your service
// goes where `receive` says so. It copes with short sends, half-close, resets, slow readers (a bounded queue),
// silent clients, too few sockets, too many clients; and it stops in order.
//
//   AcceptEx, 32 started ahead     ==>  +------+  workers, one a core: deal with the one thing that is done, and
//   WSARecv of no bytes, a client  ==>  | port |  start what comes next: a send, a receive, an accept
//   WSASend, at most one a client  ==>  +------+
//   Ctrl-C, a tenth of a second    ==>  main thread: a look at the clock for all clients (sweep). It closes none:
//                                       it cancels what a client has under way, and a worker is told of that
//
//   x86_64-w64-mingw32-g++-posix -std=c++20 -O2 -Wall -Wextra -static 04_iocp/server.cpp -o server.exe -lws2_32
//   cl /std:c++20 /O2 /W4 /EHsc /DNOMINMAX 04_iocp/server.cpp ws2_32.lib        (MSVC); then server.exe --port 7777

#include <winsock2.h>  // first: it brings windows.h with it
// The headers that build on it:
#include <fcntl.h>
#include <io.h>
#include <mstcpip.h>
#include <mswsock.h>
#include <ws2tcpip.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;
using std::chrono::milliseconds;

constexpr DWORD between_sweeps = 100;        // milliseconds
constexpr int most_vanished = 256;           // newcomers between two of them, before accepts rest
constexpr milliseconds silence_enough{500};  // of a client to which a stop has sent its FIN
// Queued for a client that reads slowly: above the high mark we read no more from it, at the low one we go on.
constexpr std::size_t high_mark = 256 * 1024, low_mark = 64 * 1024;
constexpr std::size_t most_a_send = 64 * 1024;  // BP-08: so that a slow reader is seen to take something

struct Options {  // times in milliseconds; 0: no limit; for the drain: reset at once
  std::string host = "127.0.0.1";
  std::uint64_t port = 0, max_connections = 0, idle_timeout = 0, write_timeout = 30000, drain_timeout = 5000;
};

struct Socket {  // owns a socket
  explicit Socket(SOCKET socket) : handle(socket) {}
  Socket(Socket&& other) noexcept : handle(std::exchange(other.handle, INVALID_SOCKET)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(handle, other.handle);
    return *this;
  }
  ~Socket() {
    if (handle != INVALID_SOCKET) closesocket(handle);
  }
  SOCKET handle;
};

struct Mutex {  // not std::mutex: MinGW-w64's keeps an event for each one that a thread ever waited for
  void lock() { AcquireSRWLockExclusive(&srw); }
  bool try_lock() { return TryAcquireSRWLockExclusive(&srw) != 0; }
  void unlock() { ReleaseSRWLockExclusive(&srw); }
  SRWLOCK srw = SRWLOCK_INIT;
};

enum class Step { go_on, close, reset };  // what is next for a connection

// From its start until a worker has its packet, it belongs to the kernel, and so do the bytes that it sends.
struct Operation : OVERLAPPED {
  bool pending = false;
};

struct Client {
  explicit Client(Socket accepted) : socket(std::move(accepted)) {}
  Socket socket;
  Mutex turn{};                      // whoever holds it may touch what follows
  Operation receiving{}, sending{};  // while either is pending, this record must stay
  Step step = Step::go_on;           // anything else: its last packet closes
  Time moved = Clock::now();         // when its last bytes moved
  std::string queue{};               // received, and not yet given back
  std::string part{};                // of the queue: what is being sent
  std::size_t part_sent = 0;         // the kernel has so many of these
  bool congested = false;            // above the high mark, and not yet down to the low one
  bool peer_finished = false;        // its FIN is in
  bool finished = false;             // ours is out: a stop has sent it
  Time blocked = Time::max();        // since when a send is under way
  std::size_t pending() const { return queue.size() + part.size() - part_sent; }
};
using Clients = std::map<SOCKET, Client>;

constexpr DWORD room = sizeof(sockaddr_storage) + 16;  // for an address, says AcceptEx
struct Accept : OVERLAPPED {
  Socket socket{INVALID_SOCKET};  // made beforehand: AcceptEx fills it in
  std::array<char, 2 * room> addresses{};
  std::atomic<bool> pending = false;  // until a worker has dealt with it. False: it rests till a sweep
};

struct Server {
  Options options;
  Socket listener;
  HANDLE port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, nullptr, 0, 0);
  LPFN_ACCEPTEX accept_ex = nullptr;
  std::array<Accept, 32> accepts{};  // so many newcomers get in before a worker looks
  std::atomic<int> vanished = 0;     // newcomers, since the last sweep
  // Of the table of clients, and of the start of accepts. Taken after a turn, never before one, except by sweep: it only
  // tries turns.
  Mutex mutex{};
  Clients clients{};
  Mutex log_mutex{};
  Time next_line{};  // of the log: one a second
  int left_out = 0;  // lines since the last one
  std::atomic<bool> stopping = false;
  Time stopped{};  // since when
};

[[noreturn]] void fail(const std::string& what, DWORD error = GetLastError()) {
  std::cerr << what << ": error " << error << " (net helpmsg " << error << " says what it means)\n";
  std::exit(1);
}

const HANDLE line_is_there = CreateEventW(nullptr, FALSE, FALSE, nullptr);
std::array<char, 256> line;      // of the log
std::atomic<int> line_size = 0;  // 0: it has been written

// LIFE-07: a console whose text somebody marks, or a pipe that nobody reads, holds up this thread and nobody else.
void write_log() {
  for (DWORD written = 0;; line_size = 0) {
    WaitForSingleObject(line_is_there, INFINITE);  // sleeps here
    WriteFile(GetStdHandle(STD_ERROR_HANDLE), line.data(), line_size, &written, nullptr);
  }
}

// One line a second at the most. LIM-08: it needs no memory.
void log(Server& server, const char* what, DWORD error) {
  const std::lock_guard lock(server.log_mutex);
  const Time now = Clock::now();
  if (now < server.next_line || line_size > 0) return void(++server.left_out);
  server.next_line = now + std::chrono::seconds(1);
  int size = std::snprintf(line.data(), line.size(), "%.80s: error %lu", what, error);
  if (const int more = std::exchange(server.left_out, 0))
    size += std::snprintf(&line[size], line.size() - size, " (%d more like it were left out)", more);
  line[size++] = '\n';
  line_size = size;
  SetEvent(line_is_there);
}

bool set(const Socket& socket, int level, int option, auto value) {
  return setsockopt(socket.handle, level, option, reinterpret_cast<const char*>(&value), sizeof value) == 0;
}

// A packet comes even of what was done at once. Another worker may have it by now: it waits for the client's turn.
// So this may mark after the call. Without a lock, mark before it.
bool started(Operation& operation, int result) {  // false: it failed, and there is no packet
  return operation.pending = result == 0 || WSAGetLastError() == WSA_IO_PENDING;
}

// A receive of no bytes is done when some are there, and until then an idle client holds no buffer. False: no memory.
bool ask(Client& client) {
  if (client.receiving.pending || client.congested || client.peer_finished) return true;
  WSABUF nothing{};
  DWORD flags = 0;
  client.receiving = {};
  return started(client.receiving,
                 WSARecv(client.socket.handle, &nothing, 1, nullptr, &flags, &client.receiving, nullptr));
}

// LIM-02, LIM-11: an accept that failed rests until the next sweep, or the workers would spin. A newcomer that has vanished
// makes one fail, too, and concerns nobody else: most_vanished of them are passed over between two sweeps.
bool rest(Server& server, Accept& accept, DWORD error) {  // false
  accept.pending = false;
  if (!server.stopping) log(server, "an accept has failed, and rests", error);
  return false;
}

Socket make_socket(int family) {
  return Socket(
      WSASocketW(family, SOCK_STREAM, 0, nullptr, 0, WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT));
}

bool start_accept(Server& server, Accept& accept) {  // false: it rests
  // A new one each time: you cannot use that of a failed accept again.
  accept.socket = make_socket(server.options.host.find(':') == std::string::npos ? AF_INET : AF_INET6);
  static_cast<OVERLAPPED&>(accept) = {};
  DWORD size = 0;
  const std::lock_guard lock(server.mutex);
  accept.pending = true;  // before the call: its packet may be here before it returns
  if (accept.socket.handle != INVALID_SOCKET && !server.stopping &&
      // It waits for no data: else 32 silent clients would close the door (ABUSE-06).
      (server.accept_ex(server.listener.handle, accept.socket.handle, accept.addresses.data(), 0, room, room,
                        &size, &accept) ||
       WSAGetLastError() == WSA_IO_PENDING))
    return true;
  return rest(server, accept, WSAGetLastError());
}

bool prepare(const Server& server, const Socket& socket) {  // false: it is gone already
  u_long on = 1;
  DWORD size = 0;
  tcp_keepalive probes{.onoff = 1, .keepalivetime = 60'000, .keepaliveinterval = 15'000};
  // First: without it shutdown fails (AcceptEx; Wine does not notice).
  if (!set(socket, SOL_SOCKET, SO_UPDATE_ACCEPT_CONTEXT, server.listener.handle)) return false;
  // ABUSE-08: a probe after a minute for one that has vanished without a word. A provider may refuse.
  WSAIoctl(socket.handle, SIO_KEEPALIVE_VALS, &probes, sizeof probes, nullptr, 0, &size, nullptr, nullptr);
  // Small replies at once; and a recv that does not wait.
  return set(socket, IPPROTO_TCP, TCP_NODELAY, DWORD{1}) && ioctlsocket(socket.handle, FIONBIO, &on) == 0;
}

void accept_client(Server& server, Socket socket) try {
  if (server.stopping || !prepare(server, socket)) return;  // STOP-04
  const std::uint64_t most = server.options.max_connections;
  const std::lock_guard table(server.mutex);
  if (most > 0 && server.clients.size() >= most)  // LIM-01: a close tells it, silence would not
    return log(server, "a newcomer was closed, --max-connections are here", ERROR_CONNECTION_COUNT_LIMIT);
  const SOCKET handle = socket.handle;
  Client& client = server.clients.try_emplace(handle, std::move(socket)).first->second;
  const auto key = reinterpret_cast<ULONG_PTR>(&client);  // comes with each of its packets
  client.receiving.pending = true;  // as if some bytes were there: that packet is its first turn
  if (!CreateIoCompletionPort(reinterpret_cast<HANDLE>(handle), server.port, key, 0) ||
      !PostQueuedCompletionStatus(server.port, 0, key, &client.receiving))
    server.clients.erase(handle);
} catch (const std::bad_alloc&) {
  log(server, "a newcomer was closed", ERROR_NOT_ENOUGH_MEMORY);
}

bool receive(Client& client, Time now) {  // false: the connection is broken
  std::array<char, 16384> buffer;
  const int n = recv(client.socket.handle, buffer.data(), static_cast<int>(buffer.size()), 0);
  if (n < 0) return WSAGetLastError() == WSAEWOULDBLOCK;
  client.moved = now;
  client.peer_finished = n == 0;  // Wine only: it may be a reset, which ends the same way
  if (client.finished)
    return true;  // CLOSE-02: what comes now is read all the same, or the close would reset
  client.queue.append(buffer.data(), n);  // the echo
  return true;
}

bool flush(Client& client, Time now) {      // false: the connection is broken
  if (client.sending.pending) return true;  // one at a time: its packet goes on with the rest
  if (client.part_sent == client.part.size()) {
    client.part.swap(client.queue);
    std::string().swap(client.queue);  // clear() would keep the memory: an idle client holds no buffer
    client.part_sent = 0;
  }
  if (client.part.empty()) return true;
  const std::size_t size = std::min(client.part.size() - client.part_sent, most_a_send);
  WSABUF buffer{.len = static_cast<ULONG>(size), .buf = &client.part[client.part_sent]};
  client.moved = now;
  client.sending = {};
  const int result = WSASend(client.socket.handle, &buffer, 1, nullptr, 0, &client.sending, nullptr);
  if (result != 0) client.blocked = now;  // TIME-04: the write timeout runs from here
  return started(client.sending, result);
}

// The next step, from where the connection stands.
Step advance(Server& server, Client& client) {
  client.congested = client.pending() > (client.congested ? low_mark : high_mark);
  if (client.pending() > 0) return Step::go_on;
  if (client.peer_finished) return Step::close;  // CLOSE-01: all that came before its FIN has been echoed
  if (server.stopping && !client.finished) {
    shutdown(client.socket.handle, SD_SEND);  // fails only if the peer is gone, which the next recv tells
    client.finished = true;
  }
  return Step::go_on;
}

Step serve(Server& server, Client& client, const Operation& done, DWORD bytes, DWORD error) try {
  if (client.step != Step::go_on) return client.step;
  if (error != 0) return Step::reset;
  const Time now = Clock::now();  // TIME-07: read before a send, behind which this thread may be held up
  if (&done == &client.sending) {
    client.part_sent += bytes;
    if (std::exchange(client.blocked, Time::max()) != Time::max())
      client.moved = now;  // else: when it was started
  }
  if (&done == &client.receiving && !receive(client, now)) return Step::reset;
  if (!flush(client, now)) return Step::reset;
  return advance(server, client);
} catch (const std::bad_alloc&) {  // LIM-08: this client's loss alone
  return Step::reset;
}

// Brings back what is under way. The FIN goes first: see experiment (e) of first_receive.cpp.
void cancel(Client& client) {
  if (client.step == Step::close) shutdown(client.socket.handle, SD_SEND);
  CancelIoEx(reinterpret_cast<HANDLE>(client.socket.handle), nullptr);  // fails if all of it is done already
}

// In the client's turn. With operations under way it only cancels, and the packet of the last one leads here again.
void close_connection(Server& server, Client& client, std::unique_lock<Mutex>& turn) {
  if (client.receiving.pending || client.sending.pending) return cancel(client);
  if (client.step == Step::reset)  // an orderly FIN behind a stream that was cut would be a lie
    set(client.socket, SOL_SOCKET, SO_LINGER, linger{.l_onoff = 1, .l_linger = 0});
  std::unique_lock table(server.mutex);
  const auto gone = server.clients.extract(client.socket.handle);
  table.unlock();
  turn.unlock();
}  // ~Socket sends a FIN

void take_turn(Server& server, Client& client, Operation& done, DWORD bytes, DWORD error) {
  std::unique_lock turn(client.turn);
  done.pending = false;
  client.step = serve(server, client, done, bytes, error);
  if (client.step == Step::go_on && !ask(client)) client.step = Step::reset;
  if (client.step != Step::go_on) close_connection(server, client, turn);
}

// The next step, from what the clock says. Only a send that is done tells of progress: what Windows itself holds for a peer
// counts as taken by it. SIO_TCP_INFO, which Wine lacks, would tell better (TIME-06).
Step look(Server& server, Client& client, Time now) {
  const Options& options = server.options;
  const auto passed = [now](auto time, Time since) { return time > 0 && now - since >= milliseconds(time); };
  if (server.stopping && now - server.stopped >= milliseconds(options.drain_timeout)) return Step::reset;
  const bool blocked = client.sending.pending && !HasOverlappedIoCompleted(&client.sending);
  if (blocked && passed(options.write_timeout, client.blocked)) return Step::reset;
  const bool idle = passed(options.idle_timeout, client.moved);
  u_long unread = 0;
  if (client.pending() > 0 || !(idle || server.stopping)) return Step::go_on;
  if (ioctlsocket(client.socket.handle, FIONREAD, &unread) == 0 && unread > 0) return Step::go_on;
  // A stop waits for no FIN of one that has had all. Nobody tells when: after a while of silence.
  if (idle || (client.finished && now - client.moved >= silence_enough)) return Step::close;
  return advance(server, client);
}

// Ten times a second, for all: simpler than a queue of timers, and late by a tenth of a second at the most.
bool sweep(Server& server) {  // whether anybody is here
  const Time now = Clock::now();
  server.vanished = 0;
  for (Accept& accept : server.accepts)
    if (!accept.pending && (server.stopping || !start_accept(server, accept))) break;
  // Before the look at the table: a newcomer counts here until it is there.
  const bool accepting = std::ranges::any_of(server.accepts, [](auto& each) { return each.pending.load(); });
  if (server.stopping && !accepting) server.listener = Socket(INVALID_SOCKET);
  const std::lock_guard table(server.mutex);
  for (auto& [handle, client] : server.clients) {
    const std::unique_lock turn(client.turn, std::try_to_lock);
    if (!turn || client.step != Step::go_on) continue;  // a worker has it, so it is not silent
    client.step = look(server, client, now);
    if (client.step != Step::go_on) cancel(client);
  }
  return accepting || !server.clients.empty();
}

const HANDLE asked_to_stop = CreateEventW(nullptr, FALSE, FALSE, nullptr);
std::atomic<bool> system_ends_us = false;

BOOL WINAPI on_control(DWORD event) {           // in one of the system's threads
  if (event == CTRL_LOGOFF_EVENT) return TRUE;  // services are told, whoever logs off
  system_ends_us = system_ends_us || event == CTRL_CLOSE_EVENT || event == CTRL_SHUTDOWN_EVENT;
  SetEvent(asked_to_stop);
  if (system_ends_us) Sleep(INFINITE);  // it ends us as soon as this returns, or after five seconds
  return TRUE;
}

// The first Ctrl-C stops in order, a second one at once. STOP-09: one may come twice, from the console and from a
// wrapper. Within half a second it is the same.
void stop(Server& server) {
  const Time now = Clock::now();
  if (server.stopping && now - server.stopped > milliseconds(500)) std::_Exit(1);
  std::uint64_t& drain = server.options.drain_timeout;
  if (system_ends_us) drain = std::min<std::uint64_t>(drain, 4000);
  const std::lock_guard lock(server.mutex);  // an accept starts before this and is cancelled, or never starts
  if (server.stopping.exchange(true)) return;
  server.stopped = now;
  CancelIoEx(reinterpret_cast<HANDLE>(server.listener.handle), nullptr);
}  // STOP-04: with the last of them the listener closes, new connects are refused, those in the backlog reset

void work(Server& server) {
  while (true) {
    DWORD bytes = 0;
    ULONG_PTR key = 0;
    OVERLAPPED* done = nullptr;
    // One packet: of several the second would wait for the first, while other workers idle.
    const BOOL good = GetQueuedCompletionStatus(server.port, &bytes, &key, &done, INFINITE);  // sleeps here
    const DWORD error = good ? 0 : GetLastError();
    if (!done && good) return;                        // an exit packet
    if (!done) {                                      // the wait has failed, not an operation
      log(server, "cannot wait for packets", error);  // such as: no memory. Tried again
      Sleep(between_sweeps);
    } else if (key != 0) {
      take_turn(server, *reinterpret_cast<Client*>(key), *static_cast<Operation*>(done), bytes, error);
    } else if (Accept& accept = static_cast<Accept&>(*done);
               error != 0 && ++server.vanished > most_vanished) {
      rest(server, accept, error);
    } else {
      if (error == 0) accept_client(server, std::move(accept.socket));
      start_accept(server, accept);
    }
  }
}

// Before READY, so that nothing is left to be opened when a client may come.
void open_port(Server& server) {
  GUID id = WSAID_ACCEPTEX;
  DWORD size = 0;
  const SOCKET listener = server.listener.handle;
  if (!server.port || !CreateIoCompletionPort(reinterpret_cast<HANDLE>(listener), server.port, 0, 0) ||
      WSAIoctl(listener, SIO_GET_EXTENSION_FUNCTION_POINTER, &id, sizeof id, &server.accept_ex,
               sizeof server.accept_ex, &size, nullptr, nullptr) != 0)
    fail("completion port");
  for (Accept& accept : server.accepts)
    if (!start_accept(server, accept)) break;
}

void run(Server& server) {
  std::vector<std::jthread> workers;
  try {
    std::thread(write_log).detach();  // it may be held up for ever
    for (unsigned i = 0; i < std::max(1u, std::thread::hardware_concurrency()); ++i)
      workers.emplace_back([&server] { work(server); });
  } catch (const std::system_error& error) {
    if (workers.empty()) fail("no thread", error.code().value());
    log(server, "fewer workers than cores", error.code().value());
  }
  while (sweep(server) || !server.stopping)
    if (WaitForSingleObject(asked_to_stop, between_sweeps) == WAIT_OBJECT_0) stop(server);  // sleeps here
  for (std::size_t i = 0; i < workers.size(); ++i)  // an exit packet for each
    while (!PostQueuedCompletionStatus(server.port, 0, 0, nullptr))
      Sleep(between_sweeps);  // no memory
}  // ~jthread joins

// ---- the start: the process, the command line, the listener

void prepare_process() {
  WSADATA about;
  if (const int error = WSAStartup(MAKEWORD(2, 2), &about)) fail("WSAStartup", error);
  _setmode(_fileno(stdout), _O_BINARY);   // lines end in \n, here too
  SetConsoleCtrlHandler(nullptr, FALSE);  // a parent may have had Ctrl-C ignored, and that is inherited
  if (!line_is_there || !asked_to_stop || !SetConsoleCtrlHandler(on_control, TRUE)) fail("console");
}

[[noreturn]] void refuse(const std::string& why) {
  std::cerr << why << " (--help lists the options)\n";
  std::exit(2);
}

void print(const std::string& text) {
  if (!(std::cout << text << std::flush)) fail("standard output", ERROR_WRITE_FAULT);  // LIFE-12
}

std::string answer(std::string_view question, const Options& options) {
  if (question == "--help")
    return "An echo server, model iocp. Each option takes a value; times in milliseconds, 0 is never:\n"
           "  --host (127.0.0.1)  --port (0: any)  --max-connections (0: no limit)\n"
           "  --idle-timeout (0)  --write-timeout (30000)  --drain-timeout (5000; 0: reset at once)\n"
           "--describe and --help take none.\n";
  const std::string most = std::to_string(options.max_connections);
  const bool limited = options.max_connections > 0;
  return R"({"model":"iocp","platform":"windows","service":"echo","clients_at_once":null,"threads":"one a core, and two",)"
         R"("ceiling":{"connections":)" +
         (limited ? most : "null") + R"(,"set_by":")" +
         (limited ? R"(--max-connections","above":"close"}})" : R"(memory","above":"wait"}})") + "\n";
}

Options parse(int argc, char** argv) {
  Options options;
  const std::map<std::string_view, std::pair<std::uint64_t&, std::uint64_t>> numbers{
      {"--port", {options.port, 65535}},
      {"--max-connections", {options.max_connections, 1'000'000}},
      {"--idle-timeout", {options.idle_timeout, 86'400'000}},
      {"--write-timeout", {options.write_timeout, 86'400'000}},
      {"--drain-timeout", {options.drain_timeout, 86'400'000}}};
  std::string_view question;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    const auto number = numbers.find(name);
    if (name == "--help" || name == "--describe") {
      question = argv[i];
      continue;
    }
    if (name != "--host" && number == numbers.end()) refuse("unknown argument '" + name + "'");
    if (++i == argc) refuse(name + " takes a value");
    const std::string_view text = argv[i];
    if (name == "--host") {
      options.host = text;
      continue;
    }
    const auto& [value, most] = number->second;
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || rest != text.data() + text.size() || value > most)
      refuse(name + " takes a number from 0 to " + std::to_string(most) + ", not '" + argv[i] + "'");
  }
  if (question.empty()) return options;
  print(answer(question, options));
  std::exit(0);
}

Socket listen_on(const Options& options, std::uint16_t& port) {
  const std::string service = std::to_string(options.port);
  addrinfo hints{}, *found = nullptr;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  if (getaddrinfo(options.host.c_str(), service.c_str(), &hints, &found) != 0)
    refuse("--host takes a numeric address, not '" + options.host + "'");
  const std::unique_ptr<addrinfo, void(WSAAPI*)(addrinfo*)> address(found, freeaddrinfo);
  Socket listener = make_socket(address->ai_family);
  auto size = static_cast<int>(address->ai_addrlen);
  // Never SO_REUSEADDR: on Windows two processes that both set it share the port (LIFE-02), and a restart does not
  // need it (LIFE-03). -65535: SOMAXCONN_HINT, which MinGW-w64 lacks; SOMAXCONN alone is about 200.
  if (listener.handle == INVALID_SOCKET || !set(listener, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, DWORD{1}) ||
      (address->ai_family == AF_INET6 && !set(listener, IPPROTO_IPV6, IPV6_V6ONLY, DWORD{1})) ||
      bind(listener.handle, address->ai_addr, size) != 0 || listen(listener.handle, -65535) != 0 ||
      getsockname(listener.handle, address->ai_addr, &size) != 0)
    fail("cannot listen on " + options.host + ":" + service);
  port = ntohs(reinterpret_cast<sockaddr_in*>(address->ai_addr)->sin_port);  // in the same place for IPv6
  return listener;
}

}  // namespace

int main(int argc, char** argv) {
  prepare_process();
  const Options options = parse(argc, argv);
  std::uint16_t port = 0;
  Server server{options, listen_on(options, port)};
  open_port(server);
  print("READY model=iocp service=echo host=" + options.host + " port=" + std::to_string(port) +
        " pid=" + std::to_string(GetCurrentProcessId()) + "\n");
  run(server);
}
