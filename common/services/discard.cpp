// discard (RFC 863): throws away all that comes in, until the client has finished sending.
//
// Nothing to write: a server reads and drops what no on_receive asks for, and closes when its peer has.
#include "common/services/services.h"
#include <ladder/server.h>

namespace ladder::services {

Callbacks discard() {
  return {};
}

}  // namespace ladder::services
