// An echo over asio: peer_asio [THREADS] [shared] [slow]
//
// An io_context for each thread; shared: one, which all threads run; slow: slow.h tells. It waits until there is something to read
// and reads then, so that an idle client holds no buffer.
#include <asio.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "tests/bench/listen.h"
#include "tests/bench/slow.h"

namespace {

using asio::ip::tcp;

thread_local std::array<char, 65536> buffer;
bool slow = false;

class Client : public std::enable_shared_from_this<Client> {
 public:
  explicit Client(tcp::socket socket) : socket_(std::move(socket)) { socket_.non_blocking(true); }

  void receive() {
    socket_.async_wait(tcp::socket::wait_read, [self = shared_from_this()](std::error_code error) {
      if (!error) self->answer();
    });
  }

 private:
  void answer() {
    std::error_code error;
    const std::size_t count = socket_.read_some(asio::buffer(buffer), error);
    if (error == asio::error::would_block) return receive();
    if (error) return;  // it has finished, or is gone
    if (slow) bench::answer_slowly(buffer.front());
    const std::size_t sent = socket_.write_some(asio::buffer(buffer, count), error);
    if (error && error != asio::error::would_block) return;
    if (sent == count) return receive();
    const auto rest =
        std::make_shared<std::vector<char>>(buffer.begin() + static_cast<std::ptrdiff_t>(sent),
                                            buffer.begin() + static_cast<std::ptrdiff_t>(count));
    asio::async_write(socket_, asio::buffer(*rest),
                      [self = shared_from_this(), rest](std::error_code failed, std::size_t) {
                        if (!failed) self->receive();
                      });
  }

  tcp::socket socket_;
};

void accept_client(tcp::acceptor& listener) {
  listener.async_accept([&listener](std::error_code error, tcp::socket socket) {
    accept_client(listener);  // first: another thread may take the next one
    if (slow) bench::open_slowly();
    if (!error) std::make_shared<Client>(std::move(socket))->receive();
  });
}

void work(int descriptor) {
  asio::io_context context(1);
  tcp::acceptor listener(context, tcp::v4(), descriptor);
  accept_client(listener);
  context.run();
}

void serve_shared(unsigned threads) {
  std::uint16_t port = 0;
  asio::io_context context(static_cast<int>(threads));
  tcp::acceptor listener(context, tcp::v4(), bench::listen_on(port));
  accept_client(listener);
  bench::ready(port);
  std::vector<std::jthread> pool;
  for (unsigned i = 0; i < threads; ++i)
    pool.emplace_back([&context] { context.run(); });
}

}  // namespace

int main(int argc, char** argv) {
  slow = bench::asked_for("slow", argc, argv);
  const unsigned threads = bench::threads_of(argc, argv, 1);
  if (bench::asked_for("shared", argc, argv))
    serve_shared(threads);
  else
    bench::serve_alone(threads, work);
}
