#include <winsock2.h>
#include <ws2tcpip.h>

#include "common/os/os.h"
#include "tests/contract/platform.h"
#include <ladder/server.h>
//
#include <malloc.h>
#include <tlhelp32.h>
#include <windows.h>

#include <cstdint>
#include <cstring>
#include <system_error>

namespace ladder::contract {
namespace {

void demand(bool done, const char* what) {
  if (!done) throw std::system_error(os::last_error(), what);
}

}  // namespace

os::Descriptor new_socket(bool v6) {
  return os::make_socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM);
}

bool connect(const os::Descriptor& socket, const Endpoint& to) {
  sockaddr_storage storage{};
  int size = sizeof(sockaddr_in);
  if (to.v6) {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(to.port);
    std::memcpy(&v6.sin6_addr, to.address.data(), 16);
    std::memcpy(&storage, &v6, size = sizeof v6);
  } else {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(to.port);
    std::memcpy(&v4.sin_addr, to.address.data(), 4);
    std::memcpy(&storage, &v4, size);
  }
  return ::connect(socket.get(), reinterpret_cast<sockaddr*>(&storage), size) == 0;
}

void set_receive_buffer(const os::Descriptor& socket, int bytes) {
  demand(::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, reinterpret_cast<const char*>(&bytes),
                      sizeof bytes) == 0,
         "SO_RCVBUF");
}

void give_up_after(const os::Descriptor& socket, Milliseconds limit) {
  const auto time = static_cast<DWORD>(limit.count());
  for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO})
    demand(::setsockopt(socket.get(), SOL_SOCKET, option, reinterpret_cast<const char*>(&time),
                        sizeof time) == 0,
           "SO_RCVTIMEO");
}

bool under_wine() {
  return ::GetProcAddress(::GetModuleHandleW(L"ntdll.dll"), "wine_get_version") != nullptr;
}

std::size_t usable_size(void* memory) {
  return ::_msize(memory);
}

std::size_t threads() {
  const HANDLE all = ::CreateToolhelp32Snapshot(TH32CS_SNAPTHREAD, 0);
  THREADENTRY32 entry{};
  entry.dwSize = sizeof entry;
  std::size_t count = 0;
  for (BOOL more = ::Thread32First(all, &entry); more; more = ::Thread32Next(all, &entry))
    if (entry.th32OwnerProcessID == ::GetCurrentProcessId()) ++count;
  ::CloseHandle(all);
  return count;
}

Milliseconds cpu_time() {
  FILETIME created, ended, kernel, user;
  if (!::GetProcessTimes(::GetCurrentProcess(), &created, &ended, &kernel, &user))
    throw std::system_error(static_cast<int>(::GetLastError()), std::system_category(), "GetProcessTimes");
  const auto ticks = [](const FILETIME& time) {  // of 100 ns
    return std::int64_t{time.dwHighDateTime} << 32 | time.dwLowDateTime;
  };
  return Milliseconds{(ticks(kernel) + ticks(user)) / 10'000};
}

void allow_descriptors() {}  // no such limit

bool NoMoreDescriptors::possible() {
  return false;
}
NoMoreDescriptors::NoMoreDescriptors() = default;
NoMoreDescriptors::~NoMoreDescriptors() = default;

bool SmallStacks::possible() {
  return false;
}
SmallStacks::SmallStacks() = default;
SmallStacks::~SmallStacks() = default;

os::Descriptor place_holder() {
  return os::make_socket(AF_INET, SOCK_STREAM);
}

}  // namespace ladder::contract
