// http (RFC 9112, a small subset): a stream is cut into requests, and each is answered.
//
// One chunk of bytes may hold a part of a request or five hundred of them. The rest, when the queue is
// `congested`, waits in the connection's context, behind pause(), until on_drained: a client that asks without
// reading makes neither the queue nor the context grow.
//
// A header must be whole within a time from its first byte, a total: a byte now and then prolongs nothing
// (ABUSE-04). A reply that ends the connection goes through close(), which reads on, so that it arrives even
// if the client is still sending.
#include <algorithm>
#include <any>
#include <array>
#include <chrono>
#include <string>
#include <string_view>
#include <utility>

#include "common/services/calendar.h"
#include "common/services/http_parser.h"
#include "common/services/services.h"
#include <ladder/server.h>

namespace ladder::services {
namespace {

struct Session {
  HttpParser parser{};
  std::string unread{};  // while paused
};

std::string status_line(int status) {
  switch (status) {
    case 200:
      return "200 OK";
    case 404:
      return "404 Not Found";
    case 405:
      return "405 Method Not Allowed";
    case 414:
      return "414 URI Too Long";
    case 431:
      return "431 Request Header Fields Too Large";
    case 501:
      return "501 Not Implemented";
    case 505:
      return "505 HTTP Version Not Supported";
    default:
      return "400 Bad Request";
  }
}

/// Methods that are known and not served: 405. Of any other nobody knows what it asks for: 501. RFC 9110, 9.1
bool is_known(std::string_view method) {
  constexpr std::array<std::string_view, 7> others{"POST",    "PUT",   "DELETE", "CONNECT",
                                                   "OPTIONS", "TRACE", "PATCH"};  // RFC 9110, 9.3; RFC 5789
  return std::ranges::find(others, method) != others.end();
}

int status_of(const HttpRequest& request) {
  if (request.error) return request.error;
  if (request.method != "GET" && request.method != "HEAD") return is_known(request.method) ? 405 : 501;
  return request.path == "/" ? 200 : 404;
}

/// Answers what is whole of `input`, and keeps the rest.
void serve(Connection& c, std::string_view input, Milliseconds header_timeout) {
  auto& [parser, unread] = std::any_cast<Session&>(c.context());
  bool new_header = !parser.in_header();
  while (const auto request = parser.next(input)) {
    new_header = true;
    c.expire_at(Time::max());
    const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
    const SendResult sent = c.send(http_response(*request, now));
    if (!request->keep_alive) return c.close();
    if (sent == SendResult::congested) {
      unread = input;
      return c.pause();
    }
  }
  if (new_header && parser.in_header()) c.expire_at(after(Clock::now(), header_timeout));
}

}  // namespace

std::string http_response(const HttpRequest& request, std::chrono::sys_seconds time) {
  const Calendar now = calendar(time);
  const int status = status_of(request);
  const std::string body =
      status == 200 ? "You have reached a rung of the socket ladder.\n" : status_line(status) + "\n";
  std::string text = "HTTP/1.1 " + status_line(status) + "\r\n";
  text += "Date: " + now.weekday.substr(0, 3) + ", " + (now.day < 10 ? "0" : "") + std::to_string(now.day) +
          " " + now.month.substr(0, 3) + " " + std::to_string(now.year) + " " + now.clock + " GMT\r\n";
  text += "Content-Type: text/plain\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  if (status == 405) text += "Allow: GET, HEAD\r\n";
  if (!request.keep_alive) text += "Connection: close\r\n";
  return text + "\r\n" + (request.method == "HEAD" ? "" : body);
}

Callbacks http(Milliseconds header_timeout) {
  return {
      .on_open = [](Connection& c) { c.context() = Session{}; },
      .on_receive = [header_timeout](Connection& c, Bytes bytes) { serve(c, text(bytes), header_timeout); },
      .on_drained =
          [header_timeout](Connection& c) {
            c.resume();  // before serve(), which may pause again
            const std::string unread = std::exchange(std::any_cast<Session&>(c.context()).unread, {});
            serve(c, unread, header_timeout);
          },
  };
}

}  // namespace ladder::services
