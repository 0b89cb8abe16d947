// LIFE: start, arguments, addresses, and a world that is not as it should be when the server starts.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/conformance/expect.h"
#include "tests/conformance/peer.h"
#include "tests/conformance/platform.h"
#include "tests/conformance/scene.h"
#include "tests/conformance/subject.h"
#include "tests/conformance/suite.h"

namespace conformance {
namespace {

constexpr std::string_view executables = "README, \"the servers\"";

void stop(Server& server) {
  server.process().stop();
  expect_exit_in_order(server.process(), scaled(std::chrono::seconds(1)));
}

TEST_CASE("LIFE-01 --port 0 prints READY, and the first connect succeeds") {
  judge({.requirement = "once you have read READY you can connect, to the port that it names",
         .source = executables,
         .catches = "announced before listen; a line that stays in the buffer of standard output",
         .needs = Needs::ours},
        [](Scene& scene) {
          for (int start = 0; start < 10; ++start) {
            Server& server = scene.start({.warm = false});
            Peer peer = scene.connect(server);
            expect_echo(peer, "first");
            expect_orderly_end(peer);
            const std::string model = " model=" + scene.profile().model + " ";
            for (const std::string_view part : {model.c_str(), " service=echo ", " host=127.0.0.1 ", " pid="})
              expect(server.ready().find(part) != std::string::npos,
                     "'" + std::string(part) + "' in the READY line", server.ready());
            stop(server);
          }
        });
}

TEST_CASE("LIFE-02 a port that is taken: names it, exit 1, the first server unharmed") {
  judge({.requirement = "two servers never share a port, and the second says why it does not start",
         .source = executables,
         .catches = "SO_REUSEPORT, which lets a second server take half of the clients; a silent failure",
         .needs = Needs::ours},
        [](Scene& scene) {
          const std::string port = std::to_string(scene.start().target().port);
          Process second = scene.subject().run({"--port", port});
          expect_refusal(second, 1, {port}, "--port " + port + ", which is taken");
        });
}

bool has_time_wait(std::uint16_t port) {
  return std::ranges::any_of(socket_table(), [port](const TableEntry& entry) {
    return entry.local_port == port && entry.state == TableEntry::State::time_wait;
  });
}

TEST_CASE("LIFE-03 the server closed first, restart at once: binds") {
  judge({.requirement = "a restart does not have to wait for the connections of the past",
         .source = "RFC 9293, 3.6.1 (TIME-WAIT); socket(7), SO_REUSEADDR",
         .catches = "bind without SO_REUSEADDR: \"address already in use\" for a minute",
         .needs = Needs::ours},
        [](Scene& scene) {
          Server& first = scene.start({.service = "daytime", .warm = false});
          Peer peer = scene.connect(first);
          expect_rest_and_fin(peer);
          peer.close();
          const std::uint16_t port = first.target().port;
          const Time until = Clock::now() + patience();
          while (!has_time_wait(port) && Clock::now() < until)
            first.process().wait(milliseconds(2));
          expect(has_time_wait(port), "a connection in TIME_WAIT at the server's port: it closed first",
                 "none");
          stop(first);
          scene.start({.service = "daytime", .options = {"--port", std::to_string(port)}});
        });
}

TEST_CASE("LIFE-04 bad arguments: one line, exit 2, nothing bound") {
  judge({.requirement = "a command line that cannot be right is refused before anything is bound",
         .source = executables,
         .catches = "atoi: \"80x\" is 80, and \"http\" any port; an option that is quietly ignored",
         .needs = Needs::ours},
        [](Scene& scene) {
          Process asked = scene.subject().run({"--help"});
          expect(asked.wait(patience()).has_value(), "--help to end", "it still runs");
          const std::string help = asked.output();
          std::vector<std::vector<std::string>> table{
              {"--nonsense"},
              {"--nonsense", "1"},
              {"--backlog"},
              {"--backlog", "many"},
              {"--backlog", "12x"},
              {"--backlog", ""},
              {"--port", "65536"},
              {"--port", "-1"},
              {"--port", "0x50"},
              {"--service", "nobody"},
              {"--host", "not.an.address"},
              {"--idle-timeout", "-5"},
              {"--stats=yes"},
              {"leftover"},
          };
          // What the model has no use for is as bad as what it cannot make sense of.
          table.push_back({"--threads", help.find("--threads") == help.npos ? "2" : "many"});
          table.push_back({"--queue", help.find("--queue") == help.npos ? "shared" : "sideways"});
          const HeldPort held;  // binding it would fail with exit 1
          for (const auto& bad : table) {
            std::vector<std::string> words = bad;
            if (bad.front() != "--port") words.insert(words.begin(), {"--port", std::to_string(held.port())});
            Process process = scene.subject().run(words);
            std::string command;
            for (const std::string& word : bad)
              command += (command.empty() ? "" : " ") + word;
            expect_refusal(process, 2, bad, command);
          }
        });
}

/// A self-contained server has those alone that concern an echo.
bool has_all_options(const Scene& scene) {
  return scene.profile().service.empty();
}

std::string answer(Scene& scene, const std::string& question, std::uint16_t port) {
  Process process = scene.subject().run({"--port", std::to_string(port), question});
  expect_exit_in_order(process, patience());
  expect(process.log().empty(), "nothing on standard error for " + question, process.log());
  std::string output = process.output();
  expect(output.ends_with('\n'), "an answer to " + question, "'" + output + "'");
  return output;
}

TEST_CASE("LIFE-05 --help, --version and --describe: exit 0") {
  judge(
      {.requirement = "a server explains itself, to people and to programs, and binds nothing for it",
       .source = executables,
       .catches =
           "help that goes to standard error, or is not the whole of it; a profile that no program can read",
       .needs = Needs::ours},
      [](Scene& scene) {
        const HeldPort held;
        const std::string help = answer(scene, "--help", held.port());
        std::vector<std::string_view> options = {"--host",         "--port",          "--max-connections",
                                                 "--idle-timeout", "--write-timeout", "--drain-timeout",
                                                 "--describe",     "--help"};
        if (has_all_options(scene))
          options.insert(options.end(), {"--service", "--close-timeout", "--keep-alive", "--backlog",
                                         "--stats", "--version"});
        for (const std::string_view option : options)
          expect(help.find(option) != help.npos, std::string(option) + " in --help", "no such line");
        if (has_all_options(scene)) answer(scene, "--version", held.port());
        const std::string profile = answer(scene, "--describe", held.port());
        for (const char* key :
             {"model", "platform", "clients_at_once", "ceiling", "connections", "set_by", "above", "threads"})
          expect(!json_value(profile, key).empty(), std::string("\"") + key + "\" in --describe", profile);
        const std::string above = json_value(profile, "above");
        expect(above == "wait" || above == "close" || above == "refuse", "above: wait, close or refuse",
               above);
      });
}

TEST_CASE("LIFE-06 killed and restarted: binds") {
  judge({.requirement = "a server that died can be started again on its port, though clients were connected",
         .source = "socket(7), SO_REUSEADDR",
         .catches = "bind without SO_REUSEADDR; a lock file or a port that is kept",
         .needs = Needs::ours},
        [](Scene& scene) {
          Server& first = scene.start({.warm = false});
          Peer peer = scene.connect(first);
          expect_echo(peer, "?");
          first.process().kill();
          peer.reset();  // no FIN: for Wine, as in STOP-06
          scene.start({.options = {"--port", std::to_string(first.target().port)}});
        });
}

TEST_CASE("LIFE-07 nobody reads its log any more: survives") {
  judge({.requirement = "a server serves on when its log is full, or its reader is gone",
         .source = "pipe(7): a full pipe blocks its writer, one without a reader raises SIGPIPE",
         .catches = "a log line that blocks the loop, or kills the process",
         .needs = Needs::ours},
        [](Scene& scene) {
          Server& heard = scene.start();
          std::vector<Peer> peers = exhaust_descriptors(scene, heard);
          const Time until = Clock::now() + patience();
          while (heard.process().log().empty() && Clock::now() < until)
            heard.process().wait(milliseconds(2));
          expect(!heard.process().log().empty(), "a line on standard error when descriptors run out", "none");
          heard.process().allow_descriptors();
          peers.clear();
          for (const Log unheard : {Log::full, Log::hung_up}) {
            Server& server = scene.start({.log = unheard});
            peers = exhaust_descriptors(scene, server);
            server.process().wait(scaled(milliseconds(200)));  // as long as it took, and more
            expect(server.running(), "a server that lives", "it is gone");
            server.process().allow_descriptors();
            peers.clear();
          }
        });
}

TEST_CASE("LIFE-08 started with descriptors 0, 1 or 2 closed: no client gets the log") {
  judge({.requirement = "no socket becomes standard input, output or error",
         .source = "open(2): a new descriptor gets the lowest free number",
         .catches = "a client that is descriptor 2, and is sent the log",
         .needs = Needs::ours},
        [](Scene& scene) {
          if (scene.profile().platform == "windows")
            throw NotApplicable("a socket of Windows' is a handle, and never becomes a standard stream");
          for (const std::vector<int>& closed : {std::vector{0}, std::vector{0, 1, 2}}) {
            Server& server = scene.start({.closed = closed});
            Peer peer = scene.connect(server);
            expect_echo(peer, "?");
            for (const int standard : {0, 1, 2})
              expect(!server.process().has_socket_at(standard), "no socket on descriptors 0 to 2",
                     "one is " + std::to_string(standard));
            std::vector<Peer> others = exhaust_descriptors(scene, server);
            server.process().wait(scaled(milliseconds(100)));
            expect_silence({&peer, 1});
            server.process().allow_descriptors();
            others.clear();
            expect_echo(peer, "!");
            expect_orderly_end(peer);
          }
        });
}

TEST_CASE("LIFE-09 the default bind is loopback only") {
  judge({.requirement = "nobody from outside reaches a server that was not told to let him",
         .source = executables,
         .catches = "bind to 0.0.0.0 or :: by default",
         .needs = Needs::ours},
        [](Scene& scene) {
          const std::uint16_t port = scene.start().target().port;
          std::vector<std::string> others{"127.0.0.2"};  // loopback too, and another address than the default
          if (has_ipv6()) others.emplace_back("::1");
          for (const std::string& other : others)
            expect(scene.dial({other, port}).refused(patience()), "a refusal at " + other, "a connection");
        });
}

TEST_CASE("LIFE-10 IPv6: --host ::1") {
  judge({.requirement = "a server listens where it is told, in IPv6 too",
         .source = "RFC 4291, 2.5.3 (the loopback address)",
         .catches = "an address that is taken for IPv4, or cut at its first colon",
         .needs = Needs::ours},
        [](Scene& scene) {
          if (!has_ipv6()) throw NotApplicable("this machine has no ::1");
          Server& server = scene.start({.options = {"--host", "::1"}});
          expect(server.target().host == "::1", "host=::1 in READY", server.ready());
          Peer peer = scene.connect(server);
          expect_echo(peer, "six");
          expect_orderly_end(peer);
        });
}

TEST_CASE("LIFE-11 a log file as large as it may be: survives") {
  judge({.requirement = "a server serves on when its log cannot grow",
         .source = "getrlimit(2), RLIMIT_FSIZE; signal(7): the default action of SIGXFSZ ends the process",
         .catches = "a server that the first line in its log kills, after days of service",
         .needs = Needs::ours},
        [](Scene& scene) {
          if (scene.profile().platform == "windows")
            throw NotApplicable("the limit and its signal are POSIX's: here a write that fails is only that");
          Server& heard = scene.start();
          std::vector<Peer> peers = exhaust_descriptors(scene, heard);
          const Time asked = Clock::now();
          while (heard.process().log().empty() && Clock::now() - asked < patience())
            heard.process().wait(milliseconds(2));
          const Duration took = Clock::now() - asked;
          expect(!heard.process().log().empty(), "a line on standard error when descriptors run out", "none");
          heard.process().allow_descriptors();
          peers.clear();
          Server& server = scene.start({.limits = {{Limit::Of::file_size, 0}}});
          peers = exhaust_descriptors(scene, server);
          server.process().wait(2 * took + scaled(milliseconds(200)));
          expect(server.running(), "a server that lives", "it is gone");
          expect(server.process().log().empty(), "no room for a line", server.process().log());
          server.process().allow_descriptors();
        });
}

TEST_CASE("LIFE-12 output that cannot be written: one line, exit 1") {
  judge({.requirement = "a program that could not say what it was asked for does not report success",
         .source = executables,
         .catches = "output that nobody looks after: exit 0 on a full disk; a server whose port nobody knows",
         .needs = Needs::ours},
        [](Scene& scene) {
          std::vector<std::vector<std::string>> questions = {
              {"--help"}, {"--describe"}, {"--port", "0"}};  // the last: READY
          if (has_all_options(scene)) questions.push_back({"--version"});
          for (const std::vector<std::string>& asked : questions) {
            Process process = scene.subject().launch({.options = asked, .takes_output = false});
            expect_refusal(process, 1, {"standard output"}, asked[0] + ", with no room for its answer");
          }
          if (!has_all_options(scene)) return;
          Process counted = scene.subject().launch({.options = {"--port", "0", "--stats"}});
          expect(counted.line(patience()).has_value(), "a READY line", "none");
          counted.hang_up();
          counted.stop();
          expect_refusal(counted, 1, {"standard output"}, "--stats, which nobody reads");
        });
}

void expect_start_error(Process process, const std::string& address, const std::string& command) {
  expect_refusal(process, 1, {address}, command);
  const std::string log = process.log();
  expect(log.find("nknown error") == log.npos, "a reason, in words, for " + command, log);
}

TEST_CASE("LIFE-13 a start that fails says at which address, and why") {
  judge(
      {.requirement = "one line tells the person at the keyboard what to change",
       .source = executables,
       .catches = "\"socket: Address family not supported by protocol\"; \"Unknown error\" for a port in use",
       .needs = Needs::ours},
      [](Scene& scene) {
        const std::string port = std::to_string(scene.start().target().port);
        expect_start_error(scene.subject().run({"--port", port}), "127.0.0.1:" + port,
                           "--port " + port + ", which is taken");
        const std::string nobodys = "192.0.2.1";  // RFC 5737, for documentation
        expect_start_error(scene.subject().run({"--host", nobodys, "--port", port}), nobodys + ":" + port,
                           "--host " + nobodys + ", which this machine does not have");
        if (!has_ipv6())
          expect_start_error(scene.subject().run({"--host", "::1", "--port", port}), "[::1]:" + port,
                             "--host ::1, where there is no IPv6");
      });
}

TEST_CASE("LIFE-14 in the background of a terminal that stops its writers: serves") {
  judge({.requirement = "a server whose output goes to a terminal is not held up by it",
         .source = "termios(3), TOSTOP; signal(7): the default action of SIGTTOU stops the process",
         .catches = "a server that its first line stops, after \"stty tostop\" and started with \"&\"",
         .needs = Needs::ours},
        [](Scene& scene) {
          if (scene.profile().platform == "windows" || !has_program("script"))
            throw NotApplicable("needs a terminal of POSIX's, and script(1) to make one");
          const std::string server = scene.subject().options().server + " --port 0";
          // The shell has job control, which gives the server a process group of its own.
          const std::string commands = "stty tostop; set -m; " + server + " & sleep 1; kill -KILL $!";
          Process terminal({.words = {"script", "-qec", commands, "/dev/null"}});
          const auto ready = terminal.line(patience());
          expect(ready && ready->starts_with("READY "), "a READY line", ready ? *ready : "none");
          expect(terminal.wait(patience()).has_value(), "an end of it all", "it still runs");
        });
}

}  // namespace
}  // namespace conformance
