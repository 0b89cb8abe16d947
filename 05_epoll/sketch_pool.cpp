// 05, an epoll pool: an echo whose workers, one a core, all sleep on ONE epoll instance.
// A worker that wakes up serves one event of one client. EPOLLONESHOT: an event reported is an event disarmed, so
// no second worker gets the client until the first arms it again. That comes last: then it may be another's.
//
//   quick   ==>  +-------+  worker 1: [accept | recv, send] for one, arm it again, back to sleep
//   slow    ==>  | epoll |  worker 2: the same
//   silent  ==>  +-------+  ...
//
//   g++ -std=c++20 -O2 -Wall -Wextra -pthread 05_epoll/sketch_pool.cpp -o sketch && ./sketch 7777
//
// Ctrl-C ends it by the signal's default action: no worker is told, no connection closed. Linux only.

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace {

struct Socket {  // owns a descriptor
  explicit Socket(int descriptor) : fd(descriptor) {}
  Socket(Socket&& other) noexcept : fd(std::exchange(other.fd, -1)) {}
  ~Socket() {
    if (fd >= 0) close(fd);
  }
  int fd;
};

struct Client {
  explicit Client(Socket accepted) : socket(std::move(accepted)) {}
  Socket socket;
  std::mutex turn{};      // held from an event until after it is armed again
  std::string pending{};  // taken from the peer, not yet given back
};

struct Server {
  Socket listener;
  Socket epoll{epoll_create1(EPOLL_CLOEXEC)};
};

[[noreturn]] void fail(const std::string& what, int error = errno) {
  std::cerr << what << ": " << std::strerror(error) << '\n';
  std::exit(1);
}

// One event, for one worker, which asks for the next one when it has dealt with it (EPOLLONESHOT). False: no memory.
bool ask(Server& server, int operation, int fd, std::uint32_t events, void* whose) {
  epoll_event event{.events = events | EPOLLONESHOT, .data = {.ptr = whose}};
  return epoll_ctl(server.epoll.fd, operation, fd, &event) == 0;
}

void accept_client(Server& server) {
  Socket socket(accept4(server.listener.fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!ask(server, EPOLL_CTL_MOD, server.listener.fd, EPOLLIN, &server.listener)) fail("epoll_ctl");
  if (socket.fd < 0) return;  // gone again; or out of descriptors, and then the workers spin (LIM-02)
  const int fd = socket.fd;
  auto client = std::make_unique<Client>(std::move(socket));
  const std::lock_guard turn(client->turn);
  if (ask(server, EPOLL_CTL_ADD, fd, EPOLLIN, client.get())) (void)client.release();  // to its event
}

bool receive(Client& client) {  // false: the peer's FIN, or the connection is broken
  std::array<char, 16384> buffer;
  const ssize_t n = recv(client.socket.fd, buffer.data(), buffer.size(), 0);
  if (n < 0) return errno == EAGAIN || errno == EINTR;  // a readiness can be false
  client.pending.assign(buffer.data(), n);
  return n > 0;
}

bool flush(Client& client) {  // what the kernel has room for; the rest waits for "you may write"
  const ssize_t n = send(client.socket.fd, client.pending.data(), client.pending.size(), MSG_NOSIGNAL);
  if (n > 0) client.pending.erase(0, n);
  return n >= 0 || errno == EAGAIN || errno == EINTR;
}

// BP-04: nothing is read while anything is pending: one buffer a client, and at its FIN all is echoed.
bool serve(Client& client) {
  return (!client.pending.empty() || receive(client)) && flush(client);
}

void close_connection(Server& server, std::unique_ptr<Client> client) {
  // LEAK-01: before the close. A worker in epoll_wait may hold the last reference to a socket: its FIN would wait.
  ask(server, EPOLL_CTL_DEL, client->socket.fd, 0, nullptr);
}  // ~Socket sends a FIN: after the peer's, all has been read

void take_turn(Server& server, Client& client) {
  std::unique_lock turn(client.turn);  // CONC-07: the worker that armed it may still be in epoll_ctl
  if (serve(client)) {
    const std::uint32_t next = client.pending.empty() ? EPOLLIN : EPOLLOUT;  // one of the two
    // Last: from here on another worker may have the next event.
    if (ask(server, EPOLL_CTL_MOD, client.socket.fd, next, &client)) return;
  }
  turn.unlock();
  close_connection(server, std::unique_ptr<Client>(&client));
}

void work(Server& server) {
  while (true) {
    epoll_event event{};
    // One event: of several the second would wait for the first, while other workers idle.
    const int count = epoll_wait(server.epoll.fd, &event, 1, -1);  // sleeps here
    if (count < 0 && errno != EINTR) fail("epoll_wait");
    if (count != 1) continue;
    if (event.data.ptr == &server.listener)
      accept_client(server);
    else
      take_turn(server, *static_cast<Client*>(event.data.ptr));
  }
}

void run(Server& server) {
  if (server.epoll.fd < 0 || !ask(server, EPOLL_CTL_ADD, server.listener.fd, EPOLLIN, &server.listener))
    fail("epoll");
  std::vector<std::jthread> workers;
  for (unsigned i = 0; i < std::max(1u, std::thread::hardware_concurrency()); ++i)
    workers.emplace_back([&server] { work(server); });
}

// 1024 descriptors are the usual soft limit. A process may raise its own to the hard one; if not, it serves fewer.
void raise_descriptor_limit() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

Socket listen_on(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof address;
  const int on = 1;
  Socket listener(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  // LIFE-03: without SO_REUSEADDR a restart waits out TIME_WAIT. Clients inherit TCP_NODELAY.
  if (listener.fd < 0 || setsockopt(listener.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      setsockopt(listener.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
      bind(listener.fd, generic, size) != 0 || listen(listener.fd, SOMAXCONN) != 0 ||
      getsockname(listener.fd, generic, &size) != 0)
    fail("cannot listen on 127.0.0.1:" + std::to_string(port));
  std::cout << "listening on 127.0.0.1:" << ntohs(address.sin_port) << std::endl;
  return listener;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string text = argc > 1 ? argv[1] : "7777";
  std::uint16_t port = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (argc > 2 || error != std::errc{} || *rest != '\0') {
    std::cerr << "usage: " << argv[0] << " [port], a number from 0 (any) to 65535\n";
    return 2;
  }
  raise_descriptor_limit();
  Server server{listen_on(port)};
  run(server);
}
