// A call of a DLL's function goes through a pointer, __imp_send for instance, that the linker takes from the import
// library unless the program has one of that name: these are ours. MinGW-w64.
#include "tests/os_windows/double.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace ladder::winsock {

Double& in_place() {
  static Double one;
  return one;
}

namespace {

template <class Function>
Function find(const char* dll, const char* name) {
  Function function = nullptr;
  const FARPROC found = ::GetProcAddress(::GetModuleHandleA(dll), name);
  static_assert(sizeof found == sizeof function);
  std::memcpy(&function, &found, sizeof found);
  return function;
}

template <class Function>
Function find(const char* name) {
  return find<Function>("ws2_32.dll", name);
}

bool fails(DWORD error) {
  ::WSASetLastError(static_cast<int>(error));  // SetLastError by another name
  return error != 0;
}

constexpr DWORD sio_tcp_info = _WSAIORW(IOC_VENDOR, 39);

LPFN_ACCEPTEX real_accept_ex = nullptr;

BOOL PASCAL accept_ex(SOCKET listener, SOCKET accepting, void* buffer, DWORD data, DWORD local, DWORD remote,
                      DWORD* received, OVERLAPPED* operation) {
  if (in_place().accept_ex && fails(in_place().accept_ex(accepting))) return FALSE;
  return real_accept_ex(listener, accepting, buffer, data, local, remote, received, operation);
}

}  // namespace

namespace real {

int send(SOCKET socket, const char* bytes, int size, int flags) {
  static const auto function = find<int(WSAAPI*)(SOCKET, const char*, int, int)>("send");
  return function(socket, bytes, size, flags);
}
int listen(SOCKET socket, int backlog) {
  static const auto function = find<int(WSAAPI*)(SOCKET, int)>("listen");
  return function(socket, backlog);
}
int shutdown(SOCKET socket, int how) {
  static const auto function = find<int(WSAAPI*)(SOCKET, int)>("shutdown");
  return function(socket, how);
}
int closesocket(SOCKET socket) {
  static const auto function = find<int(WSAAPI*)(SOCKET)>("closesocket");
  return function(socket);
}
BOOL cancel_io(HANDLE handle, OVERLAPPED* operation) {
  static const auto function = find<BOOL(WINAPI*)(HANDLE, OVERLAPPED*)>("kernel32.dll", "CancelIoEx");
  return function(handle, operation);
}

}  // namespace real

namespace {

int WSAAPI our_send(SOCKET socket, const char* bytes, int size, int flags) {
  const auto& instead = in_place().send;
  return instead ? instead(socket, bytes, size, flags) : real::send(socket, bytes, size, flags);
}

int WSAAPI our_bind(SOCKET socket, const sockaddr* address, int size) {
  static const auto real = find<int(WSAAPI*)(SOCKET, const sockaddr*, int)>("bind");
  return in_place().bind ? in_place().bind(socket, address, size) : real(socket, address, size);
}

int WSAAPI our_listen(SOCKET socket, int backlog) {
  return in_place().listen ? in_place().listen(socket, backlog) : real::listen(socket, backlog);
}

int WSAAPI our_shutdown(SOCKET socket, int how) {
  return in_place().shutdown ? in_place().shutdown(socket, how) : real::shutdown(socket, how);
}

int WSAAPI our_closesocket(SOCKET socket) {
  return in_place().closesocket ? in_place().closesocket(socket) : real::closesocket(socket);
}

BOOL WINAPI our_cancel_io(HANDLE handle, OVERLAPPED* operation) {
  return in_place().cancel_io ? in_place().cancel_io(handle, operation) : real::cancel_io(handle, operation);
}

int WSAAPI our_getsockopt(SOCKET socket, int level, int option, char* value, int* size) {
  static const auto real = find<int(WSAAPI*)(SOCKET, int, int, char*, int*)>("getsockopt");
  const int result = real(socket, level, option, value, size);
  if (result == 0 && in_place().layered && level == SOL_SOCKET && option == SO_PROTOCOL_INFOW) {
    WSAPROTOCOL_INFOW info{};
    std::memcpy(&info, value, sizeof info);
    info.dwServiceFlags1 &= ~static_cast<DWORD>(XP1_IFS_HANDLES);
    std::memcpy(value, &info, sizeof info);
  }
  return result;
}

int WSAAPI our_setsockopt(SOCKET socket, int level, int option, const char* value, int size) {
  static const auto real = find<decltype(&our_setsockopt)>("setsockopt");
  DWORD number = 0;
  std::memcpy(&number, value, std::min<std::size_t>(static_cast<std::size_t>(size), sizeof number));
  if (in_place().setsockopt && fails(in_place().setsockopt(level, option, number))) return SOCKET_ERROR;
  return real(socket, level, option, value, size);
}

SOCKET WSAAPI our_accept(SOCKET listener, sockaddr* peer, int* size) {
  static const auto real = find<decltype(&our_accept)>("accept");
  if (in_place().accept && fails(in_place().accept())) return INVALID_SOCKET;
  return real(listener, peer, size);
}

BOOL WINAPI our_dequeue(HANDLE port, DWORD* bytes, ULONG_PTR* key, OVERLAPPED** done, DWORD limit) {
  static const auto real = find<decltype(&our_dequeue)>("kernel32.dll", "GetQueuedCompletionStatus");
  *done = nullptr;
  if (in_place().dequeue && fails(in_place().dequeue())) return FALSE;
  return real(port, bytes, key, done, limit);
}

BOOL WSAAPI our_overlapped_result(SOCKET socket, OVERLAPPED* operation, DWORD* bytes, BOOL wait,
                                  DWORD* flags) {
  static const auto real = find<decltype(&our_overlapped_result)>("WSAGetOverlappedResult");
  if (in_place().overlapped_result && fails(in_place().overlapped_result(socket))) return FALSE;
  return real(socket, operation, bytes, wait, flags);
}

int WSAAPI our_ioctl(SOCKET socket, DWORD code, void* in, DWORD in_size, void* out, DWORD out_size,
                     DWORD* size, OVERLAPPED* operation, LPWSAOVERLAPPED_COMPLETION_ROUTINE routine) {
  static const auto real = find<decltype(&our_ioctl)>("WSAIoctl");
  if (in_place().sees_ioctl) in_place().sees_ioctl(code);
  if (code == SIO_KEEPALIVE_VALS && in_place().keep_alive) {
    tcp_keepalive times{};
    std::memcpy(&times, in, sizeof times);
    if (fails(in_place().keep_alive(times))) return SOCKET_ERROR;
  }
  if (code == sio_tcp_info && in_place().tcp_info && in_place().tcp_info(out, out_size)) return 0;
  const int result = real(socket, code, in, in_size, out, out_size, size, operation, routine);
  const GUID wanted = WSAID_ACCEPTEX;
  if (result == 0 && code == SIO_GET_EXTENSION_FUNCTION_POINTER &&
      std::memcmp(in, &wanted, sizeof wanted) == 0) {
    std::memcpy(&real_accept_ex, out, sizeof real_accept_ex);
    const LPFN_ACCEPTEX ours = accept_ex;
    std::memcpy(out, &ours, sizeof ours);
  }
  return result;
}

}  // namespace

}  // namespace ladder::winsock

// NOLINTBEGIN(bugprone-reserved-identifier): these are the linker's names
extern "C" {
extern decltype(&ladder::winsock::our_send) const __imp_send = ladder::winsock::our_send;
extern decltype(&ladder::winsock::our_bind) const __imp_bind = ladder::winsock::our_bind;
extern decltype(&ladder::winsock::our_listen) const __imp_listen = ladder::winsock::our_listen;
extern decltype(&ladder::winsock::our_shutdown) const __imp_shutdown = ladder::winsock::our_shutdown;
extern decltype(&ladder::winsock::our_closesocket) const __imp_closesocket = ladder::winsock::our_closesocket;
extern decltype(&ladder::winsock::our_cancel_io) const __imp_CancelIoEx = ladder::winsock::our_cancel_io;
extern decltype(&ladder::winsock::our_getsockopt) const __imp_getsockopt = ladder::winsock::our_getsockopt;
extern decltype(&ladder::winsock::our_accept) const __imp_accept = ladder::winsock::our_accept;
extern decltype(&ladder::winsock::our_setsockopt) const __imp_setsockopt = ladder::winsock::our_setsockopt;
extern decltype(&ladder::winsock::our_dequeue) const __imp_GetQueuedCompletionStatus =
    ladder::winsock::our_dequeue;
extern decltype(&ladder::winsock::our_overlapped_result) const __imp_WSAGetOverlappedResult =
    ladder::winsock::our_overlapped_result;
extern decltype(&ladder::winsock::our_ioctl) const __imp_WSAIoctl = ladder::winsock::our_ioctl;
}
// NOLINTEND(bugprone-reserved-identifier)
