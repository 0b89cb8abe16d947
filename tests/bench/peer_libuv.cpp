// An echo over libuv, one loop a thread: peer_libuv [THREADS] [slow]
#include <sys/socket.h>
#include <sys/types.h>
#include <uv.h>

#include <array>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <vector>

#include "tests/bench/listen.h"
#include "tests/bench/slow.h"

namespace {

thread_local std::array<char, 65536> buffer;
bool slow = false;

struct Answer {  // what could not be written at once
  uv_write_t write{};
  std::vector<char> bytes;
};

void offer_room(uv_handle_t*, std::size_t, uv_buf_t* room) {
  *room = uv_buf_init(buffer.data(), static_cast<unsigned>(buffer.size()));
}

void close_client(uv_handle_t* client) {
  uv_close(client, [](uv_handle_t* closed) { delete reinterpret_cast<uv_tcp_t*>(closed); });
}

void receive(uv_stream_t* client, ssize_t count, const uv_buf_t* room);

void answered(uv_write_t* write, int error) {
  uv_stream_t* const client = write->handle;
  delete static_cast<Answer*>(write->data);
  if (error || uv_read_start(client, offer_room, receive))
    close_client(reinterpret_cast<uv_handle_t*>(client));
}

void receive(uv_stream_t* client, ssize_t count, const uv_buf_t* room) {
  if (count == 0) return;  // not now
  if (count < 0) return close_client(reinterpret_cast<uv_handle_t*>(client));
  if (slow) bench::answer_slowly(*room->base);
  const uv_buf_t bytes = uv_buf_init(room->base, static_cast<unsigned>(count));
  const int sent = uv_try_write(client, &bytes, 1);
  if (sent == count) return;
  if (sent < 0 && sent != UV_EAGAIN) return close_client(reinterpret_cast<uv_handle_t*>(client));
  auto* const rest = new Answer;
  rest->bytes.assign(room->base + (sent > 0 ? sent : 0), room->base + count);
  rest->write.data = rest;
  const uv_buf_t left = uv_buf_init(rest->bytes.data(), static_cast<unsigned>(rest->bytes.size()));
  uv_read_stop(client);  // one answer at a time
  uv_write(&rest->write, client, &left, 1, answered);
}

void accept_client(uv_stream_t* listener, int error) {
  if (error) return;
  if (slow) bench::open_slowly();
  auto* const client = new uv_tcp_t;
  uv_tcp_init(listener->loop, client);
  auto* const stream = reinterpret_cast<uv_stream_t*>(client);
  if (uv_accept(listener, stream) || uv_read_start(stream, offer_room, receive))
    close_client(reinterpret_cast<uv_handle_t*>(client));
}

void work(int descriptor) {
  uv_loop_t loop;
  uv_loop_init(&loop);
  uv_tcp_t listener;
  uv_tcp_init(&loop, &listener);
  uv_tcp_open(&listener, descriptor);
  uv_listen(reinterpret_cast<uv_stream_t*>(&listener), SOMAXCONN, accept_client);
  uv_run(&loop, UV_RUN_DEFAULT);
}

}  // namespace

int main(int argc, char** argv) {
  slow = bench::asked_for("slow", argc, argv);
  std::signal(SIGPIPE, SIG_IGN);  // libuv leaves that to the program
  bench::serve_alone(bench::threads_of(argc, argv, 1), work, SOCK_NONBLOCK);
}
