// The server of ../requests.cpp over libuv (Debian: libuv1-dev), to compare.
//
//   compare_requests_libuv PORT     port 0: any free one
//
// One thread has the loop and all clients; libuv's pool sorts (UV_THREADPOOL_SIZE threads, 4 unless you say). A client has
// one request under way and is not read meanwhile. So the answers are in order, and a client that never reads is soon read
// no more.
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <uv.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <iostream>
#include <list>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace {

constexpr std::size_t head = 4, longest = 256 * 1024;
constexpr std::uint64_t idle_timeout = 60'000, write_timeout = 30'000, close_timeout = 5'000, drain = 5'000,
                        look_again = 10;
constexpr int ticks = 10;  // of a write: so often its progress is looked at within the timeout

enum class State : std::uint8_t { receiving, computing, sending, ending };

struct Client {
  uv_tcp_t socket{};
  uv_timer_t timer{};
  uv_work_t work{};
  uv_write_t write{};
  uv_shutdown_t fin{};
  State state = State::receiving;
  bool peer_finished = false;
  std::string input{};
  std::string text{};    // of the request under way, then of its answer; with the head, which both share
  std::size_t left = 0;  // of what is sent, when that was last looked at
  int quiet_ticks = 0;
  int uses = 2;  // two handles to be closed, and the pool
  std::list<Client>::iterator self{};

  uv_stream_t* stream() { return reinterpret_cast<uv_stream_t*>(&socket); }
  /// Bytes that the peer has not acknowledged. Of those with the system libuv does not tell, and a slow peer may take long
  /// to make the room that lets a write go on. tcp(7)
  std::size_t unacknowledged() {
    uv_os_fd_t fd = 0;
    int bytes = 0;
    if (uv_fileno(reinterpret_cast<uv_handle_t*>(&socket), &fd) || ioctl(fd, SIOCOUTQ, &bytes)) bytes = 0;
    return uv_stream_get_write_queue_size(stream()) + static_cast<std::size_t>(bytes);
  }
};

std::list<Client> clients;
uv_tcp_t listener;
uv_signal_t interrupt, terminate;
uv_timer_t limit;
bool stopping = false, all_answered = true;

template <class Handle>
uv_handle_t* handle(Handle& any) {
  return reinterpret_cast<uv_handle_t*>(&any);
}
template <class Handle>
Client& client_of(const Handle* any) {
  return *static_cast<Client*>(any->data);
}

void let_go(Client& client) {
  if (--client.uses == 0) clients.erase(client.self);
}
void closed(uv_handle_t* any) {
  let_go(client_of(any));
}
void close_client(Client& client) {
  if (uv_is_closing(handle(client.socket))) return;
  uv_close(handle(client.socket), closed);
  uv_close(handle(client.timer), closed);
}
void abort_client(Client& client) {
  if (uv_is_closing(handle(client.socket))) return;
  if (uv_tcp_close_reset(&client.socket, closed)) uv_close(handle(client.socket), closed);  // behind a FIN
  uv_close(handle(client.timer), closed);
}

void next(Client& client, std::string_view more = {});
void received(uv_stream_t*, ssize_t, const uv_buf_t*);
void late(uv_timer_t*);

void offer_room(uv_handle_t*, std::size_t, uv_buf_t* room) {
  static std::array<char, 65536> bytes;  // one for all: received() follows at once
  *room = uv_buf_init(bytes.data(), static_cast<unsigned>(bytes.size()));
}

void receive(Client& client, std::uint64_t timeout) {
  uv_timer_start(&client.timer, late, timeout, 0);
  const int error = uv_read_start(client.stream(), offer_room, received);
  if (error && error != UV_EALREADY) close_client(client);
}

/// A close with unread input would be a reset, which may destroy the last answers on their way: wait for the peer's FIN.
void finish(Client& client) {
  const auto finished = [](uv_shutdown_t* fin, int error) {
    if (error) close_client(client_of(fin));
  };
  client.state = State::ending;
  if (client.peer_finished || uv_shutdown(&client.fin, client.stream(), finished))
    return close_client(client);
  receive(client, stopping ? look_again : close_timeout);
}

void received(uv_stream_t* stream, ssize_t count, const uv_buf_t* bytes) {
  Client& client = client_of(stream);
  client.peer_finished = count == UV_EOF;
  if (client.peer_finished) return finish(client);
  if (count < 0) return close_client(client);
  if (count > 0 && client.state == State::receiving)
    next(client, {bytes->base, static_cast<std::size_t>(count)});
}

void sent(uv_write_t* write, int error) {
  Client& client = client_of(write);
  if (error) return abort_client(client);
  client.state = State::receiving;
  next(client);
}

void compute(uv_work_t* work) {  // on a thread of the pool
  std::string& text = client_of(work).text;
  std::sort(text.begin() + head, text.end());
}

void computed(uv_work_t* work, int) {
  Client& client = client_of(work);
  if (!uv_is_closing(handle(client.socket))) {
    const uv_buf_t bytes = uv_buf_init(client.text.data(), static_cast<unsigned>(client.text.size()));
    client.state = State::sending;
    client.quiet_ticks = 0;
    uv_timer_start(&client.timer, late, write_timeout / ticks, write_timeout / ticks);
    if (uv_write(&client.write, client.stream(), &bytes, 1, sent)) abort_client(client);
  }
  let_go(client);
}

/// Gives the pool the next request, if one is whole; else reads on.
void next(Client& client, std::string_view more) try {
  std::string& input = client.input.append(more);
  std::size_t size = 0;
  for (std::size_t i = 0; i < head && input.size() >= head; ++i)
    size = size << 8 | static_cast<unsigned char>(input[i]);
  if (size > longest) return finish(client);
  if (input.size() < head + size) return stopping ? finish(client) : receive(client, idle_timeout);
  uv_read_stop(client.stream());
  uv_timer_stop(&client.timer);
  client.text = input.substr(0, head + size);
  input = input.substr(head + size);  // not erase(), which would keep its memory
  client.state = State::computing;
  ++client.uses;
  uv_queue_work(client.socket.loop, &client.work, compute, computed);
} catch (const std::bad_alloc&) {  // this client's loss alone
  abort_client(client);
}

void late(uv_timer_t* timer) {
  Client& client = client_of(timer);
  if (client.state == State::receiving) return finish(client);
  const std::size_t left = client.unacknowledged();
  if (client.state == State::ending && stopping && left > 0)
    return receive(client, look_again);  // a stop waits for no FIN of a peer that has had everything
  if (client.state == State::ending) return close_client(client);
  client.quiet_ticks = left < std::exchange(client.left, left) ? 0 : client.quiet_ticks + 1;
  if (client.quiet_ticks == ticks) abort_client(client);
}

void accept_client(uv_stream_t*, int error) {
  if (error) return;  // libuv tries again; without descriptors it closes the newcomer
  Client& client = clients.emplace_front();
  client.self = clients.begin();
  uv_tcp_init(listener.loop, &client.socket);
  uv_timer_init(listener.loop, &client.timer);
  client.socket.data = client.timer.data = client.work.data = client.write.data = client.fin.data = &client;
  if (uv_accept(reinterpret_cast<uv_stream_t*>(&listener), client.stream())) return close_client(client);
  uv_tcp_nodelay(&client.socket, 1);
  next(client);
}

/// When the last client has gone, nothing is left to do, and uv_run() returns.
void stop(uv_signal_t*, int) {
  if (std::exchange(stopping, true)) return;
  uv_close(handle(listener), nullptr);
  uv_close(handle(interrupt), nullptr);
  uv_close(handle(terminate), nullptr);
  for (Client& client : clients) {
    if (client.state == State::receiving) finish(client);
    if (client.state == State::ending && !uv_is_closing(handle(client.socket))) receive(client, look_again);
  }
  const auto cut = [](uv_timer_t*) {
    for (Client& client : clients) {
      if (client.state != State::ending || client.unacknowledged() > 0) all_answered = false;
      abort_client(client);
    }
  };
  uv_timer_start(&limit, cut, drain, 0);
  uv_unref(handle(limit));
}

void check(int error, const char* what) {
  if (error) throw std::runtime_error(std::string(what) + ": " + uv_strerror(error));
}

}  // namespace

int main(int argc, char** argv) try {
  std::signal(SIGPIPE, SIG_IGN);  // libuv leaves that to the program
  const int port = argc > 1 ? std::stoi(argv[1]) : 0;
  if (port < 0 || port > 65535) throw std::out_of_range("no port");
  uv_loop_t* const loop = uv_default_loop();
  if (!loop) throw std::runtime_error("no loop");
  sockaddr_in address{};
  check(uv_ip4_addr("127.0.0.1", port, &address), "address");
  check(uv_tcp_init(loop, &listener), "socket");
  check(uv_tcp_bind(&listener, reinterpret_cast<sockaddr*>(&address), 0), "bind");
  check(uv_listen(reinterpret_cast<uv_stream_t*>(&listener), SOMAXCONN, accept_client), "listen");
  int size = sizeof address;
  check(uv_tcp_getsockname(&listener, reinterpret_cast<sockaddr*>(&address), &size), "getsockname");
  check(uv_timer_init(loop, &limit), "timer");
  for (const auto& [signal, number] : {std::pair(&interrupt, SIGINT), std::pair(&terminate, SIGTERM)}) {
    check(uv_signal_init(loop, signal), "signal");
    check(uv_signal_start(signal, stop, number), "signal");
  }
  std::cout << "READY 127.0.0.1:" << ntohs(address.sin_port) << std::endl;
  uv_run(loop, UV_RUN_DEFAULT);
  return all_answered ? 0 : 1;
} catch (const std::exception& error) {
  std::cerr << "compare_requests_libuv: " << error.what() << '\n';
  return 1;
}
