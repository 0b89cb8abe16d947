#include "common/services/services.h"

#include <array>
#include <span>
#include <string>
#include <string_view>

#include "common/program/arguments.h"
#include <ladder/server.h>

namespace ladder {
namespace {

constexpr Milliseconds header_timeout{10'000};
constexpr std::array<std::string_view, 6> names{"echo", "discard", "chargen", "daytime", "chat", "http"};

}  // namespace

std::span<const std::string_view> service_names() {
  return names;
}

Callbacks make_service(std::string_view name, const Options& options) {
  if (name == "echo") return services::echo();
  if (name == "discard") return services::discard();
  if (name == "chargen") return services::chargen();
  if (name == "daytime") return services::daytime();
  if (name == "chat") return services::chat();
  if (name == "http")
    return services::http(options.idle_timeout.count() ? options.idle_timeout : header_timeout);
  std::string known;
  for (const std::string_view one : names)
    known += (known.empty() ? "" : ", ") + std::string(one);
  throw BadArgument("unknown service '" + std::string(name) + "': there are " + known);
}

}  // namespace ladder
