// The ceiling: an echo server that makes the system calls and does nothing else. A level-triggered epoll
// instance and a listener of its own (SO_REUSEPORT) for each thread; no short sends, no errors, no limits, no
// end. Only a measure for what a real server adds: never copy it.
//
//   raw_epoll [THREADS]        prints "READY port=N"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

namespace {

int listen_on(std::uint16_t& port) {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  const int one = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
  ::setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (listener < 0 || ::bind(listener, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::listen(listener, SOMAXCONN) != 0 ||
      ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    std::perror("raw_epoll");
    std::exit(1);
  }
  port = ntohs(address.sin_port);
  return listener;
}

void watch(int epoll, int descriptor) {
  epoll_event event{.events = EPOLLIN, .data = {.fd = descriptor}};
  ::epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event);
}

void work(int listener) {
  const int epoll = ::epoll_create1(0);
  watch(epoll, listener);
  static thread_local std::array<char, 65536> buffer;
  std::array<epoll_event, 64> events{};
  for (;;) {
    const int count = ::epoll_wait(epoll, events.data(), 64, -1);
    for (int i = 0; i < count; ++i) {
      const int descriptor = events[i].data.fd;
      if (descriptor == listener) {
        watch(epoll, ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK));
        continue;
      }
      const ssize_t received = ::recv(descriptor, buffer.data(), buffer.size(), 0);
      if (received <= 0)
        ::close(descriptor);
      else
        ::send(descriptor, buffer.data(), static_cast<std::size_t>(received), MSG_NOSIGNAL);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
  std::uint16_t port = 0;
  std::vector<int> listeners;
  for (int i = 0; i < threads; ++i)
    listeners.push_back(listen_on(port));
  std::printf("READY port=%d\n", port);
  std::fflush(stdout);
  std::vector<std::jthread> pool;
  for (const int listener : listeners)
    pool.emplace_back(work, listener);
}
