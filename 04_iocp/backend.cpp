// 04: a completion port with a pool of threads. Each operation is started ahead, and when it is done the kernel puts a
// packet on the port; a few threads, one a core, take the packets and serve all connections.
//
//   worker 0 ──┐                                   ┌── AcceptEx, several outstanding
//   worker 1 ──┼─── GetQueuedCompletionStatus ─────┼── WSARecv of no bytes, one a connection that waits
//   worker N ──┘                                   ├── WSASend, at most one a connection
//                                                  └── packets of our own: PostQueuedCompletionStatus
//
// A worker sleeps in one place: GetQueuedCompletionStatus, in work(). One more thread keeps the time, in run_timekeeper().
#include <winsock2.h>
#include <ws2tcpip.h>

#include <ladder/server.h>
//
#include <mswsock.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cassert>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "common/library/connection_state.h"
#include "common/library/server_base.h"
#include "common/library/slot_map.h"
#include "common/os/address.h"
#include "common/os/os.h"

namespace ladder {
namespace {

constexpr std::size_t accepts_ahead = 32;  // newcomers that the kernel takes in before a thread looks
constexpr int tries_an_accept = 8;         // each with a new socket, before one rests
constexpr int deaths_in_a_row = 256;       // of newcomers: a storm of resets brings some (CONC-05)
constexpr int rounds_at_once = 4;          // a service that refills its queue as it empties starves nobody
constexpr std::size_t most_a_send = 64 * 1024;  // so that a slow peer is seen to take something

constexpr std::uint32_t readable = 1;  // the receive of no bytes is done: some lie there, or the end
constexpr std::uint32_t written = 2;   // the send is done

// The completion key of a connection is its id; of other packets one that no connection has.
static_assert(sizeof(ULONG_PTR) >= sizeof(ConnectionId::value),
              "a completion key holds a whole ConnectionId: build for a 64-bit target");
constexpr ULONG_PTR listener_key = 0;
constexpr ULONG_PTR exit_key = 1;

/// The record of one operation. From its start until its packet has been handled it is the system's, and so are the
/// bytes that it sends: nothing of them is freed or used again before.
struct Operation : OVERLAPPED {
  Operation() : Operation(0) {}
  explicit Operation(std::uint32_t what) : OVERLAPPED{}, event(what) {}
  const std::uint32_t event;
  bool pending = false;
  bool counted = false;

  OVERLAPPED* start() {  // another thread may have its packet before the call that starts it returns
    static_cast<OVERLAPPED&>(*this) = {};
    pending = true;
    counted = false;
    return this;
  }
};

struct Operations {  // one connection's
  Operation receive{readable}, send{written};
  bool pending() const { return receive.pending || send.pending; }
};

struct CloseTheHandle {
  void operator()(HANDLE handle) const { ::CloseHandle(handle); }
};

unsigned workers(const Options& options) {
  return options.threads > 0 ? options.threads : os::cores();
}

[[noreturn]] void fail(const char* what) {
  throw std::system_error(os::last_error(), what);  // of Winsock, and so of Windows: WSAGetLastError
}

class IocpServer final : public ServerBase {
 public:
  IocpServer(Options, Callbacks);
  ~IocpServer() override { wait_for_stops(); }
  void run() override;

 private:
  struct Accept : Operation {
    os::Descriptor socket{};  // made beforehand: AcceptEx fills it in
    std::optional<Arrival> arrival{};
    alignas(sockaddr_storage) std::array<std::byte, 2 * (sizeof(sockaddr_storage) + 16)> addresses{};
    std::atomic<bool> resting = false;  // could not be posted; waits for a pause to pass
  };
  void accept_client(Accept&);
  void receive(Session&);
  bool flush(Session&);
  void written_some(Session&);
  void send_is_done(Session&);
  bool advance(Session&, std::uint32_t& events);
  bool close_connection(Session&);
  void serve(ConnectionId, std::uint32_t events);
  void go_on(Session&, std::uint32_t events);
  void work();
  void take_packet(ULONG_PTR key, Operation*);
  void run_timekeeper();
  bool accept_again();

  os::Error arm(Session&);
  void post_accept(Accept&);
  std::error_code try_accept(Accept&);
  void rest(Accept&, std::error_code);
  os::Accepted accepted_by(Accept&);
  bool passed_over(const std::error_code&, bool came);
  bool associate(Session&);
  Operations& operations_of(const Session& session) { return *operations_.find(session.backend_data); }
  bool post(ULONG_PTR key);
  void post_for_sure(ULONG_PTR key);
  void notify(const Session&, ConnectionId id) override;
  void wake() override;
  void earlier_deadline(std::uint32_t) override;

  std::unique_ptr<void, CloseTheHandle> port_;
  bool skips_ = false;  // no packet comes of a send or a receive that is done at once
  LPFN_ACCEPTEX accept_ex_ = nullptr;
  LPFN_GETACCEPTEXSOCKADDRS addresses_of_ = nullptr;
  SlotMap<Operations> operations_;  // Session::backend_data is the place in here
  std::array<Accept, accepts_ahead> accepts_{};
  std::atomic<bool> pausing_ = false;  // one pause for all accepts that rest
  std::atomic<int> dead_ = 0;          // newcomers, in a row
  std::mutex mutex_;                   // of what the timekeeper is told
  std::condition_variable told_;
};

template <class Function>
void get_extension(os::Handle socket, GUID id, Function& function) {
  DWORD size = 0;
  if (::WSAIoctl(socket, SIO_GET_EXTENSION_FUNCTION_POINTER, &id, sizeof id, &function, sizeof function,
                 &size, nullptr, nullptr) != 0)
    fail("SIO_GET_EXTENSION_FUNCTION_POINTER");
}

/// False: a provider is layered over the system's, and its sockets are no handles of the system's (IFS). With such a
/// packet may come though an operation was done at once and none was wanted (SetFileCompletionNotificationModes).
bool has_own_handles(os::Handle socket) {
  WSAPROTOCOL_INFOW provider{};
  int size = sizeof provider;
  if (::getsockopt(socket, SOL_SOCKET, SO_PROTOCOL_INFOW, reinterpret_cast<char*>(&provider), &size) != 0)
    fail("SO_PROTOCOL_INFO");
  return (provider.dwServiceFlags1 & XP1_IFS_HANDLES) != 0;
}

IocpServer::IocpServer(Options o, Callbacks callbacks)
    : ServerBase(std::move(o), std::move(callbacks), os::Mode::non_blocking),
      port_(::CreateIoCompletionPort(INVALID_HANDLE_VALUE, nullptr, 0, workers(options()))) {
  if (!port_) fail("CreateIoCompletionPort");
  const auto handle = reinterpret_cast<HANDLE>(listener().handle());
  if (!::CreateIoCompletionPort(handle, port_.get(), listener_key, 0)) fail("CreateIoCompletionPort");
  skips_ = has_own_handles(listener().handle());
  get_extension(listener().handle(), WSAID_ACCEPTEX, accept_ex_);
  get_extension(listener().handle(), WSAID_GETACCEPTEXSOCKADDRS, addresses_of_);
}

/// An accept is done. Whatever became of it concerns one connection, never the listener.
void IocpServer::accept_client(Accept& accept) {
  const Arrival arrival(*this);
  os::Accepted accepted = accepted_by(accept);
  if (accepted.error) return rest(accept, accepted.error);
  post_accept(accept);  // the next one before on_open, which may take long
  if (!accepted.socket) return;
  accept_again();
  Session* session = admit(std::move(accepted), Clock::now());
  if (!session) return;
  if (!associate(*session)) return dismiss(*session);
  open(*session);
  go_on(*session, 0);
}

void IocpServer::receive(Session& session) {
  const os::Result done = os::finish(session.socket.get(), operations_of(session).receive);
  operations_of(session).receive.pending = false;
  if (done.error) return failed(session, done.error);
  if (!session.state.wants_receive()) return;  // paused meanwhile: the next receive brings a packet at once
  std::array<std::byte, one_receive> buffer;   // on the stack: an idle connection holds none
  const os::Result result = os::receive(session.socket.get(), buffer);
  if (result.would_block) return;
  if (result.error) return failed(session, result.error);
  if (result.bytes == 0) return peer_finished(session);
  received(session, Bytes(buffer).first(result.bytes));
}

/// False: a send is under way, one at a time; its packet goes on with the rest.
bool IocpServer::flush(Session& session) {
  Operation& send = operations_of(session).send;
  while (!send.pending) {
    const Bytes bytes = session.state.unsent();
    if (bytes.empty()) return true;
    WSABUF buffer{.len = static_cast<ULONG>(std::min(bytes.size(), most_a_send)),
                  .buf = const_cast<char*>(reinterpret_cast<const char*>(bytes.data()))};
    if (::WSASend(session.socket.get(), &buffer, 1, nullptr, 0, send.start(), nullptr) == 0) {
      written_some(session);  // done at once
      if (!skips_) {
        send.counted = true;  // its packet comes all the same, and has nothing to add
        return false;
      }
      send.pending = false;
    } else if (::WSAGetLastError() == WSA_IO_PENDING) {
      blocked(session);
    } else {
      send.pending = false;
      failed(session, os::last_error());
      return false;
    }
  }
  return false;
}

void IocpServer::written_some(Session& session) {
  const os::Result done = os::finish(session.socket.get(), operations_of(session).send);
  if (done.error) return failed(session, done.error);
  sent(session, done.bytes);
}

void IocpServer::send_is_done(Session& session) {
  Operation& send = operations_of(session).send;
  if (!send.counted) written_some(session);
  send.pending = false;
}

/// Sends what is queued, takes the next step of an end, re-arms. True: more has come; the caller keeps the strand.
bool IocpServer::advance(Session& session, std::uint32_t& events) {
  int round = 0;
  do
    dispatch(session);
  while (flush(session) && session.state.wants_send() && ++round < rounds_at_once);
  if (session.state.next() == Step::shut_down) shut_down(session);
  keep_time(session);
  if (session.state.next() >= Step::close && close_connection(session)) return false;
  // All was sent at once, and more is due: no packet of a send would bring it back.
  const bool more = session.state.wants_send() && !operations_of(session).send.pending;
  return !release(session, events, more, [&] { return arm(session); });
}

/// False: not yet. Operations under way are cancelled, and the last packet comes back here. A socket that is closed first
/// resets the connection on Windows if a receive is pending, and under Wine a pending send never ends. Some report the
/// reset of a cancelled receive, too: so a FIN goes first, if one was promised (first_receive.cpp, experiment e).
bool IocpServer::close_connection(Session& session) {
  if (operations_of(session).pending()) {
    if (session.state.next() == Step::close) os::finish_sending(session.socket.get());
    ::CancelIoEx(reinterpret_cast<HANDLE>(session.socket.get()),
                 nullptr);  // fails if all are done: packets are on their way
    return false;
  }
  operations_.release(session.backend_data);
  destroy(session);
  return true;
}

void IocpServer::serve(ConnectionId id, std::uint32_t events) {
  if (Session* session = try_acquire(id, events)) go_on(*session, events);
}

void IocpServer::go_on(Session& session, std::uint32_t events) {
  do {
    if (events & written) send_is_done(session);
    if (events & readable) receive(session);
  } while (advance(session, events));
}

void IocpServer::work() {
  const Duty duty;
  ConnectionState::Spare spare;
  while (!finished()) {
    DWORD size = 0;
    ULONG_PTR key = 0;
    OVERLAPPED* done = nullptr;
    // One packet at a time: the rest of a batch would wait for a slow callback, and other workers idle.
    if (::GetQueuedCompletionStatus(port_.get(), &size, &key, &done, INFINITE) || done)  // sleeps here
      take_packet(key, static_cast<Operation*>(done));
    else  // no operation has failed, but the wait
      wait_failed(os::last_error());
  }
}

void IocpServer::take_packet(ULONG_PTR key, Operation* operation) {
  assert(!operation || operation->pending);  // else its record was given up before its packet came
  if (operation && key == listener_key) {
    accept_client(static_cast<Accept&>(*operation));
  } else if (operation) {
    serve({key}, operation->event);
  } else if (key == exit_key) {
    post_for_sure(exit_key);  // one for all: each worker passes it on
  } else {
    serve({key}, timer_event);
  }
}

/// Keeps the time. Not as the port's timeout: a thread asleep there would not learn of a deadline that came later and is
/// earlier.
void IocpServer::run_timekeeper() {
  const Duty duty;
  std::unique_lock lock(mutex_);
  while (!finished()) {
    const auto wait = until_deadline();
    wait ? void(told_.wait_for(lock, *wait)) : told_.wait(lock);  // sleeps here
    lock.unlock();
    const Time now = Clock::now();
    while (const auto id = expired(now)) {
      if (*id != listener_id)
        post_for_sure(id->value);
      else if (pausing_ = false; accept_again() && !pausing_.exchange(true))
        accept_later(now);
    }
    lock.lock();
  }
}

/// One that rests tries again: after each pause, and with each client that comes. So a shortage is met by one, not by
/// all, while it lasts. True: others rest still.
bool IocpServer::accept_again() {
  const auto rests = [](const Accept& accept) { return accept.resting.load(); };
  const auto first = std::ranges::find_if(accepts_, rests);
  if (first == accepts_.end()) return false;
  if (first->resting.exchange(false)) post_accept(*first);
  return std::ranges::any_of(first, accepts_.end(), rests);
}

void IocpServer::run() {
  const RunUnderWay under_way(*this);
  const std::jthread timekeeper([this] { run_timekeeper(); });
  for (Accept& accept : accepts_)
    post_accept(accept);
  std::vector<std::jthread> pool;
  try {
    for (unsigned i = 1; i < workers(options()); ++i)
      pool.emplace_back([this] { work(); });
  } catch (const std::exception& error) {  // no thread, or no memory for one, perhaps not even to say so
    log().limited("workers", Clock::now(),
                  [&] { return "only " + std::to_string(pool.size() + 1) + " workers: " + error.what(); });
  }
  work();
}

/// Starts what the connection waits for. The last thing before the release: its packet may come while this call is under way.
/// A receive of no bytes: it is done when there are some, and until then it holds no buffer.
os::Error IocpServer::arm(Session& session) {
  Operation& receive = operations_of(session).receive;
  if (receive.pending || !session.state.wants_receive()) return {};
  WSABUF nothing{};
  DWORD flags = 0;
  if (::WSARecv(session.socket.get(), &nothing, 1, nullptr, &flags, receive.start(), nullptr) == 0) {
    // Done at once, some lie there. If no packet comes of it, this is the one.
    if (!skips_ || ::PostQueuedCompletionStatus(port_.get(), 0, session.id().value, &receive)) return {};
  } else if (::WSAGetLastError() == WSA_IO_PENDING) {
    return {};
  }
  receive.pending = false;
  return os::last_error();
}

void IocpServer::post_accept(Accept& accept) {
  accept.arrival.emplace(*this);
  std::error_code error;
  for (int tries = 0; tries == 0 || (os::died_in_backlog(error) && tries < tries_an_accept); ++tries)
    error = try_accept(accept);
  if (error) return rest(accept, error);
}

/// With a socket of its own: one of an accept that failed may not be used again (AcceptEx). No error: it is under way,
/// or the listener was stopped.
std::error_code IocpServer::try_accept(Accept& accept) try {
  std::error_code error;
  accept.socket = os::make_socket(endpoint().v6 ? AF_INET6 : AF_INET, SOCK_STREAM);
  const auto start = [&] {
    constexpr DWORD room = sizeof(sockaddr_storage) + 16;
    DWORD size = 0;
    // To wait for no data: else 32 silent clients close the door. ABUSE-06
    if (accept_ex_(listener().handle(), accept.socket.get(), accept.addresses.data(), 0, room, room, &size,
                   accept.start()) ||
        ::WSAGetLastError() == WSA_IO_PENDING)
      return true;
    accept.pending = false;
    error = os::last_error();
    return false;
  };
  if (listener().begin(std::ref(start))) return {};  // by reference: a copy would be an allocation
  accept.socket.reset();
  if (!error) accept.arrival.reset();  // a stop
  return error;
} catch (const std::system_error& none) {
  return none.code();
} catch (const std::bad_alloc&) {  // not even for that error's text
  return std::make_error_code(std::errc::not_enough_memory);
}

/// Out of sockets or memory, when it was posted or when a client came: until a pause has passed. LIM-02
void IocpServer::rest(Accept& accept, std::error_code error) {
  accept.socket.reset();
  accept.arrival.reset();
  accept.resting = true;  // from here on it is the timekeeper's
  const Time now = Clock::now();
  tell_of_shortage(error, now);
  if (!pausing_.exchange(true)) accept_later(now);
}

/// A stop has cancelled the accept, or its client has died. One that dies is passed over, but not for ever: what a filter
/// takes away looks like it, and stays.
bool IocpServer::passed_over(const std::error_code& error, bool came) {
  if (error == std::errc::operation_canceled) return true;
  if (!came && !os::died_in_backlog(error)) return false;
  if (++dead_ < deaths_in_a_row) return true;
  dead_ = 0;  // so many a pause, not one: a storm leaves many. CONC-05
  return false;
}

os::Accepted IocpServer::accepted_by(Accept& accept) {
  os::Accepted accepted{.socket = std::move(accept.socket)};
  const os::Handle from = listener().handle();
  std::error_code error = os::finish(from, accept).error;
  const bool came = !error;
  accept.pending = false;
  // Without it shutdown and getpeername fail (AcceptEx). It may fail itself if the peer is gone already.
  if (came && (::setsockopt(accepted.socket.get(), SOL_SOCKET, SO_UPDATE_ACCEPT_CONTEXT,
                            reinterpret_cast<const char*>(&from), sizeof from) != 0 ||
               !os::prepare_accepted(accepted.socket.get(), os::Mode::non_blocking, listener().keep_alive())))
    error = os::last_error();
  listener().let_go();
  if (error) return {.error = passed_over(error, came) ? std::error_code() : error};
  dead_ = 0;
  sockaddr *local = nullptr, *peer = nullptr;
  int local_size = 0, peer_size = 0;
  constexpr DWORD room = sizeof(sockaddr_storage) + 16;
  addresses_of_(accept.addresses.data(), 0, room, room, &local, &local_size, &peer, &peer_size);
  accepted.peer = os::to_endpoint(peer);
  return accepted;
}

/// Its packets come to our port from here, but not those of operations done at once, if the system can skip them. False: no memory.
bool IocpServer::associate(Session& session) {
  const std::optional<std::uint32_t> place = operations_.acquire();
  if (!place) return false;
  session.backend_data = *place;
  const auto handle = reinterpret_cast<HANDLE>(session.socket.get());
  constexpr UCHAR skip = FILE_SKIP_COMPLETION_PORT_ON_SUCCESS | FILE_SKIP_SET_EVENT_ON_HANDLE;
  if (::CreateIoCompletionPort(handle, port_.get(), session.id().value, 0) &&
      (!skips_ || ::SetFileCompletionNotificationModes(handle, skip)))
    return true;
  operations_.release(*place);
  return false;
}

/// False: the system has no memory for a packet.
bool IocpServer::post(ULONG_PTR key) {
  return ::PostQueuedCompletionStatus(port_.get(), 0, key, nullptr) != 0;
}

/// A deadline or an exit that was lost would not come again, and the threads that post those can wait.
void IocpServer::post_for_sure(ULONG_PTR key) {
  while (!post(key))
    ::Sleep(10);
}

void IocpServer::notify(const Session&, ConnectionId id) {
  if (!post(id.value)) throw std::bad_alloc();
}

void IocpServer::wake() {
  // A stop cancels the accepts, and they report it. When no connection is left, every thread must hear of it.
  if (!finished()) return;
  post_for_sure(exit_key);
  earlier_deadline(0);
}

void IocpServer::earlier_deadline(std::uint32_t) {
  const std::lock_guard lock(mutex_);
  told_.notify_all();
}

}  // namespace

std::unique_ptr<Server> make_server(Options options, Callbacks callbacks) {
  return std::make_unique<IocpServer>(std::move(options), std::move(callbacks));
}

Profile profile(const Options& options) {
  return {.model = "iocp",
          .ceiling = options.max_connections ? std::optional(options.max_connections) : std::nullopt,
          .set_by = options.max_connections ? "--max-connections" : "memory",
          .above = options.max_connections ? "close" : "wait",
          .threads = "one a core, and one that keeps time",
          .takes_threads = true};
}

}  // namespace ladder
