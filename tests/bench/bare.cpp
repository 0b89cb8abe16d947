// The ceilings: echo servers that make a model's system calls and nothing else. No short sends, no errors, no limits, no
// deadlines, no end. A measure of what a real server adds; never copy one.
//
//   bare MODEL [THREADS]      prints "READY port=N"
//
//   epoll      an instance and a listener of its own (SO_REUSEPORT) for each thread, level-triggered
//   oneshot    one instance for all threads, armed again after each message
//   owned      one instance for all threads, edge-triggered; an atomic word says whose a connection is
//   select     one thread
//   threads    a thread a connection
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/bench/listen.h"

namespace {

using namespace bench;

using Buffer = std::array<char, 65536>;  // on the stack: no more of it is touched than is received

/// Reads once, and sends that back. False: the peer has finished, or there was nothing (`received` tells).
bool echo(int client, Buffer& buffer, ssize_t& received) {
  received = ::recv(client, buffer.data(), buffer.size(), 0);
  if (received <= 0) return false;
  ::send(client, buffer.data(), static_cast<std::size_t>(received), MSG_NOSIGNAL);
  return true;
}
bool echo(int client, Buffer& buffer) {
  ssize_t received = 0;
  return echo(client, buffer, received);
}

void watch(int epoll, int operation, int descriptor, std::uint32_t events) {
  epoll_event event{.events = events, .data = {.fd = descriptor}};
  ::epoll_ctl(epoll, operation, descriptor, &event);
}

void work_epoll(int listener) {
  Buffer buffer;
  const int epoll = ::epoll_create1(0);
  watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN);
  std::array<epoll_event, 64> events{};
  for (;;) {
    const int count = ::epoll_wait(epoll, events.data(), 64, -1);
    for (int i = 0; i < count; ++i) {
      const int descriptor = events[i].data.fd;
      if (descriptor == listener)
        watch(epoll, EPOLL_CTL_ADD, ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK), EPOLLIN);
      else if (!echo(descriptor, buffer))
        ::close(descriptor);
    }
  }
}

void work_oneshot(int epoll, int listener) {
  Buffer buffer;
  std::array<epoll_event, 16> events{};
  for (;;) {
    const int count = ::epoll_wait(epoll, events.data(), 16, -1);
    for (int i = 0; i < count; ++i) {
      const int descriptor = events[i].data.fd;
      constexpr std::uint32_t once = EPOLLIN | EPOLLONESHOT;
      if (descriptor == listener) {
        watch(epoll, EPOLL_CTL_ADD, ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK), once);
        watch(epoll, EPOLL_CTL_MOD, listener, once);
      } else if (echo(descriptor, buffer)) {
        watch(epoll, EPOLL_CTL_MOD, descriptor, once);
      } else {
        ::close(descriptor);
      }
    }
  }
}

/// By descriptor: 0 free, 1 some thread's, more: it has had other events.
std::array<std::atomic<int>, 65536> owner;

void serve_owned(int client, bool ends, Buffer& buffer) {
  std::atomic<int>& events = owner[static_cast<std::size_t>(client)];
  if (events.fetch_add(1) > 0) return;  // its owner looks again
  for (;;) {
    const int seen = events;
    ssize_t received = 0;
    while (echo(client, buffer, received) && (ends || static_cast<std::size_t>(received) == buffer.size())) {
    }
    if (received == 0) {
      events = 0;
      ::close(client);
      return;
    }
    int expected = seen;
    if (events.compare_exchange_strong(expected, 0)) return;
    ends = true;  // whatever it was
  }
}

void work_owned(int epoll, int listener) {
  Buffer buffer;
  std::array<epoll_event, 16> events{};
  for (;;) {
    const int count = ::epoll_wait(epoll, events.data(), 16, -1);
    for (int i = 0; i < count; ++i) {
      const int descriptor = events[i].data.fd;
      if (descriptor == listener) {
        constexpr std::uint32_t edges = EPOLLIN | EPOLLRDHUP | EPOLLET;
        watch(epoll, EPOLL_CTL_ADD, ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK), edges);
        watch(epoll, EPOLL_CTL_MOD, listener, EPOLLIN | EPOLLONESHOT);
      } else {
        serve_owned(descriptor, (events[i].events & EPOLLRDHUP) != 0, buffer);  // a short read hides a FIN
      }
    }
  }
}

void work_select(int listener) {
  Buffer buffer;
  fd_set watched;
  FD_ZERO(&watched);
  FD_SET(listener, &watched);
  for (int highest = listener;;) {
    fd_set ready = watched;
    if (::select(highest + 1, &ready, nullptr, nullptr, nullptr) < 0) continue;
    for (int descriptor = listener + 1; descriptor <= highest; ++descriptor)
      if (FD_ISSET(descriptor, &ready) && !echo(descriptor, buffer)) {
        FD_CLR(descriptor, &watched);
        ::close(descriptor);
      }
    if (!FD_ISSET(listener, &ready)) continue;
    const int client = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK);
    FD_SET(client, &watched);
    highest = std::max(highest, client);
  }
}

void work_threads(int listener) {
  for (;;) {
    const int client = ::accept4(listener, nullptr, nullptr, 0);
    std::thread([client] {
      Buffer buffer;
      while (echo(client, buffer)) {
      }
      ::close(client);
    }).detach();
  }
}

void run(std::string_view model, unsigned threads) {
  if (model == "epoll") return serve_alone(threads, work_epoll);
  std::uint16_t port = 0;
  const int listener = listen_on(port);
  ready(port);
  if (model == "select") return work_select(listener);
  if (model == "threads") return work_threads(listener);
  const int epoll = ::epoll_create1(0);
  watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN | EPOLLONESHOT);
  std::vector<std::jthread> pool;
  for (unsigned i = 0; i < threads; ++i)
    pool.emplace_back(model == "oneshot" ? work_oneshot : work_owned, epoll, listener);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view model = argc > 1 ? argv[1] : "";
  constexpr std::array<std::string_view, 5> models = {"epoll", "oneshot", "owned", "select", "threads"};
  if (std::find(models.begin(), models.end(), model) == models.end()) {
    std::fputs("usage: bare epoll|oneshot|owned|select|threads [THREADS]\n", stderr);
    return 2;
  }
  run(model, threads_of(argc, argv, 2));
}
