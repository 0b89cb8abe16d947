// An echo server over libevent's buffered events: libevent_echo PORT
//
// What was received moves to the output; while much waits there, nothing more is read.
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <event2/util.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <memory>

namespace {

constexpr std::size_t high_mark = 65536;

void receive(bufferevent* client, void*) {
  evbuffer* const output = bufferevent_get_output(client);
  bufferevent_read_buffer(client, output);
  if (evbuffer_get_length(output) > high_mark) bufferevent_disable(client, EV_READ);
}

/// All that was owed has gone. Of a client that has finished sending nothing more comes.
void drained(bufferevent* client, void* finished) {
  if (finished)
    bufferevent_free(client);
  else
    bufferevent_enable(client, EV_READ);
}

void end(bufferevent* client, short what, void*) {
  const bool owes = evbuffer_get_length(bufferevent_get_output(client)) > 0;
  if ((what & BEV_EVENT_EOF) && owes)
    bufferevent_setcb(client, nullptr, drained, end, client);  // anything but null: it has finished
  else
    bufferevent_free(client);
}

void accept_client(evconnlistener* listener, evutil_socket_t socket, sockaddr*, int, void*) {
  const int on = 1;
  setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  bufferevent* const client =
      bufferevent_socket_new(evconnlistener_get_base(listener), socket, BEV_OPT_CLOSE_ON_FREE);
  bufferevent_setcb(client, receive, drained, end, nullptr);
  bufferevent_enable(client, EV_READ | EV_WRITE);
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // libevent leaves that to the program
  const std::unique_ptr<event_base, decltype(&event_base_free)> base(event_base_new(), event_base_free);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(argc == 2 ? std::atoi(argv[1]) : 0));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const std::unique_ptr<evconnlistener, decltype(&evconnlistener_free)> listener(
      evconnlistener_new_bind(base.get(), accept_client, nullptr, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE,
                              128, reinterpret_cast<sockaddr*>(&address), sizeof address),
      evconnlistener_free);
  if (!listener) {
    std::cerr << "cannot listen\n";
    return 1;
  }
  return event_base_dispatch(base.get());
}
