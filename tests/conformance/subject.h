// The server under test: how to start it, what it says of itself, and what must hold of it after every case.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/conformance/platform.h"
#include "tests/conformance/sockets.h"

namespace conformance {

/// What a server of ours says of itself by --describe. A foreign one is taken to serve all at once.
struct Profile {
  std::string model = "foreign";
  std::string platform{};  ///< "linux" or "windows": what it was built for
  std::optional<std::size_t> clients_at_once{};
  std::optional<std::size_t> ceiling{};  ///< connections that it holds at the most
  std::string set_by{};                  ///< what sets the ceiling
  std::string above{};                   ///< what a newcomer above it meets: "wait", "close" or "refuse"
  std::string threads{};                 ///< how many, in words
  std::string service{};                 ///< the only one, of a server that has no --service
};

/// The value of a key in a JSON text, as it stands there; empty: no such key.
std::string json_value(const std::string& json, const std::string& key);

struct StartOptions {
  std::string_view service = "echo";
  std::vector<std::string> options{};
  std::vector<int> closed{};
  int inherited = 0;  ///< these as in Launch
  int gap = 0;
  std::size_t threads = 0;
  Log log = Log::kept;
  bool takes_output = true;
  std::vector<Limit> limits{};
  bool warm = true;  ///< serve it two clients, and note what it holds at rest
};

/// A server that serves, or did: one that we started, or one that runs somewhere (--connect).
class Server {
 public:
  explicit Server(Target, std::string service);
  Server(Process, Target, const StartOptions&, std::string ready, bool ours);

  const Target& target() const { return target_; }
  const std::string& service() const { return service_; }
  const std::string& ready() const { return ready_; }  ///< its READY line; a foreign server has none

  bool has_process() const { return process_.has_value(); }
  Process& process();  ///< throws NotApplicable for one that we did not start
  bool running() { return !process_ || process_->running(); }

  /// The process stands still until the guard goes: a scheduler for "all of this is there when it wakes".
  class Frozen {
   public:
    explicit Frozen(Process* process) : process_(process) {
      if (process_) process_->freeze();
    }
    Frozen(const Frozen&) = delete;
    Frozen& operator=(const Frozen&) = delete;
    ~Frozen() { thaw(); }
    void thaw() {
      if (process_) process_->thaw();
      process_ = nullptr;
    }

   private:
    Process* process_;
  };
  Frozen freeze() { return Frozen(&process()); }
  Frozen freeze_if_possible() { return Frozen(process_ && Process::can_freeze() ? &*process_ : nullptr); }

  /// Alive, serving, at rest, with nothing left of its clients; throws Failed.
  void expect_unharmed();
  /// Descriptors and threads are what they were before its clients; it may take as long as it goes on; throws Failed.
  void expect_holdings_returned();
  /// None of its connections is left whose client has gone, in its backlog neither; likewise.
  void expect_closed_what_was_left();
  void expect_rest();  ///< it uses no processor time; throws Failed
  void expect_no_sanitizer_report() const;
  std::string last_words();  ///< whether it runs, and the last lines of its log

 private:
  void warm_up();
  struct Holdings {
    std::size_t descriptors = 0, threads = 0;
    bool operator==(const Holdings&) const = default;
  };
  Holdings holdings() const { return {process_->descriptors(), process_->threads()}; }
  bool returned_to_baseline() const;
  std::size_t close_waits() const;
  std::string more_than_before() const;

  Target target_;
  std::string service_, ready_;
  std::optional<Process> process_{};
  std::optional<Holdings> baseline_{};
  std::map<std::string, std::size_t> kinds_before_{};
  bool ours_ = false;
};

/// What the command line says of one subject.
struct SubjectOptions {
  std::string name{}, server{}, address{}, service{};
  bool stops_on_sigterm = false;                ///< a foreign server: STOP and "exits 0" hold for it too
  std::map<std::string, std::string> limits{};  ///< cases expected to fail, with the reason
  std::string command{};                        ///< these options, as they were typed
};

/// What is judged: a program or an address.
class Subject {
 public:
  /// Asks the program what it is. Throws std::runtime_error if it cannot be judged at all.
  explicit Subject(SubjectOptions);

  const SubjectOptions& options() const { return options_; }
  const Profile& profile() const { return profile_; }
  bool ours() const { return ours_; }
  bool starts() const { return !words_.empty(); }
  bool ends_in_order() const { return starts() && (ours_ || options_.stops_on_sigterm); }
  bool offers(std::string_view service) const;
  std::string name() const;      ///< short: --name, or what the command suggests
  std::string describe() const;  ///< for the head of the report
  std::string command() const;   ///< that judges it as now

  std::unique_ptr<Server> start(const StartOptions&) const;  ///< throws Failed if it does not come up
  /// What a server of ours says of itself when it gets these arguments. Throws std::runtime_error.
  Profile ask_profile(std::vector<std::string> arguments) const;
  /// Starts the program of a server of ours, and does not wait for READY.
  Process launch(const StartOptions&) const;
  /// Runs the program of a server of ours with these arguments alone.
  Process run(std::vector<std::string> arguments) const;

 private:
  std::unique_ptr<Server> start_ours(StartOptions) const;
  static void require_few_options(const std::vector<std::string>& options);
  std::unique_ptr<Server> start_foreign(const StartOptions&) const;
  void try_a_start() const;

  SubjectOptions options_{};
  std::vector<std::string> words_{};
  std::string foreign_service_ = "echo";
  Profile profile_{};
  bool ours_ = false;
};

}  // namespace conformance
