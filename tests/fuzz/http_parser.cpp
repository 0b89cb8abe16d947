// The bytes are a stream of requests, but for the first, which says how it is cut. However it is cut, the same requests
// are found; a header that was accepted has nothing in it by which two readers could differ (RFC 9112, 11.2), and one
// that was refused is no plain one.
#include "common/services/http_parser.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/services/services.h"
#include "tests/fuzz/fuzz.h"

namespace {

using fuzz::require;
using ladder::services::HttpParser;
using ladder::services::HttpRequest;

struct Found {
  HttpRequest request;
  std::size_t end;  // of its header, in the stream
  bool operator==(const Found& other) const {
    return request.method == other.request.method && request.path == other.request.path &&
           request.keep_alive == other.request.keep_alive && request.error == other.request.error &&
           end == other.end;
  }
};

struct Reading {
  std::vector<Found> found{};
  bool in_header = false;
  bool operator==(const Reading&) const = default;
};

Reading read(std::string_view stream, std::size_t slice) {
  HttpParser parser;
  Reading reading;
  for (std::size_t at = 0; at < stream.size();) {
    std::string_view piece = stream.substr(at, slice);
    at += piece.size();
    while (const auto request = parser.next(piece)) {
      reading.found.push_back({*request, at - piece.size()});
      if (!request->keep_alive) return reading;
    }
    require(piece.empty(), "a parser that finds nothing takes all");
  }
  reading.in_header = parser.in_header();
  return reading;
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  return result;
}

/// A header's lines without their ends; the empty ones before it and behind it are left out.
std::vector<std::string> lines_of(std::string_view header) {
  std::vector<std::string> lines;
  for (std::size_t end = 0; (end = header.find('\n')) != header.npos; header.remove_prefix(end + 1)) {
    std::string_view line = header.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty()) lines.emplace_back(line);
  }
  return lines;
}

/// Of a header that was accepted. Returns the length of the body behind it.
std::size_t check_header(std::string_view header, const HttpRequest& request) {
  require(header.size() <= HttpParser::longest_header, "a header has at most 16 KiB");
  require(header.ends_with("\n\r\n") || header.ends_with("\n\n"), "a header ends with an empty line");
  const std::vector<std::string> lines = lines_of(header);
  for (const std::string& line : lines)
    for (const char c : line)
      require(c == '\t' || (static_cast<unsigned char>(c) >= ' ' && c != 0x7f),
              "no bare CR and no other control character in " + line);
  require(lines[0].starts_with(request.method + " ") && !request.method.empty(),
          "the method is the line's: " + lines[0]);
  require(std::ranges::count(lines[0], ' ') == 2, "two spaces in " + lines[0]);
  std::size_t hosts = 0, lengths = 0, body = 0;
  for (std::size_t i = 1; i < lines.size(); ++i) {
    const std::size_t colon = lines[i].find(':');
    require(colon != 0 && colon != std::string::npos, "a name and a colon in " + lines[i]);
    const std::string name = lower(lines[i].substr(0, colon));
    require(name.find_first_of(" \t") == name.npos, "no blank in the name of " + lines[i]);
    hosts += name == "host";
    require(name != "transfer-encoding", "no body of unknown length behind " + lines[i]);
    if (name != "content-length") continue;
    std::string value = lines[i].substr(colon + 1);
    value.erase(0, value.find_first_not_of(" \t"));
    value.erase(value.find_last_not_of(" \t") + 1);
    require(!value.empty() && value.find_first_not_of("0123456789") == value.npos, "a number in " + lines[i]);
    body = std::stoull(value);
    ++lengths;
  }
  require(hosts == 1 || (hosts == 0 && lines[0].ends_with("HTTP/1.0")), "one Host, or none in HTTP/1.0");
  require(lengths <= 1, "one Content-Length at most");
  return body;
}

/// A field that nobody may refuse: letters, a colon, and letters or digits.
bool is_plain_field(const std::string& line) {
  const std::string text = lower(line);
  const std::size_t colon = text.find(':');
  const std::size_t value = text.find_first_not_of(' ', colon == text.npos ? colon : colon + 1);
  return colon != 0 && colon != text.npos && text.find_first_not_of("abcdefghijklmnopqrstuvwxyz") == colon &&
         (value == text.npos ||
          text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789", value) == text.npos);
}

/// So far as it has come, a header that nobody may refuse.
bool is_plain(std::string_view header) {
  const std::vector<std::string> lines = lines_of(header);
  if (lines.empty() || (lines[0] != "GET / HTTP/1.1" && lines[0] != "HEAD / HTTP/1.1")) return false;
  if (!std::all_of(lines.begin() + 1, lines.end(), is_plain_field)) return false;
  const auto hosts =
      std::ranges::count_if(lines, [](const std::string& line) { return lower(line).starts_with("host:"); });
  return hosts == 1 || (hosts == 0 && !header.ends_with("\n\n") && !header.ends_with("\n\r\n"));
}

void check_error(std::string_view header, const HttpRequest& request) {
  constexpr std::array errors{400, 414, 431, 501, 505};
  require(std::ranges::find(errors, request.error) != errors.end(),
          std::to_string(request.error) + " is an error");
  require(!request.keep_alive, "an error ends the connection");
  require(request.error != 400 || !is_plain(header), "nobody may refuse this: " + std::string(header));
  const bool too_long = header.size() == HttpParser::longest_header;
  require((request.error != 414 && request.error != 431) || too_long,
          "a 414 and a 431 are for 16 KiB, no less");
  require(request.error != 414 || header.find('\n', header.find_first_not_of("\r\n")) == header.npos,
          "a 414 is for a request line");
}

void check_response(const HttpRequest& request) {
  const std::string response = http_response(request, std::chrono::sys_seconds{});
  const std::size_t end = response.find("\r\n\r\n");
  require(response.starts_with("HTTP/1.1 ") && end != response.npos, "a response is whole: " + response);
  constexpr std::string_view name = "Content-Length: ";
  const std::size_t length = response.find(name);
  require(length < end, "a response has a length: " + response);
  const std::size_t body = request.method == "HEAD" ? 0 : std::stoull(response.substr(length + name.size()));
  require(response.size() == end + 4 + body, "a response is as long as it says: " + response);
}

void check(std::string_view stream, const Reading& reading) {
  std::size_t begin = 0;
  for (const Found& each : reading.found) {
    const HttpRequest& request = each.request;
    check_response(request);
    if (request.error) return check_error(stream.substr(begin, each.end - begin), request);
    require(begin < each.end, "a header is not in the body before it");
    const std::size_t body = check_header(stream.substr(begin, each.end - begin), request);
    require(!request.path.empty(), "a request has a path");
    begin = body > stream.size() - each.end ? stream.size() : each.end + body;
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view stream = fuzz::text(data, size);
  const std::size_t slice = 2 + fuzz::take(stream);
  const Reading whole = read(stream, stream.npos);
  check(stream, whole);
  require(read(stream, 1) == whole, "byte by byte the same requests are found");
  require(read(stream, slice) == whole, "cut in pieces the same requests are found");
  return 0;
}
