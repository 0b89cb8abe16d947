// 03, select: an echo of one thread that serves all clients, none of which can hold it up.
// The thread sleeps in one place, for all sockets at once. select answers "you may": these can be read, those
// written. Sockets are non-blocking, so no other call sleeps. What 02 kept on a stack is a Client here.
//
//   quick   ==>  +--------+
//   slow    ==>  | select |  thread: [accept | recv, send] for each that may, and back to sleep
//   silent  ==>  +--------+
//
//   g++ -std=c++20 -O2 -Wall -Wextra 03_select/sketch.cpp -o sketch && ./sketch 7777
//
// Ctrl-C ends it. Windows wants WSAStartup, closesocket and ioctlsocket; macOS fcntl where accept4 stands.

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/select.h>
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

void accept_client(const Socket& listener, Clients& clients) {
  Socket client(accept4(listener.fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (client.fd < 0) return;  // gone again; or out of descriptors, and then the loop spins (LIM-02)
  const int fd = client.fd;
  if (fd >= FD_SETSIZE) return;  // LIM-03: FD_SET would write past its set; ~Socket closes
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
  Clients clients;
  while (true) {
    fd_set readable, writable;  // select overwrites its sets, so they are made anew each time
    FD_ZERO(&readable);
    FD_ZERO(&writable);
    FD_SET(listener.fd, &readable);
    int highest = listener.fd;
    for (const auto& [fd, client] : clients) {
      FD_SET(fd, client.pending.empty() ? &readable : &writable);  // one of the two
      highest = std::max(highest, fd);
    }
    const int ready = select(highest + 1, &readable, &writable, nullptr, nullptr);  // sleeps here, for all
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) fail("select");
    for (auto next = clients.begin(); next != clients.end();) {
      auto& [fd, client] = *next++;  // stepped on first: close_connection erases
      if (!FD_ISSET(fd, &readable) && !FD_ISSET(fd, &writable)) continue;
      if (!serve(client)) close_connection(clients, fd);
    }
    // CLOSE-09: behind the loop. Within it a newcomer could get a descriptor just closed, and its stale bit
    if (FD_ISSET(listener.fd, &readable)) accept_client(listener, clients);
  }
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
  if (listener.fd >= FD_SETSIZE) fail("select cannot watch the listener", EMFILE);  // LIM-03
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
  run(listen_on(port));
}
