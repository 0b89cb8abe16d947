// 01: plain Berkeley sockets. One thread accepts a client, serves it to its end, and only then accepts the
// next.
//
//   this thread ─── accept … recv, recv, recv … accept …
//   writer      ─── send, made only when a send must wait
//   timekeeper  ─── timers, and others' commands
//
// Reader, writer and timekeeper work as in 02: common/library/blocking_base.h.
#include <memory>
#include <thread>
#include <utility>

#include "common/library/blocking_base.h"
#include "common/library/server_base.h"
#include <ladder/server.h>

namespace ladder {
namespace {

class BlockingServer final : public BlockingBase {
 public:
  using BlockingBase::BlockingBase;
  void run() override;
};

void BlockingServer::run() {
  const RunUnderWay under_way(*this);
  const std::jthread timekeeper([this] { run_timekeeper(); });
  while (accepting())
    if (Session* session = accept_client()) serve_client(*session);
  threads().join();
}

}  // namespace

std::unique_ptr<Server> make_server(Options options, Callbacks callbacks) {
  return std::make_unique<BlockingServer>(std::move(options), std::move(callbacks));
}

Profile profile(const Options&) {
  return {.model = "blocking",
          .clients_at_once = 1,
          .ceiling = 1,
          .set_by = "one thread that accepts and serves",
          .above = "wait",
          .threads = "2; one more while a send must wait"};
}

}  // namespace ladder
