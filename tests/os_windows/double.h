// Winsock as a test wants it: what Wine does not do, and what Windows does once in a year. Each function here stands
// between the program and the system's own; an empty one lets the call through.
#pragma once

#include <winsock2.h>
#include <ws2tcpip.h>
//
#include <mstcpip.h>
#include <mswsock.h>
#include <windows.h>

#include <functional>

namespace ladder::winsock {

/// Set before the threads that call them are there. To call the system's own in one: real::send and so on.
struct Double {
  std::function<int(SOCKET, const char*, int, int)> send{};
  std::function<int(SOCKET, const sockaddr*, int)> bind{};
  std::function<int(SOCKET, int)> listen{};
  std::function<int(SOCKET, int)> shutdown{};
  std::function<int(SOCKET)> closesocket{};
  std::function<BOOL(HANDLE, OVERLAPPED*)> cancel_io{};
  /// Before AcceptEx is called. 0: then it is; else the error that it fails with.
  std::function<DWORD(SOCKET accepting)> accept_ex{};
  /// Answers SIO_TCP_INFO. False: as the system does.
  std::function<bool(void* info, DWORD size)> tcp_info{};
  std::function<void(DWORD code)> sees_ioctl{};
  // Before the system's own is called. 0: then it is; else the error that it fails with.
  std::function<DWORD(const tcp_keepalive&)> keep_alive{};  ///< SIO_KEEPALIVE_VALS
  std::function<DWORD(int level, int option, DWORD value)> setsockopt{};
  std::function<DWORD()> accept{};
  std::function<DWORD()> dequeue{};                  ///< GetQueuedCompletionStatus, no packet taken
  std::function<DWORD(SOCKET)> overlapped_result{};  ///< WSAGetOverlappedResult
  /// A provider is layered over the system's: its sockets are no handles of the system's.
  bool layered = false;
};
Double& in_place();  ///< the one; all calls of this program go through it

/// Puts an empty one in place, now and at its end.
struct Scene {
  Scene() { in_place() = {}; }
  ~Scene() { in_place() = {}; }
  Scene(const Scene&) = delete;
  Scene& operator=(const Scene&) = delete;
  Double* operator->() { return &in_place(); }
};

namespace real {
int send(SOCKET socket, const char* bytes, int size, int flags);
int listen(SOCKET socket, int backlog);
int shutdown(SOCKET socket, int how);
int closesocket(SOCKET socket);
BOOL cancel_io(HANDLE handle, OVERLAPPED* operation);
}  // namespace real

}  // namespace ladder::winsock
