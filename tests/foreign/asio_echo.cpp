// An echo server over asio: asio_echo PORT
//
// A client lives as long as one of its operations is under way: it reads, writes all of that, and reads again.
#include <asio.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <memory>
#include <system_error>
#include <utility>

namespace {

using asio::ip::tcp;

class Client : public std::enable_shared_from_this<Client> {
 public:
  explicit Client(tcp::socket socket) : socket_(std::move(socket)) {}

  void receive() {
    const auto received = [self = shared_from_this()](std::error_code error, std::size_t count) {
      if (!error) self->answer(count);  // else it has finished, or is gone: closed either way
    };
    socket_.async_read_some(asio::buffer(bytes_), received);
  }

 private:
  void answer(std::size_t count) {
    const auto answered = [self = shared_from_this()](std::error_code error, std::size_t) {
      if (!error) self->receive();
    };
    asio::async_write(socket_, asio::buffer(bytes_, count), answered);
  }

  tcp::socket socket_;
  std::array<char, 65536> bytes_{};
};

class Server {
 public:
  Server(asio::io_context& context, asio::ip::port_type port)
      : listener_(context, {asio::ip::address_v4::loopback(), port}), pause_(context) {}

  void accept_client() {
    listener_.async_accept([this](std::error_code error, tcp::socket socket) {
      if (error) return accept_later();
      std::error_code gone;  // then the first read says so
      socket.set_option(tcp::no_delay(true), gone);
      std::make_shared<Client>(std::move(socket))->receive();
      accept_client();
    });
  }

 private:
  void accept_later() {  // out of descriptors, most likely
    pause_.expires_after(std::chrono::milliseconds(100));
    pause_.async_wait([this](std::error_code) { accept_client(); });
  }

  tcp::acceptor listener_;
  asio::steady_timer pause_;
};

}  // namespace

int main(int argc, char** argv) {
  try {
    asio::io_context context;
    Server server(context, static_cast<asio::ip::port_type>(argc == 2 ? std::atoi(argv[1]) : 0));
    server.accept_client();
    context.run();
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
