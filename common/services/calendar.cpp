#include "common/services/calendar.h"

#include <array>
#include <chrono>

namespace ladder::services {

Calendar calendar(std::chrono::sys_seconds time) {
  constexpr std::array weekdays{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
  constexpr std::array months{"January", "February", "March",     "April",   "May",      "June",
                              "July",    "August",   "September", "October", "November", "December"};
  const auto midnight = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(midnight);
  const std::chrono::hh_mm_ss clock(time - midnight);
  const auto two_digits = [](auto part) { return std::to_string(100 + part.count()).substr(1); };
  return {.weekday = weekdays.at(std::chrono::weekday(midnight).c_encoding()),
          .month = months.at(static_cast<unsigned>(date.month()) - 1),
          .day = static_cast<unsigned>(date.day()),
          .year = static_cast<int>(date.year()),
          .clock = two_digits(clock.hours()) + ":" + two_digits(clock.minutes()) + ":" +
                   two_digits(clock.seconds())};
}

}  // namespace ladder::services
