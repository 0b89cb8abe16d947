// daytime (RFC 867): the server speaks first, one line, and closes.
//
// close() right after send() is enough: the line goes out before the FIN. It arrives even if the client has
// sent something that nobody reads, since close() reads it away; a bare close(2) would answer it with a
// reset, which can destroy the line on its way (SVC-10).
#include <chrono>
#include <string>

#include "common/services/calendar.h"
#include "common/services/services.h"
#include <ladder/server.h>

namespace ladder::services {

std::string daytime_line(std::chrono::sys_seconds time) {
  const Calendar now = calendar(time);
  return now.weekday + ", " + now.month + " " + std::to_string(now.day) + ", " + std::to_string(now.year) +
         " " + now.clock + "-UTC\r\n";
}

Callbacks daytime() {
  return {.on_open = [](Connection& c) {
    c.send(daytime_line(std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now())));
    c.close();
  }};
}

}  // namespace ladder::services
