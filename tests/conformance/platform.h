// What the suite needs of the operating system beyond sockets: to start, stop, freeze and look into a
// process, and a network of its own whose counters start at zero. platform_linux.cpp and
// platform_windows.cpp implement it; what a system has not throws NotApplicable, with the reason.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace conformance {

using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;
using Duration = Clock::duration;
using std::chrono::milliseconds;

/// How a process ended.
struct Ended {
  int status = 0;
  int signal = 0;  ///< not 0: killed by it
  bool in_order() const { return status == 0 && signal == 0; }
};
std::string to_string(const Ended&);

enum class Log {
  kept,     ///< in a file that log() reads
  full,     ///< a pipe that has no room for one more byte, and that nobody reads
  hung_up,  ///< a pipe whose reader is gone
  pieces,   ///< a pipe that keeps each write apart, for log_pieces()
};

/// A limit that a program is started with (getrlimit(2)), in descriptors or bytes.
struct Limit {
  enum class Of { descriptors, stack, file_size } of;
  std::size_t soft = 0;
  bool hard_too = false;  ///< else the program may raise it, as far as we may
};

struct Launch {
  std::vector<std::string> words;
  std::vector<int> closed{};  ///< descriptors that the program finds closed
  int inherited = 0;          ///< so many more that it finds open, from 3 on,
  int gap = 0;                ///< but for the first so many
  std::size_t threads = 0;    ///< not 0: the most that it may have; where can_limit_threads()
  Log log = Log::kept;        ///< its standard error
  bool announces = true;      ///< line() reads its standard output; else that goes with the log
  bool takes_output =
      true;  ///< false: its standard output is full from the start, or a pipe that nobody reads
  std::vector<Limit> limits{};
  bool gently = false;  ///< if we die it is interrupted; else it is killed
};

/// SIGTERM, SIGINT and SIGHUP; Windows: Ctrl-Break, Ctrl-C and none.
enum class Signal { terminate, interrupt, hang_up };

struct WaysToStop {
  std::vector<Signal> all{};  ///< those that reach the program; the first is the usual one
  std::string missing{};      ///< which does not, and why
};

/// A program that we started, in a process group of its own (Windows: a job and a console); the destructor
/// kills all of it. Of a Windows program under Wine, what its wineserver does and holds for it is counted with
/// it.
class Process {
 public:
  explicit Process(const Launch&);  ///< throws std::system_error; a program that is not there ends with 127
  Process(Process&&) noexcept;
  Process& operator=(Process&&) = delete;
  ~Process();

  int id() const;
  std::optional<Ended> wait(Duration patience);  ///< empty: it still runs
  bool running() { return !wait(Duration::zero()); }
  std::optional<std::string> line(Duration patience);  ///< the next line of its standard output
  std::string output();                                ///< what else stands in its standard output
  void hang_up();                                      ///< nobody reads its standard output from now on
  std::string log() const;                             ///< its standard error so far
  std::vector<std::string> log_pieces();               ///< what came since it was asked last, write by write
  WaysToStop ways_to_stop() const;
  void send(Signal);
  void stop() { send(ways_to_stop().all.front()); }  ///< asks for an orderly end, in the usual way
  void kill();
  static bool can_freeze();
  void freeze();  ///< returns when all its threads stand still
  void thaw();

  /// None of its threads runs, or would if a processor were free. Windows does not tell, and says yes.
  bool asleep() const;
  bool under_wine() const;
  int wine_version() const;  ///< the first number of it; 0: not under Wine
  Duration cpu()
      const;  ///< processor time of all its threads, dead ones included; under Wine the wineserver's too
  std::map<std::uint64_t, Duration> cpu_by_thread() const;  ///< of those that live, by their numbers
  std::uint64_t memory() const;                             ///< bytes that are its own: heap and stacks
  /// A sanitizer is built into it: what it holds and how fast it is says little.
  bool sanitized() const;
  bool tells_leaks() const;  ///< a leak sanitizer is
  std::size_t threads() const;
  /// Of a Windows program under Wine, its own and the wineserver's sockets; on Windows, handles.
  std::size_t descriptors() const;
  std::size_t sockets() const;  ///< those of them that are sockets
  /// How many of each kind ("socket", "pipe", a file's path); empty where the system does not tell.
  std::map<std::string, std::size_t> kinds() const;
  /// It is at rest: what it holds now is not another program's. The descriptors, as above.
  std::size_t note_share();
  bool has_socket_at(int descriptor) const;
  /// From now on it gets no new one beyond so many (RLIMIT_NOFILE).
  void deny_descriptors(std::size_t beyond = 0);
  void allow_descriptors();  ///< as at the start
  /// Why it could not be asked to stop while it gets no descriptor; empty: it can.
  std::string deaf_without_descriptors() const;
  /// From now on it gets no new memory beyond so many bytes (RLIMIT_DATA), until allow_memory().
  void deny_memory(std::size_t beyond);
  void allow_memory();

 private:
  struct State;
  std::unique_ptr<State> self_;
};

bool can_limit_threads();        ///< of a program that we start
std::size_t most_descriptors();  ///< that this process may have; from then on it may

/// From now on this process and its children have a network of their own, a loopback interface. False: not
/// allowed.
bool enter_private_network();

/// Whether a process at rest holds what it held at rest before, to the descriptor and thread; else its system
/// may open a few for it when they are first needed.
bool counts_are_exact();

/// The kernel's counters (/proc/net/snmp, netstat) of this network.
struct Counters {
  std::uint64_t resets_sent = 0;  ///< OutRsts: by either side, and by the system to segments out of place
  std::uint64_t connections_reset = 0;  ///< EstabResets: connections that ended without both FINs
  std::uint64_t aborts_on_data = 0;     ///< TCPAbortOnData: closed at once, or data came after the close
  std::uint64_t aborts_on_close = 0;    ///< TCPAbortOnClose: closed with input unread
  std::uint64_t listen_overflows = 0;   ///< ListenOverflows: a full backlog
};
Counters counters();

/// A TCP socket of this network, as the system's table of IPv4 shows it.
struct TableEntry {
  enum class State { established, time_wait, close_wait, other } state = State::other;
  std::uint16_t local_port = 0, remote_port = 0;
  // Where shows_queues():
  std::size_t unread = 0;          ///< bytes that its owner has not read
  std::size_t unacknowledged = 0;  ///< bytes that its peer's system has not acknowledged
};
std::vector<TableEntry> socket_table();
bool shows_queues();

bool has_program(std::string_view name);  ///< on the PATH
std::string quoted(const std::string&);   ///< as this system's shell takes it for one word
std::string unseen();                     ///< what of a process is hidden here, and why; empty: nothing
void prepare_console();                   ///< before anything is printed

}  // namespace conformance
