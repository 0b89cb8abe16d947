// 05, epoll: an echo of one thread that serves all clients, as 03 does, but idle clients cost it nothing.
// The kernel keeps the list of what is watched; epoll_wait answers with those alone that may go on. It is
// level-triggered: true is said again until it is false, so nothing need be read to the end.
//
//   quick   ==>  +-------+
//   slow    ==>  | epoll |  thread: [accept | recv, send] for each that may, and back to sleep
//   silent  ==>  +-------+
//
//   g++ -std=c++20 -O2 -Wall -Wextra 05_epoll/sketch.cpp -o sketch && ./sketch 7777
//
// Ctrl-C ends it. Linux only. To compare: diff 03_select/sketch.cpp 05_epoll/sketch.cpp

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <map>
#include <string>
#include <system_error>
#include <utility>

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
  Socket socket;
  std::string pending{};  // taken from the peer, not yet given back
};
using Clients = std::map<int, Client>;

[[noreturn]] void fail(const std::string& what, int error = errno) {
  std::cerr << what << ": " << std::strerror(error) << '\n';
  std::exit(1);
}

bool watch(const Socket& poller, int operation, int fd, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  return epoll_ctl(poller.fd, operation, fd, &event) == 0;
}

void accept_client(const Socket& poller, const Socket& listener, Clients& clients) {
  Socket client(accept4(listener.fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (client.fd < 0) return;  // gone again; or out of descriptors, and then the loop spins (LIM-02)
  const int fd = client.fd;
  if (!watch(poller, EPOLL_CTL_ADD, fd, EPOLLIN)) return;  // ~Socket closes
  clients.emplace(fd, Client{std::move(client)});
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

void close_connection(Clients& clients, int fd) {  // ~Socket sends a FIN: after the peer's, all has been read
  clients.erase(fd);
}

void run(const Socket& listener) {
  const Socket poller(epoll_create1(EPOLL_CLOEXEC));
  if (poller.fd < 0 || !watch(poller, EPOLL_CTL_ADD, listener.fd, EPOLLIN)) fail("epoll");
  Clients clients;
  std::array<epoll_event, 64> events;
  while (true) {
    const int ready = epoll_wait(poller.fd, events.data(), events.size(), -1);  // sleeps here, for all
    if (ready < 0 && errno != EINTR) fail("epoll_wait");
    for (int i = 0; i < ready; ++i) {
      const int fd = events[i].data.fd;
      const auto found = clients.find(fd);
      if (found == clients.end()) {  // it is the listener
        accept_client(poller, listener, clients);
        continue;
      }
      const std::string& pending = found->second.pending;
      const bool was_empty = pending.empty();
      bool alive = serve(found->second);
      if (alive && pending.empty() != was_empty)
        alive = watch(poller, EPOLL_CTL_MOD, fd, was_empty ? EPOLLOUT : EPOLLIN);  // one of the two
      if (!alive) close_connection(clients, fd);
    }
  }
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
  run(listen_on(port));
}
