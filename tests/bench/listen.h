// Shared by the servers of this folder: a listener, the line that they print, their threads.
#pragma once

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

namespace bench {

/// On loopback; port 0: any free one, which `port` then names. Several of them may share it (SO_REUSEPORT).
inline int listen_on(std::uint16_t& port, int flags = 0) {
  const int listener = ::socket(AF_INET, SOCK_STREAM | flags, 0);
  const int one = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
  ::setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);  // accepted sockets inherit it
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (listener < 0 || ::bind(listener, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::listen(listener, SOMAXCONN) != 0 ||
      ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    std::perror("cannot listen");
    std::exit(1);
  }
  port = ntohs(address.sin_port);
  return listener;
}

inline void ready(std::uint16_t port) {
  std::printf("READY port=%d\n", port);
  std::fflush(stdout);
}

inline unsigned threads_of(int argc, char** argv, int place) {
  const int threads = argc > place ? std::atoi(argv[place]) : 1;
  return threads > 0 ? static_cast<unsigned>(threads) : 1;
}

/// A listener for each thread, and nothing that they share.
template <class Work>
void serve_alone(unsigned threads, Work work, int flags = 0) {
  std::uint16_t port = 0;
  std::vector<int> listeners;
  for (unsigned i = 0; i < threads; ++i)
    listeners.push_back(listen_on(port, flags));
  ready(port);
  std::vector<std::jthread> pool;
  for (const int listener : listeners)
    pool.emplace_back(work, listener);
}

}  // namespace bench
