// An echo server that is right in the mode "good", and wrong in one way in each of the others: what the suite
// is itself tested with (self.cmake). One thread, poll, one queue a client.
//
//   broken_server MODE PORT
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <iostream>
#include <map>
#include <string>
#include <vector>

namespace {

std::string mode;

bool broken(const char* how) {
  return mode == how;
}

struct Client {
  std::string owed{};  // received and not yet sent back
  bool finished = false;
  std::size_t seen = 0;
  int bursts = 0;
};

std::map<int, Client> clients;
std::string shared;  // "shares": one queue for all clients

std::string& queue_of(Client& client) {
  return broken("shares") ? shared : client.owed;
}

void drop_each_thousandth(Client& client, std::string& bytes) {
  std::erase_if(bytes, [&](char) { return ++client.seen % 1000 == 0; });
}

/// False: the connection is over, in order or not.
bool receive(int socket, Client& client) {
  std::string buffer(1 << 16, '\0');
  while (true) {
    const ssize_t n = recv(socket, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    if (n == 0) {
      client.finished = true;
      return !broken("early_close");  // what is owed is forgotten
    }
    std::string bytes = buffer.substr(0, n);
    if (broken("drops")) drop_each_thousandth(client, bytes);
    queue_of(client) += bytes;
    if (broken("early_close")) continue;
    return true;
  }
}

/// False: the connection is over.
bool flush(int socket, Client& client) {
  std::string& queue = queue_of(client);
  if (broken("one_burst") && !queue.empty() && ++client.bursts > 1) queue.clear();
  if (!queue.empty()) {
    const ssize_t n = send(socket, queue.data(), queue.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN && errno != EINTR) return false;
    queue.erase(0, broken("short_sends") ? queue.size() : n > 0 ? n : 0);
  }
  return !client.finished || !queue.empty();
}

void end(int socket) {
  const linger at_once{1, 0};
  if (broken("resets")) setsockopt(socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  if (broken("leaks"))
    shutdown(socket, SHUT_RDWR);
  else
    close(socket);
  clients.erase(socket);
}

void accept_client(int listener) {
  const int socket = accept(listener, nullptr, nullptr);
  const int on = 1;
  if (socket < 0) return;
  setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  clients[socket];
}

void serve(const pollfd& ready) {
  Client& client = clients[ready.fd];
  bool open = true;
  if (ready.revents & ~POLLOUT) open = receive(ready.fd, client);
  if (!open || !flush(ready.fd, client)) end(ready.fd);
}

void turn(int listener) {
  constexpr std::size_t high_mark = 1 << 18;
  std::vector<pollfd> polled{{listener, POLLIN, 0}};
  for (auto& [socket, client] : clients) {
    const std::string& queue = queue_of(client);
    const bool reads = !client.finished && queue.size() < high_mark;
    polled.push_back({socket, static_cast<short>((reads ? POLLIN : 0) | (queue.empty() ? 0 : POLLOUT)), 0});
  }
  poll(polled.data(), polled.size(), broken("spins") ? 0 : -1);
  for (std::size_t i = 1; i < polled.size(); ++i)
    if (polled[i].revents) serve(polled[i]);
  if (polled[0].revents) accept_client(listener);
}

int listen_on(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      listen(listener, SOMAXCONN) != 0) {
    std::cerr << "cannot listen\n";
    std::exit(1);
  }
  return listener;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  mode = argv[1];
  const int listener = listen_on(static_cast<std::uint16_t>(std::atoi(argv[2])));
  while (true)
    turn(listener);
}
