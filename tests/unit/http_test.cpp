// The http service's parser and answers. The conformance suite looks at what a
// server does with them over a socket.
#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/services/http_parser.h"
#include "common/services/services.h"

namespace {

using ladder::services::HttpParser;
using ladder::services::HttpRequest;
using namespace std::string_literals;

/// The requests that a parser finds when the stream comes in these pieces: "GET / keep, HEAD / close, 400".
std::string found(const std::vector<std::string_view>& pieces) {
  HttpParser parser;
  std::string text;
  for (std::string_view piece : pieces) {
    while (const auto request = parser.next(piece)) {
      text += text.empty() ? "" : ", ";
      if (request->error) return text + std::to_string(request->error);
      text += request->method + " " + request->path + (request->keep_alive ? " keep" : " close");
      if (!request->keep_alive) return text;
    }
    REQUIRE(piece.empty());
  }
  return parser.in_header() ? text + " ..." : text;
}

std::vector<std::string_view> bytes_of(std::string_view stream) {
  std::vector<std::string_view> pieces;
  for (std::size_t i = 0; i < stream.size(); ++i)
    pieces.push_back(stream.substr(i, 1));
  return pieces;
}

struct Example {
  std::string what;
  std::string stream;
  std::string expected;
};

/// A request of which one line is the point.
std::string with(const std::string& field) {
  return "GET / HTTP/1.1\r\nHost: a\r\n" + field + "\r\n\r\n";
}
std::string line(const std::string& request_line) {
  return request_line + "\r\nHost: a\r\n\r\n";
}
std::string host(const std::string& value) {
  return "GET / HTTP/1.1\r\nHost:" + value + "\r\n\r\n";
}
const std::string get = line("GET / HTTP/1.1");

const std::vector<Example> good{
    {"the plainest", get, "GET / keep"},
    {"HEAD", line("HEAD /x HTTP/1.1"), "HEAD /x keep"},
    {"a method nobody knows is for the service to judge", line("BREW /pot HTTP/1.1"), "BREW /pot keep"},
    {"methods have case", line("get / HTTP/1.1"), "get / keep"},
    {"nothing yet", "", ""},
    {"half of one", "GET / HTTP/1.1\r\nHo", " ..."},
    {"without its empty line", "GET / HTTP/1.1\r\nHost: a\r\n", " ..."},
    {"two", get + get, "GET / keep, GET / keep"},
    {"one and a half", get + "G", "GET / keep ..."},
    {"empty lines before (RFC 9112, 2.2)", "\r\n\n\r\n" + get, "GET / keep"},
    {"lines that end in LF alone (2.2)", "GET / HTTP/1.1\nHost: a\n\n", "GET / keep"},
    {"HTTP/1.0 closes, and needs no Host", "GET / HTTP/1.0\r\n\r\n", "GET / close"},
    {"and does not keep alive (9.3)", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "GET / close"},
    {"HTTP/1.9 is a 1.1", line("GET / HTTP/1.9"), "GET / keep"},
    {"close", with("Connection: close"), "GET / close"},
    {"nothing is read behind a close", with("Connection: close") + "\x01", "GET / close"},
    {"in a list, in capitals", with("cOnNeCtIoN: x ,\t CLOSE, y"), "GET / close"},
    {"in a second field", with("Connection: keep-alive\r\nConnection: close"), "GET / close"},
    {"only that word", with("Connection: closed, not-close"), "GET / keep"},
    {"a query is not the path", line("GET /a?b=c?d HTTP/1.1"), "GET /a keep"},
    {"a path of all that may be", line("GET /a-._~!$&'()*+,;=:@%aF//?/? HTTP/1.1"),
     "GET /a-._~!$&'()*+,;=:@%aF// keep"},
    {"absolute-form (3.2.2)", line("GET http://a/ HTTP/1.1"), "GET / keep"},
    {"of any case, with a port", line("GET HTTP://a.b:80/c?d HTTP/1.1"), "GET /c keep"},
    {"without a path", line("GET http://a HTTP/1.1"), "GET / keep"},
    {"without a path, with a query", line("GET http://a?b HTTP/1.1"), "GET / keep"},
    {"asterisk-form (3.2.4)", line("OPTIONS * HTTP/1.1"), "OPTIONS * keep"},
    {"authority-form (3.2.3)", line("CONNECT a:80 HTTP/1.1"), "CONNECT a:80 keep"},
    {"Host: a name and a port", host(" example.org:8080"), "GET / keep"},
    {"an address", host("127.0.0.1"), "GET / keep"},
    {"an IPv6 address", host(" [::1]:80"), "GET / keep"},
    {"an empty port", host(" a:"), "GET / keep"},
    {"an empty name (RFC 9110, 7.2)", host(""), "GET / keep"},
    {"blanks around", host(" \t a \t "), "GET / keep"},
    {"fields of all kinds", with("!#$%&'*+-.^_`|~aZ09:\tx\ty \x80\xff:"), "GET / keep"},
    {"a value that is empty", with("X:"), "GET / keep"},
    {"a body, and the next request behind it", with("Content-Length: 5") + "12345" + get,
     "GET / keep, GET / keep"},
    {"a body that looks like a request", with("Content-Length: " + std::to_string(get.size())) + get,
     "GET / keep"},
    {"a body of none", with("Content-Length: 0") + get, "GET / keep, GET / keep"},
    {"zeros in front", with("Content-Length: 0002") + "ab" + get, "GET / keep, GET / keep"},
    {"a body that is not all there", with("Content-Length: 6") + "12345", "GET / keep"},
    {"a body without end", with("Content-Length: 18446744073709551615") + get, "GET / keep"},
};

const std::vector<Example> bad{
    {"no version", "GET /\r\n", "400"},
    {"no spaces", "GET\r\n", "400"},
    {"two spaces", line("GET  / HTTP/1.1"), "400"},
    {"a space behind", line("GET / HTTP/1.1 "), "400"},
    {"a space before", line(" GET / HTTP/1.1"), "400"},
    {"a tab", line("GET\t/ HTTP/1.1"), "400"},
    {"a space in the target", line("GET /a b HTTP/1.1"), "400"},
    {"no target", line("GET HTTP/1.1"), "400"},
    {"a method that is no token", line("G(T / HTTP/1.1"), "400"},
    {"of eight bits", line("G\xc3\xa9T / HTTP/1.1"), "400"},
    {"a version of another name", line("GET / HTTQ/1.1"), "400"},
    {"in small letters", line("GET / http/1.1"), "400"},
    {"of two digits", line("GET / HTTP/1.10"), "400"},
    {"of none", line("GET / HTTP/1."), "400"},
    {"with a comma", line("GET / HTTP/1,1"), "400"},
    {"HTTP/2", line("GET / HTTP/2.0"), "505"},
    {"HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"},
    {"HTTP/0.9 by name", line("GET / HTTP/0.9"), "505"},
    {"TLS", "\x16\x03\x01\x02\n", "400"},
    {"a target of another form", line("GET a/b HTTP/1.1"), "400"},
    {"a fragment", line("GET /a#b HTTP/1.1"), "400"},
    {"a character that no target has", line("GET /a|b HTTP/1.1"), "400"},
    {"of eight bits", line("GET /\xc3\xa9 HTTP/1.1"), "400"},
    {"a percent sign alone", line("GET /% HTTP/1.1"), "400"},
    {"with one digit", line("GET /%4 HTTP/1.1"), "400"},
    {"with no hexadecimal ones", line("GET /%4g HTTP/1.1"), "400"},
    {"https without TLS (RFC 9110, 4.2.2)", line("GET https://a/ HTTP/1.1"), "400"},
    {"no host (RFC 9110, 4.2.1)", line("GET http:///a HTTP/1.1"), "400"},
    {"a port alone", line("GET http://:80/ HTTP/1.1"), "400"},
    {"somebody's name (RFC 9110, 4.2.4)", line("GET http://me@a/ HTTP/1.1"), "400"},
    {"asterisk-form of GET", line("GET * HTTP/1.1"), "400"},
    {"authority-form of GET", line("GET a:80 HTTP/1.1"), "400"},
    {"CONNECT in origin-form", line("CONNECT / HTTP/1.1"), "400"},
    {"CONNECT without a port", line("CONNECT a HTTP/1.1"), "400"},
    {"no Host (RFC 9112, 3.2)", "GET / HTTP/1.1\r\n\r\n", "400"},
    {"two", with("Host: a"), "400"},
    {"two in HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", "400"},
    {"Host: two names", host(" a b"), "400"},
    {"a path", host(" a/b"), "400"},
    {"somebody's name", host(" me@a"), "400"},
    {"a port of letters", host(" a:b"), "400"},
    {"two ports", host(" a:1:2"), "400"},
    {"an IPv6 address without brackets", host(" ::1"), "400"},
    {"a bracket too few", host(" [::1"), "400"},
    {"a bracket too many", host(" ::1]"), "400"},
    {"no address in brackets", host(" [a]"), "400"},
    {"an IPv4 address in brackets", host(" [127.0.0.1]"), "400"},
    {"half an address", host(" [1:2]"), "400"},
    {"a zone (RFC 9110, 7.2)", host(" [fe80::1%25lo]"), "400"},
    {"something behind the bracket", host(" [::1]a"), "400"},
    {"an address of three colons", host(" [:::1]"), "400"},
    {"a space before the colon (5.1)", with("X : y"), "400"},
    {"a tab before it", with("X\t: y"), "400"},
    {"no name", with(": y"), "400"},
    {"no colon", with("X"), "400"},
    {"a name of eight bits", with("\xc3\xa9: y"), "400"},
    {"a name with a slash", with("a/b: y"), "400"},
    {"a folded line (5.2)", with("X: y\r\n z"), "400"},
    {"a blank line of blanks", with(" "), "400"},
    {"a blank before the first field (2.2)", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", "400"},
    {"CR alone (2.2)", with("X: y\rz"), "400"},
    {"CR in the request line", line("GET /\r HTTP/1.1"), "400"},
    {"CR twice", "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", "400"},
    {"CR alone as the last line", "GET / HTTP/1.1\r\nHost: a\r\n\r\r\n", "400"},
    {"NUL (RFC 9110, 5.5)", with("X: y\0z"s), "400"},
    {"NUL in the request line", line("GET /\0 HTTP/1.1"s), "400"},
    {"another control character", with("X: \x07"), "400"},
    {"DEL", with("X: \x7f"), "400"},
    {"Content-Length: none", with("Content-Length:"), "400"},
    {"less than none", with("Content-Length: -1"), "400"},
    {"a sign", with("Content-Length: +1"), "400"},
    {"hexadecimal", with("Content-Length: 0x1"), "400"},
    {"digits and more", with("Content-Length: 1 2"), "400"},
    {"more than 64 bits", with("Content-Length: 18446744073709551616"), "400"},
    {"two that differ (RFC 9112, 6.3)", with("Content-Length: 1\r\nContent-Length: 2"), "400"},
    {"two that do not (RFC 9110, 8.6, lets us)", with("Content-Length: 1\r\nContent-Length: 1"), "400"},
    {"a list", with("Content-Length: 1, 2"), "400"},
    {"both framings (RFC 9112, 6.1)", with("Content-Length: 1\r\nTransfer-Encoding: chunked"), "400"},
    {"both, the other way round", with("Transfer-Encoding: chunked\r\nContent-Length: 1"), "400"},
    {"chunked in HTTP/1.0 (6.1)", "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "400"},
    {"chunked not last (6.3)", with("Transfer-Encoding: chunked, gzip"), "400"},
    {"not last over two fields", with("Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip"), "400"},
    {"no coding that is known", with("Transfer-Encoding: xchunked"), "400"},
    {"no coding at all", with("Transfer-Encoding:"), "400"},
    {"chunked, which is not served", with("Transfer-Encoding: gzip, Chunked"), "501"},
    {"the second of two", get + "GET /\r\n", "GET / keep, 400"},
    {"behind a body", with("Content-Length: 2") + "ab" + "GET /\r\n", "GET / keep, 400"},
};

}  // namespace

TEST_CASE("http: a request is what RFC 9112 says, and nothing else") {
  for (const auto* table : {&good, &bad})
    for (const Example& example : *table) {
      CAPTURE(example.what);
      CAPTURE(example.stream);
      CHECK(found({example.stream}) == example.expected);
    }
}

TEST_CASE("http: how a stream is cut makes no difference") {
  for (const auto* table : {&good, &bad})
    for (const Example& example : *table) {
      CAPTURE(example.what);
      CHECK(found(bytes_of(example.stream)) == example.expected);
      const std::string_view stream = example.stream;
      for (std::size_t cut = 0; cut < stream.size(); ++cut)
        REQUIRE(found({stream.substr(0, cut), stream.substr(cut)}) == example.expected);
    }
}

TEST_CASE("http: a header has 16 KiB, to the byte, in whatever pieces it comes") {
  const auto padded = [](std::size_t size) {  // a request with a header of just this size
    const std::string empty = with("X:");
    return with("X:" + std::string(size - empty.size(), 'y'));
  };
  const std::string most = padded(HttpParser::longest_header);
  CHECK(found({most + get}) == "GET / keep, GET / keep");
  CHECK(found(bytes_of(most + get)) == "GET / keep, GET / keep");
  const std::string too_long = padded(HttpParser::longest_header + 1);
  CHECK(found({too_long}) == "431");
  CHECK(found(bytes_of(too_long)) == "431");
  CHECK(found({get + too_long}) == "GET / keep, 431");

  // An endless line (ABUSE-07), by what of it is endless
  const std::string endless(HttpParser::longest_header, 'x');
  const std::string and_more = endless + get;
  for (const auto& [request_line, status] : {std::pair{"GET /" + endless, "414"},
                                             {"GET /" + and_more, "414"},
                                             {"BREW " + endless, "414"},
                                             {endless, "501"},
                                             {"(" + endless, "400"}}) {
    CHECK(found({request_line}) == status);
    CHECK(found(bytes_of(request_line)) == status);
  }
  HttpParser parser;
  const std::string head = "HEAD /" + endless;
  std::string_view input = head;
  CHECK(parser.next(input)->method == "HEAD");  // else its answer would have content
  const std::string target = "/" + std::string(8000, 'x');
  CHECK(found({line("GET " + target + " HTTP/1.1")}) == "GET " + target + " keep");  // RFC 9112, 3
  CHECK(found({std::string(HttpParser::longest_header, '\n')}) == "431");            // and endless empty ones
  std::string many = "GET / HTTP/1.1\r\n";
  while (many.size() < HttpParser::longest_header)
    many += "a:b\r\n";
  CHECK(found({many}) == "431");
  CHECK(found(bytes_of(many)) == "431");
}

TEST_CASE("http: one call takes one header, and the rest stays") {
  HttpParser parser;
  const std::string first = with("Content-Length: 3");
  const std::string all = first + "abc" + get;
  std::string_view input = all;
  REQUIRE(
      parser.next(input));  // answered before its body has come: waiting for 100 (Continue) is for nothing
  CHECK(input == "abc" + get);
  CHECK_FALSE(parser.in_header());
  REQUIRE(parser.next(input));
  CHECK(input.empty());
}

TEST_CASE("http: in_header() is true from a header's first byte to its last") {
  HttpParser parser;
  for (int round = 0; round < 2; ++round) {
    CHECK_FALSE(parser.in_header());
    for (const std::string_view piece : bytes_of(get)) {
      std::string_view input = piece;
      const bool whole = parser.next(input).has_value();
      CHECK(whole == !parser.in_header());
    }
  }
  std::string_view body_comes = "12345";
  const std::string with_body = with("Content-Length: 9");
  std::string_view header = with_body;
  REQUIRE(parser.next(header));
  CHECK_FALSE(parser.next(body_comes));
  CHECK_FALSE(parser.in_header());
}

TEST_CASE("http: random requests, spoilt at random, have one outcome however they are cut") {
  constexpr std::string_view spice = "\r\n :\t\0/%,.[]-HTP1GE0a\x7f\xff";
  for (unsigned seed = 0; seed < 4000; ++seed) {
    std::mt19937 random(seed);
    const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
    std::string stream;
    for (std::size_t i = 1 + below(4); i > 0; --i)
      stream += good[below(good.size())].stream;
    for (std::size_t spoilt = below(4); spoilt > 0 && !stream.empty(); --spoilt) {
      const std::size_t at = below(stream.size());
      switch (below(4)) {
        case 0:
          stream[at] = spice[below(spice.size())];
          break;
        case 1:
          stream.insert(at, 1, spice[below(spice.size())]);
          break;
        case 2:
          stream.erase(at, 1 + below(4));
          break;
        default:
          stream.insert(at, stream.substr(below(stream.size()), below(40)));
          break;
      }
    }
    CAPTURE(seed);
    CAPTURE(stream);
    const std::string expected = found({stream});
    CHECK(found(bytes_of(stream)) == expected);
    for (int slicing = 0; slicing < 4; ++slicing) {
      std::vector<std::string_view> pieces;
      for (std::string_view rest = stream; !rest.empty();) {
        pieces.push_back(rest.substr(0, below(30)));  // empty ones too
        rest.remove_prefix(pieces.back().size());
      }
      REQUIRE(found(pieces) == expected);
    }
  }
}

TEST_CASE("http: answers") {
  using namespace std::chrono;
  const sys_seconds time = sys_days(1994y / November / 6) + 8h + 49min + 37s;  // RFC 9110, 5.6.7
  const auto answer = [&](const HttpRequest& request) { return http_response(request, time); };

  const std::string page = answer({"GET", "/", true});
  CHECK(page ==
        "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain\r\n"
        "Content-Length: 46\r\n\r\nYou have reached a rung of the socket ladder.\n");
  CHECK(answer({"HEAD", "/", true}) == page.substr(0, page.find("\r\n\r\n") + 4));

  CHECK(answer({"GET", "/x", true}).starts_with("HTTP/1.1 404 Not Found\r\n"));
  CHECK(answer({"POST", "/", true}).starts_with("HTTP/1.1 405 Method Not Allowed\r\n"));
  CHECK(answer({"POST", "/", true}).find("\r\nAllow: GET, HEAD\r\n") != std::string::npos);
  CHECK(page.find("Connection") == std::string::npos);
  CHECK(answer({"GET", "/", false}).find("\r\nConnection: close\r\n") != std::string::npos);
  for (const std::string method : {"OPTIONS", "PUT", "DELETE", "CONNECT", "TRACE", "PATCH"})
    CHECK(answer({method, "/", true}).starts_with("HTTP/1.1 405 "));
  for (const std::string method : {"BREW", "get", "POSTS", "PRI"}) {  // methods have case (RFC 9110, 9.1)
    const std::string text = answer({method, "/", true});
    CHECK(text.starts_with("HTTP/1.1 501 Not Implemented\r\n"));
    CHECK(text.find("Allow") == std::string::npos);
    CHECK(text.find("Connection: close") == std::string::npos);
  }
  for (const int error : {400, 414, 431, 501, 505}) {
    const std::string text = answer({"", "", false, error});
    CHECK(text.starts_with("HTTP/1.1 " + std::to_string(error) + " "));
    CHECK(text.find("\r\nConnection: close\r\n") != std::string::npos);
    const std::string body = text.substr(text.find("\r\n\r\n") + 4);
    CHECK(text.find("\r\nContent-Length: " + std::to_string(body.size()) + "\r\n") != std::string::npos);
  }
  CHECK(answer({"HEAD", "/", false, 400}).ends_with("\r\n\r\n"));  // RFC 9110, 9.3.2: no content, ever
}
