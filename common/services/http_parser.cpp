#include "common/services/http_parser.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "common/os/os.h"

namespace ladder::services {
namespace {

// What take_line() and its parts return: go_on, complete, or the status of an error.
constexpr int go_on = 0;
constexpr int complete = 200;

constexpr std::string_view uri_marks =
    "-._~!$&'()*+,;=";  // unreserved and sub-delims (RFC 3986, 2.2 and 2.3)

// <cctype> asks the locale, and must not be asked about a negative char.
constexpr bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
constexpr char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
constexpr bool is_hex(char c) {
  return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'f');
}
constexpr bool is_letter_or_digit(char c) {
  return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z');
}

/// HTTP's names are compared without regard to case.
bool same(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, {}, lower, lower);
}

/// token (RFC 9110, 5.6.2)
bool is_token(std::string_view text) {
  constexpr std::string_view marks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::ranges::all_of(text, [&](char c) {
    return is_letter_or_digit(c) || marks.find(c) != marks.npos;
  });
}

/// Letters, digits, %XX, uri_marks and `more` (RFC 3986, 2).
bool is_uri_text(std::string_view text, std::string_view more = {}) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && is_hex(text[i + 1]) && is_hex(text[i + 2])) {
      i += 2;
    } else if (!is_letter_or_digit(text[i]) && uri_marks.find(text[i]) == uri_marks.npos &&
               more.find(text[i]) == more.npos) {
      return false;
    }
  }
  return true;
}

struct Authority {
  std::string_view host;
  std::optional<std::string_view> port;
};

/// uri-host [":" port] (RFC 3986, 3.2.2), or nothing. An empty host is well-formed.
std::optional<Authority> parse_authority(std::string_view text) {
  const std::size_t colon = text.find(':', text.starts_with('[') ? std::min(text.find(']'), text.size()) : 0);
  Authority authority{text.substr(0, colon), {}};
  if (colon != text.npos) authority.port = text.substr(colon + 1);
  if (authority.port && !std::ranges::all_of(*authority.port, is_digit)) return {};
  const std::string_view host = authority.host;
  if (!host.starts_with('[')) return is_uri_text(host) ? std::optional(authority) : std::nullopt;
  if (!host.ends_with(']') || host.find(':') == host.npos) return {};
  const std::string_view address = host.substr(1, host.size() - 2);  // an IPv6 address, without a zone
  if (!std::ranges::all_of(address, [](char c) { return is_hex(c) || c == ':' || c == '.'; })) return {};
  return os::is_numeric_address(std::string(address)) ? std::optional(authority) : std::nullopt;
}

/// The path that a request-target names, in each of its four forms (RFC 9112, 3.2), or nothing.
std::optional<std::string_view> path_of(std::string_view method, std::string_view target) {
  if (method == "CONNECT") {
    const auto authority = parse_authority(target);
    return authority && !authority->host.empty() && authority->port ? std::optional(target) : std::nullopt;
  }
  if (target == "*") return method == "OPTIONS" ? std::optional(target) : std::nullopt;
  constexpr std::string_view scheme =
      "http://";  // https would claim that the line is secure: RFC 9110, 4.2.2
  const bool absolute = same(target.substr(0, scheme.size()), scheme);
  if (absolute) {
    target.remove_prefix(scheme.size());
    const std::size_t end = std::min(target.find_first_of("/?"), target.size());
    const auto authority = parse_authority(target.substr(0, end));
    if (!authority || authority->host.empty()) return {};
    target.remove_prefix(end);
  }
  if (!absolute && !target.starts_with('/')) return {};
  if (!is_uri_text(target, ":@/?")) return {};
  const std::string_view path = target.substr(0, target.find('?'));
  return path.empty() ? "/" : path;
}

/// Takes the first of a comma-separated list's elements off it, without the blanks around.
std::string_view take_element(std::string_view& list) {
  const std::size_t comma = std::min(list.find(','), list.size());
  std::string_view element = list.substr(0, comma);
  list.remove_prefix(std::min(comma + 1, list.size()));
  const std::size_t first = std::min(element.find_first_not_of(" \t"), element.size());
  element.remove_prefix(first);
  return element.substr(0, element.find_last_not_of(" \t") + 1);
}

}  // namespace

std::optional<HttpRequest> HttpParser::next(std::string_view& input) {
  const auto skipped = static_cast<std::size_t>(std::min<std::uint64_t>(body_, input.size()));
  body_ -= skipped;
  input.remove_prefix(skipped);
  int outcome = go_on;
  while (outcome == go_on && !input.empty()) {
    const std::size_t room = longest_header - size_;
    const std::size_t newline = input.substr(0, room).find('\n');
    const std::string_view piece = input.substr(0, newline == input.npos ? room : newline + 1);
    line_ += piece;
    size_ += piece.size();
    input.remove_prefix(piece.size());
    if (newline != input.npos) {
      outcome = take_line(line_);
      line_.clear();
    }
    if (outcome == go_on && size_ == longest_header) outcome = refuse_length();
  }
  if (outcome == go_on) return {};
  HttpRequest request = std::move(request_);
  request.keep_alive = outcome == complete && !http_1_0_ && !close_;
  request.error = outcome == complete ? 0 : outcome;
  const std::uint64_t body = length_.value_or(0);
  *this = {};
  body_ = body;
  return request;
}

/// A line with its end. A single LF ends one too (RFC 9112, 2.2, allows it): people type requests into nc.
int HttpParser::take_line(std::string_view line) {
  line.remove_suffix(line.ends_with("\r\n") ? 2 : 1);
  if (line.empty())
    return request_.method.empty() ? go_on : take_end();  // RFC 9112, 2.2: empty lines come first
  // RFC 9110, 5.5: a bare CR, a NUL or another control character may mean something else to the next reader.
  if (!std::ranges::all_of(line, [](unsigned char c) { return c == '\t' || (c >= ' ' && c != 0x7f); }))
    return 400;
  if (request_.method.empty()) return take_request_line(line);
  // A name that is no token: a blank before the colon, a folded line (it begins with a blank; RFC 9112, 5.2).
  const std::size_t colon = line.find(':');
  if (colon == line.npos || !is_token(line.substr(0, colon))) return 400;
  std::string_view value = line.substr(colon + 1);
  value.remove_prefix(std::min(value.find_first_not_of(" \t"), value.size()));
  return take_field(line.substr(0, colon), value.substr(0, value.find_last_not_of(" \t") + 1));
}

/// method SP request-target SP HTTP-version, with just these two spaces (RFC 9112, 3)
int HttpParser::take_request_line(std::string_view line) {
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == last) return 400;  // no space at all is npos twice
  const std::string_view method = line.substr(0, first);
  const std::string_view version = line.substr(last + 1);
  if (!is_token(method)) return 400;
  if (version.size() != 8 || !version.starts_with("HTTP/") || !is_digit(version[5]) || version[6] != '.' ||
      !is_digit(version[7]))
    return 400;
  request_.method = method;
  if (version[5] != '1') return 505;
  http_1_0_ = version[7] == '0';
  const auto path = path_of(method, line.substr(first + 1, last - first - 1));
  if (!path) return 400;
  request_.path = *path;
  return go_on;
}

int HttpParser::take_field(std::string_view name, std::string_view value) {
  if (same(name, "Host")) {
    if (std::exchange(host_, true) || !parse_authority(value)) return 400;
  } else if (same(name, "Content-Length")) {
    // RFC 9110, 8.6, lets a repeated one be refused even if both say the same.
    std::uint64_t length = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), length);
    if (length_ || error != std::errc{} || end != value.data() + value.size()) return 400;
    length_ = length;
  } else if (same(name, "Transfer-Encoding")) {
    codings_.append(",").append(value);
  } else if (same(name, "Connection")) {
    while (!value.empty())
      if (same(take_element(value), "close")) close_ = true;
  }
  return go_on;
}

/// The header is longer than may be: by its request line or by its fields?
int HttpParser::refuse_length() {
  if (!request_.method.empty() || line_.empty()) return 431;  // RFC 6585, 5
  const std::string_view method = std::string_view(line_).substr(0, line_.find(' '));
  if (!is_token(method)) return 400;
  if (method.size() == line_.size()) return 501;  // RFC 9112, 3: longer than any method that is served
  request_.method = method;                       // HEAD gets no content with its answer
  return 414;                                     // RFC 9112, 3; RFC 9110, 15.5.15
}

/// The header is whole: what only it can tell.
int HttpParser::take_end() {
  if (!host_ && !http_1_0_) return 400;  // RFC 9112, 3.2
  if (codings_.empty()) return complete;
  // RFC 9112, 6.1 and 6.3: with both headers, in HTTP/1.0, or without chunked as the last coding nobody can
  // tell where the body ends, and that is how requests are smuggled. A chunked body to GET means nothing and
  // may be refused (RFC 9110, 9.3.1): 501, and the connection ends, since the next request is behind it.
  std::string_view codings = codings_;
  std::string_view last;
  while (!codings.empty())
    last = take_element(codings);
  return length_ || http_1_0_ || !same(last, "chunked") ? 400 : 501;
}

}  // namespace ladder::services
