// Prints the results of bench as Markdown, and writes them as JSON and as a piece of a page.
#pragma once

#include <iosfwd>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

struct Work {
  char id;
  std::string_view title;
  std::string_view program;  // load, hold: of the client; churn; slow_client
  std::string_view arguments;
  int held = 0;  // connections that are opened and held: what is counted, and what memory is divided by
  int active =
      0;         // of a point of the charts of growth: connections that echo 64 bytes, each as soon as it can
  int idle = 0;  // connections that stand beside, and say nothing
  // A second run with these, and the difference is measured: so many connections take longer to open than to serve.
  std::string_view longer = {};
  bool paced = false;  // at a fixed rate: then the latency says something of the server

  bool counts_connections() const { return program == "hold" || program == "churn"; }
  bool has_latency() const { return program == "load"; }
  bool asks_slow_server() const { return program == "slow_client"; }
};

struct Server {
  std::string name, command;
};

struct Figures {
  double cpu = 0;   // microseconds a message; of a hold or a churn, a connection
  double rate = 0;  // of these, in a second
  double p50 = 0;   // microseconds until a reply was back
  double p99 = 0;
  double bytes = 0;         // resident memory a connection
  double kernel_bytes = 0;  // the kernel's for the server's end of a connection that is held
  double ms = 0;            // the longest wait for a slow server
};
using Rounds = std::vector<std::vector<Figures>>;  // [server][round]

struct Result {
  const Work* work;
  Rounds all;
};

/// A table. ratios_alone: nothing absolute, for a system whose times mean nothing elsewhere.
void print(const Work& work, std::span<const Server> servers, const Rounds& all, bool ratios_alone);
/// How CPU time and memory grow with the connections: tables.
void print_growth(std::span<const Server> servers, std::span<const Result> results);

void write_plots(std::ostream& out, const Work& work, std::span<const Server> servers, const Rounds& all);
void write_growth(std::ostream& out, std::span<const Server> servers, std::span<const Result> results);
void write_json(std::ostream& out, std::span<const Server> servers, std::span<const Result> results,
                const std::string& machine);

}  // namespace bench
