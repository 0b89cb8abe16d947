// 04, a completion port: an echo whose workers, one a core, all sleep on ONE queue of finished work.
// Nobody is told "you may". A receive or a send is started, and its buffer is the kernel's until it is over.
// Then the kernel queues a packet: "it is done". Any worker takes it, and starts what comes next.
//
//   quick   ==>  +------+  worker 1: [bytes are there: start a send | all sent: start a receive], and back
//   slow    ==>  | port |  worker 2: the same
//   silent  ==>  +------+  ...
//
//   x86_64-w64-mingw32-g++-posix -std=c++20 -static 04_iocp/sketch.cpp -o 04_iocp_sketch.exe -lws2_32
//   cl /std:c++20 /EHsc 04_iocp/sketch.cpp /Fe:04_iocp_sketch.exe ws2_32.lib        (MSVC)
//
// 04_iocp_sketch.exe [port]. Windows only. (1) to (12): the classic sequence, whose loop, (8) to (10), has no
// way out, so that (12) is never reached. Ctrl-C is one here.

#include <winsock2.h>  // brings windows.h with it

#include <array>
#include <atomic>
#include <charconv>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace {

// A connection and its one operation: the kernel's from the call that starts it until a worker takes its
// packet, then that worker's alone, without a lock, to go on with or to free.
struct Client : OVERLAPPED {
  ~Client() { closesocket(socket); }
  SOCKET socket = INVALID_SOCKET;
  enum { receiving, sending } operation = receiving;
  WSABUF part{};                    // of the buffer: what the operation works on
  std::array<char, 4096> buffer{};  // small: it is kept in memory while a receive waits
};

SOCKET listener = INVALID_SOCKET;  // not local, since the console's handler is given no argument
std::atomic<bool> accepting = true, stopping = false;

[[noreturn]] void fail(const std::string& what, DWORD error = GetLastError()) {
  std::cerr << what << ": error " << error << '\n';  // net helpmsg knows them: 10048, the port is in use
  std::exit(1);
}

bool enable(SOCKET socket, int level, int option) {
  const BOOL on = TRUE;
  return setsockopt(socket, level, option, reinterpret_cast<const char*>(&on), sizeof on) == 0;
}

// A packet comes, even of what was done at once, and a worker may have had it by now and freed the client.
bool started(int result) {  // so after the call nobody touches it, unless it failed: then there is no packet
  return result == 0 || WSAGetLastError() == WSA_IO_PENDING;
}

bool receive(Client& client) {
  DWORD flags = 0;
  client.operation = Client::receiving;
  client.part = {static_cast<ULONG>(client.buffer.size()), client.buffer.data()};
  return started(WSARecv(client.socket, &client.part, 1, nullptr, &flags, &client, nullptr));
}

bool flush(Client& client) {
  client.operation = Client::sending;
  return started(WSASend(client.socket, &client.part, 1, nullptr, 0, &client, nullptr));
}

void accept_client(HANDLE port) {
  auto client = std::make_unique<Client>();
  client->socket = WSAAccept(listener, nullptr, nullptr, nullptr, 0);  // (8), sleeps here
  if (client->socket == INVALID_SOCKET) return Sleep(100);  // LIM-02: out of memory; at once again would spin
  enable(client->socket, IPPROTO_TCP, TCP_NODELAY);
  if (!CreateIoCompletionPort(reinterpret_cast<HANDLE>(client->socket), port, 0, 0)) return;  // (9)
  if (receive(*client)) (void)client.release();  // (10), to its packet
}

// BP-04: nothing is read while anything is pending: one buffer a client, and at its FIN all is echoed.
bool serve(Client& client, DWORD bytes) {  // false: the peer's FIN, or nothing could be started
  if (client.operation == Client::receiving) {
    client.part.len = bytes;
    return bytes > 0 && flush(client);
  }
  client.part.buf += bytes;
  client.part.len -= bytes;
  return client.part.len > 0 ? flush(client) : receive(client);
}

void close_connection(std::unique_ptr<Client>) {}  // ~Client sends a FIN: after the peer's, all has been read

void work(HANDLE port) {
  while (true) {
    DWORD bytes = 0;
    ULONG_PTR key = 0;           // given in (9): could say whose packet it is, as the record does
    OVERLAPPED* done = nullptr;  // stays so for an exit packet
    const BOOL good = GetQueuedCompletionStatus(port, &bytes, &key, &done, INFINITE);  // (11), sleeps here
    if (!done) return;
    auto* const client = static_cast<Client*>(done);
    *done = {};  // as new, for the next operation
    if (!good || !serve(*client, bytes)) close_connection(std::unique_ptr<Client>(client));
  }
}

void listen_on(u_short number) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(number);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  int size = sizeof address;
  listener = WSASocketW(AF_INET, SOCK_STREAM, IPPROTO_TCP, nullptr, 0, WSA_FLAG_OVERLAPPED);  // (5)
  // Never SO_REUSEADDR, right on POSIX: on Windows two processes that both set it share the port
  if (listener == INVALID_SOCKET || !enable(listener, SOL_SOCKET, SO_EXCLUSIVEADDRUSE) ||
      bind(listener, generic, size) != 0 || listen(listener, SOMAXCONN) != 0 ||  // (6), (7)
      getsockname(listener, generic, &size) != 0)
    fail("cannot listen on 127.0.0.1:" + std::to_string(number));
  std::cout << "listening on 127.0.0.1:" << ntohs(address.sin_port) << std::endl;
}

BOOL WINAPI on_ctrl_c(DWORD) {  // in one of the system's threads
  stopping = true;
  for (; accepting; Sleep(10))  // again, since an accept that has not begun is not cancelled
    CancelIoEx(reinterpret_cast<HANDLE>(listener), nullptr);
  return TRUE;
}

void run(HANDLE port, u_short number) {
  SYSTEM_INFO system;
  GetSystemInfo(&system);  // (3)
  std::vector<std::jthread> workers(system.dwNumberOfProcessors);
  for (std::jthread& worker : workers)
    worker = std::jthread(work, port);  // (4)
  listen_on(number);
  SetConsoleCtrlHandler(on_ctrl_c, TRUE);
  while (!stopping)
    accept_client(port);
  accepting = false;
  for (std::size_t i = 0; i < workers.size(); ++i)
    PostQueuedCompletionStatus(port, 0, 0, nullptr);  // an exit packet for each; ~jthread joins
}  // A client that is still here has an operation outstanding: it is not freed, the process's end closes it.

}  // namespace

int main(int argc, char** argv) {
  const std::string text = argc > 1 ? argv[1] : "7777";
  u_short number = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (argc > 2 || error != std::errc{} || *rest != '\0') {
    std::cerr << "usage: " << argv[0] << " [port], a number from 0 (any) to 65535\n";
    return 2;
  }
  WSADATA about;
  if (const int failed = WSAStartup(MAKEWORD(2, 2), &about)) fail("WSAStartup", failed);  // (1)
  const HANDLE port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, nullptr, 0, 0);        // (2)
  if (!port) fail("no completion port");
  run(port, number);
  CloseHandle(port);
  WSACleanup();  // (12), and the listener with it
}
