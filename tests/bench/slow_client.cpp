// Asks a server whose callbacks are slow (slow.h): how long do others wait?
//
//   slow_client PORT four          four clients at once, each with a request of 200 ms: until the last is answered
//   slow_client PORT callback      one request of 200 ms is under way, and newcomers come: the longest that one waits
//   slow_client PORT open          the same while a connection takes 200 ms to open
//
// Prints {"ms":N}. A newcomer connects, sends a message and waits for its echo; twenty come, one every 5 ms.
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <ratio>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>

namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::duration<double, std::milli>;

class Client {
 public:
  explicit Client(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    const timeval patience{.tv_sec = 10, .tv_usec = 0};
    if (socket_ < 0 || ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0 ||
        ::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      throw std::system_error(errno, std::system_category(), "connect");
  }
  ~Client() { ::close(socket_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void send(char message) const {
    if (::send(socket_, &message, 1, MSG_NOSIGNAL) != 1)
      throw std::system_error(errno, std::system_category(), "send");
  }
  void receive(char message) const {
    char answer = 0;
    if (::recv(socket_, &answer, 1, 0) != 1) throw std::runtime_error("no answer");
    if (answer != message) throw std::runtime_error("a wrong byte");
  }

 private:
  int socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
};

Milliseconds longest_wait_of_newcomers(std::uint16_t port) {
  Milliseconds longest{0};
  const Clock::time_point start = Clock::now();
  for (int i = 1; i <= 20; ++i) {  // the first one late enough to come second
    std::this_thread::sleep_until(start + i * std::chrono::milliseconds(5));
    const Clock::time_point came = Clock::now();
    const Client newcomer(port);
    newcomer.send('q');
    newcomer.receive('q');
    longest = std::max<Milliseconds>(longest, Clock::now() - came);
  }
  return longest;
}

Milliseconds ask(std::uint16_t port, const std::string& question) {
  const Client first(port);  // it takes its time to open
  if (question == "open") return longest_wait_of_newcomers(port);
  first.send('q');
  first.receive('q');
  const std::array<Client, 3> more{Client(port), Client(port), Client(port)};
  for (const Client& client : more) {  // all are open
    client.send('q');
    client.receive('q');
  }
  const Clock::time_point start = Clock::now();
  first.send('s');
  if (question == "callback") return longest_wait_of_newcomers(port);
  if (question != "four") throw std::invalid_argument("no question: " + question);
  for (const Client& client : more)
    client.send('s');
  first.receive('s');
  for (const Client& client : more)
    client.receive('s');
  return Clock::now() - start;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 3) throw std::invalid_argument("usage: slow_client PORT four|callback|open");
  std::printf("{\"ms\":%.2f}\n", ask(static_cast<std::uint16_t>(std::stoi(argv[1])), argv[2]).count());
} catch (const std::exception& error) {
  std::fprintf(stderr, "slow_client: %s\n", error.what());
  return 1;
}
