// A server's main, the same for every rung: which model serves was decided by the library it is linked with.
#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <system_error>
#include <thread>

#include "common/arguments.h"
#include "common/options.h"
#include "common/os.h"
#include "common/services/services.h"

namespace {

using namespace ladder;

constexpr std::string_view version = LADDER_VERSION;  // from CMakeLists.txt

/// The first signal stops the server in order, a second one at once.
void stop_on_signal(Server& server, Milliseconds drain) {
  const Milliseconds left = os::wait_for_stop_signal();
  try {
    std::thread([] {
      os::wait_for_stop_signal();
      os::exit_at_once(EXIT_FAILURE);
    }).detach();
  } catch (const std::exception&) {
    // No thread to be had, or no memory: nobody hears a second signal then, but this one is still honoured.
  }
  server.stop(std::min(drain, left));
}

/// One line for programs, and on a terminal a second one for people, who think that a silent server hangs.
void announce(const CommandLine& line, const Profile& profile, const Endpoint& endpoint) {
  const std::string host = host_of(endpoint);
  const std::string port = std::to_string(endpoint.port);
  std::cout << "READY model=" << profile.model << " service=" << line.service << " host=" << host
            << " port=" << port << " pid=" << os::process_id() << '\n';
  if (os::is_terminal_output())
    std::cout << "Now type in another terminal: "
              << (line.service == "http" ? "curl -v http://" + to_string(endpoint) + "/"
                                         : "nc " + host + " " + port)
              << "    (Ctrl-C here stops the server)\n";
  std::cout.flush();
}

/// Of a thread that cannot be made std::thread says no more than "Resource temporarily unavailable".
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
  if (line.stats) std::cout << to_json(server->stats()) << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    os::prepare_process();  // first: a socket that took the place of a closed descriptor 1 would be sent READY
    const CommandLine line = parse_command_line(argc, argv, profile({}));
    const Profile this_profile = profile(line.options);
    if (line.help) {
      std::cout << usage(this_profile);
    } else if (line.version) {
      std::cout << "socket ladder " << version << ", " << this_profile.model << '\n';
    } else if (line.describe) {
      std::cout << describe(this_profile, line) << '\n';
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
