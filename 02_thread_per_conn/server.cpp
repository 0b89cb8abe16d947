// 02, a thread per connection: the sketch made fit for real networks, in one file to take home. An echo: your
// service goes where `serve` says so. It copes with short sends, half-close, resets, slow readers (it reads no more
// from them), silent clients, too few descriptors or threads, too many clients; and it stops in order.
//
//   newcomers  ==>  thread: accept, and start a thread for it
//   client 1   ==>  thread 1: [recv, send, recv, send, ...], close
//   client 2   ==>  thread 2: [recv, send, ...     asleep]
//   Ctrl-C, SIGTERM, a tenth of a second  ==>  main thread: a look at the clock for all clients (sweep). It
//                                              closes none: what it does to a socket wakes that client's thread
//
//   g++ -std=c++20 -O2 -Wall -Wextra -pthread 02_thread_per_conn/server.cpp -o server && ./server --port 7777
//
// Windows wants WSAStartup and closesocket, SIO_TCP_INFO for TCP_INFO, and CancelIoEx to wake a thread.

#include <fcntl.h>
#include <linux/tcp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <exception>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

namespace {

using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;
using std::chrono::milliseconds;

constexpr milliseconds between_sweeps{100};

struct Options {  // times in milliseconds; 0: no limit; for the drain: reset at once
  std::string host = "127.0.0.1";
  std::uint64_t port = 0, max_connections = 0, idle_timeout = 0, write_timeout = 30000, drain_timeout = 5000;
};

struct Socket {  // owns a descriptor
  explicit Socket(int descriptor) : fd(descriptor) {}
  Socket(Socket&& other) noexcept : fd(std::exchange(other.fd, -1)) {}
  ~Socket() {
    if (fd >= 0) close(fd);
  }
  int fd;
};

enum class Step { go_on, close, reset };  // what is next for a connection

struct Client {
  explicit Client(Socket accepted) : socket(std::move(accepted)) {}
  Socket socket;
  std::mutex turn{};               // whoever holds it may touch what follows. No thread sleeps with it
  Step step = Step::go_on;         // what the sweep has found; the client's thread takes it
  Time moved = Clock::now();       // when its last bytes moved
  Time looked = moved;             // when the sweep last looked
  bool peer_finished = false;      // its FIN is in
  bool finished = false;           // ours is out: a stop has sent it
  Time blocked = Time::max();      // since when the kernel takes no more, nor the peer: send sleeps
  std::uint64_t acknowledged = 0;  // by the peer, at the last look
  std::jthread thread{};           // under the server's mutex
};
using Clients = std::map<int, Client>;

struct Server {
  Options options;
  Socket listener;
  std::mutex mutex{};  // of the table of clients and the log. Taken before a turn, never in one
  Clients clients{};
  Time next_line{};  // of the log: one a second
  int left_out = 0;  // lines since the last one
  std::atomic<bool> stopping = false;
  Time stopped{};        // since when
  std::jthread ended{};  // the client's thread that ended last. It has joined the one before, and so on
};

[[noreturn]] void fail(const std::string& what, int error = errno) {
  std::cerr << what << ": " << std::strerror(error) << '\n';
  std::exit(1);
}

// One line a second at the most. LIFE-07: a slow reader holds nobody up. LIM-08: it needs no memory.
void log(Server& server, const char* what, const char* why) {
  const std::lock_guard lock(server.mutex);
  const Time now = Clock::now();
  if (now < server.next_line) return void(++server.left_out);
  server.next_line = now + std::chrono::seconds(1);
  std::array<char, 256> line;
  int size = std::snprintf(line.data(), line.size(), "%.80s: %.80s", what, why);
  if (const int more = std::exchange(server.left_out, 0))
    size += std::snprintf(&line[size], line.size() - size, " (%d more like it were left out)", more);
  line[size++] = '\n';
  pollfd reader{.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
  if (poll(&reader, 1, 0) != 1 || (reader.revents & POLLOUT) == 0) return;
  if (write(reader.fd, line.data(), size) < 0) return;  // nobody is left to be told
}

// LIM-02, LIM-11: a listener that cannot accept is left alone for a while, or its thread would spin.
void rest(Server& server, const char* why) {
  log(server, "cannot accept; newcomers wait", why);
  std::this_thread::sleep_for(between_sweeps);
}

// The next of the backlog. Null: there is none.
Client* accept_client(Server& server) try {
  Socket socket(accept4(server.listener.fd, nullptr, nullptr, SOCK_CLOEXEC));  // sleeps here
  if (socket.fd < 0) {
    const bool it_is_gone = errno == EINTR || errno == ECONNABORTED;
    if (!it_is_gone && !server.stopping) rest(server, std::strerror(errno));  // such as: no descriptors
    return nullptr;
  }
  const std::uint64_t most = server.options.max_connections;
  std::unique_lock table(server.mutex);
  if (server.stopping) return nullptr;  // asked under the lock: so the last sweep sees all who were let in
  if (most > 0 && server.clients.size() >= most) {  // LIM-01: a close tells it, silence would not
    table.unlock();
    log(server, "a newcomer was closed", "--max-connections are here");
    return nullptr;
  }
  const int fd = socket.fd;
  return &server.clients.try_emplace(fd, std::move(socket)).first->second;
} catch (const std::bad_alloc&) {
  log(server, "a newcomer was closed", "no memory");
  return nullptr;
}

// How many bytes came. 0: the peer's FIN, or none for now. -1: the connection is broken.
ssize_t receive(Client& client, std::span<char> into, std::unique_lock<std::mutex>& turn) {
  char first = 0;
  turn.unlock();
  // FAULT-11: it takes nothing yet. A stop could have the turn before us, and its FIN would cut off the echo.
  recv(client.socket.fd, &first, 1, MSG_PEEK);  // sleeps here. If it fails, so does the next one
  turn.lock();
  const Time now = Clock::now();
  const ssize_t n = recv(client.socket.fd, into.data(), into.size(), MSG_DONTWAIT);
  if (n < 0) return errno == EAGAIN || errno == EINTR ? 0 : -1;
  client.moved = now;
  client.peer_finished = n == 0;
  return client.finished ? 0 : n;  // CLOSE-02: what comes now is read all the same, or the close would reset
}

// False: the connection is broken.
bool send_all(Client& client, std::span<const char> bytes, std::unique_lock<std::mutex>& turn) {
  while (!bytes.empty()) {
    const Time now = Clock::now();  // TIME-07: read before a send, behind which this thread may be held up
    ssize_t n = send(client.socket.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) {  // TIME-04: the write timeout runs from the first refusal
      client.blocked = Clock::now();
      turn.unlock();
      n = send(client.socket.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);  // sleeps here
      turn.lock();
      client.blocked = Time::max();
      n = std::max<ssize_t>(n, 0);  // if it failed, so does the next one
    }
    if (n < 0 && errno != EINTR) return false;
    if (n <= 0) continue;
    bytes = bytes.subspan(n);
    client.moved = std::max(client.moved, now);
  }
  return true;
}

int unread(const Client& client) {
  int bytes = 0;
  ioctl(client.socket.fd, FIONREAD, &bytes);
  return bytes;
}

// The next step, from where the connection stands, with nothing in its thread's hands.
Step advance(Server& server, Client& client) {
  if (client.peer_finished) return Step::close;  // CLOSE-01: all that came before its FIN has been echoed
  if (server.stopping && !client.finished && unread(client) == 0) {
    shutdown(client.socket.fd, SHUT_WR);  // fails only if the peer is gone, which the next recv tells
    client.finished = true;
  }
  return Step::go_on;
}

// In the client's turn, and on its own thread: no descriptor is closed while another thread sleeps on it.
void close_connection(Server& server, Client& client, Step step, std::unique_lock<std::mutex>& turn) {
  const linger now{.l_onoff = 1, .l_linger = 0};
  if (step == Step::reset)  // an orderly FIN behind a stream that was cut would be a lie
    setsockopt(client.socket.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  turn.unlock();
  std::unique_lock table(server.mutex);
  const std::jthread before = std::exchange(server.ended, std::move(client.thread));
  const auto gone = server.clients.extract(client.socket.fd);
  table.unlock();
}  // ~Socket sends a FIN, ~jthread joins

// A client from its first byte to its last. While it does not read, the thread sleeps in send and reads nothing
// more from it: so there is no queue.
void serve(Server& server, Client& client) {
  std::array<char, 16384> buffer;
  std::unique_lock turn(client.turn);
  Step step = Step::go_on;
  while (step == Step::go_on) {
    const ssize_t n = receive(client, buffer, turn);
    const bool broken = n < 0 || !send_all(client, std::span(buffer).first(n), turn);  // the echo
    step = client.step != Step::go_on ? client.step : broken ? Step::reset : advance(server, client);
  }
  close_connection(server, client, step, turn);
}

// The next step, from what the clock says.
Step look(Server& server, Client& client, Time now) {
  const Options& options = server.options;
  const bool is_blocked = client.blocked != Time::max();
  const bool no_clock_runs = !is_blocked && options.idle_timeout == 0 && !server.stopping;
  if (no_clock_runs) return Step::go_on;  // SCALE-03: 10 000 questions to the kernel cost 17 ms
  tcp_info info{};
  socklen_t size = sizeof info;
  getsockopt(client.socket.fd, IPPROTO_TCP, TCP_INFO, &info, &size);
  const Time last = std::exchange(client.looked, now);
  if (info.tcpi_bytes_acked > std::exchange(client.acknowledged, info.tcpi_bytes_acked)) {
    client.moved = std::max(client.moved, last);  // TIME-06: a peer that takes bytes is not idle
    if (is_blocked) client.blocked = now;         // BP-06: nor stuck
  }
  const auto passed = [&](std::uint64_t time, Time since) {
    return since != Time::max() && now - since >= milliseconds(time);
  };
  if (server.stopping && passed(options.drain_timeout, server.stopped)) return Step::reset;
  if (options.write_timeout > 0 && passed(options.write_timeout, client.blocked)) return Step::reset;
  if (is_blocked || unread(client) > 0) return Step::go_on;
  if (options.idle_timeout > 0 && passed(options.idle_timeout, client.moved)) return Step::close;
  const bool has_had_all = info.tcpi_unacked == 0 && info.tcpi_notsent_bytes == 0;
  if (client.finished && has_had_all) return Step::close;  // a stop waits for no FIN of one that has had all
  return advance(server, client);
}

// Ten times a second, for all: simpler than a queue of timers, and late by a tenth of a second at the most.
bool sweep(Server& server) {  // whether anybody is here
  const Time now = Clock::now();
  const std::lock_guard table(server.mutex);
  for (auto& [fd, client] : server.clients) {
    std::unique_lock turn(client.turn, std::try_to_lock);
    if (!turn && server.stopping) turn.lock();          // the deadline is for busy clients too
    if (!turn || client.step != Step::go_on) continue;  // its thread is at work, so it is not silent
    client.step = look(server, client, now);
    // Each wakes the client's thread, which closes.
    const sockaddr nobody{.sa_family = AF_UNSPEC, .sa_data = {}};
    if (client.step == Step::close) shutdown(fd, SHUT_RDWR);
    if (client.step == Step::reset && connect(fd, &nobody, sizeof nobody) != 0)  // resets at once: connect(2)
      shutdown(fd, SHUT_RDWR);  // EBUSY: some kernels of 2023 refuse it while a thread sleeps on the socket
  }
  return !server.clients.empty();
}

// The first signal stops in order, a second one at once. STOP-09: one Ctrl-C may come twice, from the terminal
// and from a wrapper such as timeout(1). Within half a second it is the same.
void stop(Server& server) {
  const Time now = Clock::now();
  if (server.stopping && now - server.stopped > milliseconds(500)) std::_Exit(1);
  if (server.stopping.exchange(true)) return;
  server.stopped = now;
  shutdown(server.listener.fd, SHUT_RDWR);  // STOP-04: new connects are refused, those in the backlog reset
}

void start_thread(Server& server, Client& client) try {
  const std::lock_guard table(server.mutex);  // close_connection waits until `thread` is set
  client.thread = std::jthread([&server, &client] { serve(server, client); });
} catch (const std::exception& error) {  // LIM-06: no more threads, or no memory. This client alone is closed
  log(server, "a newcomer was closed", error.what());
  std::unique_lock turn(client.turn);
  close_connection(server, client, Step::close, turn);
}

void work(Server& server) {
  while (!server.stopping)
    if (Client* client = accept_client(server)) start_thread(server, *client);
}

void run(Server& server, const sigset_t& stops) try {
  const std::jthread acceptor([&server] { work(server); });
  const timespec timeout{.tv_sec = 0, .tv_nsec = std::chrono::nanoseconds(between_sweeps).count()};
  while (sweep(server) || !server.stopping)
    if (sigtimedwait(&stops, nullptr, &timeout) > 0) stop(server);  // sleeps here
} catch (const std::system_error& error) {                          // ~jthread joins
  fail("no thread", error.code().value());
}

// ---- the start: the process, the command line, the listener

sigset_t prepare_process() {
  for (int fd = 0; fd <= 2; ++fd)  // LIFE-08: else a client becomes descriptor 2, and gets our log
    if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", O_RDWR) != fd) fail("open /dev/null");
  for (const int signal : {SIGPIPE, SIGXFSZ, SIGTTOU})  // LIFE-07, LIFE-11: of the log
    std::signal(signal, SIG_IGN);
  sigset_t stops;
  sigemptyset(&stops);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP})
    sigaddset(&stops, signal);
  struct sigaction action{};
  sigaction(SIGHUP, nullptr, &action);
  if (action.sa_handler == SIG_IGN) sigdelset(&stops, SIGHUP);  // nohup(1)
  pthread_sigmask(SIG_BLOCK, &stops, nullptr);                  // on all threads: sigtimedwait takes them
  // LIM-09: a shell gives 1024. A process may raise its own to the hard one; if not, it serves fewer.
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  return stops;
}

[[noreturn]] void refuse(const std::string& why) {
  std::cerr << why << " (--help lists the options)\n";
  std::exit(2);
}

void print(const std::string& text) {
  if (!(std::cout << text << std::flush)) fail("standard output", EIO);  // LIFE-12
}

std::string answer(std::string_view question, const Options& options) {
  if (question == "--help")
    return "An echo server, model thread_per_conn. Each option takes a value; times in milliseconds, 0 is "
           "never:\n"
           "  --host (127.0.0.1)  --port (0: any)  --max-connections (0: no limit)\n"
           "  --idle-timeout (0)  --write-timeout (30000)  --drain-timeout (5000; 0: reset at once)\n"
           "--describe and --help take none.\n";
  const std::string most = std::to_string(options.max_connections);
  const bool limited = options.max_connections > 0;
  return R"({"model":"thread_per_conn","platform":"linux","service":"echo","clients_at_once":null,"threads":"one a client, and two",)"
         R"("ceiling":{"connections":)" +
         (limited ? most : "null") + R"(,"set_by":")" +
         (limited ? R"(--max-connections","above":"close"}})"
                  : R"(threads and descriptors","above":"close"}})") +
         "\n";
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
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> address(found, freeaddrinfo);
  Socket listener(socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto set = [&listener](int level, int option, int value) {
    return setsockopt(listener.fd, level, option, &value, sizeof value) == 0;
  };
  // LIFE-03: without SO_REUSEADDR a restart waits out TIME_WAIT. Clients inherit the rest: small replies at once,
  // and, ABUSE-08, a probe after a minute for one that has vanished without a word.
  if (listener.fd < 0 || !set(SOL_SOCKET, SO_REUSEADDR, 1) || !set(IPPROTO_TCP, TCP_NODELAY, 1) ||
      !set(SOL_SOCKET, SO_KEEPALIVE, 1) || !set(IPPROTO_TCP, TCP_KEEPIDLE, 60) ||
      !set(IPPROTO_TCP, TCP_KEEPINTVL, 15) || !set(IPPROTO_TCP, TCP_KEEPCNT, 3) ||
      (address->ai_family == AF_INET6 && !set(IPPROTO_IPV6, IPV6_V6ONLY, 1)) ||
      bind(listener.fd, address->ai_addr, address->ai_addrlen) != 0 || listen(listener.fd, SOMAXCONN) != 0 ||
      getsockname(listener.fd, address->ai_addr, &address->ai_addrlen) != 0)
    fail("cannot listen on " + options.host + ":" + service);
  port = ntohs(reinterpret_cast<sockaddr_in*>(address->ai_addr)->sin_port);  // in the same place for IPv6
  return listener;
}

}  // namespace

int main(int argc, char** argv) {
  const sigset_t stops =
      prepare_process();  // first: a socket in place of a closed descriptor 1 would be sent READY
  const Options options = parse(argc, argv);
  std::uint16_t port = 0;
  Server server{options, listen_on(options, port)};
  print("READY model=thread_per_conn service=echo host=" + options.host + " port=" + std::to_string(port) +
        " pid=" + std::to_string(getpid()) + "\n");
  run(server, stops);
}
