// echo (RFC 862): what comes in goes out again.
//
// No on_end: its default is close(), which sends what is queued first, so a client that half-closes gets
// every byte back. No look at send()'s result: a connection whose queue is long is not read until it is short
// again, so the queue is bounded.
#include "common/services/services.h"
#include <ladder/server.h>

namespace ladder::services {

Callbacks echo() {
  return {.on_receive = [](Connection& c, Bytes bytes) { c.send(bytes); }};
}

}  // namespace ladder::services
