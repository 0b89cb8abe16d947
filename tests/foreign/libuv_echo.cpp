// An echo server over libuv: libuv_echo PORT
//
// One buffer a client, read into and then written from: while an answer waits, nothing more is read.
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <uv.h>

#include <array>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <utility>

namespace {

struct Client {
  uv_tcp_t socket{};
  uv_write_t answer{};
  uv_shutdown_t end{};
  std::array<char, 65536> bytes{};
};

std::map<const void*, std::unique_ptr<Client>> clients;  // by the address of the socket

Client& client_of(const void* socket) {
  return *clients.at(socket);
}

void close_client(Client& client) {
  auto* const handle = reinterpret_cast<uv_handle_t*>(&client.socket);
  if (!uv_is_closing(handle)) uv_close(handle, [](uv_handle_t* closed) { clients.erase(closed); });
}

void receive(uv_stream_t*, ssize_t, const uv_buf_t*);

void offer_room(uv_handle_t* handle, std::size_t, uv_buf_t* room) {
  std::array<char, 65536>& bytes = client_of(handle).bytes;
  *room = uv_buf_init(bytes.data(), static_cast<unsigned>(bytes.size()));
}

void answered(uv_write_t* answer, int error) {
  if (error || uv_read_start(answer->handle, offer_room, receive)) close_client(client_of(answer->handle));
}

void receive(uv_stream_t* stream, ssize_t count, const uv_buf_t*) {
  Client& client = client_of(stream);
  if (count == 0) return;  // not now
  uv_read_stop(stream);
  if (count == UV_EOF) {
    const auto ended = [](uv_shutdown_t* end, int) { close_client(client_of(end->handle)); };
    if (uv_shutdown(&client.end, stream, ended)) close_client(client);
    return;
  }
  const uv_buf_t bytes = uv_buf_init(client.bytes.data(), static_cast<unsigned>(count));
  if (count < 0 || uv_write(&client.answer, stream, &bytes, 1, answered)) close_client(client);
}

void accept_client(uv_stream_t* listener, int error) {
  if (error) return;
  auto fresh = std::make_unique<Client>();
  Client& client = *fresh;
  clients[&client.socket] = std::move(fresh);
  uv_tcp_init(listener->loop, &client.socket);
  auto* const stream = reinterpret_cast<uv_stream_t*>(&client.socket);
  if (uv_accept(listener, stream) || uv_read_start(stream, offer_room, receive)) close_client(client);
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // libuv leaves that to the program
  uv_loop_t* const loop = uv_default_loop();
  uv_tcp_t listener;
  sockaddr_in address;
  uv_ip4_addr("127.0.0.1", argc == 2 ? std::atoi(argv[1]) : 0, &address);
  uv_tcp_init(loop, &listener);
  uv_tcp_bind(&listener, reinterpret_cast<sockaddr*>(&address), 0);
  if (const int error = uv_listen(reinterpret_cast<uv_stream_t*>(&listener), 128, accept_client)) {
    std::cerr << "cannot listen: " << uv_strerror(error) << '\n';
    return 1;
  }
  return uv_run(loop, UV_RUN_DEFAULT);
}
