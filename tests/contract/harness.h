// What the cases of the contract stand on: plain blocking clients, a server that runs on a thread of its own,
// and what holds in every case (class Rules). Each wait is for a condition and has an end.
#pragma once

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "common/os/os.h"
#include "tests/contract/platform.h"
#include <ladder/server.h>

namespace ladder::contract {

using namespace std::chrono_literals;
using namespace std::string_view_literals;

/// What is to come comes far sooner; it only ends a wait that would last for ever.
inline constexpr auto patience = 15s;
/// How long a case looks for what must not come.
inline constexpr auto quiet = 80ms;

inline Queue queue_under_test = Queue::shared;  // from the command line: --queue per-worker

inline bool one_at_a_time() {
  return profile(Options{}).clients_at_once == 1;
}

long heap_in_use();  ///< bytes that operator new has given out (heap.cpp)

/// Until it goes: of the requests of all threads but this one, or of this one alone, so many are granted, then so many
/// refused.
class ScarceHeap {
 public:
  enum class Whose : std::uint8_t { all_others, this_threads };
  ScarceHeap(long granted, long refused, Whose whose = Whose::all_others);
  ~ScarceHeap();
  ScarceHeap(const ScarceHeap&) = delete;
  ScarceHeap& operator=(const ScarceHeap&) = delete;
  long failures() const;  ///< refused so far
};

/// Looks again and again, until it holds. For what no callback tells.
template <class Condition>
bool eventually(Condition condition) {
  for (const auto end = Clock::now() + patience; Clock::now() < end;) {
    if (condition()) return true;
    std::this_thread::sleep_for(1ms);
  }
  return condition();
}

/// A value that one thread changes and another waits on.
template <class Value>
class Watched {
 public:
  template <class Change>
  void change(Change change) {
    const std::lock_guard lock(mutex_);
    change(value_);
    changed_.notify_all();
  }
  template <class Condition>
  bool wait(Condition condition, Milliseconds limit = patience) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, limit, [&] { return condition(value_); });
  }
  Value get() {
    const std::lock_guard lock(mutex_);
    return value_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  Value value_{};
};

class Counter : public Watched<int> {
 public:
  void add(int count = 1) {
    change([&](int& value) { value += count; });
  }
  bool reaches(int count) {
    return wait([&](int value) { return value >= count; });
  }
  /// False: it moved beyond `count` while we looked.
  bool stays(int count) {
    return !wait([&](int value) { return value > count; }, quiet);
  }
};

/// Holds a callback until the case lets it go on.
class Gate : public Watched<bool> {
 public:
  void open() {
    change([](bool& value) { value = true; });
  }
  /// Red if nobody opens it in time: else a case that the held callback holds up would go on, and be green.
  bool pass() {
    const bool opened = wait([](bool value) { return value; });
    CHECK(opened);
    return opened;
  }
};

/// Bytes that show a loss, a repetition or a swap.
inline std::string pattern(std::size_t size, std::uint32_t seed = 1) {
  std::string text(size, '\0');
  for (char& c : text) {
    seed = seed * 1664525 + 1013904223;
    c = static_cast<char>(seed >> 24);
  }
  return text;
}

inline Bytes bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

// ---- the client

enum class End : std::uint8_t { none, fin, reset, silence };

/// A plain blocking socket. No call lasts longer than `patience`.
class Client {
 public:
  explicit Client(bool v6 = false) : socket_(new_socket(v6)) { give_up_after(patience); }
  explicit Client(const Endpoint& server) : Client(server.v6) { REQUIRE(connect(server)); }
  /// One whose window is small: what it does not read soon waits in the server.
  static Client narrow(const Endpoint& server, int window = 4096, bool surely = true) {
    Client client(server.v6);
    set_receive_buffer(client.socket_, window);
    const bool connected = client.connect(server);
    REQUIRE((connected || !surely));
    return client;
  }

  bool connect(const Endpoint& to) {
    if (!contract::connect(socket_, to)) return false;
    local_ = os::local_endpoint(socket_.get());
    return true;
  }
  const Endpoint& local() const { return local_; }

  /// All of it. False: the connection is over, or nothing was taken for `limit`.
  bool send(std::string_view text, Milliseconds limit = patience) {
    give_up_after(limit);
    std::size_t count = 0;
    while (!text.empty()) {
      const os::Result result = os::send(socket_.get(), bytes_of(text));
      if (result.error && !gave_up(result)) std::atomic_ref<bool>{refused_}.store(true);
      if (result.error || result.would_block) break;
      text.remove_prefix(result.bytes);
      count += result.bytes;
    }
    sent_ += count;
    give_up_after(patience);
    return text.empty();
  }
  /// Sends until nothing is taken for `limit`. Returns what was taken.
  std::string stuff(Milliseconds limit) {
    std::string text;
    for (std::uint32_t seed = 1; text.size() < most_stuffed; ++seed) {
      const std::string piece = pattern(1024 * 1024, seed);
      const std::size_t before = sent_;
      const bool all = send(piece, limit);
      text.append(piece, 0, sent_ - before);
      if (!all) break;
    }
    return text;
  }

  /// So many bytes; fewer: the connection ended first.
  std::string receive(std::size_t count) {
    std::string text(count, '\0');
    std::size_t filled = 0;
    while (filled < count) {
      const os::Result result =
          os::receive(socket_.get(), std::as_writable_bytes(std::span(text)).subspan(filled));
      if (result.bytes == 0) {
        const bool reset = (result.error && !gave_up(result)) || std::atomic_ref<bool>{refused_}.load();
        end_ = reset ? End::reset : gave_up(result) ? End::silence : End::fin;
        break;
      }
      filled += result.bytes;
    }
    text.resize(filled);
    return text;
  }
  /// All that comes until the end.
  std::string rest() {
    std::string text;
    while (end_ == End::none)
      text += receive(256 * 1024);
    return text;
  }
  /// How it ended; reads on until then.
  End end() {
    rest();
    return end_;
  }
  /// Nothing comes, neither bytes nor an end, while we look.
  bool hears_nothing() {
    give_up_after(quiet);
    std::byte byte{};
    const os::Result result = os::receive(socket_.get(), {&byte, 1});
    give_up_after(patience);
    return gave_up(result);
  }

  void finish() { os::finish_sending(socket_.get()); }
  void close() { socket_.reset(); }
  void reset() {
    os::reset_on_close(socket_.get());
    socket_.reset();
  }

 private:
  static bool gave_up(const os::Result& result) {
    return result.would_block || result.error == std::errc::timed_out;  // as POSIX and as Windows say it
  }
  void give_up_after(Milliseconds limit) { contract::give_up_after(socket_, limit); }

  static constexpr std::size_t most_stuffed = 256 * 1024 * 1024;  // no two systems hold that much

  os::Descriptor socket_;
  Endpoint local_{};
  std::size_t sent_ = 0;
  bool refused_ = false;  // a send met the reset, which is told once; another thread may be receiving
  End end_ = End::none;
};

/// Newcomers are turned away. Few knocks: they hold each other up where a full backlog takes no more.
inline bool turns_away(const Endpoint& server) {
  for (int knocks = 0; knocks < 500; ++knocks) {
    if (!Client(server.v6).connect(server)) return true;
    std::this_thread::sleep_for(10ms);
  }
  return false;
}

// ---- what holds in every case

inline thread_local bool users_thread = false;  // the case's own: no callback may come on it
inline thread_local int callbacks_here = 0;     // on this thread, one within another

template <class Work>
std::jthread user_thread(Work work) {
  return std::jthread([work = std::move(work)] {
    users_thread = true;
    work();
  });
}

/// Points 1 and 2, watched at each callback of each case: none overlaps another of its connection or comes
/// inside another call, on_open is the first, on_close the last, each once. The atomics are relaxed, so that
/// they order nothing and the thread sanitizer sees whether the library does.
class Rules {
 public:
  Callbacks watch(const Callbacks& user) {
    Callbacks watched;
    watched.on_open = [this, on_open = user.on_open](Connection& c) {
      const Inside inside(*this, c.id(), 0, 1);
      if (on_open) on_open(c);
    };
    watched.on_close = [this, on_close = user.on_close](Connection& c, CloseReason reason,
                                                        std::error_code error) {
      const Inside inside(*this, c.id(), 1, 2);
      if (on_close) on_close(c, reason, error);
    };
    if (user.on_receive)
      watched.on_receive = [this, on_receive = user.on_receive](Connection& c, Bytes bytes) {
        const Inside inside(*this, c.id(), 1, 1);
        on_receive(c, bytes);
      };
    if (user.on_end) watched.on_end = watch(user.on_end);
    if (user.on_drained) watched.on_drained = watch(user.on_drained);
    return watched;
  }

  int overlapping() const { return overlapping_; }  ///< two callbacks of one connection at a time
  int nested() const { return nested_; }            ///< a callback inside another call of the user's
  int out_of_order() const { return out_of_order_; }
  std::uint64_t opened() const { return opened_; }
  std::uint64_t closed() const { return closed_; }

 private:
  static constexpr auto relaxed = std::memory_order_relaxed;
  struct Mark {
    std::atomic<std::uint64_t> id = 0;
    std::atomic<int> inside = 0;
    std::atomic<int> stage = 0;  // 1: on_open has begun, 2: on_close has
  };

  class Inside {
   public:
    Inside(Rules& rules, ConnectionId id, int from, int to) : mark_(rules.find(id)) {
      if (mark_.inside.fetch_add(1, relaxed) != 0) ++rules.overlapping_;
      if (callbacks_here++ != 0 || users_thread) ++rules.nested_;
      if (mark_.stage.exchange(to, relaxed) != from) ++rules.out_of_order_;
      if (from < to) (to == 1 ? rules.opened_ : rules.closed_).fetch_add(1, relaxed);
    }
    ~Inside() {
      --callbacks_here;
      mark_.inside.fetch_sub(1, relaxed);
    }
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;

   private:
    Mark& mark_;
  };

  std::function<void(Connection&)> watch(std::function<void(Connection&)> user) {
    return [this, user = std::move(user)](Connection& c) {
      const Inside inside(*this, c.id(), 1, 1);
      user(c);
    };
  }

  Mark& find(ConnectionId id) {
    for (std::size_t i = id.value * 2654435761u;; ++i) {
      Mark& mark = marks_[i % marks_.size()];
      std::uint64_t tenant = 0;
      if (mark.id.compare_exchange_strong(tenant, id.value, relaxed) || tenant == id.value) return mark;
    }
  }

  std::array<Mark, 8192> marks_{};  // more than a case ever has connections
  std::atomic<int> overlapping_ = 0, nested_ = 0, out_of_order_ = 0;
  std::atomic<std::uint64_t> opened_ = 0, closed_ = 0;
};

/// A server on a thread of its own. At the end it is stopped, and the books must balance.
class TestServer {
 public:
  explicit TestServer(const Callbacks& callbacks, Options options = {}) {
    options.queue = queue_under_test;
    if (options.threads == 0 && profile(options).takes_threads) options.threads = 3;
    if (!options.log)
      options.log = [this](std::string_view line) {
        log_.change([&](std::vector<std::string>& lines) { lines.emplace_back(line); });
      };
    Callbacks watched = rules_->watch(callbacks);
    watched.on_open = [this, on_open = std::move(watched.on_open)](Connection& c) {
      on_open(c);
      ids_.change([&](auto& ids) { ids[c.peer()] = c.id(); });
    };
    server_ = make_server(std::move(options), std::move(watched));
    where_ = server_->endpoint();
    thread_ = std::thread([this] {
      try {
        server_->run();
      } catch (const std::exception& error) {
        run_threw_ = error.what();
      }
      returned_.open();
    });
  }
  ~TestServer() {
    server_->stop(0ms);
    thread_.join();
    CHECK(run_threw_ == "");
    CHECK(rules_->overlapping() == 0);
    CHECK(rules_->nested() == 0);
    CHECK(rules_->out_of_order() == 0);
    CHECK(rules_->opened() == rules_->closed());
    const Stats stats = server_->stats();
    CHECK(stats.accepted == rules_->opened());
    CHECK(stats.accepted == all_closed(stats));
    CHECK(stats.active == 0);
  }
  TestServer(const TestServer&) = delete;
  TestServer& operator=(const TestServer&) = delete;

  Server* operator->() { return server_.get(); }
  Server& operator*() { return *server_; }
  const Endpoint& where() const { return where_; }
  Gate& returned() { return returned_; }  ///< run() has
  Watched<std::vector<std::string>>& log() { return log_; }

  ConnectionId id_of(const Client& client) {
    REQUIRE(ids_.wait([&](auto& ids) { return ids.contains(client.local()); }));
    return ids_.get()[client.local()];
  }
  std::uint64_t closed(CloseReason reason) {
    return server_->stats().closed[static_cast<std::size_t>(reason)];
  }
  bool ends(CloseReason reason, std::uint64_t count = 1) {
    return eventually([&] { return closed(reason) == count; });
  }
  bool is_empty() {
    return eventually([&] { return server_->stats().active == 0; });
  }

  static std::uint64_t all_closed(const Stats& stats) {
    std::uint64_t sum = 0;
    for (const std::uint64_t count : stats.closed)
      sum += count;
    return sum;
  }

 private:
  std::unique_ptr<Rules> rules_ = std::make_unique<Rules>();
  Watched<std::map<Endpoint, ConnectionId>> ids_;
  Watched<std::vector<std::string>> log_;
  Gate returned_;
  std::string run_threw_;
  std::unique_ptr<Server> server_;
  Endpoint where_{};
  std::thread thread_;
};

/// Several connections at once. Where a model serves one client at a time, each has a server of its own, and
/// what they do to each other goes across servers.
class Crowd {
 public:
  Crowd(std::size_t size, const Callbacks& callbacks, const Options& options = {}) {
    for (std::size_t i = 0; i < size; ++i) {
      if (i == 0 || one_at_a_time()) servers_.push_back(std::make_unique<TestServer>(callbacks, options));
      clients_.emplace_back(servers_.back()->where());
      ids_.push_back(servers_.back()->id_of(clients_.back()));
    }
  }
  ~Crowd() {
    for (const auto& server : servers_)
      (*server)->stop(0ms);  // all of them, before one goes: their callbacks may use each other
  }
  Crowd(const Crowd&) = delete;
  Crowd& operator=(const Crowd&) = delete;

  std::size_t size() const { return clients_.size(); }
  TestServer& server(std::size_t i) { return *servers_[i % servers_.size()]; }
  Client& client(std::size_t i) { return clients_[i]; }
  ConnectionId id(std::size_t i) const { return ids_[i]; }
  SendResult send(std::size_t i, std::string_view text) { return server(i)->send(id(i), bytes_of(text)); }

 private:
  std::vector<std::unique_ptr<TestServer>> servers_;
  std::vector<Client> clients_;
  std::vector<ConnectionId> ids_;
};

/// Where connection callbacks find the crowd that is made after them.
using CrowdHandle = std::atomic<Crowd*>;

inline Callbacks echo() {
  return {.on_receive = [](Connection& c, Bytes bytes) { c.send(bytes); }};
}

}  // namespace ladder::contract
