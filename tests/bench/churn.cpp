// Clients that come and go, 64 at a time: each connects, sends 64 bytes, checks the echo, finishes, waits for the
// server's end, and is followed by the next one.
//
//   churn PORT SECONDS       prints {"messages":N,"seconds":S}; a message is a whole connection
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t at_once = 64;
constexpr std::uint32_t sources = 64;  // 127.0.0.1 and up: one address has 28 232 ports, for a minute each

struct Client {
  int socket = -1;
  std::array<std::uint8_t, 64> message{};
  std::size_t received = 0;
};

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::system_category(), what);
}

class Churn {
 public:
  Churn(std::uint16_t port, double seconds)
      : port_(port),
        end_(Clock::now() +
             std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds))) {}
  std::uint64_t run();

 private:
  void start(std::size_t slot);
  void advance(std::size_t slot, std::uint32_t events);
  void watch(int operation, std::size_t slot, std::uint32_t events) {
    epoll_event event{.events = events, .data = {.u64 = slot}};
    if (::epoll_ctl(epoll_, operation, clients_[slot].socket, &event) != 0) fail("epoll_ctl");
  }

  const std::uint16_t port_;
  const Clock::time_point end_;
  const int epoll_ = ::epoll_create1(0);
  std::array<Client, at_once> clients_{};
  std::uint32_t started_ = 0;
  std::uint64_t done_ = 0;
  std::size_t open_ = 0;
};

void Churn::start(std::size_t slot) {
  Client& client = clients_[slot];
  client = {.socket = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)};
  if (client.socket < 0) fail("socket");
  const int one = 1;
  ::setsockopt(client.socket, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + started_ % sources);
  if (::bind(client.socket, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fail("bind");
  for (std::uint8_t& byte : client.message)
    byte = static_cast<std::uint8_t>(started_ + static_cast<std::uint32_t>(&byte - client.message.data()));
  ++started_;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port_);
  if (::connect(client.socket, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 &&
      errno != EINPROGRESS)
    fail("connect");
  watch(EPOLL_CTL_ADD, slot, EPOLLOUT);
  ++open_;
}

void Churn::advance(std::size_t slot, std::uint32_t events) {
  Client& client = clients_[slot];
  if (events & EPOLLOUT) {  // connected, or it has failed: then the send says so
    if (::send(client.socket, client.message.data(), client.message.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(client.message.size()))
      fail("send");
    return watch(EPOLL_CTL_MOD, slot, EPOLLIN);
  }
  std::array<std::uint8_t, 65> bytes{};
  const ssize_t count = ::recv(client.socket, bytes.data(), bytes.size(), 0);
  if (count < 0) fail("recv");
  const std::span came(bytes.data(), static_cast<std::size_t>(count));
  const std::span due = std::span(client.message).subspan(client.received);
  if (came.size() > due.size() || !std::equal(came.begin(), came.end(), due.begin()))
    throw std::runtime_error("a wrong byte");
  client.received += came.size();
  if (count > 0 && client.received == client.message.size()) ::shutdown(client.socket, SHUT_WR);
  if (count > 0) return;
  if (client.received < client.message.size()) throw std::runtime_error("closed by the server");
  ::close(client.socket);
  --open_;
  ++done_;
  if (Clock::now() < end_) start(slot);
}

std::uint64_t Churn::run() {
  for (std::size_t slot = 0; slot < at_once; ++slot)
    start(slot);
  std::array<epoll_event, at_once> events{};
  while (open_ > 0) {
    const int count = ::epoll_wait(epoll_, events.data(), at_once, 5000);
    if (count == 0) throw std::runtime_error("nothing for five seconds");
    for (int i = 0; i < count; ++i)
      advance(events[static_cast<std::size_t>(i)].data.u64, events[static_cast<std::size_t>(i)].events);
  }
  return done_;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 3) throw std::invalid_argument("usage: churn PORT SECONDS");
  const Clock::time_point start = Clock::now();
  Churn churn(static_cast<std::uint16_t>(std::stoi(argv[1])), std::stod(argv[2]));
  const std::uint64_t done = churn.run();
  const std::chrono::duration<double> took = Clock::now() - start;
  std::printf("{\"messages\":%llu,\"seconds\":%.3f}\n", static_cast<unsigned long long>(done), took.count());
} catch (const std::exception& error) {
  std::fprintf(stderr, "churn: %s\n", error.what());
  return 1;
}
