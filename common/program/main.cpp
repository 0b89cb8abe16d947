// A server's main, the same for every rung: which model serves was decided by the library it is linked with.
#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <exception>
#include <functional>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "common/os/os.h"
#include "common/program/arguments.h"
#include "common/program/options.h"
#include "common/services/services.h"
#include <ladder/server.h>

namespace {

using namespace ladder;

constexpr std::string_view version = LADDER_VERSION;  // from CMakeLists.txt

/// One Ctrl-C may arrive twice: from the terminal, and from a wrapper such as timeout(1). STOP-09
constexpr Milliseconds same_signal{500};

/// The first signal stops the server in order, a second one at once.
void stop_on_signal(Server& server, Milliseconds drain) {
  const os::StopSignal first = os::wait_for_stop_signal();
  try {
    std::thread([first] {
      os::wait_for_stop_signal(first.received + same_signal);
      os::exit_at_once(EXIT_FAILURE);
    }).detach();
  } catch (const std::exception&) {
    // No thread to be had, or no memory: nobody hears a second signal then, but this one is still honoured.
  }
  server.stop(std::min(drain, first.at_most));
}

/// To standard output, at once. If it cannot be written there, the program has not done what it was asked for. LIFE-12
void print(const std::string& text) {
  errno = 0;
  if (!(std::cout << text << std::flush))
    throw std::runtime_error("standard output: " + std::generic_category().message(errno ? errno : EIO));
}

/// One line for programs, and on a terminal a second one for people, who think that a silent server hangs.
void announce(const CommandLine& line, const Profile& profile, const Endpoint& endpoint) {
  const std::string host = host_of(endpoint);
  const std::string port = std::to_string(endpoint.port);
  std::string text = "READY model=" + std::string(profile.model) + " service=" + line.service +
                     " host=" + host + " port=" + port + " pid=" + std::to_string(os::process_id()) + "\n";
  if (os::is_terminal_output())
    text +=
        "Now type in another terminal: " +
        (line.service == "http" ? "curl -v http://" + to_string(endpoint) + "/" : "nc " + host + " " + port) +
        "    (Ctrl-C here stops the server)\n";
  print(text);
}

/// If no thread can be created, std::thread says no more than "Resource temporarily unavailable".
std::string line_of(const std::exception& error) {
  const auto* const of_system = dynamic_cast<const std::system_error*>(&error);
  const bool no_thread = of_system && of_system->code() == std::errc::resource_unavailable_try_again;
  return (no_thread ? "no thread: " : "") + std::string(error.what()) + "\n";
}

void serve(const CommandLine& line, const Profile& profile, Callbacks callbacks) {
  const std::unique_ptr<Server> server = make_server(line.options, std::move(callbacks));
  std::thread stopper(stop_on_signal, std::ref(*server), line.drain);
  try {
    announce(line, profile, server->endpoint());
    server->run();
  } catch (const std::exception& error) {
    std::cerr << line_of(error);
    os::exit_at_once(EXIT_FAILURE);  // the stopper sleeps on, and holds the server
  }
  stopper.join();
  if (line.stats) print(to_json(server->stats()) + "\n");
}

}  // namespace

int main(int argc, char** argv) {
  try {
    os::prepare_process();  // first: a socket that took the place of a closed descriptor 1 would be sent READY
    const CommandLine line = parse_command_line(argc, argv, profile({}));
    const Profile this_profile = profile(line.options);
    if (line.help) {
      print(usage(this_profile));
    } else if (line.version) {
      print("socket ladder " + std::string(version) + ", " + std::string(this_profile.model) + "\n");
    } else if (line.describe) {
      print(describe(this_profile, line) + "\n");
    } else {
      serve(line, this_profile, make_service(line.service, line.options));
    }
    return EXIT_SUCCESS;
  } catch (const BadArgument& error) {
    std::cerr << error.what() + std::string("\n");
    return 2;
  } catch (const std::exception& error) {  // such as a port in use
    std::cerr << line_of(error);
    return EXIT_FAILURE;
  }
}
