// completion_routines: an echo on Windows whose one thread is told, as in 04, "it is done", without a port.
// A receive or a send is started with a function of ours. When it is over, the system queues a call of that function
// to the thread that started it, and makes the call while this thread sleeps in an alertable wait, such as SleepEx.
//
//   quick   ==>  +--------+
//   slow    ==>  | thread |  asleep, alertable: [bytes are there: start a send | all sent: start a receive]
//   silent  ==>  +--------+
//
//   x86_64-w64-mingw32-g++-posix -std=c++20 -static docs/more_models/completion_routines.cpp -o sketch.exe -lws2_32
//   cl /std:c++20 /EHsc docs/more_models/completion_routines.cpp /Fe:sketch.exe ws2_32.lib        (MSVC)
//
// Windows only. Ctrl-C ends it. To compare: diff 04_iocp/sketch.cpp docs/more_models/completion_routines.cpp

#include <winsock2.h>  // brings windows.h with it

#include <array>
#include <charconv>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <system_error>
#include <thread>

namespace {

// A connection and its one operation: the kernel's from the call that starts it until on_complete is called, then the
// thread's again, to go on with or to free. No other thread knows it.
struct Client : OVERLAPPED {
  ~Client() { closesocket(socket); }
  SOCKET socket = INVALID_SOCKET;
  enum { receiving, sending } operation = receiving;
  WSABUF part{};                    // of the buffer: what the operation works on
  std::array<char, 4096> buffer{};  // small: it is kept in memory while a receive waits
};

const HANDLE taken = CreateEventW(nullptr, FALSE, FALSE, nullptr);  // the newcomer has had its turn

[[noreturn]] void fail(const std::string& what, DWORD error = GetLastError()) {
  std::cerr << what << ": error " << error << '\n';  // net helpmsg knows them: 10048, the port is in use
  std::exit(1);
}

bool enable(SOCKET socket, int level, int option) {
  const BOOL on = TRUE;
  return setsockopt(socket, level, option, reinterpret_cast<const char*>(&on), sizeof on) == 0;
}

// on_complete is called even for what was done at once; but in the next wait, so this is no recursion.
bool started(int result) {  // after the call the kernel has the client, unless it failed
  return result == 0 || WSAGetLastError() == WSA_IO_PENDING;
}

void CALLBACK on_complete(DWORD error, DWORD bytes, OVERLAPPED* done, DWORD);

bool receive(Client& client) {
  DWORD flags = 0;
  client.operation = Client::receiving;
  client.part = {static_cast<ULONG>(client.buffer.size()), client.buffer.data()};
  return started(WSARecv(client.socket, &client.part, 1, nullptr, &flags, &client, on_complete));
}

bool flush(Client& client) {
  client.operation = Client::sending;
  return started(WSASend(client.socket, &client.part, 1, nullptr, 0, &client, on_complete));
}

void CALLBACK on_accepted(ULONG_PTR socket) {  // here, since a receive calls the thread that started it
  SetEvent(taken);
  auto client = std::make_unique<Client>();
  client->socket = socket;
  if (receive(*client)) (void)client.release();  // to on_complete
}

void accept_client(SOCKET listener, HANDLE server) {
  const SOCKET socket = accept(listener, nullptr, nullptr);  // sleeps here
  if (socket == INVALID_SOCKET) return Sleep(100);  // LIM-02: out of memory; at once again would spin
  enable(socket, IPPROTO_TCP, TCP_NODELAY);
  if (QueueUserAPC(on_accepted, server, socket))
    WaitForSingleObject(taken, INFINITE);  // CONC-05: or a storm of newcomers would fill the queue of calls
  else
    closesocket(socket);
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

void CALLBACK on_complete(DWORD error, DWORD bytes, OVERLAPPED* done, DWORD) {
  auto* const client = static_cast<Client*>(done);
  *done = {};  // as new, for the next operation
  if (error != 0 || !serve(*client, bytes)) close_connection(std::unique_ptr<Client>(client));
}

void run(SOCKET listener) {
  const HANDLE server = OpenThread(THREAD_SET_CONTEXT, FALSE, GetCurrentThreadId());
  if (!server || !taken) fail("no thread, or no event");
  const std::jthread acceptor([listener, server] {  // an accept takes no routine, and blocks
    while (true)
      accept_client(listener, server);
  });
  while (true)
    SleepEx(INFINITE, TRUE);  // sleeps here, for all: it calls on_accepted and on_complete
}

SOCKET listen_on(u_short number) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(number);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  int size = sizeof address;
  const SOCKET listener = WSASocketW(AF_INET, SOCK_STREAM, IPPROTO_TCP, nullptr, 0, WSA_FLAG_OVERLAPPED);
  // Never SO_REUSEADDR, right on POSIX: on Windows two processes that both set it share the port
  if (listener == INVALID_SOCKET || !enable(listener, SOL_SOCKET, SO_EXCLUSIVEADDRUSE) ||
      bind(listener, generic, size) != 0 || listen(listener, SOMAXCONN) != 0 ||
      getsockname(listener, generic, &size) != 0)
    fail("cannot listen on 127.0.0.1:" + std::to_string(number));
  std::cout << "listening on 127.0.0.1:" << ntohs(address.sin_port) << std::endl;
  return listener;
}

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
  if (const int failed = WSAStartup(MAKEWORD(2, 2), &about)) fail("WSAStartup", failed);
  run(listen_on(number));
}
