// SVC: each service does what its RFC says.
#include <doctest/doctest.h>

#include "tests/conformance/expect.h"
#include "tests/conformance/scene.h"
#include "tests/conformance/suite.h"

namespace conformance {
namespace {

TEST_CASE("SVC-01 echo: one byte comes back") {
  judge({.requirement = "what is sent comes back",
         .source = "RFC 862",
         .catches = "a server that waits for a line or for a full buffer"},
        [](Scene& scene) {
          Peer peer = scene.connect();
          expect_echo(peer, "x");
          expect_orderly_end(peer);
        });
}

}  // namespace
}  // namespace conformance
