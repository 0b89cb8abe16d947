// The programs of docs/examples: each test starts one and talks to it.
//
//   examples_test                                  build/linux/bin/example_chat and so on, beside this program
//   examples_test --programs 'cmake/wine.sh build/windows-cross/bin/example_{}.exe'
//   examples_test --requests build/linux/bin/compare_requests_asio -tc='requests:*'     another in the place of example_requests
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <map>
#include <set>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "tests/conformance/platform.h"

namespace {

using namespace std::chrono_literals;
using conformance::Clock, conformance::Process, conformance::TableEntry;
using Words = std::vector<std::string>;

/// What is to come comes far sooner; it only ends a wait that would last for ever.
constexpr auto patience = 20s;
constexpr std::size_t mib = std::size_t{1024} * 1024;
std::string programs;  // of the examples: {} stands for the name
std::string instead;   // of example_requests, if not empty

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::system_category(), what);
}

/// Looks again and again, until it holds. For what nothing tells.
template <class Condition>
bool eventually(Condition condition) {
  for (const auto end = Clock::now() + patience; Clock::now() < end;) {
    if (condition()) return true;
    std::this_thread::sleep_for(1ms);
  }
  return condition();
}

/// Bytes that show a loss, a repetition or a swap.
std::string pattern(std::size_t size, std::size_t number = 1) {
  auto seed = static_cast<std::uint32_t>(number);
  std::string text(size, '\0');
  for (char& c : text) {
    seed = seed * 1664525 + 1013904223;
    c = static_cast<char>(seed >> 24);
  }
  return text;
}

// ---- the example, as a process

class Example {
 public:
  explicit Example(std::string_view name, const Words& arguments = {})
      : process_({.words = command(name, arguments)}) {
    const std::string ready = process_.line(patience).value_or("");
    std::istringstream words(ready);
    std::string word;
    words >> word;
    if (word != "READY") throw std::runtime_error("it is not ready: '" + ready + "' " + process_.log());
    while (words >> word)
      ports_.push_back(static_cast<std::uint16_t>(std::stoi(word.substr(word.rfind(':') + 1))));
  }
  std::uint16_t port(std::size_t which = 0) const { return ports_.at(which); }
  Process& process() { return process_; }
  /// It was asked to stop, and has: in order, and without a word of complaint. Returns its exit status.
  int ended() {
    const auto ended = process_.wait(patience);
    REQUIRE(ended);
    CHECK(ended->signal == 0);
    CHECK(process_.log() == "");
    return ended->status;
  }
  int stop() {
    process_.stop();
    return ended();
  }

 private:
  static Words command(std::string_view name, const Words& arguments) {
    std::string line = programs;
    line.replace(line.find("{}"), 2, name);
    if (name == "requests" && !instead.empty()) line = instead;
    std::istringstream words(line);
    Words all(std::istream_iterator<std::string>(words), {});
    all.insert(all.end(), arguments.begin(), arguments.end());
    return all;
  }
  Process process_;
  std::vector<std::uint16_t> ports_{};
};

// ---- its clients

enum class End : std::uint8_t { none, fin, reset, silence };

/// A plain blocking socket. No call waits longer than `patience` for the other side.
class Client {
 public:
  explicit Client(std::uint16_t port, int window = 0) : port_(port) {
    socket_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (socket_ < 0) fail("socket");
    const int on = 1;
    const timeval limit{.tv_sec = std::chrono::seconds(patience).count(), .tv_usec = 0};
    setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (window) setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &window, sizeof window);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (connect(socket_, reinterpret_cast<const sockaddr*>(&address), size) != 0) {
      close();
      fail("connect");
    }
    getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size);
    own_port_ = ntohs(address.sin_port);
  }
  Client(Client&& other) noexcept
      : socket_(std::exchange(other.socket_, -1)),
        port_(other.port_),
        own_port_(other.own_port_),
        end_(other.end_),
        read_(std::move(other.read_)) {}
  Client& operator=(Client&&) = delete;
  ~Client() { close(); }

  /// All of it. False: the connection is over, or nothing was taken for `patience`.
  bool send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t count = ::send(socket_, text.data(), text.size(), MSG_NOSIGNAL);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return false;
      text.remove_prefix(static_cast<std::size_t>(count));
    }
    return true;
  }
  /// Sends until nothing more is taken for a while. Returns how many bytes were.
  std::size_t push(std::string_view text) {
    std::size_t sent = 0;
    pollfd room{socket_, POLLOUT, 0};
    while (sent < text.size() && poll(&room, 1, 500) > 0) {
      const ssize_t count =
          ::send(socket_, text.data() + sent, text.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (count < 0 && errno != EAGAIN && errno != EINTR) break;
      if (count > 0) sent += static_cast<std::size_t>(count);
    }
    return sent;
  }
  /// So many bytes; fewer: the connection has ended, or nothing came for `patience`.
  std::string receive(std::size_t count) {
    while (read_.size() < count && receive_more()) {
    }
    std::string text = read_.substr(0, count);
    read_.erase(0, text.size());
    return text;
  }
  /// Without its '\n'. "" where none comes.
  std::string line() {
    std::size_t end = 0;
    while ((end = read_.find('\n')) == read_.npos)
      if (!receive_more()) return "";
    std::string line = read_.substr(0, end);
    read_.erase(0, end + 1);
    return line;
  }
  std::string rest() {
    while (receive_more()) {
    }
    return std::exchange(read_, {});
  }
  /// How it ended; reads on until then.
  End end() {
    rest();
    return end_;
  }
  bool has_something() const {
    pollfd input{socket_, POLLIN, 0};
    return poll(&input, 1, 0) > 0;
  }
  bool has_been_read() const { return all_been_read({this, 1}); }
  /// The program has read all that they have sent.
  static bool all_been_read(std::span<const Client> clients) {
    std::map<std::uint16_t, const Client*> unseen;  // those whose end at the program was not found yet
    for (const Client& each : clients)
      unseen[each.own_port_] = &each;
    for (const TableEntry& entry : conformance::socket_table()) {
      const auto found = unseen.find(entry.remote_port);
      if (found == unseen.end() || entry.local_port != found->second->port_) continue;
      if (entry.unread > 0) return false;
      unseen.erase(found);
    }
    return unseen.empty() && std::ranges::none_of(clients, &Client::has_bytes_under_way);
  }
  void finish() { shutdown(socket_, SHUT_WR); }
  void reset() {
    const linger now{.l_onoff = 1, .l_linger = 0};
    setsockopt(socket_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close();
  }
  void close() {
    if (socket_ >= 0) ::close(std::exchange(socket_, -1));
  }

 private:
  bool has_bytes_under_way() const {
    int bytes = 0;
    if (ioctl(socket_, SIOCOUTQ, &bytes) != 0) fail("SIOCOUTQ");  // not acknowledged, tcp(7)
    return bytes > 0;
  }
  bool receive_more() {
    if (end_ != End::none) return false;
    std::array<char, 65536> chunk;
    const ssize_t count = recv(socket_, chunk.data(), chunk.size(), 0);
    if (count < 0 && errno == EINTR) return true;
    if (count > 0)
      read_.append(chunk.data(), static_cast<std::size_t>(count));
    else
      end_ = count == 0 ? End::fin : errno == EAGAIN ? End::silence : End::reset;
    return count > 0;
  }
  int socket_ = -1;
  std::uint16_t port_ = 0, own_port_ = 0;
  End end_ = End::none;
  std::string read_{};
};

/// Without connecting to it: a relay would join such a client with one that waits.
bool has_listener(std::uint16_t port) {
  return std::ranges::any_of(conformance::socket_table(), [port](const TableEntry& entry) {
    return entry.local_port == port && entry.remote_port == 0;
  });
}

/// Sends from a thread of its own.
std::jthread sender(Client& client, std::string_view text, bool then_finish = false) {
  return std::jthread([&client, text, then_finish] {
    CHECK(client.send(text));
    if (then_finish) client.finish();
  });
}

}  // namespace

// ---- echo

TEST_CASE("echo: what comes goes back, and a stop lets it") {
  Example echo("echo", {"0"});
  Client client(echo.port());
  const std::string said = pattern(mib);
  {
    const std::jthread sending = sender(client, said, true);
    CHECK(client.receive(said.size()) == said);
  }
  CHECK(client.end() == End::fin);
  Client idle(echo.port());
  CHECK(idle.send("x"));
  CHECK(idle.receive(1) == "x");
  CHECK(echo.stop() == 0);
  CHECK(idle.end() == End::fin);
}

// ---- chat

namespace {

/// Each of them has a name, and has heard that the later ones came.
std::vector<Client> members(const Example& chat, const Words& names) {
  std::vector<Client> all;
  for (const std::string& name : names) {
    all.emplace_back(chat.port());
    CHECK(all.back().send("NICK " + name + "\n"));
    if (all.size() == 1) {  // nobody tells the first that it is in
      CHECK(all.back().send("NICK a b\n"));
      CHECK(all.back().line() == "* not that name");
    }
    for (Client& each : all)
      if (&each != &all.back()) CHECK(each.line() == "* " + name + " joins");
  }
  return all;
}

}  // namespace

TEST_CASE("chat: names are told, and what one says goes to all others") {
  Example chat("chat");
  std::vector<Client> all = members(chat, {"ann", "bob", "cid"});
  CHECK(all[0].send("hello\n"));
  CHECK(all[1].line() == "ann: hello");
  CHECK(all[2].line() == "ann: hello");
  CHECK(all[1].send("NICK rob\r\nhi\r\n"));
  for (const std::size_t other : {0, 2}) {
    CHECK(all[other].line() == "* bob is now rob");  // ann hears this first: her own line did not come back
    CHECK(all[other].line() == "rob: hi");
  }
  for (const std::string bad : {"ann", "", "a b", "abcdefghijklmnopqrstu", "a\x7f"}) {
    CHECK(all[2].send("NICK " + bad + "\n"));
    CHECK(all[2].line() == "* not that name");
  }
  all[1].close();
  CHECK(all[0].line() == "* rob leaves (peer)");
  CHECK(all[2].line() == "* rob leaves (peer)");
  CHECK(chat.stop() == 0);
  CHECK(all[0].end() == End::fin);
}

TEST_CASE("chat: without a name nobody is heard") {
  Example chat("chat");
  std::vector<Client> all = members(chat, {"ann"});
  Client nameless(chat.port());
  CHECK(nameless.send("hello\n"));
  CHECK(nameless.line() == "* first say: NICK name");
  CHECK(nameless.send("NICK bob\n"));
  CHECK(all[0].line() == "* bob joins");
}

TEST_CASE("chat: a flood is told so and ended, and the others go on") {
  Example chat("chat");
  std::vector<Client> all = members(chat, {"ann", "bob", "mallory"});
  std::string flood;
  for (int i = 0; i < 10'000; ++i)
    flood += "buy\n";
  all[2].send(flood);  // as far as it is taken
  CHECK(all[2].line() == "* too many lines at once");
  CHECK(all[2].end() == End::fin);
  all[2].close();
  for (const std::size_t other : {0, 1}) {
    std::string line = all[other].line();
    int heard = 0;
    for (; line == "mallory: buy"; line = all[other].line())
      ++heard;
    CHECK(heard > 0);
    CHECK(heard <= 10);
    CHECK(line == "* mallory leaves (local)");
  }
  CHECK(all[0].send("phew\n"));
  CHECK(all[1].line() == "ann: phew");
}

TEST_CASE("chat: a line that is too long ends its sender, whether its end has come or not") {
  Example chat("chat");
  std::vector<Client> all = members(chat, {"ann"});
  for (const std::string& long_one :
       {std::string(1001, 'x'), std::string(100'000, 'x'), std::string(1001, 'x') + "\n"}) {
    Client client(chat.port());
    CHECK(client.send("NICK bob\n"));
    CHECK(all[0].line() == "* bob joins");
    CHECK(client.send(std::string(1000, 'y') + "\n"));
    CHECK(all[0].line() == "bob: " + std::string(1000, 'y'));
    client.send(long_one);
    CHECK(client.line() == "* that line is too long");
    CHECK(client.end() == End::fin);
    client.close();
    CHECK(all[0].line() == "* bob leaves (local)");
  }
}

TEST_CASE("chat: half a line at the end is dropped") {
  Example chat("chat");
  std::vector<Client> all = members(chat, {"ann", "bob"});
  CHECK(all[1].send("whole\nhal"));
  all[1].finish();
  CHECK(all[0].line() == "bob: whole");
  CHECK(all[0].line() == "* bob leaves (peer)");
}

TEST_CASE("chat: a silent member is ended") {
  Example chat("chat", {"0", "1"});
  const auto before = Clock::now();
  Client silent(chat.port());
  CHECK(silent.end() == End::fin);
  CHECK(Clock::now() - before >= 900ms);
}

// ---- requests

namespace {

std::string framed(const std::string& body) {
  std::string length;
  for (const int shift : {24, 16, 8, 0})
    length += static_cast<char>(body.size() >> shift);
  return length + body;
}
std::string answer_to(std::string body) {
  std::ranges::sort(body);
  return framed(body);
}
constexpr std::size_t longest_request = 256 * 1024;

}  // namespace

TEST_CASE("requests: pipelined ones are answered in order, wherever the bytes are cut") {
  Example requests("requests");
  std::string all, answers;
  for (const std::string body : {"cab", "", "hello", "z"}) {
    all += framed(body);
    answers += answer_to(body);
  }
  for (std::size_t cut = 1; cut < all.size(); ++cut) {
    CAPTURE(cut);
    Client client(requests.port());
    CHECK(client.send(all.substr(0, cut)));
    REQUIRE(eventually([&] { return client.has_been_read(); }));
    CHECK(client.send(all.substr(cut)));
    CHECK(client.receive(answers.size()) == answers);
  }
  Client client(requests.port());
  for (const char byte : all) {
    CHECK(client.send({&byte, 1}));
    REQUIRE(eventually([&] { return client.has_been_read(); }));
  }
  client.finish();
  CHECK(client.rest() == answers);
  CHECK(client.end() == End::fin);
  CHECK(requests.stop() == 0);
}

TEST_CASE("requests: each client gets its own answers, the longest too, and then the end") {
  Example requests("requests");
  std::vector<Client> clients;
  std::vector<std::string> questions(8), answers(8);
  for (std::size_t i = 0; i < questions.size(); ++i) {
    for (std::size_t n = 0; n < 500; ++n) {
      const std::string body = pattern(n, n * 8 + i);
      questions[i] += framed(body);
      answers[i] += answer_to(body);
    }
    const std::string body = pattern(longest_request, i);
    questions[i] += framed(body);
    answers[i] += answer_to(body);
    clients.emplace_back(requests.port());
  }
  std::vector<std::jthread> senders;
  for (std::size_t i = 0; i < clients.size(); ++i)
    senders.push_back(sender(clients[i], questions[i], true));
  for (std::size_t i = 0; i < clients.size(); ++i) {
    CHECK((clients[i].rest() == answers[i]));
    CHECK(clients[i].end() == End::fin);
  }
}

TEST_CASE("requests: a length that is too large ends the connection, behind the answers before it") {
  Example requests("requests");
  for (const std::string& bad : {std::string("\0\4\0\1", 4), std::string("\xff\xff\xff\xff", 4)}) {
    Client client(requests.port());
    CHECK(client.send(framed("ba") + framed("dc") + bad + framed("fe")));
    CHECK(client.rest() == answer_to("ba") + answer_to("dc"));
    CHECK(client.end() == End::fin);
  }
}

TEST_CASE("requests: a client that goes on sending behind such a length is ended all the same") {
  Example requests("requests");
  Client client(requests.port());
  CHECK(client.send("\xff\xff\xff\xff"));
  const std::string more(1000, 'x');
  bool open = true;
  for (const auto end = Clock::now() + patience; open && Clock::now() < end;)
    open = client.send(more);
  CHECK(!open);
}

TEST_CASE("requests: of 100 000 whose answers nobody reads the server holds few, and then answers all") {
  constexpr std::size_t count = 100'000, size = 1000;
  Example requests("requests");
  std::string all;
  std::array<std::string, 64> answers;
  for (std::size_t i = 0; i < answers.size(); ++i)
    answers[i] = answer_to(pattern(size, i));
  for (std::size_t i = 0; i < count; ++i)
    all += framed(pattern(size, i % answers.size()));
  Client client(requests.port());
  CHECK(client.send(framed("ab")));
  CHECK(client.receive(6) == answer_to("ab"));
  const std::uint64_t before = requests.process().memory();
  const std::size_t taken = client.push(all);
  CHECK(taken < all.size() / 2);
  if (!requests.process().sanitized()) CHECK(requests.process().memory() < before + 4 * mib);
  const std::jthread rest = sender(client, std::string_view(all).substr(taken), true);
  bool right = true;
  for (std::size_t i = 0; i < count && right; ++i)
    right = client.receive(size + 4) == answers[i % answers.size()];
  CHECK(right);
  CHECK(client.end() == End::fin);
}

TEST_CASE("requests: a stop answers each request that was read, 200 of 200") {
  Example requests("requests");
  // Less than a second of work: the stop has five, on a machine that may be busy.
  const std::size_t size = longest_request / (requests.process().sanitized() ? 16 : 4);
  const std::string body = pattern(size), answer = answer_to(body);
  std::vector<Client> clients;
  for (int i = 0; i < 200; ++i)
    CHECK(clients.emplace_back(requests.port()).send(framed(body)));
  REQUIRE(eventually([&] { return Client::all_been_read(clients); }));
  CHECK(!std::ranges::all_of(clients, &Client::has_something));  // some answers are owed
  requests.process().stop();
  std::size_t answered = 0;
  for (Client& client : clients) {
    if (client.rest() == answer) ++answered;
    CHECK(client.end() == End::fin);
    client.close();
  }
  CHECK(answered == 200);
  CHECK(requests.ended() == 0);
}

// Run by hand: --no-skip -tc='measure:*', with each program by turns.
TEST_CASE("measure: 1000 requests of 100 bytes from each of 50 clients, 4 times" * doctest::skip()) {
  constexpr std::size_t count = 1000, clients_at_once = 50, rounds = 4;
  Example requests("requests");
  std::string questions, answers;
  for (std::size_t i = 0; i < count; ++i) {
    questions += framed(pattern(100, i));
    answers += answer_to(pattern(100, i));
  }
  std::vector<Client> clients;
  for (std::size_t i = 0; i < clients_at_once; ++i)
    clients.emplace_back(requests.port());
  const auto before = Clock::now();
  for (std::size_t round = 0; round < rounds; ++round) {
    for (Client& client : clients)
      CHECK(client.send(questions));
    for (Client& client : clients)
      CHECK((client.receive(answers.size()) == answers));
  }
  const std::chrono::duration<double> took = Clock::now() - before;
  MESSAGE(static_cast<int>(rounds * clients_at_once * count / took.count()), " requests a second");
}

TEST_CASE("requests: a port that is none is told, and is no crash") {
  for (const char* const port : {"x", "65536", "-1"})
    CHECK_THROWS_AS(Example("requests", {port}), std::runtime_error);
}

// ---- relay

namespace {

struct Joined {
  explicit Joined(const Example& relay) : one(relay.port(0)), other(relay.port(1)) {
    CHECK(one.send("1"));
    CHECK(other.send("2"));
    CHECK(one.receive(1) == "2");
    CHECK(other.receive(1) == "1");
  }
  Client one, other;
};

}  // namespace

TEST_CASE("relay: 32 MiB each way at once arrive as they were sent, and then both ends") {
  Example relay("relay");
  Joined pair(relay);
  const std::string there = pattern(32 * mib, 1), back = pattern(32 * mib, 2);
  const std::jthread first = sender(pair.one, there, true), second = sender(pair.other, back, true);
  std::string heard;
  std::jthread reader([&] { heard = pair.one.rest(); });
  CHECK((pair.other.rest() == there));
  reader.join();
  CHECK((heard == back));
  CHECK(pair.one.end() == End::fin);
  CHECK(pair.other.end() == End::fin);
  CHECK(relay.stop() == 0);
}

TEST_CASE("relay: each client has a partner of its own") {
  Example relay("relay");
  std::vector<Client> first, second;
  std::set<std::string> heard;
  for (const char* const name : {"a", "b", "c"})
    CHECK(first.emplace_back(relay.port(0)).send(name));
  for (int i = 0; i < 3; ++i)
    heard.insert(second.emplace_back(relay.port(1)).receive(1));
  CHECK(heard == std::set<std::string>{"a", "b", "c"});
}

TEST_CASE("relay: what comes before the partner is kept, and an end of one direction leaves the other") {
  Example relay("relay");
  for (const std::size_t early : {0, 1}) {
    CAPTURE(early);
    Client one(relay.port(early));
    CHECK(one.send("early"));
    one.finish();
    Client other(relay.port(1 - early));
    CHECK(other.rest() == "early");
    CHECK(other.end() == End::fin);
    CHECK(other.send("late, "));
    CHECK(one.receive(6) == "late, ");
    CHECK(other.send("and later"));
    other.finish();
    CHECK(one.rest() == "and later");
    CHECK(one.end() == End::fin);
  }
}

TEST_CASE("relay: a client that does not read stops its partner, and the other direction goes on") {
  Example relay("relay");
  Joined pair(relay);
  const std::uint64_t before = relay.process().memory();
  const std::string there = pattern(64 * mib, 1), back = pattern(16 * mib, 2);
  const std::size_t taken = pair.one.push(there);
  CHECK(taken < there.size() / 2);
  if (!relay.process().sanitized()) CHECK(relay.process().memory() < before + 4 * mib);
  {
    const std::jthread busy = sender(pair.other, back);
    CHECK((pair.one.receive(back.size()) == back));
  }
  const std::jthread rest = sender(pair.one, std::string_view(there).substr(taken), true);
  CHECK((pair.other.rest() == there));
}

TEST_CASE("relay: a reset reaches the partner, also one that has not taken all") {
  Example relay("relay");
  for (const bool unread : {false, true}) {
    CAPTURE(unread);
    Joined pair(relay);
    if (unread) pair.one.push(pattern(16 * mib));
    pair.one.reset();
    CHECK(pair.other.end() == End::reset);
    Joined again(relay);
    if (unread) again.one.push(pattern(16 * mib));
    again.other.reset();
    CHECK(again.one.end() == End::reset);
  }
  Joined(relay).one.finish();
  CHECK(relay.stop() == 0);
}

TEST_CASE("relay: a client that has gone before a partner came is an end for that one, and for no other") {
  Example relay("relay");
  Client(relay.port(0)).close();
  Client unlucky(relay.port(1));
  CHECK(unlucky.end() == End::fin);
  Joined pair(relay);
}

TEST_CASE("relay: a stop lets pairs come to their end") {
  Example relay("relay", {"0", "0", "20"});
  Joined pair(relay);
  Client waiting(relay.port(1));
  REQUIRE(has_listener(relay.port(0)));
  relay.process().stop();
  REQUIRE(eventually([&] { return !has_listener(relay.port(0)) && !has_listener(relay.port(1)); }));
  const std::string there = pattern(4 * mib);
  {
    const std::jthread busy = sender(pair.one, there, true);
    CHECK((pair.other.rest() == there));
  }
  CHECK(pair.other.end() == End::fin);
  pair.other.finish();
  CHECK(pair.one.end() == End::fin);
  CHECK(relay.ended() == 0);
  CHECK(waiting.end() != End::silence);
}

TEST_CASE("relay: a stop that has waited long enough resets both of a pair") {
  Example relay("relay", {"0", "0", "0"});
  Joined pair(relay);
  CHECK(relay.stop() == 0);
  CHECK(pair.one.end() == End::reset);
  CHECK(pair.other.end() == End::reset);
}

TEST_CASE("examples: a port that is none is told, and is no crash") {
  for (const char* const name : {"chat", "relay"})
    for (const char* const port : {"x", "65536", "-1"})
      CHECK_THROWS_AS(Example(name, {port, port}), std::runtime_error);
}

int main(int argc, char** argv) {
  programs = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "example_{}";
  for (int i = 1; i + 1 < argc; ++i)
    if (std::string_view(argv[i]) == "--programs")
      programs = argv[i + 1];
    else if (std::string_view(argv[i]) == "--requests")
      instead = argv[i + 1];
  return doctest::Context(argc, argv).run();
}
