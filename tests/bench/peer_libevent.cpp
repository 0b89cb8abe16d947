// An echo over libevent's buffered events, one base a thread: peer_libevent [THREADS]
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <event2/util.h>
#include <sys/socket.h>

#include <csignal>

#include "tests/bench/listen.h"

namespace {

void receive(bufferevent* client, void*) {
  bufferevent_read_buffer(client, bufferevent_get_output(client));
}

void end(bufferevent* client, short, void*) {
  bufferevent_free(client);
}

void accept_client(evconnlistener* listener, evutil_socket_t socket, sockaddr*, int, void*) {
  bufferevent* const client =
      bufferevent_socket_new(evconnlistener_get_base(listener), socket, BEV_OPT_CLOSE_ON_FREE);
  bufferevent_setcb(client, receive, nullptr, end, nullptr);
  bufferevent_enable(client, EV_READ | EV_WRITE);
}

void work(int descriptor) {
  event_base* const base = event_base_new();
  evconnlistener* const listener =
      evconnlistener_new(base, accept_client, nullptr, LEV_OPT_CLOSE_ON_FREE, 0, descriptor);
  event_base_dispatch(base);
  evconnlistener_free(listener);
  event_base_free(base);
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // libevent leaves that to the program
  bench::serve_alone(bench::threads_of(argc, argv, 1), work, SOCK_NONBLOCK);
}
