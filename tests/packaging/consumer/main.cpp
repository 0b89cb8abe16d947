// A user's program: it knows the library by its package alone. The port is its argument.
#include <cstdint>
#include <cstdlib>

#include <ladder/server.h>

int main(int, char** arguments) {
  const auto port = static_cast<std::uint16_t>(std::atoi(arguments[1]));
  ladder::make_server({.port = port},
                      {.on_receive = [](ladder::Connection& c, ladder::Bytes b) { c.send(b); }})
      ->run();
}
