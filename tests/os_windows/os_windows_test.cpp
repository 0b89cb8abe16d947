// What os_windows.cpp and 04 do where Windows is not as Wine is, or fails: with a Winsock that does so (double.h).
#include "tests/os_windows/double.h"
//
#include <cstring>
#include <set>

#include "common/client/net.h"
#include "tests/contract/harness.h"

using namespace ladder;
using namespace ladder::contract;

namespace {

/// A connection: `client` is ours, `server` the side that os.h speaks of.
struct Pair {
  explicit Pair(Milliseconds keep_alive = {})
      : listener("127.0.0.1", 0, 0, os::Mode::non_blocking, keep_alive) {
    REQUIRE(contract::connect(client, os::local_endpoint(listener.handle())));
    REQUIRE(eventually([&] {
      server = listener.accept().socket;
      return static_cast<bool>(server);
    }));
  }
  os::Listener listener;
  os::Descriptor client = new_socket(false), server{};
};

int fails(int error) {
  ::WSASetLastError(error);
  return SOCKET_ERROR;
}

std::error_code error_of(long code) {
  ::WSASetLastError(static_cast<int>(code));
  return os::last_error();
}

bool is_readable(os::Handle socket) {
  WSAPOLLFD watch{.fd = socket, .events = POLLRDNORM, .revents = 0};
  return ::WSAPoll(&watch, 1, 0) == 1;
}

}  // namespace

// ---- errors

TEST_CASE("os_windows: each error of a socket compares with std::errc, whichever call tells it") {
  for (const long code : std::initializer_list<long>{WSAECONNRESET, WSAECONNABORTED, WSAENETRESET,
                                                     ERROR_NETNAME_DELETED, ERROR_CONNECTION_ABORTED})
    CHECK(error_of(code) == std::errc::connection_reset);
  CHECK(error_of(WSAESHUTDOWN) == std::errc::broken_pipe);
  CHECK(error_of(WSAENOTCONN) == std::errc::not_connected);
  CHECK(error_of(WSAETIMEDOUT) == std::errc::timed_out);
  CHECK(error_of(ERROR_SEM_TIMEOUT) == std::errc::timed_out);
  CHECK(error_of(WSAEADDRINUSE) == std::errc::address_in_use);
  CHECK(error_of(WSAEADDRNOTAVAIL) == std::errc::address_not_available);
  CHECK(error_of(WSAEMFILE) == std::errc::too_many_files_open);
  CHECK(error_of(WSAENOBUFS) == std::errc::no_buffer_space);
  CHECK(error_of(WSA_NOT_ENOUGH_MEMORY) == std::errc::not_enough_memory);
  CHECK(error_of(WSA_OPERATION_ABORTED) == std::errc::operation_canceled);
  CHECK(error_of(WSAEWOULDBLOCK) == std::errc::operation_would_block);
  CHECK(error_of(WSAENETDOWN) == std::errc::network_down);
}

TEST_CASE("os_windows: each error has a text, and one that nobody knows its number") {
  for (const long code : std::initializer_list<long>{
           WSAEACCES, WSAEADDRINUSE, WSAEADDRNOTAVAIL, WSAEAFNOSUPPORT, WSAECONNABORTED, WSAECONNRESET,
           WSAEFAULT, WSAEHOSTUNREACH, WSAEINVAL, WSAEMFILE, WSAENETDOWN, WSAENETUNREACH, WSAENOBUFS,
           WSAENOTSOCK, WSAEOPNOTSUPP, WSAETIMEDOUT, ERROR_ACCESS_DENIED}) {
    const std::string text = error_of(code).message();
    CAPTURE(text);
    CHECK(text.size() >= 8);
    CHECK(text.find("nknown") == text.npos);
    CHECK(text.find(std::to_string(code)) == text.npos);
    CHECK(text.find_first_of("\r\n") == text.npos);
    CHECK(text.back() != '.');
  }
  CHECK(error_of(1'000'000'007).message() == "error 1000000007");
}

TEST_CASE("os_windows: a start that meets a port in use says so in words") {
  TestServer server(echo());
  try {
    make_server({.port = server.where().port}, {});
    FAIL("two servers on one port");
  } catch (const std::system_error& error) {
    CHECK(error.what() == "bind " + to_string(server.where()) + ": Address already in use");
  }
}

TEST_CASE("os_windows: a bind that is denied names both causes and the command that tells them apart") {
  winsock::Scene scene;
  scene->bind = [](SOCKET, const sockaddr*, int) { return fails(WSAEACCES); };
  try {
    make_server({.port = 50'000}, {});
    FAIL("a server without a port");
  } catch (const std::system_error& error) {
    const std::string_view text = error.what();
    CAPTURE(text);
    CHECK(error.code() == std::errc::address_in_use);
    for (const std::string_view part : {"127.0.0.1:50000"sv, "another process"sv, "excluded range"sv,
                                        "netsh int ipv4 show excludedportrange tcp"sv})
      CHECK(text.find(part) != text.npos);
  }
}

// ---- sockets

TEST_CASE("os_windows: the backlog is as long as Windows allows, or as was asked") {
  winsock::Scene scene;
  int asked = 0;
  scene->listen = [&](SOCKET socket, int backlog) {
    asked = backlog;
    return winsock::real::listen(socket, backlog);
  };
  const auto backlog_of = [&](int backlog) {
    make_server({.backlog = backlog}, {});
    return asked;
  };
  CHECK(backlog_of(0) == -65'535);  // SOMAXCONN_HINT(65535)
  CHECK(backlog_of(1) == 1);
  CHECK(backlog_of(200) == 200);
  CHECK(backlog_of(5'000) == -5'000);
  CHECK(backlog_of(100'000) == -65'535);
}

TEST_CASE("os_windows: a send hands over 64 KiB at most, so that a peer that takes nothing is seen") {
  winsock::Scene scene;
  int largest = 0;
  scene->send = [&](SOCKET, const char*, int size, int) {  // as Windows: all at once, if there is any room
    largest = std::max(largest, size);
    return size;
  };
  Pair pair;
  const std::string text(4'000'000, 'x');
  CHECK(os::send(pair.server.get(), bytes_of(text)).bytes == 64 * 1024);
  CHECK(os::send_now(pair.server.get(), bytes_of(text)).bytes == 64 * 1024);
  CHECK(largest == 64 * 1024);
}

TEST_CASE("os_windows: progress is what the peer has acknowledged, and bytes sent again are none") {
  winsock::Scene scene;
  TCP_INFO_v0 now{};
  scene->tcp_info = [&](void* info, DWORD size) {
    std::memcpy(info, &now, std::min<std::size_t>(size, sizeof now));
    return true;
  };
  Pair pair;
  const os::Handle socket = pair.server.get();
  now.BytesOut = 5'000'000'000;
  now.BytesInFlight = 300;
  CHECK(os::acknowledged(socket).bytes == 5'000'000'000 - 300);
  CHECK(os::unacknowledged(socket) == 300u);
  const std::uint64_t before = os::acknowledged(socket).bytes;
  now.BytesRetrans += 300;
  CHECK(os::acknowledged(socket).bytes <= before);  // if bytes_out does not count them
  now.BytesOut += 300;
  CHECK(os::acknowledged(socket).bytes <= before);  // if it does
  now.BytesInFlight = 0;
  CHECK(os::acknowledged(socket).bytes > before);
  CHECK_FALSE(os::unacknowledged(socket));  // some may wait for the peer's window
}

TEST_CASE("os_windows: where the system tells of no progress there is none, and nothing is known") {
  winsock::Scene scene;
  scene->tcp_info = [](void*, DWORD) { return false; };
  const os::Descriptor never_connected = new_socket(false);  // Windows, too, refuses to tell of this one
  CHECK(os::acknowledged(never_connected.get()).bytes == 0);
  CHECK_FALSE(os::unacknowledged(never_connected.get()));
}

TEST_CASE("os_windows: a peer that acknowledges lives, though no send is done for several write timeouts") {
  winsock::Scene scene;
  std::atomic<std::uint64_t> acknowledged = 0;
  std::atomic<bool> takes = true;
  scene->tcp_info = [&](void* info, DWORD size) {
    TCP_INFO_v0 now{};
    now.BytesOut = takes ? ++acknowledged : acknowledged.load();
    std::memcpy(info, &now, std::min<std::size_t>(size, sizeof now));
    return true;
  };
  TestServer server({.on_open = [](Connection& c) { c.send(pattern(4'000'000)); }}, {.write_timeout = 200ms});
  const Client client = Client::narrow(server.where());
  REQUIRE(eventually([&] { return server->stats().active == 1; }));
  for (const Time start = Clock::now(); Clock::now() - start < 1s && server->stats().active == 1;)
    std::this_thread::sleep_for(10ms);
  CHECK(server->stats().active == 1);
  takes = false;
  CHECK(server.ends(CloseReason::write_timeout));
}

TEST_CASE("os_windows: a waker that finds no memory tries again, and a full one has notified") {
  winsock::Scene scene;
  os::Waker waker;
  int tries = 0;
  scene->send = [&](SOCKET socket, const char* bytes, int size, int flags) {
    return ++tries < 4 ? fails(WSAENOBUFS) : winsock::real::send(socket, bytes, size, flags);
  };
  waker.notify();
  CHECK(tries == 4);
  CHECK(is_readable(waker.handle()));
  waker.clear();
  CHECK_FALSE(is_readable(waker.handle()));
  scene->send = [&](SOCKET, const char*, int, int) { return fails(WSAEWOULDBLOCK); };
  waker.notify();
}

TEST_CASE("os_windows: an accepted socket probes a silent peer after whole seconds, and three times") {
  winsock::Scene scene;
  std::vector<std::pair<ULONG, ULONG>> asked;
  DWORD on = 0, probes = 0;
  scene->keep_alive = [&](const tcp_keepalive& times) -> DWORD {
    CHECK(times.onoff == 1);
    asked.emplace_back(times.keepalivetime, times.keepaliveinterval);
    return 0;
  };
  scene->setsockopt = [&](int level, int option, DWORD value) -> DWORD {
    if (level == SOL_SOCKET && option == SO_KEEPALIVE) on = value;
    if (level == IPPROTO_TCP && option == 16) probes = value;  // TCP_KEEPCNT
    return 0;
  };
  const auto times_of = [&](Milliseconds silence) {
    asked.clear();
    on = probes = 0;
    const Pair pair(silence);
    return asked;
  };
  using Times = std::vector<std::pair<ULONG, ULONG>>;
  CHECK(times_of(60s) == Times{{60'000, 15'000}});
  CHECK(on == 1);
  CHECK(probes == 3);
  CHECK(times_of(1'500ms) == Times{{2'000, 1'000}});
  CHECK(times_of(1ms) == Times{{1'000, 1'000}});
  CHECK(times_of(Milliseconds::max()) == Times{{32'767'000, 32'767'000}});
  CHECK(times_of(0ms).empty());
  CHECK(on == 0);
}

TEST_CASE(
    "os_windows: where keep-alive's times are refused the system's own remain, and the client is served") {
  winsock::Scene scene;
  DWORD on = 0;
  scene->keep_alive = [](const tcp_keepalive&) -> DWORD { return WSAEOPNOTSUPP; };
  scene->setsockopt = [&](int level, int option, DWORD value) -> DWORD {
    if (level == SOL_SOCKET && option == SO_KEEPALIVE) on = value;
    return 0;
  };
  Pair pair(60s);
  CHECK(on == 1);
  CHECK(os::send(pair.server.get(), bytes_of("x")).bytes == 1);
}

TEST_CASE("os_windows: a client whose socket cannot be prepared is passed over, and the next one is served") {
  winsock::Scene scene;
  std::atomic<int> refuses = 1;
  scene->setsockopt = [&](int level, int option, DWORD) -> DWORD {
    return level == IPPROTO_TCP && option == TCP_NODELAY && refuses-- > 0 ? WSAENOBUFS : 0;
  };
  SUBCASE("by accept") {
    os::Listener listener("127.0.0.1", 0, 0, os::Mode::blocking, {});
    const Endpoint where = os::local_endpoint(listener.handle());
    Client first(where), second(where);
    const os::Accepted accepted = listener.accept();
    CHECK_FALSE(accepted.error);
    CHECK(accepted.peer == second.local());
    CHECK(first.end() != End::silence);
  }
  SUBCASE("by AcceptEx") {
    TestServer server(echo());
    Client first(server.where()), second(server.where());
    CHECK(first.end() != End::silence);
    CHECK(second.send("x"));
    CHECK(second.receive(1) == "x");
    CHECK(server.log().get().empty());
  }
}

TEST_CASE("os_windows: newcomers that a storm leaves dead in the backlog cost a few pauses, not one each") {
  winsock::Scene scene;
  int dead = 2'000;
  scene->accept = [&]() -> DWORD { return dead-- > 0 ? WSAECONNRESET : 0; };
  os::Listener listener("127.0.0.1", 0, 0, os::Mode::blocking, {});
  const Client client(os::local_endpoint(listener.handle()));
  int pauses = 0;
  os::Accepted accepted = listener.accept();
  for (; accepted.error && pauses < 100; accepted = listener.accept()) {
    CHECK(accepted.error == std::errc::connection_reset);
    ++pauses;
  }
  CHECK(accepted.peer == client.local());
  CHECK(pauses >= 1);  // an error that stays spins for nobody
  CHECK(pauses < 10);
}

// ---- the client

TEST_CASE(
    "os_windows: the client takes the first answer to a connect on loopback, and on no network that loses "
    "packets") {
  // Else a connect that is refused takes 2 s on Windows.
  winsock::Scene scene;
  int asked = 0;
  scene->sees_ioctl = [&](DWORD code) { asked += code == SIO_TCP_INITIAL_RTO; };
  const auto asks = [&](std::string_view host) {
    asked = 0;
    std::error_code error;
    client::start_connect(client::resolve(host, "7").front(), {}, error);
    return asked == 1;
  };
  CHECK(asks("127.0.0.1"));
  CHECK(asks("127.0.0.2"));
  CHECK(asks("::1"));
  CHECK_FALSE(asks("192.0.2.1"));  // an address for examples, which nobody has (RFC 5737)
  CHECK_FALSE(asks("2001:db8::1"));
}

// ---- 04

TEST_CASE("os_windows: an accept that fails tries again with a new socket") {
  winsock::Scene scene;
  std::mutex mutex;
  std::set<SOCKET> failed;  // and not closed yet
  int failures = 0, used_again = 0;
  scene->accept_ex = [&](SOCKET accepting) -> DWORD {
    const std::lock_guard lock(mutex);
    if (failed.contains(accepting)) ++used_again;
    if (failures == 20) return 0;
    ++failures;
    failed.insert(accepting);
    return WSAECONNRESET;
  };
  scene->closesocket = [&](SOCKET socket) {
    const std::lock_guard lock(mutex);  // another thread may get this number as soon as it is closed
    failed.erase(socket);
    return winsock::real::closesocket(socket);
  };
  TestServer server(echo());
  Client client(server.where());
  CHECK(client.send("x"));
  CHECK(client.receive(1) == "x");
  const std::lock_guard lock(mutex);
  CHECK(failures == 20);
  CHECK(used_again == 0);
}

TEST_CASE("os_windows: accepts that go on failing rest, say so, and go on when they can") {
  winsock::Scene scene;
  std::atomic<bool> fails = true;
  std::atomic<int> calls = 0;
  scene->accept_ex = [&](SOCKET) -> DWORD {
    ++calls;
    return fails ? WSAECONNRESET : 0;
  };
  TestServer server(echo());
  REQUIRE(eventually([&] { return !server.log().get().empty(); }));
  CHECK(server.log().get().front() == "cannot accept: Connection reset by peer; newcomers wait");
  std::this_thread::sleep_for(300ms);
  CHECK(calls < 32 * 8 + 200);  // then 8 in each pause of 50 ms
  fails = false;
  Client client(server.where());
  CHECK(client.send("x"));
  CHECK(client.receive(1) == "x");
}

TEST_CASE("os_windows: accepts under way that go on failing rest as well") {
  // As with a filter that takes each newcomer away: none of them is a client that died in the backlog by chance.
  winsock::Scene scene;
  std::atomic<SOCKET> failing = INVALID_SOCKET;
  std::atomic<int> failures = 0;
  scene->overlapped_result = [&](SOCKET socket) -> DWORD {
    return socket == failing ? ++failures, WSAECONNRESET : 0;
  };
  std::atomic<SOCKET> listener = INVALID_SOCKET;
  scene->listen = [&](SOCKET socket, int backlog) {
    listener = socket;
    return winsock::real::listen(socket, backlog);
  };
  TestServer server(echo());
  failing = listener.load();
  for (int i = 0; i < 255; ++i) {
    Client client(server.where());
    REQUIRE(client.end() != End::silence);
  }
  CHECK(server.log().get().empty());  // a storm of resets is no shortage
  std::vector<Client> crowd;
  for (int i = 0; i < 64; ++i)
    crowd.emplace_back(server.where());
  REQUIRE(server.log().wait([](const auto& lines) { return !lines.empty(); }));
  CHECK(server.log().get().front() == "cannot accept: Connection reset by peer; newcomers wait");
  REQUIRE(eventually([&] { return failures >= 255 + 32; }));
  failing = INVALID_SOCKET;
  Client client(server.where());
  CHECK(client.send("x"));
  CHECK(client.receive(1) == "x");
}

TEST_CASE(
    "os_windows: a wait at the port that fails ends no worker; the server says so, and serves when it can") {
  winsock::Scene scene;
  std::atomic<int> left = 6, failures = 0;
  scene->dequeue = [&]() -> DWORD {
    if (left.fetch_sub(1) <= 0) return 0;
    ++failures;
    return ERROR_NO_SYSTEM_RESOURCES;
  };
  const Time start = Clock::now();
  TestServer server(echo());
  Client client(server.where());
  CHECK(client.send("x"));
  CHECK(client.receive(1) == "x");
  CHECK(failures == 6);
  CHECK(Clock::now() - start >= 50ms);  // it rested
  CHECK(server.log().get().front() == "cannot wait for events: No system resources");
  CHECK(server->stop(1s));
  CHECK(server.returned().pass());
}

TEST_CASE("os_windows: packets that queued up while all workers were busy are shared out one by one") {
  std::array<Gate, 2> gates;
  Counter busy, ended, slow;
  Gate end;
  TestServer server({.on_receive =
                         [&](Connection& c, Bytes bytes) {
                           busy.add();
                           gates[text(bytes) == "1"].pass();
                           c.send(bytes);
                         },
                     .on_end = [&](Connection&) { ended.add(); },
                     .on_close =
                         [&](Connection&, CloseReason, std::error_code) {
                           slow.add();
                           end.pass();
                         }},
                    {.threads = 2});
  std::vector<Client> clients;
  for (int i = 0; i < 4; ++i)
    clients.emplace_back(server.where());
  for (Client& client : clients)
    server.id_of(client);  // all are open
  clients[2].finish();
  clients[3].finish();
  REQUIRE(ended.reaches(2));
  CHECK(clients[0].send("0"));
  CHECK(clients[1].send("1"));
  REQUIRE(busy.reaches(2));
  server->close(server.id_of(clients[2]));  // on_close, at once: the peer's FIN is there
  server->close(server.id_of(clients[3]));  // and both packets lie there by now
  gates[0].open();
  REQUIRE(slow.reaches(1));  // this worker could have taken both
  gates[1].open();
  CHECK(slow.wait([](int count) { return count == 2; }, patience / 2));  // before the first gives up
  end.open();
  CHECK(clients[0].receive(1) == "0");
  CHECK(clients[1].receive(1) == "1");
  CHECK(clients[2].end() == End::fin);
  CHECK(clients[3].end() == End::fin);
}

TEST_CASE("os_windows: a stop ends accepts that go on failing") {
  winsock::Scene scene;
  std::atomic<int> calls = 0;
  scene->accept_ex = [&](SOCKET) -> DWORD {
    ++calls;
    return WSAECONNRESET;
  };
  TestServer server(echo());
  REQUIRE(eventually([&] { return calls > 0; }));
  CHECK(server->stop(1s));
  CHECK(server.returned().pass());
}

// ---- the console. Last: its handler does not come back.

namespace {

using Routine = DWORD(WINAPI*)(void*);

/// What the system has a new thread call when a control event comes (HandlerRoutine), in each process at one address.
Routine control_routine() {
  const auto routine =
      reinterpret_cast<void*>(::GetProcAddress(::GetModuleHandleA("kernel32.dll"), "CtrlRoutine"));
  REQUIRE(routine);
  return reinterpret_cast<Routine>(routine);
}

void* argument(DWORD event) {
  return reinterpret_cast<void*>(std::uintptr_t{event});
}

std::thread control(DWORD event) {
  return std::thread([event, routine = control_routine()] { routine(argument(event)); });
}

struct CloseTheHandle {
  void operator()(HANDLE handle) const { ::CloseHandle(handle); }
};
using Owner = std::unique_ptr<void, CloseTheHandle>;

/// A server's program, which lies beside this one.
class Program {
 public:
  explicit Program(const std::string& name_and_options) {
    std::array<char, MAX_PATH> own{};
    REQUIRE(::GetModuleFileNameA(nullptr, own.data(), static_cast<DWORD>(own.size())) > 0);
    const std::string_view path = own.data();
    std::string line(path.substr(0, path.find_last_of('\\') + 1));
    line += name_and_options;
    SECURITY_ATTRIBUTES inherited{sizeof inherited, nullptr, TRUE};
    HANDLE read = nullptr, write = nullptr;
    REQUIRE(::CreatePipe(&read, &write, &inherited, 0));
    output_.reset(read);
    const Owner its_end(write);
    STARTUPINFOA how{};
    how.cb = sizeof how;
    how.dwFlags = STARTF_USESTDHANDLES;
    how.hStdOutput = how.hStdError = write;
    PROCESS_INFORMATION made{};
    REQUIRE(::CreateProcessA(nullptr, line.data(), nullptr, nullptr, TRUE, CREATE_NO_WINDOW, nullptr, nullptr,
                             &how, &made));
    process_.reset(made.hProcess);
    ::CloseHandle(made.hThread);
  }
  ~Program() {
    if (process_) ::TerminateProcess(process_.get(), 1);  // fails if it has ended
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  Endpoint ready() {
    std::string line;
    for (char c = 0; c != '\n'; line += c) {
      DWORD size = 0;
      REQUIRE(::ReadFile(output_.get(), &c, 1, &size, nullptr));
    }
    const std::size_t at = line.find("port=");
    REQUIRE(at != line.npos);
    Endpoint where;
    where.address[0] = 127;
    where.address[3] = 1;
    where.port = static_cast<std::uint16_t>(std::stoi(line.substr(at + 5)));
    return where;
  }
  void control(DWORD event) {
    const Owner thread(
        ::CreateRemoteThread(process_.get(), nullptr, 0, control_routine(), argument(event), 0, nullptr));
    REQUIRE(thread);
  }
  /// Its status; none: it runs on.
  std::optional<DWORD> ends_within(Milliseconds limit) {
    DWORD status = 0;
    if (::WaitForSingleObject(process_.get(), static_cast<DWORD>(limit.count())) != WAIT_OBJECT_0) return {};
    REQUIRE(::GetExitCodeProcess(process_.get(), &status));
    return status;
  }

 private:
  Owner process_{}, output_{};
};

}  // namespace

TEST_CASE("os_windows: a server whose console ends drains for less than 5 s, whatever drain was asked for") {
  // Windows would end it during a longer one, with nobody reset and nothing said.
  Program server("04_iocp.exe --drain-timeout 60000");
  Client client = Client::narrow(server.ready());
  client.stuff(200ms);  // it reads none of it, so that there is something to drain
  const Time start = Clock::now();
  server.control(CTRL_CLOSE_EVENT);
  CHECK_FALSE(server.ends_within(2s));
  CHECK(server.ends_within(10s) == 0u);
  CHECK(Clock::now() - start < 5s);
}

TEST_CASE("os_windows: a server goes on when a user logs off") {
  Program server("04_iocp.exe");
  const Endpoint where = server.ready();
  server.control(CTRL_LOGOFF_EVENT);
  CHECK_FALSE(server.ends_within(300ms));
  Client client(where);
  CHECK(client.send("x"));
  CHECK(client.receive(1) == "x");
}

TEST_CASE("os_windows: a logoff is no stop; the end of the console is one, with less than 5 s left") {
  os::prepare_process();
  control(CTRL_LOGOFF_EVENT).join();
  control(CTRL_C_EVENT).join();
  CHECK(os::wait_for_stop_signal().at_most == Milliseconds::max());  // Ctrl-C's
  Watched<std::optional<Milliseconds>> left;
  std::thread waits([&] {
    const Milliseconds said = os::wait_for_stop_signal().at_most;
    left.change([&](auto& value) { value = said; });
  });
  const auto heard = [](const std::optional<Milliseconds>& value) { return value.has_value(); };
  CHECK_FALSE(left.wait(heard, quiet));
  control(CTRL_CLOSE_EVENT).detach();
  CHECK(left.wait(heard));
  waits.join();
  CHECK(*left.get() > 2s);
  CHECK(*left.get() < 5s);
}
