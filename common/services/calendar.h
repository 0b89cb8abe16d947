// A time of day in words, in UTC. std::gmtime would share one buffer among all threads.
#pragma once

#include <chrono>
#include <string>

namespace ladder::services {

struct Calendar {
  std::string weekday;  ///< "Tuesday"
  std::string month;    ///< "February"
  unsigned day;
  int year;
  std::string clock;  ///< "17:37:43"
};

Calendar calendar(std::chrono::sys_seconds);

}  // namespace ladder::services
