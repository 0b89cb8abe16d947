// 03, select: the sketch made fit for real networks, in one file to take home. An echo: your service goes
// where `receive` says so. It copes with short sends, half-close, resets, slow readers (a bounded queue),
// silent clients, too few descriptors, too many clients; and it stops in order.
//
//   clients             ==>  +--------+
//   newcomers           ==>  | select |  thread: recv and send for each client that may; accept; and ten
//   Ctrl-C, SIGTERM     ==>  +--------+  times a second a look at the clock for all of them (sweep)
//   a tenth of a second ==>
//
//   g++ -std=c++20 -O2 -Wall -Wextra 03_select/server.cpp -o server && ./server --port 7777
//
// Windows wants WSAStartup, closesocket, ioctlsocket, SIO_TCP_INFO; and, having no pselect, a socket that wakes
// select for a stop.

#include <fcntl.h>
#include <linux/tcp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <iostream>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace {

using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;
using std::chrono::milliseconds;

constexpr milliseconds between_sweeps{100};
// Queued for a slow reader: above the high mark we read no more from it, at the low one we go on.
constexpr std::size_t high_mark = 256 * 1024, low_mark = 64 * 1024;

struct Options {  // times in milliseconds; 0: no limit; for the drain: reset at once
  std::string host = "127.0.0.1";
  std::uint64_t port = 0, max_connections = 0, idle_timeout = 0, write_timeout = 30000, drain_timeout = 5000;
};

struct Socket {  // owns a descriptor
  explicit Socket(int descriptor) : fd(descriptor) {}
  Socket(Socket&& other) noexcept : fd(std::exchange(other.fd, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(fd, other.fd);
    return *this;
  }
  ~Socket() {
    if (fd >= 0) close(fd);
  }
  int fd;
};

enum class Step { go_on, close, reset };  // what is next for a connection

struct Client {
  Socket socket;
  Time moved;                      // when its last bytes moved
  Time looked = moved;             // when the sweep last looked
  std::string queue{};             // received, and not yet given back
  std::size_t queue_sent = 0;      // the kernel has so many of these
  bool congested = false;          // above the high mark, and not yet down to the low one
  bool peer_finished = false;      // its FIN is in
  bool finished = false;           // ours is out: a stop has sent it
  Time blocked = Time::max();      // since when the kernel takes no more, nor the peer
  std::uint64_t acknowledged = 0;  // by the peer, at the last look
  std::size_t pending() const { return queue.size() - queue_sent; }
};
using Clients = std::map<int, Client>;

struct Server {
  Options options;
  Socket listener;
  Clients clients{};
  Time now = Clock::now();  // when select returned
  Time next_sweep = now;
  Time rests_until{};  // no accept before
  Time next_line{};    // of the log: one a second
  int left_out = 0;    // lines since the last one
  bool stopping = false;
  Time stopped{};  // since when
};

[[noreturn]] void fail(const std::string& what, int error = errno) {
  std::cerr << what << ": " << std::strerror(error) << '\n';
  std::exit(1);
}

// One line a second at the most. LIFE-07: a slow reader holds nobody up. LIM-08: it needs no memory.
void log(Server& server, const char* what, const char* why) {
  if (server.now < server.next_line) return void(++server.left_out);
  server.next_line = server.now + std::chrono::seconds(1);
  std::array<char, 256> line;
  int size = std::snprintf(line.data(), line.size(), "%.80s: %.80s", what, why);
  if (const int more = std::exchange(server.left_out, 0))
    size += std::snprintf(&line[size], line.size() - size, " (%d more like it were left out)", more);
  line[size++] = '\n';
  pollfd reader{.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
  if (poll(&reader, 1, 0) != 1 || (reader.revents & POLLOUT) == 0) return;
  if (write(reader.fd, line.data(), size) < 0) return;  // nobody is left to be told
}

// LIM-02, LIM-11: a listener that cannot accept is left alone for a while, or the loop would spin.
void rest(Server& server, const char* why) {
  server.rests_until = server.now + between_sweeps;
  log(server, "cannot accept; newcomers wait", why);
}

void accept_client(Server& server) try {
  Socket socket(accept4(server.listener.fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (socket.fd < 0) {
    const bool it_is_gone = errno == EAGAIN || errno == EINTR || errno == ECONNABORTED;
    if (!it_is_gone) rest(server, std::strerror(errno));  // such as: no descriptors
    return;
  }
  const std::uint64_t most = server.options.max_connections;
  if (most > 0 && server.clients.size() >= most)  // LIM-01: a close tells it, silence would not
    return log(server, "a newcomer was closed", "--max-connections are here");
  const int fd = socket.fd;
  if (fd >= FD_SETSIZE)  // LIM-03: FD_SET would write past its set
    return log(server, "a newcomer was closed", "no room in the sets of select");
  server.clients.emplace(fd, Client{.socket = std::move(socket), .moved = server.now});
} catch (const std::bad_alloc&) {  // LIM-08: ~Socket has closed it, and the next one may have more luck
  log(server, "a newcomer was closed", "no memory");
}

bool receive(Client& client, Time now) {  // false: the connection is broken
  std::array<char, 16384> buffer;
  const ssize_t n = recv(client.socket.fd, buffer.data(), buffer.size(), 0);
  if (n < 0) return errno == EAGAIN || errno == EINTR;  // a readiness can be false
  client.moved = now;
  client.peer_finished = n == 0;
  if (client.finished) return true;                  // CLOSE-02: read all the same, or the close would reset
  if (2 * client.queue_sent >= client.queue.size())  // so no more bytes are moved than have left
    client.queue.erase(0, std::exchange(client.queue_sent, 0));
  client.queue.append(buffer.data(), n);  // the echo
  return true;
}

bool flush(Client& client, Time now) {  // false: the connection is broken
  while (client.pending() > 0) {
    const ssize_t n =
        send(client.socket.fd, &client.queue[client.queue_sent], client.pending(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != EAGAIN) return false;
    if (n < 0) {  // TIME-04: the write timeout runs from the first refusal
      if (client.blocked == Time::max()) client.blocked = Clock::now();
      return true;
    }
    client.queue_sent += n;
    client.moved = now;
    client.blocked = Time::max();
  }
  std::string().swap(client.queue);  // an idle client holds no buffer; an assignment would keep it
  client.queue_sent = 0;
  return true;
}

int unread(const Client& client) {
  int bytes = 0;
  ioctl(client.socket.fd, FIONREAD, &bytes);
  return bytes;
}

// The next step, from where the connection stands.
Step advance(Server& server, Client& client) {
  client.congested = client.pending() > (client.congested ? low_mark : high_mark);
  if (client.pending() > 0) return Step::go_on;
  if (client.peer_finished) return Step::close;  // CLOSE-01: all that came before its FIN has been echoed
  if (server.stopping && !client.finished && unread(client) == 0) {
    shutdown(client.socket.fd, SHUT_WR);  // fails only if the peer is gone, which the next recv tells
    client.finished = true;
  }
  return Step::go_on;
}

Step serve(Server& server, Client& client, bool readable) try {
  if (readable && !receive(client, server.now)) return Step::reset;
  if (!flush(client, server.now)) return Step::reset;
  return advance(server, client);
} catch (const std::bad_alloc&) {  // LIM-08: this client's loss alone
  return Step::reset;
}

void close_connection(Server& server, Clients::iterator client, Step step) {  // ~Socket sends a FIN
  const linger now{.l_onoff = 1, .l_linger = 0};
  if (step == Step::reset)  // an orderly FIN behind a stream that was cut would be a lie
    setsockopt(client->first, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  server.clients.erase(client);
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
  if (client.pending() > 0 || unread(client) > 0) return Step::go_on;
  if (options.idle_timeout > 0 && passed(options.idle_timeout, client.moved)) return Step::close;
  const bool has_had_all = info.tcpi_unacked == 0 && info.tcpi_notsent_bytes == 0;
  if (client.finished && has_had_all) return Step::close;  // a stop waits for no FIN of one that has had all
  return advance(server, client);
}

// Ten times a second, for all: simpler than a queue of timers, and late by a tenth of a second at the most.
void sweep(Server& server) {
  for (auto next = server.clients.begin(); next != server.clients.end();) {
    const auto client = next++;  // stepped on first: close_connection erases
    const Step step = look(server, client->second, server.now);
    if (step != Step::go_on) close_connection(server, client, step);
  }
  server.next_sweep = server.now + between_sweeps;
}

volatile std::sig_atomic_t signaled = 0;  // set while pselect sleeps, and at no other moment

// The first signal stops in order, a second one at once. STOP-09: one may come twice, from the terminal
// and from a wrapper such as timeout(1). Within half a second it is the same.
void stop_if_asked(Server& server) {
  if (!std::exchange(signaled, 0)) return;
  if (server.stopping && server.now - server.stopped > milliseconds(500)) std::_Exit(1);
  if (std::exchange(server.stopping, true)) return;
  server.stopped = server.next_sweep = server.now;
  server.listener = Socket(-1);  // STOP-04: new connects are refused, those in the backlog reset
}

void wait(Server& server, fd_set& readable, fd_set& writable) {
  FD_ZERO(&readable);  // select overwrites its sets, so they are made anew each time
  FD_ZERO(&writable);
  int highest = -1;
  const auto ask = [&highest](int fd, fd_set& set) {
    FD_SET(fd, &set);
    highest = std::max(highest, fd);
  };
  if (!server.stopping && server.now >= server.rests_until) ask(server.listener.fd, readable);
  for (const auto& [fd, client] : server.clients) {
    if (!client.congested && !client.peer_finished) ask(fd, readable);
    if (client.pending() > 0) ask(fd, writable);
  }
  const auto left = std::clamp<Clock::duration>(server.next_sweep - Clock::now(), {}, between_sweeps);
  const timespec timeout{.tv_sec = 0, .tv_nsec = std::chrono::nanoseconds(left).count()};
  sigset_t none;
  sigemptyset(&none);  // signals are let in only while pselect sleeps: one that came before ends it at once
  const int ready = pselect(highest + 1, &readable, &writable, nullptr, &timeout, &none);  // sleeps here
  const int error = errno;
  server.now = Clock::now();
  if (ready > 0) return;
  FD_ZERO(&readable);
  FD_ZERO(&writable);
  if (ready == 0 || error == EINTR) return;
  log(server, "cannot wait for events", std::strerror(error));  // such as: no memory. Tried again
  poll(nullptr, 0, between_sweeps.count());
}

void run(Server& server) {
  while (!server.stopping || !server.clients.empty()) {
    fd_set readable, writable;
    wait(server, readable, writable);
    for (auto next = server.clients.begin(); next != server.clients.end();) {
      const auto client = next++;
      const bool reads = FD_ISSET(client->first, &readable);
      if (!reads && !FD_ISSET(client->first, &writable)) continue;
      const Step step = serve(server, client->second, reads);
      if (step != Step::go_on) close_connection(server, client, step);
    }
    // CLOSE-09: behind the loop. Within it a newcomer could get a descriptor just closed, and its stale bit
    if (!server.stopping && FD_ISSET(server.listener.fd, &readable)) accept_client(server);
    stop_if_asked(server);
    if (server.now >= server.next_sweep) sweep(server);
  }
}

// ---- the start: the process, the command line, the listener

void prepare_process() {
  for (int fd = 0; fd <= 2; ++fd)  // LIFE-08: else a client becomes descriptor 2, and gets our log
    if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", O_RDWR) != fd) fail("open /dev/null");
  for (const int signal : {SIGPIPE, SIGXFSZ, SIGTTOU})  // LIFE-07, LIFE-11: of the log
    std::signal(signal, SIG_IGN);
  sigset_t stops;
  sigemptyset(&stops);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction action{};
    sigaction(signal, nullptr, &action);
    if (signal == SIGHUP && action.sa_handler == SIG_IGN) continue;  // nohup(1)
    action.sa_handler = [](int) { signaled = 1; };
    sigaction(signal, &action, nullptr);
    sigaddset(&stops, signal);
  }
  sigprocmask(SIG_BLOCK, &stops, nullptr);  // but while pselect sleeps
  // LIM-09: a shell gives 1024. A process may raise its own to the hard one; if not, it serves fewer.
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
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
    return "An echo server, model select. Each option takes a value; times in milliseconds, 0 is never:\n"
           "  --host (127.0.0.1)  --port (0: any)  --max-connections (0: no limit)\n"
           "  --idle-timeout (0)  --write-timeout (30000)  --drain-timeout (5000; 0: reset at once)\n"
           "--describe and --help take none.\n";
  const std::uint64_t most = options.max_connections;
  const std::uint64_t room = FD_SETSIZE - 4;  // besides 0, 1, 2 and the listener
  const bool limited = most > 0 && most < room;
  return R"({"model":"select","platform":"linux","service":"echo","clients_at_once":null,"threads":"1",)"
         R"("ceiling":{"connections":)" +
         std::to_string(limited ? most : room) + R"(,"set_by":")" +
         (limited ? "--max-connections" : "FD_SETSIZE") + R"(","above":"close"}})" + "\n";
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
  Socket listener(socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const auto set = [&listener](int level, int option, int value) {
    return setsockopt(listener.fd, level, option, &value, sizeof value) == 0;
  };
  // LIFE-03: without SO_REUSEADDR a restart waits out TIME_WAIT. Clients inherit the rest: no delay for small
  // replies and, ABUSE-08, a probe after a minute for one that has vanished without a word.
  if (listener.fd < 0 || !set(SOL_SOCKET, SO_REUSEADDR, 1) || !set(IPPROTO_TCP, TCP_NODELAY, 1) ||
      !set(SOL_SOCKET, SO_KEEPALIVE, 1) || !set(IPPROTO_TCP, TCP_KEEPIDLE, 60) ||
      !set(IPPROTO_TCP, TCP_KEEPINTVL, 15) || !set(IPPROTO_TCP, TCP_KEEPCNT, 3) ||
      (address->ai_family == AF_INET6 && !set(IPPROTO_IPV6, IPV6_V6ONLY, 1)) ||
      bind(listener.fd, address->ai_addr, address->ai_addrlen) != 0 || listen(listener.fd, SOMAXCONN) != 0 ||
      getsockname(listener.fd, address->ai_addr, &address->ai_addrlen) != 0)
    fail("cannot listen on " + options.host + ":" + service);
  if (listener.fd >= FD_SETSIZE)
    fail("select cannot watch descriptor " + std::to_string(listener.fd), EMFILE);  // LIM-03
  port = ntohs(reinterpret_cast<sockaddr_in*>(address->ai_addr)->sin_port);  // in the same place for IPv6
  return listener;
}

}  // namespace

int main(int argc, char** argv) {
  prepare_process();  // first: a socket in place of a closed descriptor 1 would be sent READY
  const Options options = parse(argc, argv);
  std::uint16_t port = 0;
  Server server{options, listen_on(options, port)};
  print("READY model=select service=echo host=" + options.host + " port=" + std::to_string(port) +
        " pid=" + std::to_string(getpid()) + "\n");
  run(server);
}
