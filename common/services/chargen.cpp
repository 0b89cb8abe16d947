// chargen (RFC 864): an endless stream of lines, whatever the client sends.
//
// A server that only sends must not send faster than its peer reads: it fills the queue until told
// `congested`, and goes on when the queue has drained. Between the two its whole state is the number of the
// next line. A client that has had enough says so by a FIN, which on_end's default answers with close(), or
// by a reset.
#include <any>
#include <cstddef>
#include <string>

#include "common/services/services.h"
#include <ladder/server.h>

namespace ladder::services {

std::string chargen_line(std::size_t n) {
  constexpr std::size_t printing_characters = 95;  // from ' ' to '~', as a ring
  std::string line;
  for (std::size_t i = 0; i < 72; ++i)
    line += static_cast<char>(' ' + (n + i) % printing_characters);
  return line + "\r\n";
}

namespace {

void fill(Connection& c) {
  auto& next_line = std::any_cast<std::size_t&>(c.context());
  while (c.send(chargen_line(next_line++)) == SendResult::queued) {
  }
}

}  // namespace

Callbacks chargen() {
  return {
      .on_open =
          [](Connection& c) {
            c.context() = std::size_t{0};
            fill(c);
          },
      .on_drained = fill,
  };
}

}  // namespace ladder::services
