// client talk: standard input to the server, and what comes back to standard output, both at once.
// A thread for each direction, as in sketch.cpp: a side that does not take its bytes holds up its own
// direction only.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <future>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "common/client/client.h"
#include "common/client/net.h"

namespace ladder::client {
namespace {

/// Both threads keep it: the one that sends may still sleep for its input when the program ends.
struct Conversation {
  Socket socket;
  std::atomic<bool> sending = false;  // input that has been read is not yet all with the system
  std::promise<std::string> input;    // when it has ended: what went wrong, or nothing
};

std::string send_all(Conversation& talk, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const Moved sent = send(talk.socket, bytes);  // sleeps: for the server to take it
    if (sent.error) return "input was left when the server ended: " + sent.error.message();
    bytes = bytes.subspan(sent.bytes);
  }
  return {};
}

void send_input(const std::shared_ptr<Conversation>& talk) {
  std::vector<std::byte> buffer(65536);
  std::string trouble;
  while (trouble.empty()) {
    const Moved got = read_input(buffer);  // sleeps: for the user
    if (got.error) trouble = "standard input: " + got.error.message();
    if (got.bytes == 0) break;
    talk->sending = true;
    trouble = send_all(*talk, std::span(buffer).first(got.bytes));
    talk->sending = false;
  }
  finish_sending(talk->socket);
  talk->input.set_value(trouble);
}

/// Prints what comes until the server has finished. Returns the error, or nothing.
std::string receive_output(const Socket& socket) {
  std::vector<std::byte> buffer(65536);
  for (;;) {
    const Moved got = receive(socket, buffer);  // sleeps: for the server
    if (got.error) return got.error.message();
    if (got.bytes == 0) return {};
    if (const std::error_code error = write_all(Standard::output, std::span(buffer).first(got.bytes)))
      return "standard output: " + error.message();
  }
}

/// The server has finished. Input that is there is still sent (it may have closed its own direction only);
/// input that is yet to come is not waited for.
std::string rest_of_input(Conversation& talk) {
  std::future<std::string> input = talk.input.get_future();
  constexpr auto quiet = std::chrono::milliseconds(100);
  if (input.wait_for(quiet) == std::future_status::ready) return input.get();
  return talk.sending ? "the server ended and does not take the rest of the input" : "";
}

std::error_code wait_for_connect(const Socket& socket, Nanoseconds at_most) {
  Poller poller;
  poller.add(socket, 0, Poller::Want::write);
  const Time until = Clock::now() + at_most;
  do
    if (!poller.wait(until - Clock::now()).empty()) return connect_result(socket);
  while (Clock::now() < until);  // a signal ends a wait early
  return std::make_error_code(std::errc::timed_out);
}

Socket connect(Dialer& dialer, const Options& options) {
  Route route;
  std::error_code error;
  for (Socket socket = dialer.dial(route, error); socket; socket = dialer.dial(route, error)) {
    error = wait_for_connect(socket, options.timeout);
    if (!error) {
      make_blocking(socket);
      return socket;
    }
    if (!dialer.try_another(route, error)) break;
  }
  throw std::runtime_error(options.target + ": " + route.error.message());
}

}  // namespace

int talk(const Options& options, Dialer& dialer) {
  const auto conversation = std::make_shared<Conversation>();
  conversation->socket = connect(dialer, options);
  std::thread(send_input, conversation).detach();
  std::string trouble = receive_output(conversation->socket);
  if (trouble.empty()) trouble = rest_of_input(*conversation);
  if (trouble.empty()) return 0;
  tell(options.target + ": " + trouble);
  return 1;
}

}  // namespace ladder::client
