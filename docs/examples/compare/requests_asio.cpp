// The server of ../requests.cpp over standalone asio (Debian: libasio-dev), to compare.
//
//   compare_requests_asio PORT     port 0: any free one
//
// One coroutine a client: it reads a request, awaits the answer of the pool, writes it, and reads again. So the answers are
// in order, and a client that never reads is soon read no more. As many threads as cores run the coroutines; a strand each
// keeps a client's own from overlapping.
#include <asio.hpp>
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <iostream>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using asio::awaitable, asio::redirect_error, asio::use_awaitable, asio::ip::tcp;
using Clock = std::chrono::steady_clock;

constexpr std::size_t head = 4, longest = 256 * 1024, chunk = 16 * 1024;
constexpr auto idle_timeout = 60s, write_timeout = 30s, close_timeout = 5s, drain = 5s;
constexpr auto look_again = 10ms;
constexpr int ticks = 10;  // of a write: so often its progress is looked at within the timeout

awaitable<std::string> answer(std::string request) {  // its head is the answer's head, too
  std::sort(request.begin() + head, request.end());
  co_return request;
}

/// Lives as long as its coroutine or its timer needs it. All of it runs on the socket's strand.
class Client : public std::enable_shared_from_this<Client> {
 public:
  explicit Client(tcp::socket socket) : socket_(std::move(socket)), timer_(socket_.get_executor()) {}

  tcp::socket::executor_type executor() { return socket_.get_executor(); }

  awaitable<void> serve(asio::thread_pool& pool) {
    try {
      watch();
      while (std::optional<std::string> request = co_await next_request())
        co_await send(co_await co_spawn(pool, answer(std::move(*request)), use_awaitable));
      co_await end();
    } catch (const std::exception&) {  // reset, too slow, or no memory: this client's loss alone
      abort();
    }
    std::error_code ignored;
    socket_.close(ignored);
    timer_.cancel();
  }
  void stop() {
    stopping_ = true;
    if (state_ == State::receiving) cancel();  // what has been read is answered
    if (state_ == State::ending) allow(look_again);
  }
  /// True: an answer is lost by that.
  bool cut() {
    const bool loss = state_ != State::ending || unacknowledged() > 0;
    abort();
    return loss;
  }

 private:
  enum class State : std::uint8_t { receiving, computing, sending, ending };

  /// With its head. None: the peer has finished, or must be closed.
  awaitable<std::optional<std::string>> next_request() {
    while (input_.size() < head)
      if (!co_await receive()) co_return std::nullopt;
    std::size_t size = 0;
    for (std::size_t i = 0; i < head; ++i)
      size = size << 8 | static_cast<unsigned char>(input_[i]);
    if (size > longest) co_return std::nullopt;
    while (input_.size() < head + size)
      if (!co_await receive()) co_return std::nullopt;
    std::string request = input_.substr(0, head + size);
    input_.erase(0, head + size);
    if (input_.capacity() > 65536) input_.shrink_to_fit();  // else a long one's memory would be kept
    co_return request;
  }
  /// False: there is no more: the peer's FIN, its reset, a long silence, or a stop.
  awaitable<bool> receive() {
    if (stopping_) co_return false;
    state_ = State::receiving;
    allow(idle_timeout);
    std::error_code error;
    const std::size_t had = input_.size();
    input_.resize(had + chunk);
    const std::size_t count =
        co_await socket_.async_read_some(asio::buffer(input_) + had, redirect_error(use_awaitable, error));
    input_.resize(had + count);
    state_ = State::computing;
    co_return !error;
  }
  awaitable<void> send(std::string text) {
    state_ = State::sending;
    for (asio::const_buffer rest = asio::buffer(text); rest.size() > 0;) {
      quiet_ticks_ = 0;
      allow(write_timeout / ticks);
      rest += co_await socket_.async_write_some(rest, use_awaitable);
    }
  }
  /// A close with unread input would be a reset, which may destroy the last answers on their way: wait for the peer's FIN.
  awaitable<void> end() {
    state_ = State::ending;
    socket_.shutdown(tcp::socket::shutdown_send);
    allow(stopping_ ? Clock::duration(look_again) : close_timeout);
    std::array<char, 4096> dropped;
    for (std::error_code error; !error;)
      co_await socket_.async_read_some(asio::buffer(dropped), redirect_error(use_awaitable, error));
  }

  void abort() {
    std::error_code ignored;
    socket_.set_option(tcp::socket::linger(true, 0), ignored);
    socket_.close(ignored);
  }
  void cancel() {
    std::error_code ignored;
    socket_.cancel(ignored);
  }
  /// Neither asio nor a write tells: a slow peer may take long to make the room that lets a write go on. tcp(7)
  int unacknowledged() {
    int bytes = 0;
    return ioctl(socket_.native_handle(), SIOCOUTQ, &bytes) == 0 ? bytes : 0;
  }

  /// The operation under way may take so long.
  void allow(Clock::duration span) {
    deadline_ = Clock::now() + span;
    if (deadline_ < timer_.expiry()) timer_.cancel();  // watch() takes the earlier one
  }
  /// Waits for the deadline. One that is put off costs nothing until then.
  void watch() {
    timer_.expires_at(deadline_);
    timer_.async_wait([self = shared_from_this()](std::error_code) {
      if (!self->socket_.is_open()) return;
      if (self->deadline_ <= Clock::now()) self->late();
      self->watch();
    });
  }
  void late() {
    if (state_ == State::sending) {
      const int left = unacknowledged();
      quiet_ticks_ = left < std::exchange(left_, left) ? 0 : quiet_ticks_ + 1;
      if (quiet_ticks_ < ticks) return allow(write_timeout / ticks);
    }
    // A stop waits for no FIN of a peer that has had everything. Nothing tells when it has.
    if (state_ == State::ending && stopping_ && unacknowledged() > 0) return allow(look_again);
    deadline_ = Clock::time_point::max();
    cancel();
    std::error_code ignored;
    if (state_ == State::ending) socket_.close(ignored);  // a cancel alone misses a read that is just done
  }

  tcp::socket socket_;
  asio::steady_timer timer_;
  Clock::time_point deadline_ = Clock::time_point::max();
  std::string input_{};
  State state_ = State::receiving;
  int quiet_ticks_ = 0, left_ = 0;  // of a write; left: when it was last looked at
  bool stopping_ = false;
};

/// All of it runs on a strand of its own.
class Server {
 public:
  Server(asio::io_context& io, asio::thread_pool& pool, std::uint16_t port)
      : io_(io), pool_(pool), listener_(strand_, {asio::ip::address_v4::loopback(), port}) {
    signals_.async_wait([this](std::error_code, int) { stop(); });
    co_spawn(strand_, accept_clients(), [](const std::exception_ptr& error) {
      if (error) std::rethrow_exception(error);
    });
  }
  tcp::endpoint endpoint() const { return listener_.local_endpoint(); }
  bool all_answered() const { return all_answered_; }

 private:
  awaitable<void> accept_clients() {
    for (;;) {
      std::error_code error;
      tcp::socket socket =
          co_await listener_.async_accept(make_strand(io_), redirect_error(use_awaitable, error));
      if (!listener_.is_open()) co_return;
      if (error) {  // out of descriptors, most likely
        timer_.expires_after(100ms);
        co_await timer_.async_wait(redirect_error(use_awaitable, error));
        continue;
      }
      socket.set_option(tcp::no_delay(true), error);
      const auto client = std::make_shared<Client>(std::move(socket));
      clients_.insert(client);
      const auto gone = [this, client](const std::exception_ptr&) {
        clients_.erase(client);
        if (clients_.empty()) timer_.cancel();
      };
      co_spawn(client->executor(), client->serve(pool_), bind_executor(strand_, gone));
    }
  }
  /// When the last client has gone, nothing is left to do, and io_context::run() returns.
  void stop() {
    listener_.close();
    for (const auto& client : clients_)
      post(client->executor(), [client] { client->stop(); });
    if (clients_.empty()) return;
    timer_.expires_after(drain);
    timer_.async_wait([this](std::error_code cancelled) {
      if (cancelled) return;
      for (const auto& client : clients_)
        post(client->executor(), [this, client] {
          if (client->cut()) all_answered_ = false;
        });
    });
  }

  asio::io_context& io_;
  asio::thread_pool& pool_;
  asio::strand<asio::io_context::executor_type> strand_ = make_strand(io_);
  asio::signal_set signals_{strand_, SIGINT, SIGTERM};
  tcp::acceptor listener_;
  asio::steady_timer timer_{strand_};
  std::set<std::shared_ptr<Client>> clients_{};
  std::atomic<bool> all_answered_ = true;
};

}  // namespace

int main(int argc, char** argv) try {
  const int port = argc > 1 ? std::stoi(argv[1]) : 0;
  if (port < 0 || port > 65535) throw std::out_of_range("no port");
  const unsigned cores = std::max(2U, std::thread::hardware_concurrency());
  asio::io_context io;
  asio::thread_pool pool(cores);
  Server server(io, pool, static_cast<std::uint16_t>(port));
  std::cout << "READY " << server.endpoint() << std::endl;
  std::vector<std::jthread> threads;
  for (unsigned i = 0; i < cores; ++i)
    threads.emplace_back([&io] { io.run(); });
  threads.clear();  // joins them
  return server.all_answered() ? 0 : 1;
} catch (const std::exception& error) {
  std::cerr << "compare_requests_asio: " << error.what() << '\n';
  return 1;
}
