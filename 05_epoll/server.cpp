// 05, epoll: the pool of sketch_pool.cpp made fit for real networks, in one file to take home. An echo; `receive` is where your
// service goes. One instance for all workers; each event goes to exactly one of them (EPOLLONESHOT).
//
//   listener, clients  ==>  +------------+   worker, worker: accept | recv, send, armed again: for one that may
//                           | epoll_wait |
//   Ctrl-C, SIGTERM    ==>  +------------+   this thread: waits for signals, and ten times a second looks at the clock for
//                                            all (sweep). It ends nobody: what it does to a socket brings an event
//
// What it copes with: short sends, half-close, resets, slow readers (a bounded queue), silent clients, no descriptors left,
// more clients than allowed, a stop that finishes what is under way.
//
//   g++ -std=c++20 -O2 -Wall -Wextra -pthread 05_epoll/server.cpp -o server && ./server --port 7777

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
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
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <map>
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

constexpr milliseconds between_sweeps{100};
// Queued for a client that reads slowly: above the high mark we read no more from it, at the low one we go on.
constexpr std::size_t high_mark = 256 * 1024, low_mark = 64 * 1024;

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

enum class Step { serve, close, reset };  // what is next for a connection

struct Client {
  explicit Client(Socket its_socket) : socket(std::move(its_socket)) {}
  Socket socket;
  std::mutex mutex{};                        // of its turn: whoever has it may touch what follows
  std::string queue{};                       // received, and not yet given back
  std::size_t queue_sent = 0;                // the kernel has so many of these
  bool congested = false;                    // above the high mark, and not yet down to the low one
  bool peer_finished = false;                // its FIN is in
  bool finished = false;                     // ours is out: a stop has sent it
  Step step = Step::serve;                   // what the sweep has found; the client's next event ends it so
  Time moved = Clock::now();                 // bytes moved, or the peer acknowledged some
  Time blocked = Time::max();                // since when the kernel takes no more and the peer neither
  std::uint64_t sent = 0, acknowledged = 0;  // by the peer, at the last look
  bool pending() const { return queue_sent < queue.size(); }
};

[[noreturn]] void fail(const std::string& what, int error = errno) {
  std::cerr << what << ": " << std::strerror(error) << '\n';
  std::exit(1);
}

class Server {
 public:
  Server(const Options& options, Socket listener) : options_(options), listener_(std::move(listener)) {}
  void run();

 private:
  void accept_client();
  bool receive(Client&);
  bool flush(Client&);
  Step advance(Client&);
  bool arm(Client&);
  void close_connection(Client&, Step, std::unique_lock<std::mutex>& turn);
  void serve(Client&, std::uint32_t events);
  void work();

  void log(const char* what, const char* why);
  void rest(const char* why);
  bool watch(int operation, int fd, std::uint32_t events, void* tag);
  Step look(Client&, Time now);
  void sweep();
  void stop_if_asked(int signal);

  const Options& options_;
  Socket listener_;
  Socket epoll_{epoll_create1(EPOLL_CLOEXEC)};
  Socket end_{eventfd(0, EFD_CLOEXEC)};  // readable: workers end
  std::mutex mutex_{};                   // of the table and of the log. Taken after a client's, never before
  std::map<int, Client> clients_{};
  Time last_sweep_ = Clock::now();
  std::atomic<bool> resting_ = false;   // the listener is not armed
  std::atomic<bool> stopping_ = false;  // since stopped_
  Time stopped_{};
  Time next_line_{};  // of the log: one a second
  int left_out_ = 0;  // lines since the last one
};

/// A line of the log, one a second at the most. It waits for nobody who reads it (LIFE-07) and needs no memory (LIM-08).
void Server::log(const char* what, const char* why) {
  const std::lock_guard lock(mutex_);
  const Time now = Clock::now();
  if (now < next_line_) return void(++left_out_);
  next_line_ = now + std::chrono::seconds(1);
  std::array<char, 256> line;
  const int size = left_out_ == 0
                       ? std::snprintf(line.data(), line.size(), "%s: %s\n", what, why)
                       : std::snprintf(line.data(), line.size(), "%s: %s (%d more like it were left out)\n",
                                       what, why, left_out_);
  left_out_ = 0;
  pollfd reader{.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
  if (poll(&reader, 1, 0) != 1 || (reader.revents & POLLOUT) == 0) return;
  [[maybe_unused]] const ssize_t n =
      write(STDERR_FILENO, line.data(), std::min<std::size_t>(size, line.size()));
}

/// A listener that cannot accept is left alone until the next sweep, or the workers would spin. LIM-02, LIM-11
void Server::rest(const char* why) {
  log("cannot accept; newcomers wait", why);
  resting_ = true;
}

bool Server::watch(int operation, int fd, std::uint32_t events, void* tag) {
  epoll_event event{.events = events, .data = {.ptr = tag}};
  return epoll_ctl(epoll_.fd, operation, fd, &event) == 0;
}

void Server::accept_client() {
  Socket socket(accept4(listener_.fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  const int error = errno;
  if (stopping_) return;  // STOP-04: the listener is deaf, and is not armed again
  const bool concerns_us =
      error != EAGAIN && error != EINTR && error != ECONNABORTED;       // else one that is gone
  if (socket.fd < 0 && concerns_us) return rest(std::strerror(error));  // no descriptors, a filter's EPERM
  watch(EPOLL_CTL_MOD, listener_.fd, EPOLLIN | EPOLLONESHOT, nullptr);  // now another worker takes the next
  if (socket.fd < 0) return;
  const int fd = socket.fd;
  Client* client = nullptr;
  try {
    const std::lock_guard lock(mutex_);
    const bool full = options_.max_connections > 0 && clients_.size() >= options_.max_connections;
    if (!full) client = &clients_.try_emplace(fd, std::move(socket)).first->second;
  } catch (const std::bad_alloc&) {
    return rest("no memory");  // ~Socket closes
  }
  if (!client)
    return log("a newcomer was closed", "--max-connections are here");  // LIM-01: silence would be worse
  if (watch(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLONESHOT, client)) return;
  std::unique_lock turn(client->mutex);
  close_connection(*client, Step::close, turn);
}

bool Server::receive(Client& client) {  // false: the connection is broken
  std::array<char, 16384> buffer;
  const ssize_t n = recv(client.socket.fd, buffer.data(), buffer.size(), 0);
  if (n < 0) return errno == EAGAIN || errno == EINTR;  // a readiness can be false
  client.moved = Clock::now();
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
    client.moved = Clock::now();
    client.blocked = Time::max();
  }
  client.queue = {};  // an idle client holds no buffer
  client.queue_sent = 0;
  return true;
}

/// What follows from where the connection stands.
Step Server::advance(Client& client) {
  if (client.queue.size() - client.queue_sent <= low_mark) client.congested = false;
  if (client.pending()) return Step::serve;
  if (client.peer_finished) return Step::close;  // CLOSE-01: all that came before the FIN has been echoed
  if (stopping_ && !client.finished) {
    shutdown(client.socket.fd, SHUT_WR);  // fails only if the peer is gone, which the next recv tells
    client.finished = true;
  }
  return Step::serve;
}

/// Last in a turn: from here on another worker may have the next event.
bool Server::arm(Client& client) {
  const std::uint32_t reads = !client.congested && !client.peer_finished ? EPOLLIN : EPOLL_EVENTS{};
  const std::uint32_t writes = client.pending() ? EPOLLOUT : EPOLL_EVENTS{};
  return watch(EPOLL_CTL_MOD, client.socket.fd, reads | writes | EPOLLONESHOT, &client);
}

/// On the client's own turn alone, so no descriptor is closed under another thread's feet, and no event is stale.
void Server::close_connection(Client& client, Step step, std::unique_lock<std::mutex>& turn) {
  if (step == Step::reset) {  // an orderly FIN behind a cut stream would be a lie
    const linger now{.l_onoff = 1, .l_linger = 0};
    setsockopt(client.socket.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  }
  // Before the close. A worker asleep in epoll_wait may hold the last reference to the socket, so that its FIN would
  // leave with somebody else's event. LEAK-01
  watch(EPOLL_CTL_DEL, client.socket.fd, 0, nullptr);
  std::unique_lock lock(mutex_);
  const auto gone = clients_.extract(client.socket.fd);
  lock.unlock();
  turn.unlock();  // nobody can find it any more; ~Client sends the FIN
}

void Server::serve(Client& client, std::uint32_t events) {
  std::unique_lock turn(client.mutex);
  Step step = client.step;
  try {
    const bool reads = (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0 && !client.peer_finished;
    if (step == Step::serve)
      step = (reads && !receive(client)) || !flush(client) ? Step::reset : advance(client);
  } catch (const std::bad_alloc&) {  // LIM-08: this client's loss alone
    step = Step::reset;
  }
  if (step != Step::serve || !arm(client)) close_connection(client, step, turn);
}

void Server::work() {
  for (;;) {
    epoll_event event{};
    const int count =
        epoll_wait(epoll_.fd, &event, 1, -1);  // sleeps here; one event, so that no other waits for it
    if (count < 0 && errno != EINTR) {
      log("cannot wait for events", std::strerror(errno));
      poll(nullptr, 0, between_sweeps.count());
    }
    if (count != 1) continue;
    if (event.data.ptr == &end_) return;
    if (event.data.ptr == nullptr)
      accept_client();
    else
      serve(*static_cast<Client*>(event.data.ptr), event.events);
  }
}

/// What the clock says of a client.
Step Server::look(Client& client, Time now) {
  int left = 0, unread = 0;
  ioctl(client.socket.fd, SIOCOUTQ, &left);
  ioctl(client.socket.fd, FIONREAD, &unread);
  const std::uint64_t acknowledged = client.sent - static_cast<std::uint64_t>(left);
  if (acknowledged > std::exchange(client.acknowledged, acknowledged)) {
    // A peer that takes bytes is not silent (TIME-06). It took them after the last look, no later: we may have stood still
    // since (TIME-04).
    client.moved = std::max(client.moved, last_sweep_);
    if (client.blocked != Time::max()) client.blocked = std::max(client.blocked, last_sweep_);
  }
  const auto passed = [now](Time since, std::uint64_t ms) { return now - since >= milliseconds(ms); };
  if (stopping_ && passed(stopped_, options_.drain_ms)) return Step::reset;
  if (client.blocked != Time::max() && options_.write_ms > 0 && passed(client.blocked, options_.write_ms))
    return Step::reset;
  if (client.pending() || unread > 0) return Step::serve;
  if (options_.idle_ms > 0 && passed(client.moved, options_.idle_ms)) return Step::close;
  if (client.finished && left == 0)
    return Step::close;  // a stop waits for no FIN of a peer that has had everything
  return advance(client);
}

/// Ten times a second, for all: cheaper than a queue of timers, and late by a tenth of a second at the most.
void Server::sweep() {
  const Time now = Clock::now();
  if (!stopping_ && resting_.exchange(false))
    watch(EPOLL_CTL_MOD, listener_.fd, EPOLLIN | EPOLLONESHOT, nullptr);
  const std::lock_guard lock(mutex_);
  for (auto& [fd, client] : clients_) {
    const std::unique_lock turn(client.mutex, std::try_to_lock);
    if (!turn || client.step != Step::serve) continue;  // a worker has it: it is not silent
    client.step = look(client, now);
    // Either brings an event (EPOLLHUP), and the worker that gets it closes.
    const sockaddr nobody{.sa_family = AF_UNSPEC, .sa_data = {}};
    if (client.step == Step::close) shutdown(fd, SHUT_RDWR);
    if (client.step == Step::reset) connect(fd, &nobody, sizeof nobody);  // resets at once (connect(2))
  }
  last_sweep_ = now;
}

/// The first signal stops in order, a second one at once. One Ctrl-C may come twice, from the terminal and from a wrapper such
/// as timeout(1): what comes within half a second is the same. STOP-09
void Server::stop_if_asked(int signal) {
  if (signal <= 0) return;
  if (!stopping_) {
    stopped_ = Clock::now();
    stopping_ = true;
    shutdown(listener_.fd, SHUT_RDWR);  // STOP-04: new connects are refused, those in the backlog reset
  } else if (Clock::now() - stopped_ > milliseconds(500)) {
    std::_Exit(1);
  }
}

sigset_t stop_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP})
    sigaddset(&signals, signal);
  return signals;
}

void Server::run() {
  if (epoll_.fd < 0 || end_.fd < 0 || !watch(EPOLL_CTL_ADD, listener_.fd, EPOLLIN | EPOLLONESHOT, nullptr) ||
      !watch(EPOLL_CTL_ADD, end_.fd, EPOLLIN, &end_))  // level-triggered: once readable it wakes all workers
    fail("epoll");
  std::vector<std::jthread> workers;
  try {
    for (unsigned i = 0; i < std::max(1u, std::thread::hardware_concurrency()); ++i)
      workers.emplace_back([this] { work(); });
  } catch (const std::system_error& error) {
    if (workers.empty()) fail("no thread", error.code().value());
    log("fewer workers than cores", error.what());
  }
  const sigset_t signals = stop_signals();
  const timespec tenth{.tv_sec = 0, .tv_nsec = std::chrono::nanoseconds(between_sweeps).count()};
  for (;;) {
    stop_if_asked(sigtimedwait(&signals, nullptr, &tenth));  // sleeps here
    sweep();
    const std::lock_guard lock(mutex_);
    if (stopping_ && clients_.empty()) break;
  }
  const std::uint64_t one = 1;
  if (write(end_.fd, &one, sizeof one) < 0) std::_Exit(1);  // cannot fail on a fresh eventfd
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
  port = ntohs(v4->sin_port);
  return listener;
}

void prepare_process() {
  for (int fd = 0; fd <= 2; ++fd)  // LIFE-08: else a client becomes descriptor 2 and gets our log
    if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", O_RDWR) != fd) fail("open /dev/null");
  for (const int signal :
       {SIGPIPE, SIGXFSZ, SIGTTOU})  // a line of the log ends or stops nothing. LIFE-07, LIFE-11
    std::signal(signal, SIG_IGN);
  sigset_t ends = stop_signals();
  struct sigaction action{};
  if (sigaction(SIGHUP, nullptr, &action) == 0 && action.sa_handler == SIG_IGN)
    sigdelset(&ends, SIGHUP);                  // nohup(1)
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);  // on all threads: sigtimedwait takes them
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
          "An echo server, model epoll. Options, each with a value; times in milliseconds, 0 is never:\n"
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
  const bool limited = options.max_connections > 0;
  print_and_exit(
      R"({"model":"epoll","platform":"linux","service":"echo","clients_at_once":null,"ceiling":{"connections":)" +
      (limited ? std::to_string(options.max_connections) : "null") + R"(,"set_by":")" +
      (limited ? "--max-connections" : "descriptors") + R"(","above":")" + (limited ? "close" : "wait") +
      R"("},"threads":"one a core, and one"})" + "\n");
}

}  // namespace

int main(int argc, char** argv) {
  prepare_process();  // first: a socket that took the place of a closed descriptor 1 would be sent READY
  const Options options = parse(argc, argv);
  std::uint16_t port = 0;
  Server server(options, listen_on(options, port));
  std::cout << "READY model=epoll service=echo host=" << options.host << " port=" << port
            << " pid=" << getpid() << std::endl;
  if (!std::cout) fail("standard output", EIO);
  server.run();
}
