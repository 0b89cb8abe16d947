// Many connections to one server. They are opened in flights: so many under way at once that the server's
// backlog is not overrun, and more as soon as nothing moves, since those that have to wait must not hold up
// the others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <system_error>
#include <vector>

#include "common/client/client.h"
#include "common/client/net.h"
#include "common/client/stream.h"

namespace ladder::client {

class Swarm {
 public:
  enum class State : std::uint8_t { unopened, connecting, proving, served, waiting, refused, wrong };
  struct Member {
    Stream stream;
    Time begun{};  // its present step: the connect, or the message
    Route route{};
    State state = State::unopened;
  };

  /// `proof`: bytes that must come back before a connection counts as served; 0: it need only stand.
  Swarm(const Options&, Dialer&, std::size_t proof);

  void open();   ///< all of them. Each is then served, waiting (no echo within the timeout), refused or wrong
  void hold();   ///< for Options::hold_for; those that the server drops become refused
  void prove();  ///< those that are served must echo once more
  void leave();  ///< half-closes all that are open and waits for the server's end

  std::size_t count(State) const;
  double opened_a_second() const { return opened_a_second_; }
  std::vector<Member>& members() { return members_; }
  const Failures& failures() const { return failures_; }

 private:
  void run(const std::function<void(Member&)>& begin);
  void start_connect(Member&);
  void connected(Member&);
  void connect_failed(Member&, std::error_code);
  void send_proof(Member&);
  void receive(Member&);
  void settle(Member&, State);
  void drop(Member&, State, const Trouble&);
  void begin_step(Member&);
  void expire(Time now);
  void expire(Member&);
  static bool is_under_way(const Member&);
  std::uint32_t index(const Member& member) const {
    return static_cast<std::uint32_t>(&member - members_.data());
  }

  const Options& options_;
  Dialer& dialer_;
  const std::size_t proof_;
  Poller poller_;
  std::vector<Member> members_;
  std::vector<std::byte> buffer_ = std::vector<std::byte>(65536);
  struct Step {
    std::uint32_t member;
    Time begun;
  };
  std::deque<Step>
      steps_{};  // begun, and perhaps not over. All are given the same time, so they expire in this order
  std::size_t under_way_ = 0;  // members that are connecting or proving
  Time progress_{};            // when one was last settled, or the flight grew
  Time last_served_{};
  double opened_a_second_ = 0;
  Failures failures_;
  Progress bar_;
};

}  // namespace ladder::client
