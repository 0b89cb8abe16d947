// A server of requests whose answers take work, which threads of its own do.
//
//   example_requests PORT     port 0: any free one
//
// A request is four bytes, its length (big-endian), and so many bytes; the answer has the same form: the bytes, sorted.
// Many may be sent before one answer is read. The answers come in order, since the pool has one request of a connection at
// a time. Meanwhile it is paused: a client that sends and never reads fills its own side, and not our memory.
#include <algorithm>
#include <any>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <iostream>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <ladder/server.h>

using namespace ladder;

constexpr std::size_t head = 4, longest = 256 * 1024, high_mark = 256 * 1024;

struct Pool {
  explicit Pool(unsigned count) {
    while (count-- > 0)
      threads.emplace_back([this](const std::stop_token& stop) {
        const auto has_job = [this] { return !jobs.empty(); };
        for (std::unique_lock lock(mutex); changed.wait(lock, stop, has_job); lock.lock()) {
          const auto job = std::move(jobs.front());
          jobs.pop_front();
          lock.unlock();
          job();
        }
      });
  }
  void add(std::function<void()> job) {
    const std::lock_guard lock(mutex);
    jobs.push_back(std::move(job));
    changed.notify_one();
  }
  void join() { threads.clear(); }  // ~jthread asks each to stop; jobs that are left are done first

  std::mutex mutex{};
  std::condition_variable_any changed{};
  std::deque<std::function<void()>> jobs{};
  std::vector<std::jthread> threads{};  // last: they use the others
};

/// One connection's own state. Its callbacks never overlap, so no lock is needed for it.
struct Client {
  std::string input{};  // read, and not with the pool
  bool busy = false;    // a request is with the pool
  Deferred owed{};      // from a whole request to the answer of the last: a stop waits for it
};
Client& client_of(Connection& c) {
  return *std::any_cast<std::shared_ptr<Client>&>(c.context());  // std::any wants what can be copied
}

std::string answer(std::string text) {
  std::ranges::sort(text);
  const std::size_t n = text.size();
  return std::string{char(n >> 24), char(n >> 16), char(n >> 8), char(n)} + text;
}

/// Gives the pool the next request, if one is whole and nothing stands before it. Called in callbacks alone.
void next(Connection& c, Pool& pool, std::string_view more = {}) {
  Client& client = client_of(c);
  std::string& input = client.input.append(more);
  if (client.busy || c.queued() > high_mark) return;  // that job's end comes here again, or on_drained
  std::size_t size = 0;
  for (std::size_t i = 0; i < head && input.size() >= head; ++i)
    size = size << 8 | static_cast<unsigned char>(input[i]);
  if (size > longest) return c.close();  // behind the answers to those before
  client.busy = input.size() >= head + size;
  client.owed = client.busy ? c.defer() : Deferred();
  if (!client.busy) return c.resume();
  c.pause();
  pool.add([&server = c.server(), &pool, id = c.id(), request = input.substr(head, size)] {
    try {
      server.send(id, answer(request));  // never `full`: the queue was short, and this alone is under way
      server.post(id, [&pool](Connection& same) { client_of(same).busy = false, next(same, pool); });
    } catch (const std::exception&) {  // no memory: this client's loss alone
      server.abort(id);
    }
  });
  input = input.substr(head + size);  // not erase(), which would keep its memory
}

int main(int argc, char** argv) try {
  catch_stop_signals();  // one may come before we wait for it
  const int port = argc > 1 ? std::stoi(argv[1]) : 0;
  if (port < 0 || port > 65535) throw std::out_of_range("no port");
  Pool pool(std::max(2U, std::thread::hardware_concurrency()));
  const Running server = start({.port = static_cast<std::uint16_t>(port),
                                .idle_timeout = std::chrono::seconds(60),
                                .high_mark = high_mark},
                               {.on_open = [](Connection& c) { c.context() = std::make_shared<Client>(); },
                                .on_receive = [&](Connection& c, Bytes bytes) { next(c, pool, text(bytes)); },
                                .on_drained = [&](Connection& c) { next(c, pool); }});
  std::cout << "READY " << to_string(server->endpoint()) << std::endl;
  wait_for_stop_signal();
  const bool all_answered = server->stop(std::chrono::seconds(5));
  pool.join();  // before the server goes: jobs use it
  return all_answered ? 0 : 1;
} catch (const std::exception& error) {
  std::cerr << "example_requests: " << error.what() << '\n';
  return 1;
}
