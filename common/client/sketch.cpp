// The plain blocking client: for clients nothing changes from rung to rung, and this one talks to all of
// them.
//
//   standard input ──read──▶ send ──▶ ┌────────┐
//                                     │ server │      two threads: one sleeps in read or send,
//   standard output ◀─write─ recv ◀── └────────┘      the other in recv or write
//
//   g++ -std=c++20 -pthread common/client/sketch.cpp -o client_sketch
//   echo hello | ./client_sketch 127.0.0.1 7000
//
// Why a second thread: an echo server that may not send will not receive for ever. Were all input sent before
// the first recv, both sides would fill the buffers between them and then each wait for the other in send. It
// ends when the server has finished. (client talk is the same with names, IPv6, standard
// streams that somebody has made non-blocking, and an exact exit status.)

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <thread>

[[noreturn]] static void fail(const char* what) {
  std::perror(what);
  std::_Exit(1);
}

/// A short send is no error: the rest goes with the next one.
static bool send_all(int connection, const char* data, ssize_t size) {
  while (size > 0) {
    const ssize_t sent = send(connection, data, static_cast<size_t>(size), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return false;
    data += sent;
    size -= sent;
  }
  return true;
}

static std::atomic<bool> input_lost = false;

static void send_input(int connection) {
  static char data[65536];
  for (;;) {
    const ssize_t size = read(STDIN_FILENO, data, sizeof data);  // sleeps: for the user
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) fail("read");
    if (size == 0) break;
    if (!send_all(connection, data, size)) {  // sleeps: for room in the kernel's buffer
      std::perror("send");                    // what the server still said is printed all the same
      input_lost = true;
      return;
    }
  }
  shutdown(connection, SHUT_WR);  // half-close: no more comes from us, and we still receive
}

static int receive_output(int connection) {
  static char data[65536];
  for (;;) {
    const ssize_t size = recv(connection, data, sizeof data, 0);  // sleeps: for the server
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) fail("recv");
    if (size == 0) return input_lost ? 1 : 0;  // the server has finished
    if (std::fwrite(data, 1, static_cast<size_t>(size), stdout) != static_cast<size_t>(size) ||
        std::fflush(stdout))
      fail("write");
  }
}

int main(int argc, char** argv) {
  const int port = argc > 1 ? std::atoi(argv[argc - 1]) : 0;
  sockaddr_in server{};
  server.sin_family = AF_INET;
  server.sin_port = htons(static_cast<in_port_t>(port));
  if (argc < 2 || argc > 3 || port < 1 || port > 65535 ||
      inet_pton(AF_INET, argc == 3 ? argv[1] : "127.0.0.1", &server.sin_addr) != 1) {
    std::fputs("usage: client_sketch [ADDRESS] PORT\n", stderr);
    return 2;
  }
  const int connection = socket(AF_INET, SOCK_STREAM, 0);
  if (connection < 0) fail("socket");
  if (connect(connection, reinterpret_cast<sockaddr*>(&server), sizeof server) != 0) fail("connect");
  std::thread(send_input, connection).detach();  // at the end it may still sleep in read: nobody waits for it
  return receive_output(connection);
}
