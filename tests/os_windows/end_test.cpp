// How 01, 02 and 04 end a connection whose receive is under way.
#include "tests/os_windows/double.h"
//
#include <string>
#include <string_view>

#include "tests/contract/harness.h"

using namespace ladder;
using namespace ladder::contract;

TEST_CASE(
    "os_windows: an end that was promised as a FIN sends it before a receive is cancelled, a reset does "
    "not") {
  // On Windows a pending receive, and some say a cancelled one, may make a reset of closesocket.
  for (const bool promised : {true, false}) {
    CAPTURE(promised);
    winsock::Scene scene;
    Watched<std::string> calls;
    const auto note = [&](std::string_view call) { calls.change([&](std::string& all) { all += call; }); };
    scene->shutdown = [&](SOCKET socket, int how) {
      if (how == SD_SEND) note("FIN ");
      return winsock::real::shutdown(socket, how);
    };
    scene->cancel_io = [&](HANDLE handle, OVERLAPPED* operation) {
      note("cancel ");
      return winsock::real::cancel_io(handle, operation);
    };
    TestServer server({.on_receive = [](Connection& c, Bytes) { c.abort(); }},
                      {.idle_timeout = promised ? 200ms : 0ms, .threads = 1});
    Client client(server.where());
    if (!promised) {
      const ConnectionId id =
          server.id_of(client);  // so that a receive is pending when the other thread's close comes
      CHECK(client.hears_nothing());
      server->send(id, bytes_of("x"));
      CHECK(client.send("go"));
    }
    client.rest();
    CHECK(client.end() == (promised ? End::fin : End::reset));
    const std::string seen = calls.get();
    CAPTURE(seen);
    CHECK((seen.find("FIN") != seen.npos) == promised);
    if (promised) CHECK(seen.find("FIN cancel") == 0);
  }
}
