// What of the services can be tried without a socket. The rest is the conformance suite's SVC family.
#include "common/services/services.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <set>
#include <string>
#include <string_view>

#include "common/program/arguments.h"

using namespace ladder;
using namespace std::chrono;

TEST_CASE("chargen: the pattern of RFC 864") {
  CHECK(services::chargen_line(0) ==
        " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefg\r\n");
  CHECK(services::chargen_line(94) ==
        "~ !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdef\r\n");
  CHECK(services::chargen_line(95) == services::chargen_line(0));
  std::set<std::string> lines;
  for (std::size_t n = 0; n < 95; ++n) {
    const std::string line = services::chargen_line(n);
    REQUIRE(line.size() == 74);
    REQUIRE(line.ends_with("\r\n"));
    const std::string next = services::chargen_line(n + 1);
    REQUIRE(line.substr(1, 71) == next.substr(0, 71));  // each line is the one before it, moved by one
    lines.insert(line);
  }
  CHECK(lines.size() == 95);
}

TEST_CASE("daytime: the line of RFC 867, in any year") {
  CHECK(services::daytime_line(sys_days(1982y / February / 22) + 17h + 37min + 43s) ==
        "Monday, February 22, 1982 17:37:43-UTC\r\n");
  CHECK(services::daytime_line(sys_days(2000y / February / 29)) ==
        "Tuesday, February 29, 2000 00:00:00-UTC\r\n");
  CHECK(services::daytime_line(sys_days(1999y / December / 31) + 24h - 1s) ==
        "Friday, December 31, 1999 23:59:59-UTC\r\n");
  CHECK(services::daytime_line(sys_seconds(-1s)) == "Wednesday, December 31, 1969 23:59:59-UTC\r\n");
}

TEST_CASE("make_service knows each name it lists, and no other") {
  CHECK(service_names().size() == 6);
  for (const std::string_view name : service_names())
    CHECK_NOTHROW(make_service(name, {}));
  std::string text;
  try {
    make_service("Echo", {});
  } catch (const BadArgument& error) {
    text = error.what();
  }
  CHECK(text.find("'Echo'") != text.npos);
  for (const std::string_view name : service_names())
    CHECK(text.find(name) != text.npos);
}
