#include "tests/conformance/wine.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "tests/conformance/platform.h"
#include "tests/conformance/proc.h"

namespace conformance {
namespace {

namespace fs = std::filesystem;

bool is_whole(const fs::path& prefix) {
  return fs::exists(prefix / "system.reg");  // what Wine writes last
}

/// Where Wine keeps its Windows for this command: what the environment says, or cmake/wine.sh's.
std::optional<fs::path> usual_prefix(const std::string& program) {
  if (const char* const named = std::getenv("WINEPREFIX")) return named;
  const fs::path built = fs::path(program).parent_path() / ".." / "build" / "wine";
  if (is_whole(built)) return fs::canonical(built);
  return {};
}

/// A prefix of our own, for as long as we run. Which wineserver serves a program goes by the prefix: a new
/// one gets a new one, and whatever runs in the usual prefix is left alone. A copy of the registry and
/// symbolic links to the rest will do; without a usual prefix Wine fills the empty one, which takes it ten
/// seconds.
class Prefix {
 public:
  explicit Prefix(const std::optional<fs::path>& usual) {
    std::string name = fs::temp_directory_path() / "conformance-wine-XXXXXX";
    if (!mkdtemp(name.data())) throw std::system_error(errno, std::system_category(), name);
    path_ = name;
    if (!usual || !is_whole(*usual)) return;
    for (const char* const file : {"system.reg", "user.reg", "userdef.reg", ".update-timestamp"})
      fs::copy(*usual / file, path_ / file);
    for (const char* const folder : {"drive_c", "dosdevices"})
      fs::create_directory_symlink(fs::canonical(*usual / folder), path_ / folder);
  }
  Prefix(const Prefix&) = delete;
  Prefix& operator=(const Prefix&) = delete;
  ~Prefix() {
    std::error_code left_behind;
    remove_server_folder(left_behind);
    fs::remove_all(path_, left_behind);  // follows no link
  }
  const fs::path& path() const { return path_; }

 private:
  /// Debian's Wine makes a folder for each wineserver, writes its name into the prefix, and leaves it there.
  void remove_server_folder(std::error_code& left_behind) const {
    std::string name;
    if (std::ifstream(path_ / "wineserver") >> name && name.starts_with("wine-") &&
        fs::path(name).filename() == name)
      fs::remove_all(fs::path("/tmp") / name, left_behind);
  }

  fs::path path_;
};

struct LocalSocket {
  std::uint64_t number = 0;
  bool listens = false;
};

/// All sockets of the family AF_UNIX in this network.
std::vector<LocalSocket> local_sockets() {
  std::vector<LocalSocket> all;
  std::istringstream lines(proc::contents("/proc/thread-self/net/unix"));
  std::string line;
  std::getline(lines, line);  // the names of the columns
  while (std::getline(lines, line)) {
    std::istringstream fields(line);
    std::string address, references, protocol, flags, type, state;
    LocalSocket socket;
    fields >> address >> references >> protocol >> flags >> type >> state >> socket.number;
    socket.listens = flags == "00010000";
    all.push_back(socket);
  }
  return all;
}

std::set<std::uint64_t> sockets_of(int process) {
  std::set<std::uint64_t> all;
  for (const int descriptor : proc::descriptors(process))
    if (const auto number = proc::socket_number(process, descriptor)) all.insert(*number);
  return all;
}

class Wine {
 public:
  explicit Wine(const std::string& program) : prefix_(usual_prefix(program)) {
    setenv("WINEPREFIX", prefix_.path().c_str(), 1);
    setenv("WINEDEBUG", "-all", 0);
    // A wineserver writes the registry when it ends. Without it cmake/wine.sh takes a prefix for an empty one.
    if (!is_whole(prefix_.path())) run({"sh", "-c", "wineboot -i && wineserver -w"});
    most_descriptors();  // it holds the sockets of all programs, and keeps the soft limit that it inherits
    // -p: it stays when the last program has gone, and so do Windows' own processes: what it holds is
    // steady. Killed, it would leave those behind.
    server_.emplace(Launch{.words = {"wineserver", "-f", "-p"}, .announces = false, .gently = true});
    while (!listens())
      if (server_->wait(milliseconds(5))) throw std::runtime_error("no wineserver: " + server_->log());
    // Windows' own processes start with the first program: before one that is judged.
    run({"wine", "wineboot"});
  }
  Wine(const Wine&) = delete;
  Wine& operator=(const Wine&) = delete;
  ~Wine() {
    server_->send(Signal::interrupt);  // it ends all that still runs in the prefix, then itself
    server_->wait(std::chrono::seconds(5));
  }
  Process& server() { return *server_; }

 private:
  /// A program that asks for a wineserver that does not listen yet starts another.
  bool listens() const {
    const std::set<std::uint64_t> held = sockets_of(server_->id());
    return std::ranges::any_of(
        local_sockets(), [&](const LocalSocket& each) { return each.listens && held.contains(each.number); });
  }

  static void run(std::vector<std::string> words) {
    Process program({.words = std::move(words), .announces = false});
    const auto ended = program.wait(std::chrono::seconds(120));  // in an empty prefix, on a slow machine
    if (!ended || !ended->in_order()) throw std::runtime_error("Wine does not start: " + program.log());
  }

  Prefix prefix_;
  std::optional<Process> server_{};
};

}  // namespace

bool is_windows_program(const std::string& word) {
  return word.ends_with(".exe");
}

bool needs_wine(const std::vector<std::string>& command) {
  return std::ranges::any_of(command, is_windows_program);
}

Process& wineserver(const std::vector<std::string>& command) {
  static Wine the_only(command.front());
  return the_only.server();
}

int wine_version() {
  static const int version = [] {
    Process asked({.words = {"sh", "-c", "wine --version >&2"}, .announces = false});
    asked.wait(std::chrono::seconds(30));
    const std::string answer = asked.log(), before = "wine-";
    const std::size_t at = answer.find(before);
    if (at == answer.npos) throw std::runtime_error("wine --version says: " + answer);
    return std::stoi(answer.substr(at + before.size()));
  }();
  return version;
}

std::size_t internet_sockets(int process) {
  std::set<std::uint64_t> held = sockets_of(process);
  for (const LocalSocket& local : local_sockets())
    held.erase(local.number);
  return held.size();
}

std::size_t& all_shares() {
  static std::size_t sum = 0;
  return sum;
}

std::size_t& left_behind() {
  static std::size_t sum = 0;
  return sum;
}

}  // namespace conformance
