// The client as a program: what it does on machines that are not set up as ours. Each test starts it against a real
// server.
//
//   client_test                                  build/linux/bin/client, against the 05_epoll beside this program
//   client_test --client 'cmake/wine.sh build/windows-cross/bin/client.exe' -tce='*(Linux)'
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <ctime>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <ostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "tests/conformance/proc.h"

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using Words = std::vector<std::string>;

constexpr auto patience = 10s;
std::string folder;  // of this program: the others lie beside it
Words client_words;

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::system_category(), what);
}

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int number, const char* what) : number_(number) {
    if (number < 0) fail(what);
  }
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Descriptor() { close(); }
  int get() const { return number_; }
  void close() {
    if (number_ >= 0) ::close(std::exchange(number_, -1));
  }

 private:
  int number_ = -1;
};

struct Pipe {
  Pipe() {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) fail("pipe2");
    read = Descriptor(ends[0], "pipe2");
    write = Descriptor(ends[1], "pipe2");
  }
  Descriptor read{}, write{};
};

void make_nonblocking(const Descriptor& descriptor) {
  if (fcntl(descriptor.get(), F_SETFL, O_NONBLOCK) != 0) fail("fcntl");
}

bool is_ready(const Descriptor& descriptor, short events, std::chrono::milliseconds at_most) {
  pollfd entry{descriptor.get(), events, 0};
  return poll(&entry, 1, static_cast<int>(at_most.count())) > 0;
}

/// Reads a pipe to its end, or so many bytes.
std::string read_from(const Descriptor& pipe, std::size_t most = std::string::npos) {
  std::string text;
  std::array<char, 65536> chunk{};
  while (text.size() < most) {
    if (!is_ready(pipe, POLLIN, patience)) throw std::runtime_error("nothing more comes behind: " + text);
    const ssize_t count = read(pipe.get(), chunk.data(), std::min(chunk.size(), most - text.size()));
    if (count < 0) fail("read");
    if (count == 0) break;
    text.append(chunk.data(), static_cast<std::size_t>(count));
  }
  return text;
}

/// Reads a program's standard error. A Windows program ends its lines in CR LF.
std::string lines_from(const Descriptor& pipe) {
  std::string text = read_from(pipe);
  std::erase(text, '\r');
  return text;
}

void write_to(const Descriptor& pipe, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = write(pipe.get(), text.data(), text.size());
    if (count < 0) fail("write");
    text.remove_prefix(static_cast<std::size_t>(count));
  }
}

/// A program that we started; killed if it still runs when this goes.
class Program {
 public:
  struct Streams {
    int in = -1, out = -1, error = -1;  // -1: /dev/null
  };
  /// `set_up` runs in the child.
  Program(Words words, const Streams& streams, const std::function<void()>& set_up = {}) {
    std::vector<char*> pointers;
    for (std::string& word : words)
      pointers.push_back(word.data());
    pointers.push_back(nullptr);
    id_ = fork();
    if (id_ < 0) fail("fork");
    if (id_ > 0) return;
    try {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
      if (nothing < 0) fail("/dev/null");
      dup2(streams.in < 0 ? nothing : streams.in, 0);
      dup2(streams.out < 0 ? nothing : streams.out, 1);
      dup2(streams.error < 0 ? nothing : streams.error, 2);
      if (set_up) set_up();
      execvp(pointers[0], pointers.data());
      fail(pointers[0]);
    } catch (const std::exception& error) {
      write_to(Descriptor(dup(2), "dup"), error.what());
      _exit(127);
    }
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program() {
    if (id_ <= 0) return;
    kill(id_, SIGKILL);
    waitpid(id_, nullptr, 0);
  }

  int id() const { return id_; }
  /// How it ended: an exit status, or 128 and the signal.
  int wait() {
    const auto until = Clock::now() + patience;
    int status = 0;
    while (waitpid(id_, &status, WNOHANG) == 0) {
      if (Clock::now() > until) throw std::runtime_error("the program does not end");
      std::this_thread::sleep_for(1ms);
    }
    id_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  /// All its threads sleep.
  bool asleep() const {
    for (const auto& task : std::filesystem::directory_iterator("/proc/" + std::to_string(id_) + "/task")) {
      const std::string stat =
          conformance::proc::contents(task.path() / "stat");  // "4711 (name) S ...", proc(5)
      const std::size_t state = stat.rfind(") ");
      if (state == stat.npos || stat[state + 2] != 'S') return false;
    }
    return true;
  }
  std::chrono::nanoseconds cpu() const {
    clockid_t clock{};
    timespec time{};
    if (clock_getcpuclockid(id_, &clock) != 0 || clock_gettime(clock, &time) != 0) fail("its processor time");
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
  }
  /// Returns when it sleeps, and has slept for a while: what it waits for, it does not ask for again and again.
  void wait_until_it_rests() const {
    constexpr auto quiet = 100ms;
    const auto until = Clock::now() + patience;
    for (;;) {
      if (Clock::now() > until) throw std::runtime_error("the program does not rest");
      const auto before = cpu();
      std::this_thread::sleep_for(quiet);
      if (asleep() && cpu() - before < quiet / 50) return;
    }
  }

 private:
  int id_ = -1;
};

struct Result {
  int status = 0;
  std::string out{}, error{};
};

Words client(Words arguments) {
  arguments.insert(arguments.begin(), client_words.begin(), client_words.end());
  return arguments;
}

/// Runs the client to its end.
Result run(Words arguments, const std::string& input = {}, const std::function<void()>& set_up = {}) {
  Pipe in, out, error;
  Program program(client(std::move(arguments)), {in.read.get(), out.write.get(), error.write.get()}, set_up);
  for (Descriptor* ours : {&in.read, &out.write, &error.write})
    ours->close();
  write_to(in.write, input);
  in.write.close();
  Result result;
  result.out = read_from(out.read);
  result.error = lines_from(error.read);
  result.status = program.wait();
  return result;
}

/// A server of ours.
class Server {
 public:
  explicit Server(const std::string& host = "127.0.0.1", const std::string& port = "0")
      : program_({folder + "/05_epoll", "--host", host, "--port", port}, {.out = out_.write.get()}) {
    out_.write.close();
    std::string ready;
    while (!ready.ends_with('\n')) {
      const std::string next = read_from(out_.read, 1);
      if (next.empty()) throw std::runtime_error("the server does not start");
      ready += next;
    }
    port_ = ready.substr(ready.find(" port=") + 6);
    port_.resize(port_.find(' '));
  }
  const std::string& port() const { return port_; }

 private:
  Pipe out_{};
  Program program_;
  std::string port_{};
};

/// A server that the test plays itself: it listens at a port of 127.0.0.1.
class Listener {
 public:
  explicit Listener(int backlog = 64) : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket") {
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address_;
    if (bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address_), size) != 0 ||
        listen(socket_.get(), backlog) != 0 ||
        getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address_), &size) != 0)
      fail("listen");
  }
  std::string port() const { return std::to_string(ntohs(address_.sin_port)); }
  std::string target() const { return "127.0.0.1:" + port(); }
  /// Connects until nobody is answered any more.
  void fill_backlog() {
    do {
      waiting_.emplace_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket");
      if (connect(waiting_.back().get(), reinterpret_cast<const sockaddr*>(&address_), sizeof address_) !=
              0 &&
          errno != EINPROGRESS)
        fail("connect");
    } while (is_ready(waiting_.back(), POLLOUT, 200ms));
  }
  Descriptor accept() const {
    if (!is_ready(socket_, POLLIN, patience)) throw std::runtime_error("no client comes");
    return Descriptor(accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC), "accept4");
  }

 private:
  Descriptor socket_;
  sockaddr_in address_{};
  std::vector<Descriptor> waiting_{};
};

/// In a child: in namespaces of its own, as whoever we are, /etc/hosts has localhost twice, as on most machines.
void give_localhost_two_addresses() {
  const uid_t user = geteuid();
  const gid_t group = getegid();
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) fail("unshare");
  const auto put = [](const char* file, const std::string& text) {
    std::ofstream(file) << text << std::flush;
  };
  put("/proc/self/setgroups", "deny");
  put("/proc/self/uid_map", std::to_string(user) + " " + std::to_string(user) + " 1\n");
  put("/proc/self/gid_map", std::to_string(group) + " " + std::to_string(group) + " 1\n");
  std::string name = (std::filesystem::temp_directory_path() / "hosts.XXXXXX").string();
  const Descriptor file(mkstemp(name.data()), "mkstemp");
  write_to(file, "::1 localhost\n127.0.0.1 localhost\n");
  fchmod(file.get(), 0644);
  if (mount(name.c_str(), "/etc/hosts", nullptr, MS_BIND, nullptr) != 0) fail("mount");
  unlink(name.c_str());
}

bool localhost_has_both() {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo("localhost", nullptr, &hints, &found) != 0) return false;
  bool v4 = false, v6 = false;
  for (const addrinfo* each = found; each; each = each->ai_next)
    (each->ai_family == AF_INET ? v4 : v6) = true;
  freeaddrinfo(found);
  return v4 && v6;
}

/// The client's child makes itself such a machine, unless this is one.
std::function<void()> two_addresses() {
  return localhost_has_both() ? std::function<void()>{} : give_localhost_two_addresses;
}

void expect_served(const Result& result) {
  CAPTURE(result.out);
  CAPTURE(result.error);
  CHECK(result.status == 0);
  CHECK(result.error == "");
}

}  // namespace

TEST_CASE("client: a name's addresses are tried one after the other") {
  for (const std::string host : {"127.0.0.1", "::1"}) {
    CAPTURE(host);
    const Server server(host);
    const std::string target = "localhost:" + server.port();
    const Result talk = run({"talk", target}, "hello\n", two_addresses());
    expect_served(talk);
    CHECK(talk.out == "hello\n");
    expect_served(run({"load", target, "--connections", "300", "--messages", "2"}, {}, two_addresses()));
    expect_served(run({"hold", target, "--connections", "300", "--for", "0"}, {}, two_addresses()));
  }
}

TEST_CASE("client: where none of a name's addresses answers, the first one's reason is told, and once") {
  const std::string target = "localhost:1";  // tcpmux: nobody's
  const Result talk = run({"talk", target}, {}, two_addresses());
  CHECK(talk.status == 1);
  CHECK(talk.error == "client: localhost:1: Connection refused\n");
  const Result hold =
      run({"hold", target, "--connections", "20", "--for", "0", "--json"}, {}, two_addresses());
  CHECK(hold.status == 1);
  CHECK(hold.out.find("\"reasons\":{\"Connection refused\":20}") != std::string::npos);
}

TEST_CASE("client: an address that does not answer is given its time, and then the next one is tried") {
  Listener deaf(0);
  deaf.fill_backlog();
  const Server server("::1", deaf.port());
  const std::string target = "localhost:" + server.port();
  const Result talk = run({"talk", target, "--timeout", "0.3"}, "hello\n", two_addresses());
  expect_served(talk);
  CHECK(talk.out == "hello\n");
  expect_served(run({"load", target, "--connections", "200", "--messages", "1", "--timeout", "0.3"}, {},
                    two_addresses()));
  const Result hold =
      run({"hold", deaf.target(), "--connections", "10", "--for", "0", "--timeout", "0.3", "--json"});
  CHECK(hold.status == 1);
  CHECK(hold.out.find("\"waiting\":10") != std::string::npos);
}

TEST_CASE("client: a source address decides which of a name's addresses can be reached") {
  const Server server("::1");
  const std::string target = "localhost:" + server.port();
  expect_served(run({"load", target, "--messages", "2", "--from", "::1"}, {}, two_addresses()));
  const Result wrong = run({"load", "[::1]:" + server.port(), "--messages", "2", "--from", "127.0.0.1"});
  CHECK(wrong.status == 1);
  CHECK(wrong.error == "client: from 127.0.0.1 no address of ::1 can be reached\n");
}

TEST_CASE("client: an IPv6 address without brackets is a bad argument, and is told how to be written") {
  for (const std::string target : {"::1", "::1:7000", "fe80::1:7000", "a:b:7000"}) {
    const Result result = run({"talk", target});
    CHECK(result.status == 2);
    CHECK(result.error == "client: an IPv6 address goes in brackets, [::1]:7000, not '" + target + "'\n");
  }
  for (const std::string target : {"localhost", "[::1]", "[::1", ":7000", "[]:7000"}) {
    const Result result = run({"talk", target});
    CHECK(result.status == 2);
    CHECK(result.error == "client: the server is given as HOST:PORT, not '" + target + "'\n");
  }
}

TEST_CASE("client: a failure is one reason, wherever in the stream it comes") {
  const Listener listener;
  constexpr int clients = 5;
  Pipe out, error;
  Program program(client({"load", listener.target(), "--connections", std::to_string(clients), "--size", "64",
                          "--messages", "2", "--depth", "2", "--json"}),
                  {-1, out.write.get(), error.write.get()});
  out.write.close();
  error.write.close();
  std::vector<Descriptor> connections;
  for (int i = 0; i < clients; ++i)
    connections.push_back(listener.accept());
  for (int i = 0; i < clients; ++i) {  // so many of its bytes each gets back, and then the end
    std::string back = read_from(connections[i], 128);
    back.resize(10 + i);
    write_to(connections[i], back);
    shutdown(connections[i].get(), SHUT_WR);
  }
  const std::string result = read_from(out.read), told = lines_from(error.read);
  CHECK(program.wait() == 1);
  CHECK(result.find("\"failures\":5,\"reasons\":{\"closed by the server\":5}") != std::string::npos);
  CAPTURE(told);
  CHECK(std::ranges::count(told, '\n') == 1);
  CHECK(told.find(" and 4 more: closed by the server, the first after 1") != std::string::npos);
  CHECK(told.find(" of 128 bytes\n") != std::string::npos);
}

TEST_CASE("client: --depth costs memory for what is under way, not for all that may be (Linux)") {
  const Server server;
  const auto one_gigabyte = [] {
    const rlimit limit{1u << 30, 1u << 30};
    if (setrlimit(RLIMIT_DATA, &limit) != 0) fail("setrlimit");
  };
  expect_served(run({"load", "127.0.0.1:" + server.port(), "--depth", "1048576", "--connections", "1000",
                     "--messages", "1"},
                    {}, one_gigabyte));
}

TEST_CASE("client: what cannot be written is exit 1") {
  const Server server;
  const std::string target = "127.0.0.1:" + server.port();
  for (const Words& arguments : {Words{"--help"}, Words{"--version"}, Words{"load", "--help"},
                                 Words{"talk", target}, Words{"load", target, "--messages", "1"},
                                 Words{"hold", target, "--connections", "1", "--for", "0"}}) {
    CAPTURE(arguments.front());
    Pipe in, error;
    const Descriptor full(open("/dev/full", O_WRONLY | O_CLOEXEC), "/dev/full");
    Program program(client(arguments), {in.read.get(), full.get(), error.write.get()});
    error.write.close();
    write_to(in.write, "hello\n");
    in.write.close();
    const std::string told = lines_from(error.read);
    CHECK(program.wait() == 1);
    CHECK(told.find("standard output: No space left on device") != std::string::npos);
  }
}

TEST_CASE("client: a limit of file sizes does not kill it (Linux)") {
  const auto no_byte = [] {
    const rlimit limit{0, 0};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) fail("setrlimit");
  };
  std::string name = (std::filesystem::temp_directory_path() / "client_test.XXXXXX").string();
  const Descriptor file(mkstemp(name.data()), "mkstemp");
  unlink(name.c_str());
  Pipe error;
  Program program(client({"--help"}), {-1, file.get(), error.write.get()}, no_byte);
  error.write.close();
  CHECK(lines_from(error.read) == "client: standard output: File too large\n");
  CHECK(program.wait() == 1);
}

TEST_CASE("client: non-blocking standard input is waited for (Linux)") {
  const Server server;
  Pipe in, out, error;
  make_nonblocking(in.read);
  Program program(client({"talk", "127.0.0.1:" + server.port()}),
                  {in.read.get(), out.write.get(), error.write.get()});
  for (Descriptor* ours : {&in.read, &out.write, &error.write})
    ours->close();
  for (const std::string line : {"one\n", "two\n"}) {
    program.wait_until_it_rests();
    write_to(in.write, line);
    CHECK(read_from(out.read, line.size()) == line);
  }
  in.write.close();
  CHECK(lines_from(error.read) == "");
  CHECK(program.wait() == 0);
}

TEST_CASE("client: non-blocking standard output is waited for (Linux)") {
  const Server server;
  const std::string target = "127.0.0.1:" + server.port();
  std::string input;
  for (int line = 0; input.size() < (1u << 20); ++line)
    input += std::to_string(line) + "\n";
  for (const Words& arguments :
       {Words{"talk", target}, Words{"load", target, "--messages", "1"}, Words{"--help"}}) {
    CAPTURE(arguments.front());
    const bool talks = arguments.front() == "talk";
    const Descriptor in(memfd_create("input", MFD_CLOEXEC), "memfd_create");
    write_to(in, input);
    if (lseek(in.get(), 0, SEEK_SET) != 0) fail("lseek");
    Pipe out, error;
    make_nonblocking(out.write);
    std::size_t before = 0;  // talk fills the pipe itself; for the others it is full
    while (!talks && is_ready(out.write, POLLOUT, 0ms))
      before += static_cast<std::size_t>(std::max<ssize_t>(0, write(out.write.get(), input.data(), 4096)));
    Program program(client(arguments), {in.get(), out.write.get(), error.write.get()});
    out.write.close();
    error.write.close();
    program.wait_until_it_rests();
    const std::string result = read_from(out.read).substr(before);
    CHECK((talks ? result == input : result.ends_with('\n')));
    CHECK(lines_from(error.read) == "");
    CHECK(program.wait() == 0);
  }
}

TEST_CASE("client: in a container that refuses epoll_pwait2, another call does (Linux)") {
  const Server server;
  for (const unsigned error : {EPERM, ENOSYS}) {
    const auto refuse = [error] {
      std::array<sock_filter, 4> program{{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                                          BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_epoll_pwait2, 0, 1),
                                          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
                                          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)}};
      const sock_fprog filter{program.size(), program.data()};
      if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
          prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
        fail("prctl");
    };
    expect_served(
        run({"load", "127.0.0.1:" + server.port(), "--connections", "10", "--messages", "10"}, {}, refuse));
  }
}

int main(int argc, char** argv) {
  folder = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  client_words = {folder + "/client"};
  for (int i = 1; i + 1 < argc; ++i)
    if (std::string_view(argv[i]) == "--client") {
      std::istringstream words(argv[i + 1]);
      client_words.assign(std::istream_iterator<std::string>(words), {});
    }
  std::signal(SIGPIPE, SIG_IGN);
  return doctest::Context(argc, argv).run();
}
