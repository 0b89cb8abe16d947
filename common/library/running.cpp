// A server on a thread of its own, and the process's end.
#include <exception>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "common/os/os.h"
#include <ladder/server.h>

namespace ladder {

struct Running::Run {
  explicit Run(std::unique_ptr<Server> to_run) : server(std::move(to_run)), thread([this] { run(); }) {}
  ~Run() {
    server->stop(Milliseconds{0});
    if (thread.joinable()) thread.join();
  }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  void run() noexcept try { server->run(); } catch (const std::exception& error) {
    threw = std::current_exception();
    os::write_log_line(std::string("a server could not run: ") + error.what());
  }

  const std::unique_ptr<Server> server;
  std::exception_ptr threw{};
  std::thread thread;  // last: it uses the others
};

Running::Running(std::unique_ptr<Server> server) : run_(std::make_unique<Run>(std::move(server))) {}
Running::Running(Running&&) noexcept = default;
Running& Running::operator=(Running&&) noexcept = default;
Running::~Running() = default;

Server& Running::operator*() const {
  return *run_->server;
}

void Running::wait() {
  if (run_->thread.joinable()) run_->thread.join();
  if (run_->threw) std::rethrow_exception(run_->threw);
}

void catch_stop_signals() {
  os::catch_stop_signals();
}

void wait_for_stop_signal() {
  os::catch_stop_signals();
  os::wait_for_stop_signal();
}

}  // namespace ladder
