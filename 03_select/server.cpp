// 03, select: the sketch made fit for real networks, in one file to take home. An echo; `receive` is where your service goes.
//
//   listener, clients  ==>  +--------+
//   Ctrl-C, SIGTERM    ==>  | select |  thread: [accept | recv, send] for each that may; ten times a second it looks at
//   a tenth of a second==>  +--------+  the clock for all of them (sweep)
//
// What it copes with: short sends, half-close, resets, slow readers (a bounded queue), silent clients, no descriptors left,
// more clients than allowed, a stop that finishes what is under way.
//
//   g++ -std=c++20 -O2 -Wall -Wextra 03_select/server.cpp -o server && ./server --port 7777
//
// Windows wants WSAStartup, closesocket and ioctlsocket, and has no pselect: there a handler wakes the loop by a socket.

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
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
#include <iostream>
#include <map>
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
constexpr std::size_t high_mark =
    256 * 1024;  // queued for a client that reads slowly: above it we read no more from it,
constexpr std::size_t low_mark = 64 * 1024;  // and go on below this
constexpr int accepts_at_once = 64;          // a storm of newcomers does not starve those who are here

struct Options {
  std::string host = "127.0.0.1";
  std::uint64_t port = 0;             // 0: any free one
  std::uint64_t max_connections = 0;  // newcomers above are closed; 0: no limit of ours
  std::uint64_t idle_ms = 0;          // 0: never
  std::uint64_t write_ms = 30'000;
  std::uint64_t drain_ms = 5'000;
};

class Socket {  // owns a descriptor
 public:
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

struct Client {
  Socket socket;
  std::string queue{};                       // received, and not yet given back
  std::size_t queue_sent = 0;                // the kernel has so many of these
  bool congested = false;                    // above the high mark, and not yet down to the low one
  bool peer_finished = false;                // its FIN is in
  bool finished = false;                     // ours is out: a stop has sent it
  Time moved{};                              // bytes moved, or the peer acknowledged some
  Time blocked = Time::max();                // since when the kernel takes no more and the peer neither
  std::uint64_t sent = 0, acknowledged = 0;  // by the peer, at the last look
  bool pending() const { return queue_sent < queue.size(); }
};

[[noreturn]] void fail(const std::string& what, int error = errno) {
  std::cerr << what << ": " << std::strerror(error) << '\n';
  std::exit(1);
}

// What the signals say. Their handler runs while pselect sleeps, and at no other moment.
volatile std::sig_atomic_t signals = 0;

class Server {
 public:
  Server(const Options& options, Socket listener) : options_(options), listener_(std::move(listener)) {}
  void run();

 private:
  using Clients = std::map<int, Client>;
  void accept_clients();
  bool receive(Client&);
  bool flush(Client&);
  bool advance(Client&);
  void close_connection(Clients::iterator);
  void reset_connection(Clients::iterator);
  void serve(Clients::iterator, bool readable);
  void log(const char* what, const char* why);
  void rest(const char* why);
  void sweep();
  bool expired(Client&, int unacknowledged);
  void stop_if_asked();
  void sleep(fd_set& readable, fd_set& writable);

  const Options& options_;
  Socket listener_;
  Clients clients_{};
  Time now_ = Clock::now();  // when select returned; read anew where a deadline begins
  Time last_sweep_ = now_, next_sweep_ = now_;
  Time rests_until_{};          // no accept before
  Time next_line_{};            // of the log: one a second
  int left_out_ = 0;            // lines since the last one
  Time stopped_ = Time::max();  // when we were asked to
};

/// A line of the log, one a second at the most. It waits for nobody who reads it (LIFE-07) and needs no memory (LIM-08).
void Server::log(const char* what, const char* why) {
  if (now_ < next_line_) return void(++left_out_);
  next_line_ = now_ + std::chrono::seconds(1);
  std::array<char, 256> line;
  const int size = left_out_ == 0
                       ? std::snprintf(line.data(), line.size(), "%s: %s\n", what, why)
                       : std::snprintf(line.data(), line.size(), "%s: %s (%d more like it were left out)\n",
                                       what, why, left_out_);
  left_out_ = 0;
  pollfd watch{.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
  if (poll(&watch, 1, 0) != 1 || (watch.revents & POLLOUT) == 0) return;
  [[maybe_unused]] const ssize_t n =
      write(STDERR_FILENO, line.data(), std::min<std::size_t>(size, line.size()));
}

/// A listener that cannot accept is left alone for a while, or the loop would spin. LIM-02, LIM-11
void Server::rest(const char* why) {
  rests_until_ = now_ + between_sweeps;
  log("cannot accept; newcomers wait", why);
}

void Server::accept_clients() try {
  for (int i = 0; i < accepts_at_once; ++i) {
    Socket socket(accept4(listener_.fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (socket.fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (socket.fd < 0 && (errno == EINTR || errno == ECONNABORTED)) continue;  // that one is gone
    if (socket.fd < 0) return rest(std::strerror(errno));  // no descriptors, no memory, a filter's EPERM
    const bool full = options_.max_connections > 0 && clients_.size() >= options_.max_connections;
    if (full || socket.fd >= FD_SETSIZE) {  // LIM-01, LIM-03: a close tells it, silence would not
      log("a newcomer was closed", full ? "--max-connections are here" : "no room in the sets of select");
      continue;
    }
    const int fd = socket.fd;
    clients_.emplace(fd, Client{.socket = std::move(socket), .moved = now_});
  }
} catch (const std::bad_alloc&) {
  rest("no memory");
}

bool Server::receive(Client& client) {  // false: the connection is broken
  std::array<char, 16384> buffer;
  const ssize_t n = recv(client.socket.fd, buffer.data(), buffer.size(), 0);
  if (n < 0) return errno == EAGAIN || errno == EINTR;  // a readiness can be false
  client.moved = now_;
  if (n == 0) client.peer_finished = true;
  if (client.finished) return true;  // after our FIN what comes is read, or the close would reset. CLOSE-02
  if (2 * client.queue_sent >= client.queue.size())  // so that each byte is moved once at the most
    client.queue.erase(0, std::exchange(client.queue_sent, 0));
  client.queue.append(buffer.data(), static_cast<std::size_t>(n));  // the echo
  if (client.queue.size() - client.queue_sent > high_mark) client.congested = true;
  return true;
}

bool Server::flush(Client& client) {  // false: the connection is broken
  while (client.pending()) {
    const ssize_t n = send(client.socket.fd, client.queue.data() + client.queue_sent,
                           client.queue.size() - client.queue_sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) return false;
    if (n < 0) {  // no room: the write timeout runs from the first refusal. TIME-04
      if (client.blocked == Time::max()) client.blocked = Clock::now();
      return true;
    }
    client.queue_sent += static_cast<std::size_t>(n);
    client.sent += static_cast<std::uint64_t>(n);
    client.moved = now_;
    client.blocked = Time::max();
  }
  client.queue = {};  // an idle client holds no buffer
  client.queue_sent = 0;
  return true;
}

/// What follows from where the connection stands. False: it is over, and a close ends it in order.
bool Server::advance(Client& client) {
  if (client.queue.size() - client.queue_sent <= low_mark) client.congested = false;
  if (client.pending()) return true;
  if (client.peer_finished) return false;  // CLOSE-01: all that came before the FIN has been echoed
  if (stopped_ != Time::max() && !client.finished) {
    shutdown(client.socket.fd, SHUT_WR);  // fails only if the peer is gone, which the next recv tells
    client.finished = true;
  }
  return true;
}

void Server::close_connection(Clients::iterator client) {  // ~Socket sends the FIN
  clients_.erase(client);
}

void Server::reset_connection(
    Clients::iterator client) {  // an orderly FIN behind a cut stream would be a lie
  const linger now{.l_onoff = 1, .l_linger = 0};
  setsockopt(client->second.socket.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  clients_.erase(client);
}

void Server::serve(Clients::iterator at, bool readable) try {
  Client& client = at->second;
  if ((readable && !receive(client)) || !flush(client)) return reset_connection(at);
  if (!advance(client)) close_connection(at);
} catch (const std::bad_alloc&) {  // LIM-08: this client's loss alone
  reset_connection(at);
}

/// Ten times a second, for all: cheaper than a queue of timers, and late by a tenth of a second at the most.
void Server::sweep() {
  next_sweep_ = now_ + between_sweeps;
  for (auto next = clients_.begin(); next != clients_.end();) {
    const auto at = next++;  // stepped on first: the end of one erases it
    Client& client = at->second;
    int left = 0, unread = 0;
    ioctl(client.socket.fd, SIOCOUTQ, &left);
    ioctl(client.socket.fd, FIONREAD, &unread);
    const std::uint64_t acknowledged = client.sent - static_cast<std::uint64_t>(left);
    if (acknowledged >
        client.acknowledged) {  // a peer that takes bytes is not silent. TIME-06. Since the last look at
      client.moved =
          std::max(client.moved, last_sweep_);  // the latest: we may have stood still since. TIME-04
      if (client.blocked != Time::max()) client.blocked = std::max(client.blocked, last_sweep_);
    }
    client.acknowledged = acknowledged;
    const bool draining = stopped_ != Time::max();
    if (draining && now_ - stopped_ >= milliseconds(options_.drain_ms)) {
      reset_connection(at);
    } else if (options_.write_ms > 0 && client.blocked != Time::max() &&
               now_ - client.blocked >= milliseconds(options_.write_ms)) {
      reset_connection(at);
    } else if (options_.idle_ms > 0 && !client.pending() && unread == 0 &&
               now_ - client.moved >= milliseconds(options_.idle_ms)) {
      close_connection(at);
    } else if (client.finished && left == 0 && unread == 0) {
      close_connection(at);  // a stop waits for no FIN of a peer that has had everything
    } else if (!advance(client)) {
      close_connection(at);
    }
  }
  last_sweep_ = now_;
}

/// The first signal stops in order, a second one at once. One Ctrl-C may come twice, from the terminal and from a wrapper such
/// as timeout(1): what comes within half a second is the same. STOP-09
void Server::stop_if_asked() {
  if (!std::exchange(signals, 0)) return;
  if (stopped_ == Time::max()) {
    stopped_ = now_;
    listener_ = Socket(-1);  // STOP-04: new connects are refused, those in the backlog reset
    sweep();
  } else if (now_ - stopped_ > milliseconds(500)) {
    std::_Exit(1);
  }
}

void Server::sleep(fd_set& readable, fd_set& writable) {
  FD_ZERO(&readable);
  FD_ZERO(&writable);
  int highest = -1;
  const auto ask = [&highest](int fd, fd_set& set) {
    FD_SET(fd, &set);
    highest = std::max(highest, fd);
  };
  if (listener_.fd >= 0 && now_ >= rests_until_) ask(listener_.fd, readable);
  for (const auto& [fd, client] : clients_) {
    if (!client.congested && !client.peer_finished) ask(fd, readable);
    if (client.pending()) ask(fd, writable);
  }
  sigset_t none;
  sigemptyset(&none);
  const auto wait = std::clamp<Clock::duration>(next_sweep_ - Clock::now(), {}, between_sweeps);
  const timespec timeout{.tv_sec = 0, .tv_nsec = std::chrono::nanoseconds(wait).count()};
  const int ready =
      pselect(highest + 1, &readable, &writable, nullptr, &timeout, &none);  // sleeps here, for all
  now_ = Clock::now();
  if (ready > 0) return;
  FD_ZERO(&readable);
  FD_ZERO(&writable);
  if (ready < 0 && errno != EINTR) {  // such as no memory: said, and tried again with the next sweep
    log("cannot wait for events", std::strerror(errno));
    poll(nullptr, 0, between_sweeps.count());
  }
}

void Server::run() {
  while (stopped_ == Time::max() || !clients_.empty()) {
    fd_set readable, writable;
    sleep(readable, writable);
    for (auto next = clients_.begin(); next != clients_.end();) {
      const auto at = next++;
      const bool reads = FD_ISSET(at->first, &readable), writes = FD_ISSET(at->first, &writable);
      if (reads || writes) serve(at, reads);
    }
    // CLOSE-09: not amid the loop, where a newcomer could get a descriptor just closed, and its stale bit
    if (listener_.fd >= 0 && FD_ISSET(listener_.fd, &readable)) accept_clients();
    stop_if_asked();
    if (now_ >= next_sweep_) sweep();
  }
}

// ---- start: the listener, the process, the command line

Socket listen_on(const Options& options, std::uint16_t& port) {
  sockaddr_storage address{};
  socklen_t size = sizeof(sockaddr_in);
  auto* const v4 = reinterpret_cast<sockaddr_in*>(&address);
  auto* const v6 = reinterpret_cast<sockaddr_in6*>(&address);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  if (inet_pton(AF_INET, options.host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
  } else {  // numeric, as the command line has made sure
    inet_pton(AF_INET6, options.host.c_str(), &v6->sin6_addr);
    v6->sin6_family = AF_INET6;
    size = sizeof *v6;
  }
  v4->sin_port = htons(static_cast<std::uint16_t>(options.port));  // in the same place in both
  Socket listener(socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const auto set = [&listener](int level, int option, int value) {
    return setsockopt(listener.fd, level, option, &value, sizeof value) == 0;
  };
  // LIFE-03: without SO_REUSEADDR a restart waits out TIME_WAIT. Clients inherit the rest: no delay for small replies, and a
  // probe for who has vanished without a word, after a minute (ABUSE-08).
  if (listener.fd < 0 || !set(SOL_SOCKET, SO_REUSEADDR, 1) || !set(IPPROTO_TCP, TCP_NODELAY, 1) ||
      !set(SOL_SOCKET, SO_KEEPALIVE, 1) || !set(IPPROTO_TCP, TCP_KEEPIDLE, 60) ||
      !set(IPPROTO_TCP, TCP_KEEPINTVL, 15) || !set(IPPROTO_TCP, TCP_KEEPCNT, 3) ||
      (address.ss_family == AF_INET6 && !set(IPPROTO_IPV6, IPV6_V6ONLY, 1)) ||
      bind(listener.fd, generic, size) != 0 || listen(listener.fd, SOMAXCONN) != 0 ||
      getsockname(listener.fd, generic, &size) != 0)
    fail("cannot listen on " + options.host + ":" + std::to_string(options.port));
  if (listener.fd >= FD_SETSIZE)
    fail("select cannot watch descriptor " + std::to_string(listener.fd), EMFILE);  // LIM-03
  port = ntohs(v4->sin_port);
  return listener;
}

void prepare_process() {
  for (int fd = 0; fd <= 2; ++fd)  // LIFE-08: else a client becomes descriptor 2 and gets our log
    if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", O_RDWR) != fd) fail("open /dev/null");
  for (const int signal :
       {SIGPIPE, SIGXFSZ, SIGTTOU})  // a line of the log ends or stops nothing. LIFE-07, LIFE-11
    std::signal(signal, SIG_IGN);
  sigset_t ends;
  sigemptyset(&ends);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction action{};
    if (signal == SIGHUP && sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN)
      continue;
    action.sa_handler = [](int) { signals = 1; };
    sigaction(signal, &action, nullptr);
    sigaddset(&ends, signal);
  }
  sigprocmask(SIG_BLOCK, &ends, nullptr);  // they come while pselect sleeps, and at no other moment
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {  // LIM-09: 1024 is what a shell gives
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
}

[[noreturn]] void refuse(const std::string& why) {
  std::cerr << why << " (--help lists the options)\n";
  std::exit(2);
}

[[noreturn]] void print_and_exit(const std::string& text) {
  const bool written = static_cast<bool>(std::cout << text << std::flush);
  if (!written) fail("standard output", errno ? errno : EIO);  // LIFE-12
  std::exit(0);
}

Options parse(int argc, char** argv) {
  Options options;
  bool describe = false;
  struct Number {
    std::string_view name;
    std::uint64_t& value;
    std::uint64_t most;
  };
  const std::array<Number, 5> numbers = {{{"--port", options.port, 65535},
                                          {"--max-connections", options.max_connections, 1'000'000},
                                          {"--idle-timeout", options.idle_ms, 86'400'000},
                                          {"--write-timeout", options.write_ms, 86'400'000},
                                          {"--drain-timeout", options.drain_ms, 86'400'000}}};
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--help")
      print_and_exit(
          "An echo server, model select. Options, each with a value; times in milliseconds, 0 is never:\n"
          "  --host (127.0.0.1)  --port (0: any)  --max-connections (0: no limit)\n"
          "  --idle-timeout (0)  --write-timeout (30000)  --drain-timeout (5000; 0: not at all)\n"
          "  --describe and --help take none\n");
    if (name == "--describe") {
      describe = true;
      continue;
    }
    const auto* const found =
        std::find_if(numbers.begin(), numbers.end(), [&](const Number& n) { return n.name == name; });
    if (name != "--host" && found == numbers.end()) refuse("unknown argument '" + name + "'");
    if (++i == argc) refuse(name + " takes a value");
    const std::string text = argv[i];
    if (name == "--host") {
      options.host = text;
      in6_addr any{};
      if (inet_pton(AF_INET, text.c_str(), &any) != 1 && inet_pton(AF_INET6, text.c_str(), &any) != 1)
        refuse("--host takes a numeric address, not '" + text + "'");
      continue;
    }
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), found->value);
    if (error != std::errc{} || *rest != '\0' || found->value > found->most)
      refuse(name + " takes a number from 0 to " + std::to_string(found->most) + ", not '" + text + "'");
  }
  if (!describe) return options;
  const std::uint64_t room = FD_SETSIZE - 4;  // besides the first three, and the listener
  const bool limited = options.max_connections > 0 && options.max_connections < room;
  print_and_exit(
      R"({"model":"select","platform":"linux","service":"echo","clients_at_once":null,"ceiling":{"connections":)" +
      std::to_string(limited ? options.max_connections : room) + R"(,"set_by":")" +
      (limited ? "--max-connections" : "FD_SETSIZE") + R"(","above":"close"},"threads":"1"})" + "\n");
}

}  // namespace

int main(int argc, char** argv) {
  prepare_process();  // first: a socket that took the place of a closed descriptor 1 would be sent READY
  const Options options = parse(argc, argv);
  std::uint16_t port = 0;
  Server server(options, listen_on(options, port));
  std::cout << "READY model=select service=echo host=" << options.host << " port=" << port
            << " pid=" << getpid() << std::endl;
  if (!std::cout) fail("standard output", EIO);
  server.run();
}
