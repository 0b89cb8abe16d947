// Which of the server's addresses a connection goes to, and which of ours it comes from: net.h says why.

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "common/client/net.h"

namespace ladder::client {
namespace {

constexpr std::size_t per_source = 1000;

/// Of internet addresses: those of one family have one size.
bool same_family(const Address& a, const Address& b) {
  return a.size == b.size;
}

/// Those of `all` from which a connect to that server can come; without `all`, what the system chooses.
std::vector<Address> sources_for(const Address& server, const std::vector<Address>& all) {
  std::vector<Address> sources;
  if (!all.empty()) {
    std::ranges::copy_if(all, std::back_inserter(sources),
                         [&](const Address& source) { return same_family(source, server); });
    if (!sources.empty()) sources.resize(1);
    return sources;
  }
  sources.emplace_back();
  for (int last = 2; last <= 16 && is_loopback4(server); ++last)
    sources.push_back(resolve("127.0.0." + std::to_string(last), "0").front());
  return sources;
}

}  // namespace

Dialer::Dialer(std::string_view host, std::string_view port, const std::string& from) {
  const std::vector<Address> ours = from.empty() ? std::vector<Address>{} : resolve(from, "0");
  for (const Address& server : resolve(host, port))
    if (std::vector<Address> sources = sources_for(server, ours); !sources.empty())
      ways_.push_back({server, std::move(sources)});
  if (ways_.empty())
    throw std::runtime_error("from " + from + " no address of " + std::string(host) + " can be reached");
  last_ = ways_.size() - 1;
}

Socket Dialer::dial(Route& route, std::error_code& error) {
  route.address = std::max(route.address, first_);
  do {
    if (Socket socket = dial(ways_[route.address], error)) return socket;
  } while (try_another(route, error));
  error = route.error;
  return {};
}

Socket Dialer::dial(const Way& way, std::error_code& error) {
  for (std::size_t tries = 0; tries < way.sources.size(); ++tries) {
    Socket socket = start_connect(way.server, way.sources[dialed_ / per_source % way.sources.size()], error);
    if (!error) {
      ++dialed_;
      return socket;
    }
    if (error != std::errc::address_not_available) break;
    dialed_ += per_source;  // this one's ports have run out
  }
  return {};
}

bool Dialer::try_another(Route& route, std::error_code error) {
  if (!route.error)
    route.error = error;  // the first is what a person means: of the others there may be none here
  if (route.address >= last_) return false;
  first_ = std::max(first_, ++route.address);  // those that come after need not try it
  return true;
}

void Dialer::answered(const Route& route) {
  first_ = last_ = route.address;
}

}  // namespace ladder::client
