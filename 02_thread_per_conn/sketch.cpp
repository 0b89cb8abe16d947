// 02, a thread per connection: an echo whose main thread does nothing but accept.
// Each client gets a thread of its own, which sleeps in recv until that client speaks, or in send until it
// reads. Nobody waits for anybody: a silent client costs a thread, no more. The code of one client is that of
// 01, word for word; the thread's stack and program counter are the connection's state.
//
//   quick   == connected ==>  thread 1: [recv, send, recv, send, ...], close     main thread:
//   slow    == connected ==>  thread 2: [recv, send, ...          asleep]        accept, accept, ...
//   silent  == connected ==>  thread 3: [recv                     asleep]
//
//   g++ -std=c++20 -O2 -Wall -Wextra -pthread 02_thread_per_conn/sketch.cpp -o sketch && ./sketch 7777
//
// Ctrl-C ends it. Windows wants WSAStartup first, closesocket for close and no MSG_NOSIGNAL.

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <span>
#include <string>
#include <system_error>
#include <thread>
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

[[noreturn]] void fail(const std::string& what, int error = errno) {
  std::cerr << what << ": " << std::strerror(error) << '\n';
  std::exit(1);
}

// The next of the backlog. No descriptor: it was gone again, or descriptors ran out; no reason to end.
Socket accept_client(const Socket& listener) {
  Socket client(accept(listener.fd, nullptr, nullptr));  // sleeps here, until somebody connects
  if (client.fd < 0 && errno != EINTR && errno != ECONNABORTED) {
    std::cerr << "accept: " << std::strerror(errno) << '\n';
    std::this_thread::sleep_for(std::chrono::milliseconds(100));  // LIM-02: to retry at once would spin
  }
  return client;
}

// How many bytes came. 0: the peer's FIN, or this connection is broken; either way no more will come.
std::size_t receive(const Socket& client, std::span<char> into) {
  while (true) {
    const ssize_t n = recv(client.fd, into.data(), into.size(), 0);  // sleeps here, until it speaks
    if (n >= 0) return n;
    if (errno != EINTR) return 0;
  }
}

// send may take less than it is given. False: the connection is broken.
bool send_all(const Socket& client, std::span<const char> bytes) {
  while (!bytes.empty()) {
    // BP-08: until there is room, and for ever with a peer that never reads
    const ssize_t n = send(client.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);  // sleeps here
    if (n < 0 && errno != EINTR) return false;
    if (n > 0) bytes = bytes.subspan(n);
  }
  return true;
}

void close_connection(Socket) {}  // ~Socket sends a FIN: after the peer's, all has been read

void serve(Socket client) {
  std::array<char, 16384> buffer;
  while (const std::size_t n = receive(client, buffer))
    if (!send_all(client, std::span(buffer).first(n))) break;
  close_connection(std::move(client));
}

void run(const Socket& listener) {
  while (true) {
    Socket client = accept_client(listener);
    if (client.fd < 0) continue;
    try {
      std::thread(serve, std::move(client)).detach();
    } catch (const std::system_error& error) {  // LIM-06: no more threads: this client alone is closed
      std::cerr << "no thread for a client: " << error.what() << '\n';
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
  Socket listener(socket(AF_INET, SOCK_STREAM, 0));
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
