// What a case's body plays on: the server, clients of it, and notes on the verdict.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/conformance/peer.h"
#include "tests/conformance/sockets.h"
#include "tests/conformance/subject.h"
#include "tests/conformance/suite.h"

namespace conformance {

class Scene {
 public:
  explicit Scene(const Subject& subject) : subject_(subject) {}

  const Subject& subject() const { return subject_; }
  const Profile& profile() const { return subject_.profile(); }
  /// The server of the case's service: it stands for many cases, and judge() looks after it.
  Server& server() { return *standing_; }
  void stand(Server& server) { standing_ = &server; }
  /// A server of the case's own; one that still runs when the body is over is checked and ended like the
  /// others.
  Server& start(const StartOptions& = {});

  Peer connect(int receive_buffer = 0) { return connect(server(), receive_buffer); }
  Peer connect(const Server&, int receive_buffer = 0);
  std::vector<Peer> connect_many(std::size_t, const Server&);
  std::vector<Peer> connect_many(std::size_t count) { return connect_many(count, server()); }
  /// Clients that wait to be accepted, while the server is frozen: as many as its backlog holds, at least
  /// one.
  std::vector<Peer> fill_backlog(std::size_t most) { return fill_backlog(most, server()); }
  std::vector<Peer> fill_backlog(std::size_t most, const Server&);
  /// A connection only begun, that may be refused. `source`: the address that it comes from.
  Peer dial(const Target& target, const std::string& source = {}) {
    return {log_, ++peers_, target, 0, source};
  }

  /// So many clients, or as many as the model serves at once: none of these waits.
  std::size_t fitting(std::size_t clients) const {
    return std::min(clients, profile().clients_at_once.value_or(clients));
  }
  /// How many of so many clients the model serves at once. Fewer than asked: the verdict becomes LIMIT.
  std::size_t served_at_once(std::size_t clients);

  void limit(std::string reason) { limit_ = std::move(reason); }  ///< observed as declared
  void info(std::string reason) { info_ = std::move(reason); }    ///< not judged in full, and why

  void note(std::string remark) { note_ = std::move(remark); }  ///< a remark beside the verdict

  const std::string& limit() const { return limit_; }
  const std::string& info() const { return info_; }
  const std::string& note() const { return note_; }
  const WireLog& log() const { return log_; }
  std::deque<std::unique_ptr<Server>>& own() { return own_; }

 private:
  struct Attempt;
  static std::uint64_t overflows();

  const Subject& subject_;
  Server* standing_ = nullptr;
  std::deque<std::unique_ptr<Server>> own_{};
  WireLog log_{};
  std::size_t peers_ = 0;
  std::uint64_t overflows_ = overflows();  // of backlogs, as far as we have looked
  std::string limit_, info_, note_;
};

}  // namespace conformance
