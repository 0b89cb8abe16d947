// events: an echo of one thread on Windows that serves 64 clients, as 03 does, by an event object for each socket.
// An event says "you may", and says it once: again only after the call that it spoke of. No wait takes more than 64
// events. While 64 clients are here, the listener is left out: the next one stays in the backlog until one leaves.
//
//   quick   ==> event --+
//   slow    ==> event --+ wait    thread: [accept | recv, send] for each that may, and back to sleep
//   silent  ==> event --+
//
//   x86_64-w64-mingw32-g++-posix -std=c++20 -static docs/more_models/events.cpp -o events_sketch.exe -lws2_32
//   cl /std:c++20 /EHsc docs/more_models/events.cpp /Fe:events_sketch.exe ws2_32.lib        (MSVC)
//
// Windows only. Ctrl-C ends it. To compare: diff 03_select/sketch.cpp docs/more_models/events.cpp

#include <winsock2.h>  // brings windows.h with it

#include <array>
#include <charconv>
#include <cstdlib>
#include <iostream>
#include <map>
#include <string>
#include <system_error>

namespace {

struct Socket {  // owns a socket and its event object
  explicit Socket(SOCKET socket) : handle(socket), event(WSACreateEvent()) {}
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket() {
    closesocket(handle);
    WSACloseEvent(event);
  }
  SOCKET handle;
  WSAEVENT event;
};

struct Client {
  explicit Client(SOCKET accepted) : socket(accepted) {}
  Socket socket;
  std::string pending{};  // taken from the peer, not yet given back
  bool finished = false;  // FD_CLOSE has come, which is said once: there may still be bytes to read
};
using Clients = std::map<SOCKET, Client>;

[[noreturn]] void fail(const std::string& what, DWORD error = GetLastError()) {
  std::cerr << what << ": error " << error << '\n';  // net helpmsg knows them: 10048, the port is in use
  std::exit(1);
}

bool enable(SOCKET socket, int level, int option) {
  const BOOL on = TRUE;
  return setsockopt(socket, level, option, reinterpret_cast<const char*>(&on), sizeof on) == 0;
}

bool watch(const Socket& socket, long wanted) {  // makes it non-blocking, too
  return socket.event != WSA_INVALID_EVENT && WSAEventSelect(socket.handle, socket.event, wanted) == 0;
}

long network_events(const Socket& socket) {  // what its event stands for, if it is set; resets it
  WSANETWORKEVENTS what{};
  if (WSAEnumNetworkEvents(socket.handle, socket.event, &what) != 0) return FD_CLOSE;  // recv will say why
  return what.lNetworkEvents;
}

void accept_client(const Socket& listener, Clients& clients) {
  const SOCKET handle = accept(listener.handle, nullptr, nullptr);
  if (handle == INVALID_SOCKET) return;  // gone again; or out of memory (LIM-02)
  enable(handle, IPPROTO_TCP, TCP_NODELAY);
  const Socket& socket = clients.try_emplace(handle, handle).first->second.socket;
  // In place of the listener's event, which it inherits
  if (!watch(socket, FD_READ | FD_WRITE | FD_CLOSE)) clients.erase(handle);
}

bool receive(Client& client) {  // false: the peer's FIN, or the connection is broken
  std::array<char, 16384> buffer;
  const int n = recv(client.socket.handle, buffer.data(), static_cast<int>(buffer.size()), 0);
  if (n < 0) return WSAGetLastError() == WSAEWOULDBLOCK;  // an event can be false
  client.pending.assign(buffer.data(), n);
  return n > 0;
}

bool flush(Client& client) {  // what the system has room for, up to the send that finds none
  while (!client.pending.empty()) {
    const auto size = static_cast<int>(client.pending.size());
    const int n = send(client.socket.handle, client.pending.data(), size, 0);
    if (n < 0) return WSAGetLastError() == WSAEWOULDBLOCK;
    client.pending.erase(0, n);
  }
  return true;
}

// BP-04: nothing is read while anything is pending: one buffer a client, and at its FIN all is echoed.
// FD_READ is said again only after a recv, FD_WRITE after a send that found no room, FD_CLOSE never.
bool serve(Client& client) {
  do {
    if (!flush(client)) return false;
    if (!client.pending.empty()) return true;
    if (!receive(client)) return false;
  } while (client.finished && !client.pending.empty());
  return flush(client);
}

void close_connection(Clients& clients, SOCKET handle) {  // ~Socket sends a FIN: all has been read
  clients.erase(handle);
}

void run(const Socket& listener) {
  Clients clients;
  if (!watch(listener, FD_ACCEPT)) fail("WSAEventSelect");
  while (true) {
    std::array<WSAEVENT, WSA_MAXIMUM_WAIT_EVENTS> events;  // 64: the most that a wait takes
    DWORD count = 0;
    for (const auto& [handle, client] : clients)
      events[count++] = client.socket.event;
    if (count < events.size()) events[count++] = listener.event;  // if not, nobody is accepted (IO-10)
    if (WSAWaitForMultipleEvents(count, events.data(), FALSE, INFINITE, FALSE) == WSA_WAIT_FAILED)
      fail("WSAWaitForMultipleEvents");  // sleeps here, for all
    // CONC-04: it names the first that is set. If only that one were served, a busy one would starve the others.
    for (auto next = clients.begin(); next != clients.end();) {
      auto& [handle, client] = *next++;  // stepped on first: close_connection erases
      const long what = network_events(client.socket);
      if (what & FD_CLOSE) client.finished = true;
      if (what != 0 && !serve(client)) close_connection(clients, handle);
    }
    if (clients.size() < events.size() && network_events(listener) != 0) accept_client(listener, clients);
  }
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
  run(Socket(listen_on(number)));
}
