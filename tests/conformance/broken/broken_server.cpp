// An echo server that is right in the mode "good", and wrong in one way in each of the others: what the suite
// is itself tested with (self.cmake says which case must see which). One thread, poll, one queue a client.
//
//   broken_server MODE PORT
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <map>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using namespace std::string_view_literals;

constexpr std::size_t high_mark = 1 << 18;

std::string mode;

bool broken(const char* how) {
  return mode == how;
}

constexpr std::string_view garbage = "<script>\"&'\x1b[31m\xff\xfe\xc3(\0]]>\n"sv;

struct Client {
  std::string owed{};  // received and not yet sent back
  bool finished = false;
  std::size_t seen = 0;
  int bursts = 0;
};

std::map<int, Client> clients;
std::string the_only_queue;
std::vector<std::string> kept;
bool out_of_descriptors = false;  // until a client leaves: the listener would be readable all the time

std::string& queue_of(Client& client) {
  return broken("shares_a_queue") ? the_only_queue : client.owed;
}

bool comes_soon(int socket) {
  pollfd input{socket, POLLIN, 0};
  return poll(&input, 1, 200) > 0;
}

/// After a call that failed. False: the connection is over.
bool survived() {
  if (errno == EAGAIN || errno == EINTR) return true;
  if (broken("exits_at_a_reset")) std::exit(1);
  return false;
}

bool flush(int socket, Client& client);

/// False: the connection is over, in order or not.
bool receive(int socket, Client& client) {
  std::string buffer(broken("answers_out_of_order") ? 16 : 1 << 16, '\0');
  if (broken("asks_for_what_it_leaves") && client.owed.size() >= high_mark) return true;
  while (true) {
    const ssize_t n = recv(socket, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (n < 0) return survived();
    if (n == 0) {
      client.finished = true;
      return !broken("closes_at_end_of_input");  // what is owed is forgotten
    }
    std::string bytes = buffer.substr(0, n);
    if (broken("never_answers")) bytes.clear();
    if (broken("answers_garbage")) std::cerr << (bytes = garbage);
    if (broken("drops_bytes")) std::erase_if(bytes, [&](char) { return ++client.seen % 1000 == 0; });
    if (broken("answers_out_of_order")) {  // as two workers do: the one who took the later part sends first
      const ssize_t more = recv(socket, buffer.data(), buffer.size(), MSG_DONTWAIT);
      bytes.insert(0, buffer, 0, std::max<ssize_t>(more, 0));
    }
    queue_of(client) += bytes;
    if (broken("stays_with_one") && comes_soon(socket)) {
      flush(socket, client);
      continue;
    }
    if (!broken("closes_at_end_of_input")) return true;
  }
}

/// False: the connection is over.
bool flush(int socket, Client& client) {
  std::string& queue = queue_of(client);
  if (broken("floods")) queue.resize(1 << 16, '?');
  if (broken("answers_one_burst") && !queue.empty() && ++client.bursts > 1) queue.clear();
  if (!queue.empty()) {
    const int flags =
        (broken("waits_in_send") ? 0 : MSG_DONTWAIT) | (broken("dies_of_sigpipe") ? 0 : MSG_NOSIGNAL);
    const ssize_t n = send(socket, queue.data(), broken("drips") ? 1 : queue.size(), flags);
    if (n < 0 && (broken("takes_full_for_broken") || !survived())) return false;
    if (n > 0) queue.erase(0, broken("ignores_short_sends") ? queue.npos : n);
  }
  return !client.finished || !queue.empty() || broken("keeps_closed_ones");
}

void end(int socket) {
  const linger at_once{1, 0};
  if (broken("resets") || broken("resets_at_once"))
    setsockopt(socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  if (broken("leaks_descriptors"))
    shutdown(socket, SHUT_RDWR);
  else
    close(socket);
  clients.erase(socket);
  out_of_descriptors = false;
  if (broken("leaks_memory")) kept.emplace_back(256, 'x');
  if (broken("leaks_threads")) std::thread(pause).detach();
  if (broken("exits_after_a_client")) std::exit(0);
}

/// False: it will accept no more.
bool accept_client(int listener) {
  if (listener < 0) return false;
  sockaddr_in peer{};
  socklen_t size = sizeof peer;
  const int socket = accept(listener, nullptr, nullptr);
  const int on = 1;
  out_of_descriptors = socket < 0 && !broken("spins_without_descriptors");
  if (socket < 0) return !broken("gives_up_without_descriptors");
  const bool dead = getpeername(socket, reinterpret_cast<sockaddr*>(&peer), &size) != 0;
  setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  clients[socket];
  if (broken("waits_for_the_first_bytes")) recv(socket, &peer, 1, MSG_PEEK);
  if (broken("floods")) clients[socket].owed = '?';
  if (broken("closes_at_once") || broken("resets_at_once")) end(socket);
  return !(dead && broken("goes_deaf"));
}

std::vector<pollfd> what_to_watch(int listener) {
  std::vector<pollfd> polled{{out_of_descriptors ? -1 : listener, POLLIN, 0}};
  for (auto& [socket, client] : clients) {
    const std::string& queue = queue_of(client);
    const bool full = queue.size() >= high_mark && !broken("queues_without_end");
    const bool reads = !client.finished && (!full || broken("asks_for_what_it_leaves"));
    if (client.finished && queue.empty()) continue;
    polled.push_back({socket, static_cast<short>((reads ? POLLIN : 0) | (queue.empty() ? 0 : POLLOUT)), 0});
  }
  return polled;
}

void run(int listener) {
  while (true) {
    std::vector<pollfd> polled = what_to_watch(listener);
    poll(polled.data(), polled.size(), broken("spins") ? 0 : -1);
    if (broken("drips")) poll(nullptr, 0, 20);
    std::vector<int> over;
    for (const pollfd& each : polled)
      if (each.fd != listener && (each.revents & ~POLLOUT) && !receive(each.fd, clients[each.fd]))
        over.push_back(each.fd);
    for (const int socket : over)
      end(socket);
    for (const pollfd& each : polled)
      if (each.revents && clients.contains(each.fd) && !flush(each.fd, clients[each.fd])) end(each.fd);
    if (!polled[0].revents) continue;
    if (!accept_client(listener)) listener = -1;
    if (listener >= 0 && broken("turns_away_who_waits") && comes_soon(listener))
      close(accept(listener, nullptr, nullptr));
    while (broken("accepts_all_first") && comes_soon(listener))
      accept_client(listener);
  }
}

int listen_on(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (listener < 0 || bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      listen(listener, SOMAXCONN) != 0) {
    std::cerr << "cannot listen on port " << port << '\n';
    std::exit(1);
  }
  return listener;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  mode = argv[1];
  run(listen_on(static_cast<std::uint16_t>(std::atoi(argv[2]))));
}
