// A relay: each client of the first port is joined with one of the second. Each receives what the other sends.
//
//   example_relay PORT PORT [SECONDS]     port 0: any free one; a stop gives pairs so long to end by themselves
//
//   client ──▶ on_receive ── Server::send ──▶ partner     `congested`: the client is paused, no more is read of it
//   client ◀── Server::resume ── on_drained ── partner    ... until the partner has taken what is queued
#include <any>
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <iostream>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include <ladder/server.h>

using namespace ladder;
using namespace std::chrono_literals;

struct End {
  Server* server = nullptr;  // null: nobody yet
  ConnectionId id{};
};
using Pair = std::array<End, 2>;  // by port

class Relay {
 public:
  Callbacks callbacks(std::size_t port) {
    const auto partner = [=](Connection& c) {  // there before the first byte: the first to come is paused
      return (*std::any_cast<std::shared_ptr<Pair>&>(c.context()))[1 - port];
    };
    return {.on_open = [=, this](Connection& c) { join(c, port); },
            .on_receive = [=](Connection& c, Bytes bytes) { pass_on(c, partner(c), bytes); },
            .on_end = [=](Connection& c) { partner(c).server->post(partner(c).id, &Connection::finish); },
            .on_drained = [=](Connection& c) { partner(c).server->resume(partner(c).id); },
            .on_close = [=, this](Connection& c, CloseReason why, std::error_code) { leave(c, port, why); }};
  }
  void wait(std::chrono::seconds at_most) {
    std::unique_lock lock(mutex_);
    ended_.wait_for(lock, at_most, [this] { return joined_ == 0; });
  }

 private:
  void join(Connection& c, std::size_t port) {
    const std::lock_guard lock(mutex_);
    for (auto& others = waiting_[1 - port]; !others.empty();) {
      const std::shared_ptr<Pair> pair = others.front();
      others.erase(others.begin());
      c.context() = pair;
      (*pair)[port] = {&c.server(), c.id()};
      const End first = (*pair)[1 - port];
      joined_ += 2;
      if (first.server->post(first.id, [](Connection& it) { it.expire_at(Time::max()), it.resume(); }))
        return;
      joined_ -= 2;
      (*pair)[port] = {};  // the first has just gone, and its on_close waits for our lock
    }
    c.context() = waiting_[port].emplace_back(std::make_shared<Pair>());
    (*waiting_[port].back())[port] = {&c.server(), c.id()};
    c.pause();  // what it sends stays with the systems until it has a partner, its end too
    c.expire_at(Clock::now() + 60s);
  }

  /// The partner's on_drained may run before send() has returned here, and so before our pause(). No harm: a resume() by
  /// id that comes during a callback takes effect behind it, and so behind the pause().
  /// `full` cannot be: at most the high mark and one receive wait for a partner, and hard_cap is more.
  static void pass_on(Connection& c, const End& partner, Bytes bytes) {
    const SendResult sent = partner.server->send(partner.id, bytes);
    if (sent == SendResult::congested) c.pause();
    if (sent == SendResult::gone) c.abort();
  }

  /// After an end in order, which on_end has passed on, the partner may still be sending. No other end may look like one.
  void leave(Connection& c, std::size_t port, CloseReason why) {
    const auto pair = std::any_cast<std::shared_ptr<Pair>>(c.context());
    const std::lock_guard lock(mutex_);
    std::erase(waiting_[port], pair);
    const End partner = (*pair)[1 - port];
    if (!partner.server) return;
    if (why != CloseReason::peer && why != CloseReason::local) partner.server->abort(partner.id);
    if (--joined_ == 0) ended_.notify_all();
  }

  std::mutex mutex_{};  // callbacks of different connections run in parallel
  std::condition_variable ended_{};
  std::array<std::vector<std::shared_ptr<Pair>>, 2> waiting_{};  // by port
  std::size_t joined_ = 0;                                       // connections that have a partner
};

int main(int argc, char** argv) try {
  catch_stop_signals();  // one may come before we wait for it
  Relay relay;
  const auto listen = [&](int i) {
    const int port = argc > 2 ? std::stoi(argv[i + 1]) : 0;
    if (port < 0 || port > 65535) throw std::out_of_range("no port");
    // A client may rest while it reads, and what waits for it comes from its partner: that one is paused.
    return start({.port = static_cast<std::uint16_t>(port), .write_timeout = 0s, .read_when_congested = true},
                 relay.callbacks(i));
  };
  const Running first = listen(0), second = listen(1);
  std::cout << "READY " << to_string(first->endpoint()) << ' ' << to_string(second->endpoint()) << std::endl;
  wait_for_stop_signal();
  first->stop_accepting();
  second->stop_accepting();
  relay.wait(std::chrono::seconds(argc > 3 ? std::stoi(argv[3]) : 5));
  first->stop(0s);   // resets those who are left: a stream that was cut must not look whole
  second->stop(0s);  // both, before one is destroyed: their callbacks use each other
} catch (const std::exception& error) {
  std::cerr << "example_relay: " << error.what() << '\n';
  return 1;
}
