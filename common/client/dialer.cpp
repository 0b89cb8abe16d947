// Which source address a connection gets: net.h says why.

#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>

#include "common/client/net.h"

namespace ladder::client {
namespace {

constexpr std::size_t per_source = 1000;

}  // namespace

Dialer::Dialer(std::string_view host, std::string_view port, const std::string& from)
    : server_(resolve(host, port)) {
  sources_.push_back(from.empty() ? Address{} : resolve(from, "0"));
  for (int last = 2; last <= 16 && from.empty() && is_loopback4(server_); ++last)
    sources_.push_back(resolve("127.0.0." + std::to_string(last), "0"));
}

Socket Dialer::dial(std::error_code& error) {
  for (std::size_t tries = 0; tries < sources_.size(); ++tries) {
    Socket socket = start_connect(server_, sources_[dialed_ / per_source % sources_.size()], error);
    if (!error) {
      ++dialed_;
      return socket;
    }
    if (error != std::errc::address_not_available) break;
    dialed_ += per_source;  // this one's ports have run out
  }
  return {};
}

}  // namespace ladder::client
