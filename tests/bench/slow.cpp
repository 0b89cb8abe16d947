// The library's server programs with a service of their own: an echo whose callbacks are slow. Linked with each model.
//
//   slow_05_epoll [options of 05_epoll]
#include "tests/bench/slow.h"

#include <array>
#include <span>
#include <string_view>

#include "common/services/services.h"
#include <ladder/server.h>

namespace ladder {

std::span<const std::string_view> service_names() {
  static constexpr std::array<std::string_view, 1> only{"echo"};
  return only;
}

Callbacks make_service(std::string_view, const Options&) {
  return {.on_open = [](Connection&) { bench::open_slowly(); },
          .on_receive =
              [](Connection& c, Bytes bytes) {
                bench::answer_slowly(text(bytes).front());
                c.send(bytes);
              }};
}

}  // namespace ladder
