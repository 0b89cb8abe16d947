// The six services, each the smallest program that needs one more thing of a server.
// Every rung serves all of them from this same code.
#pragma once

#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "common/services/http_parser.h"
#include <ladder/server.h>

namespace ladder {

/// The callbacks of a service by its name. Throws BadArgument, which lists the names, for any other.
/// Each call makes a service of its own: two chats know nothing of each other.
Callbacks make_service(std::string_view name, const Options&);
std::span<const std::string_view> service_names();

namespace services {

Callbacks echo();
Callbacks discard();
Callbacks chargen();
Callbacks daytime();
Callbacks chat();
/// A request's whole header must come within `header_timeout` of its first byte.
Callbacks http(Milliseconds header_timeout);

// Their pure parts, apart so that they can be tried without a socket.

/// Line n of RFC 864's pattern, with its CRLF: 74 bytes.
std::string chargen_line(std::size_t n);
/// RFC 867's line, with its CRLF: "Tuesday, February 22, 1982 17:37:43-UTC".
std::string daytime_line(std::chrono::sys_seconds);
/// The whole answer to a request.
std::string http_response(const HttpRequest&, std::chrono::sys_seconds now);

}  // namespace services
}  // namespace ladder
