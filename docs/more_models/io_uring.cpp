// io_uring: an echo of one thread that serves all clients and is told, as in 04, "it is done".
// A receive or a send is prepared in a queue that the program and the kernel share; its completion comes back in a
// second one. One system call submits all that has been prepared, and sleeps until something is complete.
//
//   prepared ==> +------+ ==> complete   thread: [a client has come | bytes are there | bytes have left]
//   recv, send   | ring |                        prepare what comes next, and back to sleep
//                +------+
//
//   g++ -std=c++20 -O2 -Wall -Wextra docs/more_models/io_uring.cpp -o sketch -luring && ./sketch 7777
//
// Ctrl-C ends it. Linux 5.19 or later; Debian: apt-get install liburing-dev. To compare:
// diff 04_iocp/sketch.cpp docs/more_models/io_uring.cpp

#include <liburing.h>
#include <liburing/io_uring.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <span>
#include <string>
#include <system_error>

namespace {

// A connection and its one operation: the kernel's from its preparation until its completion has been taken. Then it
// is the thread's again, to go on with or to free.
struct Client {
  ~Client() { close(socket); }
  int socket = -1;
  enum { receiving, sending } operation = receiving;
  std::span<char> part{};           // of the buffer: what is owed to the peer
  std::array<char, 4096> buffer{};  // small: it is kept in memory while a receive waits
};

[[noreturn]] void fail(const std::string& what, int error = errno) {
  std::cerr << what << ": " << std::strerror(error) << '\n';
  std::exit(1);
}

io_uring_sqe* prepare(io_uring& ring, Client* client) {  // an entry; its completion will name the client
  io_uring_sqe* entry = io_uring_get_sqe(&ring);
  if (!entry) io_uring_submit(&ring);  // full: its size limits one submission, not what is under way
  if (!entry) entry = io_uring_get_sqe(&ring);
  if (!entry) fail("io_uring_submit", EBUSY);
  io_uring_sqe_set_data(entry, client);
  return entry;
}

void receive(io_uring& ring, Client& client) {
  client.operation = Client::receiving;
  const std::span<char> buffer = client.buffer;
  io_uring_prep_recv(prepare(ring, &client), client.socket, buffer.data(), buffer.size(), 0);
}

void flush(io_uring& ring, Client& client) {
  client.operation = Client::sending;
  const std::span<char> part = client.part;
  io_uring_prep_send(prepare(ring, &client), client.socket, part.data(), part.size(), MSG_NOSIGNAL);
}

void accept_clients(io_uring& ring, int listener) {  // multishot: one entry, many completions
  io_uring_prep_multishot_accept(prepare(ring, nullptr), listener, nullptr, nullptr, SOCK_CLOEXEC);
}

void accept_client(io_uring& ring, int listener, const io_uring_cqe& completion) {
  if (completion.res == -EINVAL) fail("multishot accept, new in Linux 5.19", EINVAL);
  if (!(completion.flags & IORING_CQE_F_MORE)) accept_clients(ring, listener);  // an error has ended it
  if (completion.res < 0) return;  // gone again; or out of descriptors, and then the loop spins (LIM-02)
  auto client = std::make_unique<Client>();
  client->socket = completion.res;
  receive(ring, *client);
  (void)client.release();  // to its completion
}

// BP-04: nothing is read while anything is pending: one buffer a client, and at its FIN all is echoed.
bool serve(io_uring& ring, Client& client, int result) {  // false: the peer's FIN, or it is broken
  const bool received = client.operation == Client::receiving;
  if (result < 0 || (received && result == 0)) return false;  // negative: the errno, with its sign turned
  client.part = received ? std::span<char>(client.buffer).first(result) : client.part.subspan(result);
  client.part.empty() ? receive(ring, client) : flush(ring, client);
  return true;
}

void close_connection(std::unique_ptr<Client>) {}  // ~Client sends a FIN: after the peer's, all has been read

void run(io_uring& ring, int listener) {
  accept_clients(ring, listener);
  while (true) {
    const int submitted = io_uring_submit_and_wait(&ring, 1);  // sleeps here, for all
    if (submitted < 0 && submitted != -EINTR && submitted != -EBUSY)
      fail("io_uring_submit_and_wait", -submitted);
    io_uring_cqe* next = nullptr;
    while (io_uring_peek_cqe(&ring, &next) == 0) {
      const io_uring_cqe completion = *next;  // copied: its place in the queue is given back first
      io_uring_cqe_seen(&ring, next);
      auto* const client = static_cast<Client*>(io_uring_cqe_get_data(&completion));
      if (!client)
        accept_client(ring, listener, completion);
      else if (!serve(ring, *client, completion.res))
        close_connection(std::unique_ptr<Client>(client));
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

int listen_on(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof address;
  const int on = 1;
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  // LIFE-03: without SO_REUSEADDR a restart waits out TIME_WAIT. Clients inherit TCP_NODELAY.
  if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
      bind(listener, generic, size) != 0 || listen(listener, SOMAXCONN) != 0 ||
      getsockname(listener, generic, &size) != 0)
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
  io_uring ring{};
  if (const int failed = io_uring_queue_init(256, &ring, 0); failed < 0)
    fail("no io_uring here: too old a kernel, or forbidden (seccomp, kernel.io_uring_disabled)", -failed);
  run(ring, listen_on(port));
}
