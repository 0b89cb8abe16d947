#include <malloc.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <iterator>
#include <system_error>

#include "common/os/os.h"
#include "tests/contract/platform.h"
#include <ladder/server.h>

namespace ladder::contract {
namespace {

void demand(bool done, const char* what) {
  if (!done) throw std::system_error(errno, std::system_category(), what);
}

rlimit descriptors() {
  rlimit limit{};
  demand(::getrlimit(RLIMIT_NOFILE, &limit) == 0, "getrlimit");
  return limit;
}

void set_usual_stack(std::size_t size) {
  pthread_attr_t usual;
  ::pthread_attr_init(&usual);
  ::pthread_attr_setstacksize(&usual, size);
  errno = ::pthread_setattr_default_np(&usual);
  ::pthread_attr_destroy(&usual);
  demand(errno == 0, "pthread_setattr_default_np");
}

}  // namespace

os::Descriptor new_socket(bool v6) {
  os::Descriptor socket(::socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  demand(static_cast<bool>(socket), "socket");
  return socket;
}

bool connect(const os::Descriptor& socket, const Endpoint& to) {
  sockaddr_storage storage{};
  socklen_t size = sizeof(sockaddr_in);
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
  // ECONNRESET: it was connected, and on_open's abort() was quicker than this thread. The next receive tells of the reset.
  return ::connect(socket.get(), reinterpret_cast<sockaddr*>(&storage), size) == 0 || errno == ECONNRESET;
}

void set_receive_buffer(const os::Descriptor& socket, int bytes) {
  demand(::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes) == 0, "SO_RCVBUF");
}

void give_up_after(const os::Descriptor& socket, Milliseconds limit) {
  const timeval time{.tv_sec = limit.count() / 1000, .tv_usec = limit.count() % 1000 * 1000};
  demand(::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time) == 0, "SO_RCVTIMEO");
  demand(::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time) == 0, "SO_SNDTIMEO");
}

bool under_wine() {
  return false;
}

std::size_t usable_size(void* memory) {
  return ::malloc_usable_size(memory);
}

std::size_t threads() {
  using std::filesystem::directory_iterator;
  return static_cast<std::size_t>(std::distance(directory_iterator("/proc/self/task"), directory_iterator()));
}

Milliseconds cpu_time() {
  return Milliseconds{std::clock() * 1000 / CLOCKS_PER_SEC};
}

void allow_descriptors() {
  rlimit limit = descriptors();
  limit.rlim_cur = limit.rlim_max;
  demand(::setrlimit(RLIMIT_NOFILE, &limit) == 0, "setrlimit");
}

bool NoMoreDescriptors::possible() {
  return true;
}

NoMoreDescriptors::NoMoreDescriptors() {
  rlimit limit = descriptors();
  before_ = limit.rlim_cur;
  limit.rlim_cur = static_cast<rlim_t>(place_holder().get());  // the lowest that is free
  demand(::setrlimit(RLIMIT_NOFILE, &limit) == 0, "setrlimit");
}

NoMoreDescriptors::~NoMoreDescriptors() {
  rlimit limit = descriptors();
  limit.rlim_cur = before_;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

bool SmallStacks::possible() {
  return true;
}
SmallStacks::SmallStacks() : before_(os::usual_stack()) {
  set_usual_stack(std::size_t{64} * 1024);
}
SmallStacks::~SmallStacks() {
  set_usual_stack(before_);
}

os::Descriptor place_holder() {
  return os::Descriptor(::dup(STDERR_FILENO));
}

}  // namespace ladder::contract
