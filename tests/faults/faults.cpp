// FAULT: what a server makes of system calls that fail, or do less than they were asked to. The faults come from
// preload.cpp, so that each comes when a case wants it; what they are to come to is judged as in the suite.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "tests/conformance/expect.h"
#include "tests/conformance/peer.h"
#include "tests/conformance/platform.h"
#include "tests/conformance/proc.h"
#include "tests/conformance/scene.h"
#include "tests/conformance/subject.h"
#include "tests/conformance/suite.h"

namespace conformance {
namespace {

constexpr std::string_view one_peer_only =
    "contract, point 13; docs/reading.md: an error of one peer concerns that peer only";

bool has_epoll(const Scene& scene) {
  return scene.profile().model == "epoll";
}
bool has_keeper(const Scene& scene) {  // a thread beside the one that accepts
  return scene.profile().model == "blocking" || scene.profile().model == "thread_per_conn";
}

/// Rules for the servers that are started by it, and which of them were followed.
class Faults {
 public:
  explicit Faults(std::vector<std::string> rules) : rules_(std::move(rules)) {
    const int file = mkstemp(log_.data());
    if (file < 0) throw std::system_error(errno, std::system_category(), "mkstemp");
    // The server may be another user (LIM-06); and a descriptor of ours is closed to it in a user namespace, where we have more
    // rights (ptrace(2), access mode checking).
    const bool open_to_all = fchmod(file, 0666) == 0;
    close(file);
    if (!open_to_all) throw std::system_error(errno, std::system_category(), "fchmod");
  }
  Faults(const Faults&) = delete;
  Faults& operator=(const Faults&) = delete;
  ~Faults() { unlink(log_.c_str()); }

  Server& start(Scene& scene, StartOptions how = {}) const {
    how.warm = false;  // it would be counted
    const Preloaded now(*this);
    return scene.start(how);
  }
  Process launch(const Scene& scene, const StartOptions& how = {}) const {
    const Preloaded now(*this);
    return scene.subject().launch(how);
  }

  bool followed(const std::string& rule) const {
    return proc::contents(log_).find(rule + '\n') != std::string::npos;
  }
  void expect_all_followed() const {
    for (const std::string& rule : rules_)
      expect(followed(rule), "a call for " + rule, "none");
  }

 private:
  /// The environment that a server finds.
  class Preloaded {
   public:
    explicit Preloaded(const Faults& faults) {
      std::string rules;
      for (const std::string& rule : faults.rules_)
        rules += (rules.empty() ? "" : ",") + rule;
      const auto program = std::filesystem::read_symlink("/proc/self/exe");  // in bin
      const auto library = program.parent_path().parent_path() / "tests/faults/libfaults.so";
      setenv("LD_PRELOAD", library.c_str(), 1);
      setenv("FAULTS", rules.c_str(), 1);
      setenv("FAULTS_LOG", faults.log_.c_str(), 1);
    }
    Preloaded(const Preloaded&) = delete;
    Preloaded& operator=(const Preloaded&) = delete;
    ~Preloaded() { unsetenv("LD_PRELOAD"); }
  };

  const std::vector<std::string> rules_;
  std::string log_ = std::filesystem::temp_directory_path() / "faults.XXXXXX";
};

/// Connections only begun: one may be reset before it has seen that it is connected.
std::vector<Peer> dial_many(Scene& scene, std::size_t count, const Server& server) {
  std::vector<Peer> peers;
  while (peers.size() < count)
    peers.push_back(scene.dial(server.target()));
  return peers;
}

/// The bytes come back, or a reset and until then nothing else.
void expect_echo_or_reset(Peer& peer, std::string_view content) {
  expect(peer.writable(patience()), "a connection for " + peer.name() + ", or a reset", "silence");
  peer.offer(content);
  std::string reply;
  std::array<char, 4096> buffer;
  while (reply.size() < content.size() && peer.end() == End::open) {
    expect(peer.readable(patience()), "an answer for " + peer.name() + ", or a reset", "silence");
    reply.append(buffer.data(), peer.take(buffer).bytes);
  }
  expect(content.starts_with(reply), "the bytes that were sent", "others");
  expect(peer.end() != End::fin, "an answer, or a reset",
         "FIN after " + std::to_string(reply.size()) + " bytes");
}

TEST_CASE("FAULT-01 a start that fails: one line, exit 1") {
  judge({.requirement = "a server that cannot be started says what failed, and is gone",
         .source = "README, \"the servers\"; the manual page of each call, ERRORS",
         .catches = "a call that is not looked at: a server that says READY and hears nobody",
         .needs = Needs::ours},
        [](Scene& scene) {
          std::vector<std::string> rules{"socket:EMFILE@1", "socket:EAFNOSUPPORT@1",
                                         "setsockopt:ENOPROTOOPT@1", "bind:EACCES@1", "listen:EADDRINUSE@1"};
          const std::size_t of_the_listener = rules.size();
          if (!has_keeper(scene)) rules.emplace_back("eventfd:ENFILE@1");
          if (has_epoll(scene))
            for (const char* const rule : {"epoll_create1:EMFILE@1", "timerfd_create:ENOMEM@1",
                                           "epoll_ctl:ENOSPC@1", "epoll_ctl:ENOMEM@2", "epoll_ctl:ENOMEM@3"})
              rules.emplace_back(rule);
          for (const std::string& rule : rules) {
            const Faults faults({rule});
            Process process = faults.launch(scene);
            expect_refusal(process, 1, {rule.substr(0, rule.find(':'))}, "a start with " + rule);
            faults.expect_all_followed();
            if (&rule < &rules[of_the_listener])
              expect(process.log().find(" 127.0.0.1:0: ") != std::string::npos,
                     "the address, for a start with " + rule, process.log());
          }
        });
}

/// What becomes of a start with so many descriptors, three of which are the standard ones.
enum class Start { refused, without_room, serves };

Start start_with(Scene& scene, int descriptors) {
  const std::string limit = "ulimit -n " + std::to_string(descriptors);
  const std::string options = has_epoll(scene) ? " --port 0 --threads 2" : " --port 0";
  Process process({.words = {"sh", "-c", limit + " && exec " + scene.subject().options().server + options}});
  const auto ready = process.line(patience());
  if (!ready) {
    expect_refusal(process, 1, {"open files"}, "a start after " + limit);
    return Start::refused;
  }
  const std::size_t port = ready->find(" port=");
  expect(port != ready->npos, "a READY line after " + limit, *ready);
  Peer peer = scene.dial({"127.0.0.1", static_cast<std::uint16_t>(std::stoul(ready->substr(port + 6)))});
  peer.connected(patience());
  peer.send("?");
  const Time until = Clock::now() + patience();
  bool served = false;
  // The line alone would not do: a server that gave its last one to a client learns it in the next accept, nobody waiting.
  while (!served && (process.log().empty() || process.sockets() > 1)) {
    expect(Clock::now() < until, "an answer, or a line that says why not, after " + limit, "neither");
    served = peer.readable(milliseconds(5));
  }
  process.stop();
  expect_exit_in_order(process, scaled(std::chrono::seconds(1)));
  return served ? Start::serves : Start::without_room;
}

TEST_CASE("FAULT-02 started with 4 to 12 descriptors") {
  judge({.requirement =
             "with too few descriptors a server refuses to start, in a line; with none left for a client it "
             "says so, and can be stopped; with one more it serves",
         .source = "getrlimit(2), RLIMIT_NOFILE; contract, point 13",
         .catches = "a descriptor for the server itself, which it does without and does not say so",
         .needs = Needs::ours},
        [](Scene& scene) {
          std::vector<Start> starts;
          for (int descriptors = 4; descriptors <= 12; ++descriptors)  // with 3 the loader finds no libraries
            starts.push_back(start_with(scene, descriptors));
          expect(std::ranges::is_sorted(starts), "more with more", "less");
          const auto without_room = std::ranges::count(starts, Start::without_room);
          expect(without_room == 1, "one number that is enough for the server and for no client",
                 std::to_string(without_room));
          expect(starts.back() == Start::serves, "service with 12", "none");
          scene.note("serves from " + std::to_string(12 - std::ranges::count(starts, Start::serves) + 1) +
                     " on");
        });
}

TEST_CASE("FAULT-03 interrupted, short, not ready after all, dead in the backlog") {
  judge(
      {.requirement = "a call that did less than it was asked to is made again: no client can tell",
       .source = "signal(7), EINTR; send(2), recv(2): fewer bytes; accept(2), ECONNABORTED and others; "
                 "select(2), BUGS: "
                 "a readiness that is none",
       .catches =
           "EINTR taken for an error; a short send taken for whole; an acceptor that ends at a dead newcomer",
       .needs = Needs::ours},
      [](Scene& scene) {
        std::vector<std::string> rules{"accept4:EINTR@1/5", "accept4:ECONNABORTED@2/5", "accept4:EPROTO@3/5",
                                       "recv:EINTR@1/4",    "send:EINTR@1/4",           "send:short@2/4"};
        if (!has_keeper(scene)) {  // sockets that do not block
          rules.emplace_back("accept4:EAGAIN@4/5");
          rules.emplace_back(has_epoll(scene) ? "epoll_wait:EINTR@1/3" : "select:EINTR@1/3");
        }
        // Not edge-triggered: there EAGAIN and a short recv are the kernel's word that an edge will tell when there is more
        // (epoll(7), questions and answers). Here that would be a lie, and no server could know.
        if (!has_epoll(scene)) rules.insert(rules.end(), {"recv:short@2/4", "send:EAGAIN@7/5"});
        if (!has_epoll(scene) && !has_keeper(scene)) rules.emplace_back("recv:EAGAIN@3/4");
        const Faults faults(rules);
        Server& server = faults.start(scene);
        std::vector<Peer> peers = scene.connect_many(5, server);
        in_turns(scene, peers, [](std::span<Peer> served) {
          for (Peer& peer : served)
            for (std::size_t size : {1, 100, 10'000, 300'000})
              expect_echo(peer, noise(settings().seed, size));
        });
        faults.expect_all_followed();
      });
}

TEST_CASE("FAULT-04 200 newcomers in a row are dead") {
  judge({.requirement = "however many are dead in the backlog, the next one is served",
         .source = "accept(2), ECONNABORTED, EPROTO and what waited on the socket",
         .catches = "an acceptor that gives up, or that is not told again of those it left there",
         .needs = Needs::ours},
        [](Scene& scene) {
          const Faults faults(
              {"accept4:ECONNABORTED@1-100", "accept4:EPERM@101-150", "accept4:ENETDOWN@151-200"});
          Server& server = faults.start(scene);
          Peer peer = scene.connect(server);
          expect_echo(peer, "after all of them");
          expect_orderly_end(peer);
          faults.expect_all_followed();
        });
}

TEST_CASE("FAULT-05 no descriptor, no memory for a newcomer") {
  judge({.requirement =
             "until there is one it waits, and those who are here are served; it rests before each try",
         .source = "accept(2), EMFILE, ENFILE, ENOBUFS, ENOMEM; contract, point 13",
         .catches = "an acceptor that knows EMFILE alone, and ends or spins at the others",
         .needs = Needs::ours},
        [](Scene& scene) {
          constexpr int failures = 12;
          const Faults faults(
              {"accept4:EMFILE@3-5", "accept4:ENFILE@6-8", "accept4:ENOBUFS@9-11", "accept4:ENOMEM@12-14"});
          Server& server = faults.start(scene);
          const Time started = Clock::now();
          std::vector<Peer> peers = scene.connect_many(3, server);
          for (Peer& peer : peers) {  // the first two calls are for one or two of them
            expect_echo(peer, "?");
            if (scene.fitting(2) == 1)
              leave_in_order({&peer, 1});
            else
              expect_echo(peers.front(), "meanwhile");
          }
          const auto took = std::chrono::duration_cast<milliseconds>(Clock::now() - started);
          faults.expect_all_followed();
          expect(took >= failures * milliseconds(20), "a rest of 20 ms or more before each of 12 tries",
                 std::to_string(took.count()) + " ms in all");
          expect(!server.process().log().empty(), "a line about it on standard error", "none");
        });
}

TEST_CASE("FAULT-06 an error of one connection's") {
  judge({.requirement = "the connection is reset, counted by its reason, and no other notices",
         .source = one_peer_only,
         .catches =
             "a server that ends at an error that it does not know, or goes on as if there had been none",
         .needs = Needs::ours},
        [](Scene& scene) {
          const std::vector<std::string> rules{"recv:ECONNRESET@10",  "recv:ETIMEDOUT@25",  "recv:ENOMEM@40",
                                               "send:EPIPE@15",       "send:ECONNRESET@35", "send:ENOBUFS@55",
                                               "send:EHOSTUNREACH@70"};
          const Faults faults(rules);
          Server& server = faults.start(scene, {.options = {"--stats"}});
          const std::size_t at_once = scene.fitting(16);
          std::size_t reset = 0, served = 0;
          for (std::size_t come = 0; come < 16; come += at_once) {
            std::vector<Peer> peers = dial_many(scene, at_once, server);
            for (int round = 0; round < 10; ++round)
              for (Peer& peer : peers)
                if (peer.end() == End::open) expect_echo_or_reset(peer, "one of ten\n");
            for (Peer& peer : peers) {
              ++(peer.end() == End::open ? served : reset);
              if (peer.end() == End::open) leave_in_order({&peer, 1});
            }
          }
          faults.expect_all_followed();
          expect(reset == rules.size() && served == 16 - rules.size(),
                 std::to_string(rules.size()) + " of 16 reset",
                 std::to_string(reset) + " reset, " + std::to_string(served) + " served");
          expect_next_client_served(server.target(), server.service());
          server.process().stop();
          expect_exit_in_order(server.process(), scaled(std::chrono::seconds(1)));
          const std::string stats = server.process().output();
          expect(json_value(stats, "reset") == "3" && json_value(stats, "error") == "4",
                 "3 reset by their peers, 4 ended by an error", stats);
        });
}

TEST_CASE("FAULT-07 epoll_ctl has no room for a connection") {
  judge({.requirement = "a connection that cannot be watched is ended, and the next one is served",
         .source = "epoll_ctl(2), ENOMEM, ENOSPC; contract, point 13",
         .catches = "a call that is not looked at: a client that waits for ever",
         .needs = Needs::ours},
        [](Scene& scene) {
          if (!has_epoll(scene)) throw NotApplicable("it has no epoll");
          // An instance watches two descriptors of its own, the first one the listener as well.
          const bool shared = scene.subject().options().server.find("per-worker") == std::string::npos;
          const int own = shared ? 3 : 5;
          const Faults faults(
              {"epoll_ctl:ENOMEM@" + std::to_string(own + 2), "epoll_ctl:ENOSPC@" + std::to_string(own + 3)});
          Server& server = faults.start(scene, {.options = {"--threads", "2"}});
          std::vector<Peer> peers = dial_many(scene, 4, server);
          const Answers answers = ask(askers(peers), patience());
          expect_counts(answers, 2, 2, 0);
          faults.expect_all_followed();
        });
}

/// A line with the word in it comes to its log: perhaps later than what its other threads do.
void expect_line(Process& process, std::string_view word) {
  const Time until = Clock::now() + patience();
  while (process.log().find(word) == std::string::npos && Clock::now() < until)
    process.wait(milliseconds(1));
  const std::string log = process.log();
  expect(log.find(word) != log.npos, "a line with '" + std::string(word) + "'", "'" + log + "'");
}

/// The start's own, and then the one for a second signal, which is made when the first has come.
void lack_a_thread_at_the_start_and_the_end(Scene& scene) {
  StartOptions alone;
  if (has_epoll(scene)) alone.options = {"--threads", "1"};
  const std::size_t at_rest = has_keeper(scene) ? 3 : 2;
  for (std::size_t made = 1; made < at_rest; ++made) {
    const std::string rule = "pthread_create:EAGAIN@" + std::to_string(made);
    const Faults faults({rule});
    Process process = faults.launch(scene, alone);
    const auto ended = process.wait(patience());
    expect(ended && ended->status == 1, "exit 1 with " + rule, ended ? to_string(*ended) : "it still runs");
    expect_line(process, "no thread");
  }
  const Faults faults({"pthread_create:EAGAIN@" + std::to_string(at_rest)});
  Server& server = faults.start(scene, alone);
  const Time until = Clock::now() + patience();
  while (server.process().threads() < at_rest && Clock::now() < until)
    server.process().wait(milliseconds(1));
  server.process().stop();
  expect_exit_in_order(server.process(), scaled(std::chrono::seconds(1)));
  faults.expect_all_followed();
}

TEST_CASE("FAULT-08 no thread") {
  judge({.requirement =
             "if no thread can be created, its task alone is lost: the start, one worker of several, one "
             "connection, the way of a second signal",
         .source = "pthread_create(3), EAGAIN; contract, point 13",
         .catches = "a std::system_error of std::thread that nobody catches: the server is gone",
         .needs = Needs::ours},
        [](Scene& scene) {
          lack_a_thread_at_the_start_and_the_end(scene);
          if (has_epoll(scene)) {
            const Faults faults({"pthread_create:EAGAIN@3/1"});
            Server& server = faults.start(scene, {.options = {"--threads", "4"}});
            std::vector<Peer> peers = scene.connect_many(8, server);
            expect_counts(ask(askers(peers), patience()), 8, 0, 0);
            expect_line(server.process(), "only 2 workers");
          }
          if (scene.profile().set_by.starts_with("threads")) {  // one for each connection
            const Faults faults({"pthread_create:EAGAIN@4-5"});
            Server& server = faults.start(scene);
            std::vector<Peer> peers = scene.connect_many(4, server);
            expect_counts(ask(askers(peers), patience()), 2, 2, 0);
            expect_line(server.process(), "no thread");
          }
        });
}

/// Stops a process at random moments and lets it go on, until the guard goes.
class Stutter {
 public:
  explicit Stutter(Process& process)
      : thread_([id = process.id()](const std::stop_token& end) {
          std::mt19937_64 random(settings().seed);
          while (!end.stop_requested()) {
            ::kill(id, SIGCONT);
            std::this_thread::sleep_for(std::chrono::microseconds(random() % 5000));
            ::kill(id, SIGSTOP);
            std::this_thread::sleep_for(std::chrono::microseconds(random() % 5000));
          }
          ::kill(id, SIGCONT);
        }) {}

 private:
  std::jthread thread_;
};

TEST_CASE("FAULT-09 stopped and continued at random moments") {
  judge(
      {.requirement = "a process may stand still at any moment: it goes on where it was, and no byte is lost",
       .source = "signal(7): what SIGCONT interrupts fails with EINTR; contract, point 13",
       .catches = "EINTR of a wait taken for an error; an event that was there while it stood, and is waited "
                  "for after",
       .needs = Needs::ours},
      [](Scene& scene) {
        Server& server = scene.start();
        const std::string content = noise(settings().seed, 1 << 20);
        const std::size_t at_once = scene.fitting(10);
        const Stutter stutter(server.process());
        for (const Time until = Clock::now() + std::chrono::seconds(1); Clock::now() < until;) {
          std::vector<Peer> peers = scene.connect_many(at_once, server);
          std::vector<Talk> talks;
          for (Peer& peer : peers)
            talks.push_back({&peer, content, content});
          talk(talks);
          leave_in_order(peers);
        }
      });
}

/// Not served is one thing, silence another.
bool served(const Server& server) {
  const Time started = Clock::now();
  try {
    expect_next_client_served(server.target(), server.service());
    return true;
  } catch (const Failed& failed) {
    if (Clock::now() - started >= patience()) throw;
    return false;
  }
}

TEST_CASE("FAULT-10 each seventh request for memory fails") {
  judge({.requirement = "whatever the memory was for, it costs its own connection at the most",
         .source = "malloc(3), ENOMEM; contract, point 13",
         .catches = "a std::bad_alloc in a service or in the C library's own work that ends the server",
         .needs = Needs::ours},
        [](Scene& scene) {
          // Not echo and discard, which soon ask for none any more.
          for (const std::string_view service : {"chargen", "daytime", "chat", "http"}) {
            const std::string last = "malloc:ENOMEM@401";
            const Faults faults({"malloc:ENOMEM@1-400/7", last});
            Server& server = faults.start(scene, {.service = service});
            int lost = 0;
            for (int clients = 0; !faults.followed(last); ++clients) {
              expect(clients < 1000, "400 requests for memory from 1 000 clients of " + std::string(service),
                     "fewer");
              if (!served(server)) ++lost;
            }
            expect(served(server), "service when there is memory", "none");
            expect(lost <= 400 / 7 + 2, "one client lost at each failure, no more", std::to_string(lost));
          }
        });
}

TEST_CASE("FAULT-11 asked to stop just when recv has taken bytes") {
  judge({.requirement = "all that the server had read when it was asked to stop is answered, then FIN",
         .source = "contract, point 10",
         .catches = "bytes in the hands of a thread that has yet to wait for its turn: the stop has it first",
         .needs = Needs::ours},
        [](Scene& scene) {
          const Faults faults({"recv:late@1-2"});  // the bytes are looked at first, or taken at once
          Server& server = faults.start(scene);
          Peer peer = scene.connect(server);
          peer.send("taken");
          const Time until = Clock::now() + patience();
          while (peer.socket().unacknowledged() > 0 || server_end(server, peer).unread > 0) {
            expect(Clock::now() < until, "a server that reads", "bytes that lie there");
            server.process().wait(milliseconds(1));
          }
          server.process().stop();
          const std::string reply = expect_rest_and_fin(peer);
          expect(reply == "taken", "an answer to what it had taken", "'" + reply + "'");
          peer.close();
          expect_exit_in_order(server.process(), patience());
          faults.expect_all_followed();
        });
}

/// The server cannot do its work, and goes on failing: it takes next to no time for that, says so in a few lines, and can be
/// stopped.
void expect_quiet_and_stoppable(Server& server, const std::string& rule) {
  Process& process = server.process();
  const Duration before = process.cpu();
  process.wait(std::chrono::seconds(1));  // an interval that is measured
  const auto took = std::chrono::duration_cast<milliseconds>(process.cpu() - before);
  expect(process.running(), "a server that goes on, with " + rule, server.last_words());
  expect(took < milliseconds(50), "less than 50 ms of processor time in a second, with " + rule,
         std::to_string(took.count()) + " ms");
  const auto lines = std::ranges::count(process.log(), '\n');
  expect(lines >= 1 && lines <= 5, "one line a second on standard error, with " + rule,
         std::to_string(lines));
  process.stop();
  expect_exit_in_order(process, scaled(std::chrono::seconds(1)));
}

TEST_CASE("FAULT-12 accept fails, and goes on failing") {
  judge({.requirement = "an error of accept that stays is no dead newcomer: the server rests between two "
                        "tries, says so, and can be stopped",
         .source = "accept(2), ERRORS: EPERM (a firewall), ENETDOWN, EPROTO; contract, points 10 and 13",
         .catches =
             "an acceptor that tries again at once, for ever: one processor is busy, and no stop is heard",
         .needs = Needs::ours},
        [](Scene& scene) {
          for (const std::string error : {"EPERM", "EPROTO", "ENETDOWN"}) {
            const std::string rule = "accept4:" + error + "@1/1";
            const Faults faults({rule});
            Server& server = faults.start(scene);
            const Peer peer =
                scene.dial(server.target());  // a server not asleep in accept tries when somebody comes
            expect_quiet_and_stoppable(server, rule);
            faults.expect_all_followed();
          }
        });
}

std::string its_wait(const Scene& scene) {
  return has_epoll(scene) ? "epoll_wait:" : "select:";
}
StartOptions with_one_waiter(const Scene& scene) {
  StartOptions how;
  if (has_epoll(scene)) how.options = {"--threads", "1"};
  return how;
}

/// A client is there when the waits begin to fail: no event tells of it any more, and the stop has to let it go.
void let_go_of_a_client_while_waits_fail(Scene& scene) {
  const std::string rule = its_wait(scene) + "EINVAL@20/1";
  const Faults faults({rule});
  StartOptions how = with_one_waiter(scene);
  // What the client sent last lies unread, and no event tells of it: this is what ends the connection.
  how.options.insert(how.options.end(), {"--close-timeout", "200"});
  Server& server = faults.start(scene, how);
  Peer peer = scene.connect(server);
  std::array<char, 64> answer{};
  for (const Time until = Clock::now() + patience(); !faults.followed(rule);) {
    expect(Clock::now() < until, "a call for " + rule, "none");
    peer.offer("?");
    if (peer.readable(milliseconds(10))) peer.take(answer);
  }
  peer.offer("?");
  expect_quiet_and_stoppable(server, rule);
}

/// When they work again it serves; until then it has rested before each try.
void be_served_when_waits_work_again(Scene& scene) {
  constexpr int failures = 6;
  const std::string last = its_wait(scene) + "EINVAL@7";
  const Faults faults({its_wait(scene) + "ENOMEM@1-6", last});
  const Time started = Clock::now();
  Server& server = faults.start(scene, with_one_waiter(scene));  // else others rest at the same time
  Peer peer = scene.connect(server);
  do
    expect_echo(peer, "?");
  while (!faults.followed(last) && Clock::now() < started + patience());
  const auto took = std::chrono::duration_cast<milliseconds>(Clock::now() - started);
  expect_orderly_end(peer);
  faults.expect_all_followed();
  expect(took >= failures * milliseconds(20), "a rest of 20 ms or more before each new try",
         std::to_string(took.count()) + " ms in all");
}

TEST_CASE("FAULT-13 the wait for events fails") {
  judge(
      {.requirement = "a wait that fails is made again after a rest: no time is burnt, a stop is heard, and "
                      "clients are served when it works again",
       .source = "epoll_wait(2), select(2), ERRORS; contract, points 10 and 13",
       .catches = "a loop that looks at EINTR alone: it spins at any other error, or the server is gone",
       .needs = Needs::ours},
      [](Scene& scene) {
        if (has_keeper(scene)) throw NotApplicable("it waits for no events");
        for (const char* const error : {"ENOMEM", "EBADF"}) {
          const std::string rule = its_wait(scene) + error + "@1/1";
          const Faults faults({rule});
          expect_quiet_and_stoppable(faults.start(scene), rule);
          faults.expect_all_followed();
        }
        let_go_of_a_client_while_waits_fail(scene);
        be_served_when_waits_work_again(scene);
      });
}

TEST_CASE("FAULT-14 asked to stop just when accept has taken a newcomer") {
  judge(
      {.requirement =
           "nobody served it, and it is reset, as those in the backlog are: a FIN would look like an answer",
       .source = "contract, point 10; RFC 9293, 3.6",
       .catches = "a newcomer in the hands of a thread that then sees the stop, and just closes it",
       .needs = Needs::ours},
      [](Scene& scene) {
        const Faults faults({"accept4:late@1/1"});  // each: of two workers that wake one may find nobody
        Server& server = faults.start(scene);
        const std::size_t before = server.process().sockets();
        Peer peer = scene.connect(server);
        const Time until = Clock::now() + patience();
        while (server.process().sockets() == before) {
          expect(Clock::now() < until, "a server that accepts", "no socket more");
          server.process().wait(milliseconds(1));
        }
        server.process().stop();
        expect_reset(peer);
        expect_exit_in_order(server.process(), patience());
        faults.expect_all_followed();
      });
}

TEST_CASE("FAULT-15 stopped just when send has done its work") {
  judge({.requirement =
             "a client answered before the stop has been idle since, though the send returns after it",
         .source = "contract, the idle timeout; signal(7), SIGSTOP",
         .catches = "a clock that is read after the send: the client is kept for as long again",
         .needs = Needs::ours},
        [](Scene& scene) {
          const Faults faults({"send:late@1"});
          const auto timeout = std::chrono::duration_cast<milliseconds>(scaled(milliseconds(1500)));
          Server& server =
              faults.start(scene, {.options = {"--idle-timeout", std::to_string(timeout.count())}});
          Peer idle = scene.connect(server);
          expect_echo(idle, "?");
          auto frozen = server.freeze();
          expect(!idle.readable(timeout + milliseconds(100)), "silence while the server stands still",
                 "something came");
          frozen.thaw();
          expect(idle.readable(scaled(milliseconds(500))), "its end as soon as the server goes on",
                 "silence");
          expect_fin(idle);
          faults.expect_all_followed();
        });
}

}  // namespace
}  // namespace conformance
