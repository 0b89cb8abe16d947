// 02: a thread per connection. Each sleeps in recv for its own client; one more accepts.
//
//   this thread ─── accept
//   reader 1    ─── recv        reader 2 ─── recv … reader N ─── recv
//   writer      ─── send, made only when a send must wait
//   timekeeper  ─── timers, and others' commands
//
// Reader, writer and timekeeper work as in 01: common/library/blocking_base.h.
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "common/library/blocking_base.h"
#include "common/library/server_base.h"
#include <ladder/server.h>

namespace ladder {
namespace {

class ThreadPerConnServer final : public BlockingBase {
 public:
  using BlockingBase::BlockingBase;
  void run() override;
};

void ThreadPerConnServer::run() {
  const RunUnderWay under_way(*this);
  const std::jthread timekeeper([this] { run_timekeeper(); });
  while (accepting()) {
    Session* session = accept_client();
    if (!session) continue;
    try {
      threads().start([this, session] { serve_client(*session); });
    } catch (const std::exception& error) {  // LIM-06: this client is closed, the next one is served
      log().limited("thread", Clock::now(),
                    [&] { return std::string("no thread for a connection: ") + error.what(); });
      dismiss(*session);
    }
  }
  threads().join();
}

}  // namespace

std::unique_ptr<Server> make_server(Options options, Callbacks callbacks) {
  return std::make_unique<ThreadPerConnServer>(std::move(options), std::move(callbacks));
}

Profile profile(const Options& options) {
  return {.model = "thread_per_conn",
          .ceiling = options.max_connections ? std::optional(options.max_connections) : std::nullopt,
          .set_by = options.max_connections ? "--max-connections" : "threads and descriptors",
          .above = "close",
          .threads = "2, and one a connection; a second one for a connection while a send to it must wait"};
}

}  // namespace ladder
