// client load: messages to an echo server, each byte that comes back verified, latency in a histogram.
// Closed loop: --depth messages of a connection are under way; the next one leaves when one is back.
// Open loop (--rate): message k is due at start + k / rate whatever the server does, and its latency counts
// from then, so that a stall is paid for by all who had to wait for it, not by one ("coordinated omission").
//
// One thread: the client shares its machine with the server. No allocation and one clock reading a message.

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "common/client/client.h"
#include "common/client/departures.h"
#include "common/client/histogram.h"
#include "common/client/net.h"
#include "common/client/stream.h"
#include "common/client/swarm.h"

namespace ladder::client {
namespace {

constexpr auto tick = std::chrono::milliseconds(100);
using Want = Poller::Want;

struct Flow {
  Stream stream;
  std::uint64_t started = 0, finished = 0;  // messages; started: its time has come
  Departures left{};                        // closed loop
  Time since{};                             // from here on it waits for a byte
  bool blocked = false;                     // the system takes no more just now
  bool leaving = false;                     // half-closed: only the server's end is to come
};

class Load {
 public:
  Load(const Options& options, Dialer& dialer) : options_(options) { open(dialer); }
  void run();
  void report() const;
  const Failures& failures() const { return failures_; }

 private:
  void open(Dialer&);
  void start_due(Time now);
  void refill(Flow&, Time now);
  void flush(Flow&, Time now);
  void receive(Flow&);
  void finish_messages(Flow&, Time now);
  void leave_if_over(Flow&, Time now);
  void end_all(Time now);
  void check_silence(Time now);
  void show_progress(Time now);
  void fail(Flow&, const Trouble&);
  void close(Flow&);
  Time due_at(std::uint64_t message) const;
  std::uint32_t index(const Flow& flow) const { return static_cast<std::uint32_t>(&flow - flows_.data()); }

  const Options& options_;
  const bool paced_ = options_.rate > 0;  // an open loop
  Poller poller_;
  std::vector<Flow> flows_ = std::vector<Flow>(options_.connections);
  std::vector<std::byte> buffer_ = std::vector<std::byte>(65536);
  std::uint64_t next_ = 0;                     // open loop: the next message that falls due, over all flows
  std::size_t live_ = 0;                       // flows that are open
  bool ended_ = false;                         // no message starts any more
  Time start_{}, end_ = Time::max(), last_{};  // last: a message was back
  std::uint64_t bytes_ = 0;
  Histogram latency_;  // ns
  Failures failures_;
  Progress bar_;
};

/// Opens all connections; what is counted starts when they stand.
void Load::open(Dialer& dialer) {
  Swarm swarm(options_, dialer, 0);
  swarm.open();
  failures_ = swarm.failures();
  for (Flow& flow : flows_) {
    flow.stream = std::move(swarm.members()[index(flow)].stream);
    if (!flow.stream.socket) continue;
    poller_.add(flow.stream.socket, index(flow), Want::read);
    ++live_;
  }
}

void Load::run() {
  start_ = last_ = Clock::now();
  if (options_.duration.count() > 0) end_ = start_ + options_.duration;
  for (Flow& flow : flows_)
    if (flow.stream.socket && !paced_) refill(flow, Clock::now());

  for (Time next_tick = start_; live_ > 0;) {
    const Time now = Clock::now();
    if (paced_) start_due(now);
    if (now >= end_ && !ended_) end_all(now);
    if (now >= next_tick) {
      next_tick = now + tick;
      check_silence(now);
      show_progress(now);
    }
    Time wake = next_tick;
    if (!ended_) wake = std::min({wake, end_, paced_ ? due_at(next_) : wake});
    for (const Ready& event : poller_.wait(wake - now)) {
      Flow& flow = flows_[event.token];
      if (event.read && flow.stream.socket) receive(flow);
      if (event.write && flow.stream.socket) flush(flow, now);
    }
  }
  bar_.clear();
}

Time Load::due_at(std::uint64_t message) const {
  return start_ + Nanoseconds(static_cast<std::int64_t>(static_cast<double>(message) / options_.rate * 1e9));
}

/// Open loop: message k belongs to connection k mod connections. A due message leaves at once.
void Load::start_due(Time now) {
  const std::uint64_t first = next_;
  for (Time due = due_at(next_); due <= now && due < end_; due = due_at(++next_)) {
    Flow& flow = flows_[next_ % flows_.size()];
    if (flow.started < options_.messages) ++flow.started;
  }
  for (std::uint64_t k = first; k < std::min(next_, first + flows_.size()); ++k)
    if (Flow& flow = flows_[k % flows_.size()]; flow.stream.socket) flush(flow, now);
}

/// Closed loop: as many messages under way as --depth says.
void Load::refill(Flow& flow, Time now) {
  if (!ended_) {
    const std::uint64_t end = std::min(options_.messages, flow.finished + options_.depth);
    flow.left.leave(now, end - flow.started);
    flow.started = end;
  }
  flush(flow, now);
}

/// Hands the system what has started, as far as it takes it.
void Load::flush(Flow& flow, Time now) {
  if (flow.stream.sent == flow.stream.received) flow.since = now;
  const std::uint64_t end = flow.started * options_.size;
  Trouble trouble;
  if (!flow.stream.send_up_to(end, buffer_, trouble)) return fail(flow, trouble);
  const bool blocked = flow.stream.sent < end;
  if (blocked == flow.blocked) return;
  flow.blocked = blocked;
  poller_.change(flow.stream.socket, index(flow), blocked ? Want::both : Want::read);
}

void Load::receive(Flow& flow) {
  Trouble trouble;
  const std::uint64_t before = flow.stream.received;
  const Stream::Came came = flow.stream.receive(buffer_, trouble);
  bytes_ += flow.stream.received - before;
  switch (came) {
    case Stream::Came::nothing:
      return;
    case Stream::Came::bytes:
      return finish_messages(flow, Clock::now());
    case Stream::Came::end:
      return flow.leaving ? close(flow) : fail(flow, {"closed by the server", flow.stream.place()});
    case Stream::Came::failure:
    case Stream::Came::wrong:
      return fail(flow, trouble);
  }
}

void Load::finish_messages(Flow& flow, Time now) {
  flow.since = now;
  const std::uint64_t before = flow.finished;
  for (; (flow.finished + 1) * options_.size <= flow.stream.received; ++flow.finished) {
    const Time began = paced_ ? due_at(index(flow) + flow.finished * flows_.size()) : flow.left.oldest();
    latency_.record((now - began).count());
    if (!paced_) flow.left.arrive();
  }
  if (flow.finished == before) return;
  last_ = now;
  if (!paced_) refill(flow, now);
  if (flow.stream.socket) leave_if_over(flow, now);
}

/// Half-closes once all is back. Whatever else comes before the server's end is a byte too many.
void Load::leave_if_over(Flow& flow, Time now) {
  if (flow.finished < flow.started || !(ended_ || flow.finished == options_.messages)) return;
  finish_sending(flow.stream.socket);
  flow.leaving = true;
  flow.since = now;
}

/// The time is up: what has left is waited for, and nothing leaves any more.
void Load::end_all(Time now) {
  ended_ = true;
  for (Flow& flow : flows_) {
    if (!flow.stream.socket || flow.leaving) continue;
    const std::uint64_t left = (flow.stream.sent + options_.size - 1) / options_.size;
    if (paced_ && left < flow.started)
      failures_.add({"messages that were due could not leave: the rate is too high"}, index(flow));
    flow.started = left;
    flush(flow, now);
    if (flow.stream.socket) leave_if_over(flow, now);
  }
}

void Load::check_silence(Time now) {
  for (Flow& flow : flows_) {
    const bool waits = flow.leaving || flow.stream.received < flow.stream.sent;
    if (!flow.stream.socket || !waits || now - flow.since < options_.timeout) continue;
    fail(flow, {flow.leaving ? "no end from the server" : "no byte in time", flow.stream.place()});
  }
}

void Load::fail(Flow& flow, const Trouble& trouble) {
  failures_.add(trouble, index(flow));
  reset_on_close(flow.stream.socket);
  close(flow);
}

void Load::close(Flow& flow) {
  poller_.remove(flow.stream.socket);
  flow.stream.socket.close();
  --live_;
}

void Load::show_progress(Time now) {
  const double all = static_cast<double>(options_.messages) * static_cast<double>(flows_.size());
  const double part = end_ == Time::max() ? static_cast<double>(latency_.count()) / all
                                          : seconds(now - start_) / seconds(options_.duration);
  bar_.show(now, part, latency_.count(), "messages");
}

void Load::report() const {
  const double took = std::max(seconds(last_ - start_), 1e-9);
  const double rate = static_cast<double>(latency_.count()) / took,
               mb = static_cast<double>(bytes_) / took / 1e6;
  const auto us = [this](double q) { return static_cast<double>(latency_.quantile(q)) / 1e3; };
  const auto messages = static_cast<unsigned long long>(latency_.count());
  const auto bytes = static_cast<unsigned long long>(bytes_);
  std::array<char, 1024> text{};
  if (options_.json) {
    std::snprintf(text.data(), text.size(),
                  "{\"connections\":%zu,\"messages\":%llu,\"bytes\":%llu,\"seconds\":%.3f,"
                  "\"messages_per_second\":%.1f,\"mb_per_second\":%.3f,\"latency_us\":{\"p50\":%.1f,"
                  "\"p90\":%.1f,\"p99\":%.1f,\"p99.9\":%.1f,\"max\":%.1f},\"failures\":%zu,\"reasons\":",
                  options_.connections, messages, bytes, took, rate, mb, us(0.5), us(0.9), us(0.99),
                  us(0.999), us(1), failures_.total());
    return print(text.data() + failures_.json() + "}\n");
  }
  std::snprintf(text.data(), text.size(),
                ", messages of %zu bytes\n"
                "  messages    %12llu   %.0f a second\n"
                "  bytes       %12llu   %.2f MB a second, each way\n"
                "  seconds     %12.2f\n"
                "  latency µs  p50 %.1f  p90 %.1f  p99 %.1f  p99.9 %.1f  max %.1f\n"
                "  failures    %12zu\n",
                options_.size, messages, rate, bytes, mb, took, us(0.5), us(0.9), us(0.99), us(0.999), us(1),
                failures_.total());
  print(std::to_string(options_.connections) + " connections to " + options_.target + text.data());
}

}  // namespace

int load(const Options& options, Dialer& dialer) {
  Load load(options, dialer);
  load.run();
  load.report();
  load.failures().print(options.target);
  return load.failures().total() == 0 ? 0 : 1;
}

}  // namespace ladder::client
