// The common part of the blocking models, 01 and 02. Each connection that is served has a reader, a thread of its own that
// sleeps in recv. 01 has one reader, the thread that accepts; 02 has one a connection.
//
// Threads sleep in accept (accept_client), recv (receive), send (write_rest), for their strand or for leave to
// read on (acquire, serve_client), and the timekeeper for something to do (run_timekeeper).
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

#include "common/library/server_base.h"
#include "common/library/thread_group.h"
#include "common/os/os.h"
#include <ladder/server.h>

namespace ladder {

class BlockingBase : public ServerBase {
 public:
  BlockingBase(Options o, Callbacks callbacks)
      : ServerBase(std::move(o), std::move(callbacks), os::Mode::blocking) {}
  ~BlockingBase() override { wait_for_stops(); }

 protected:
  /// The next client, admitted; null: none for now, or accepting() is over.
  Session* accept_client();
  /// A connection's reader, from beginning to end.
  void serve_client(Session&);
  /// One thread for all connections: it looks at the clock, and hands in what other threads command. It never
  /// waits for a peer.
  void run_timekeeper();
  ThreadGroup& threads() { return threads_; }

 private:
  static constexpr std::uint32_t writing =
      1;  // Session::backend_data: a writer is at work, and it alone sends
  enum class Next { receive, wait, closed };
  enum class Role { reader, writer, timekeeper };

  void receive(Session&);
  bool flush(Session&);
  Next advance(Session&, Role);
  void close_connection(Session&);
  void write_rest(Session&);
  void serve(ConnectionId);

  void acquire(Session&);
  bool release_strand(Session&);
  bool start_writer(Session&);
  void notify(const Session&, ConnectionId) override;
  void wake() override;
  void earlier_deadline(std::uint32_t) override { wake(); }

  ThreadGroup threads_;
  std::mutex mutex_;  // of what the timekeeper is told
  std::condition_variable told_;
  std::vector<ConnectionId> notified_;
  std::atomic<bool> resumed_ = true;  // after a pause of pause_accepting()
};

}  // namespace ladder
