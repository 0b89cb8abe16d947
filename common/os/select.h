// select and its sets, for 03: the same names on both systems.
#pragma once

#include <cstddef>

#include <ladder/server.h>
#ifdef _WIN32
#define FD_SETSIZE 1024  // the sockets that a set holds: 64, unless this stands before the header
#include <winsock2.h>    // IWYU pragma: export
#else
#include <sys/select.h>  // IWYU pragma: export
#include <sys/time.h>    // IWYU pragma: export
#endif

namespace ladder::os {

/// Connections that fit into the sets beside a listener and a waker. POSIX counts descriptors from 0, so that standard
/// input, output and error take three places more.
#ifdef _WIN32
inline constexpr std::size_t select_ceiling = FD_SETSIZE - 2;
#else
inline constexpr std::size_t select_ceiling = FD_SETSIZE - 2 - 3;
#endif

inline timeval to_timeval(Milliseconds time) {
  timeval value{};
  value.tv_sec = static_cast<decltype(value.tv_sec)>(time.count() / 1000);
  value.tv_usec = static_cast<decltype(value.tv_usec)>(time.count() % 1000 * 1000);
  return value;
}

}  // namespace ladder::os
