// An echo server, all of it.
//
//   example_echo PORT     port 0: any free one
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iostream>

#include <ladder/server.h>

int main(int, char** argv) {
  ladder::catch_stop_signals();
  const ladder::Running server =
      ladder::start({.port = static_cast<std::uint16_t>(std::atoi(argv[1]))},
                    {.on_receive = [](ladder::Connection& c, ladder::Bytes b) { c.send(b); }});
  std::cout << "READY " << to_string(server->endpoint()) << std::endl;
  ladder::wait_for_stop_signal();
  server->stop(std::chrono::seconds(5));
}
