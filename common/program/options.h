// A server's command line, and the two documents that it prints: --describe and --stats.
#pragma once

#include <string>

#include <ladder/server.h>

namespace ladder {

struct CommandLine {
  Options options;
  std::string service = "echo";
  Milliseconds drain{5'000};  ///< how long a stop waits; 0: not at all
  bool stats = false;
  bool describe = false;
  bool version = false;
  bool help = false;
};

/// argv[0] is passed over. Throws BadArgument. An option that the model has no use for is unknown to it.
CommandLine parse_command_line(int argc, char** argv, const Profile&);
/// What --help prints.
std::string usage(const Profile&);

/// What --describe prints: the model's profile and the timeouts in force, as JSON on one line.
std::string describe(const Profile&, const CommandLine&);
/// What --stats prints at the end: JSON on one line.
std::string to_json(const Stats&);

}  // namespace ladder
