// poll: an echo of one thread that serves all clients, as 03 does, without 03's limit of 1024 descriptors.
// The thread sleeps in one place, for all sockets at once. poll takes a list with an entry for each socket, and
// says in each entry "you may". The list is kept from one call to the next; the kernel still reads all of it.
//
//   quick   ==>  +------+
//   slow    ==>  | poll |  thread: [accept | recv, send] for each that may, and back to sleep
//   silent  ==>  +------+
//
//   g++ -std=c++20 -O2 -Wall -Wextra docs/more_models/poll.cpp -o sketch && ./sketch 7777
//
// Ctrl-C ends it. macOS wants fcntl where accept4 stands. To compare: diff 03_select/sketch.cpp docs/more_models/poll.cpp

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <map>
#include <string>
#include <system_error>
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
  Socket socket;
  std::string pending{};  // taken from the peer, not yet given back
};
using Clients = std::map<int, Client>;

[[noreturn]] void fail(const std::string& what, int error = errno) {
  std::cerr << what << ": " << std::strerror(error) << '\n';
  std::exit(1);
}

void accept_client(const Socket& listener, Clients& clients, std::vector<pollfd>& watched) {
  Socket client(accept4(listener.fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (client.fd < 0) return;  // gone again; or out of descriptors, and then the loop spins (LIM-02)
  const int fd = client.fd;
  clients.emplace(fd, Client{std::move(client)});
  watched.push_back({fd, POLLIN, 0});
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
  Clients clients;
  std::vector<pollfd> watched{{listener.fd, POLLIN, 0}};  // poll overwrites what happened, not what is wanted
  while (true) {
    const int ready = poll(watched.data(), watched.size(), -1);  // sleeps here, for all
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) fail("poll");
    for (std::size_t i = watched.size() - 1; i > 0; --i) {
      auto& [fd, wanted, happened] = watched[i];
      if (happened == 0) continue;
      Client& client = clients.at(fd);
      if (serve(client)) {  // after POLLERR and POLLHUP too: the call says what it is
        wanted = client.pending.empty() ? POLLIN : POLLOUT;  // one of the two
        continue;
      }
      close_connection(clients, fd);
      watched[i] = watched.back();  // going down, the last one has been looked at
      watched.pop_back();
    }
    if (watched[0].revents != 0)
      accept_client(listener, clients, watched);  // behind the loop: it may move the list
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
