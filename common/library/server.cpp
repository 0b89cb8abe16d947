#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include <ladder/server.h>

namespace ladder {

std::string to_string(const Endpoint& endpoint) {
  const std::string host = host_of(endpoint);
  return (endpoint.v6 ? "[" + host + "]" : host) + ":" + std::to_string(endpoint.port);
}

std::string_view to_string(CloseReason reason) {
  static constexpr std::array<std::string_view, close_reasons> names = {
      "peer", "local", "reset", "idle_timeout", "write_timeout", "stopping", "exception", "error"};
  return names[static_cast<std::size_t>(reason)];
}

}  // namespace ladder
