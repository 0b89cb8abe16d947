// Cuts a stream of bytes into HTTP requests (RFC 9112): a pure state machine without I/O.
//
// A line is looked at when it is whole and never again, so how the stream was cut into pieces makes no
// difference, and a byte costs the same in whichever piece it comes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ladder::services {

struct HttpRequest {
  std::string method;  ///< "GET"; empty if the request line was already wrong
  std::string path;    ///< without the query: "/"
  bool keep_alive = false;
  int error =
      0;  ///< 0, or the status that answers it: 400, 414, 431, 501, 505; then the rest cannot be understood
};

class HttpParser {
 public:
  static constexpr std::size_t longest_header =
      std::size_t{16} * 1024;  ///< with its request line; RFC 9112, 3, wants room for 8 000 octets of that

  /// Takes from the front of `input` up to the end of the next header and returns its request, at once: a
  /// body is skipped by the following calls. Takes all and returns nothing if the header is not whole yet.
  /// After a request that is not keep_alive there is nothing more to ask for.
  std::optional<HttpRequest> next(std::string_view& input);

  /// Whether a header has begun and not ended.
  bool in_header() const { return size_ > 0; }

 private:
  int take_line(std::string_view line);
  int take_request_line(std::string_view line);
  int take_field(std::string_view name, std::string_view value);
  int take_end();
  int refuse_length();

  std::string line_;        // as far as it has come
  std::size_t size_ = 0;    // of the header, as far as it has come
  std::uint64_t body_ = 0;  // bytes still to skip
  HttpRequest request_;
  bool http_1_0_ = false;
  bool host_ = false;
  bool close_ = false;                   // Connection: close
  std::optional<std::uint64_t> length_;  // Content-Length
  std::string codings_;                  // Transfer-Encoding
};

}  // namespace ladder::services
