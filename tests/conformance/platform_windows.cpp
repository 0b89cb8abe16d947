// All that is Windows' own in the suite. The suite on Linux does the rest to the same programs, under Wine.

// In this order: the later ones need what the first two declare.
// clang-format off
#include <winsock2.h>
#include <windows.h>
#include <iphlpapi.h>
#include <psapi.h>
#include <tlhelp32.h>
// clang-format on

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <ios>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
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
#include "tests/conformance/suite.h"

namespace conformance {
namespace {

[[noreturn]] void fail(const char* what) {
  throw std::system_error(static_cast<int>(GetLastError()), std::system_category(), what);
}

class Handle {
 public:
  Handle() = default;
  explicit Handle(HANDLE handle) : handle_(handle == INVALID_HANDLE_VALUE ? nullptr : handle) {}
  Handle(Handle&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Handle() { close(); }
  void close() {
    if (handle_) CloseHandle(std::exchange(handle_, nullptr));
  }
  HANDLE get() const { return handle_; }
  explicit operator bool() const { return handle_ != nullptr; }

 private:
  HANDLE handle_ = nullptr;
};

/// For a handle that a child is to get.
SECURITY_ATTRIBUTES inheritable() {
  return {sizeof(SECURITY_ATTRIBUTES), nullptr, TRUE};
}

DWORD whole_milliseconds(Duration time) {
  return static_cast<DWORD>(std::max<milliseconds::rep>(0, std::chrono::ceil<milliseconds>(time).count()));
}

/// What comes out of a pipe, line by line and with patience: a thread reads, since a pipe cannot be waited for.
class Output {
 public:
  explicit Output(Handle pipe) : reader_([this, end = std::move(pipe)] { read(end); }) {}
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;
  ~Output() { reader_.join(); }  // all who write to it are gone

  std::optional<std::string> line(Duration patience) {
    std::unique_lock lock(mutex_);
    const auto there = [this] { return ended_ || text_.find('\n') != text_.npos; };
    changed_.wait_for(lock, patience, there);
    const std::size_t end = text_.find('\n');
    if (end == text_.npos) return {};
    std::string line = text_.substr(0, end);
    text_.erase(0, end + 1);
    if (line.ends_with('\r')) line.pop_back();
    return line;
  }
  /// Of a program that has ended: all of it.
  std::string rest(bool to_the_end) {
    std::unique_lock lock(mutex_);
    if (to_the_end) changed_.wait(lock, [this] { return ended_; });
    return text_;
  }

 private:
  void read(const Handle& pipe) {
    std::array<char, 4096> chunk;
    DWORD size = 0;
    while (ReadFile(pipe.get(), chunk.data(), static_cast<DWORD>(chunk.size()), &size, nullptr)) {
      const std::lock_guard lock(mutex_);
      text_.append(chunk.data(), size);
      changed_.notify_all();
    }
    const std::lock_guard lock(mutex_);
    ended_ = true;
    changed_.notify_all();
  }

  std::mutex mutex_{};
  std::condition_variable changed_{};
  std::string text_{};
  bool ended_ = false;
  std::thread reader_;  // last: it uses all of the above
};

/// A file that goes when it is closed; the child's end of it only appends.
struct LogFile {
  LogFile() {
    std::array<char, MAX_PATH> name{};
    const std::string folder = std::filesystem::temp_directory_path().string();
    if (GetTempFileNameA(folder.c_str(), "log", 0, name.data()) == 0) fail("a file for the log");
    constexpr DWORD shared = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
    ours = Handle(CreateFileA(name.data(), GENERIC_READ | DELETE, shared, nullptr, OPEN_EXISTING,
                              FILE_FLAG_DELETE_ON_CLOSE, nullptr));
    SECURITY_ATTRIBUTES inherited = inheritable();
    childs = Handle(CreateFileA(name.data(), FILE_APPEND_DATA | SYNCHRONIZE, shared, &inherited,
                                OPEN_EXISTING, 0, nullptr));
    if (!ours || !childs) fail("the log's file");
  }
  Handle ours{}, childs{};
};

/// One command line of many words, as CommandLineToArgvW takes it apart again.
std::string command_line(const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& word : words) {
    if (!line.empty()) line += ' ';
    line += '"';
    std::size_t backslashes = 0;
    for (const char c : word) {
      if (c == '"')
        line.append(backslashes + 1, '\\');  // those before a quotation mark count twice, and it takes one
      backslashes = c == '\\' ? backslashes + 1 : 0;
      line += c;
    }
    line.append(backslashes, '\\');
    line += '"';
  }
  return line;
}

/// The handles that a child gets, and no others: else one server would hold another's pipe.
class Inheritance {
 public:
  explicit Inheritance(std::vector<HANDLE> handles) : handles_(std::move(handles)) {
    SIZE_T size = 0;
    InitializeProcThreadAttributeList(nullptr, 1, 0, &size);
    memory_.resize(size);
    if (!InitializeProcThreadAttributeList(list(), 1, 0, &size) ||
        !UpdateProcThreadAttribute(list(), 0, PROC_THREAD_ATTRIBUTE_HANDLE_LIST, handles_.data(),
                                   handles_.size() * sizeof(HANDLE), nullptr, nullptr))
      fail("a list of handles");
  }
  Inheritance(const Inheritance&) = delete;
  Inheritance& operator=(const Inheritance&) = delete;
  ~Inheritance() { DeleteProcThreadAttributeList(list()); }
  LPPROC_THREAD_ATTRIBUTE_LIST list() {
    return reinterpret_cast<LPPROC_THREAD_ATTRIBUTE_LIST>(memory_.data());
  }

 private:
  std::vector<HANDLE> handles_;
  std::vector<std::byte> memory_{};
};

/// All that is put into it ends when its handle is closed: by us, or by the system when we are gone.
Handle new_job() {
  Handle job(CreateJobObjectA(nullptr, nullptr));
  JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits{};
  limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
  if (!job || !SetInformationJobObject(job.get(), JobObjectExtendedLimitInformation, &limits, sizeof limits))
    fail("a job object");
  return job;
}

struct Started {
  Handle process{};
  DWORD id = 0;
};

/// In a console of its own that nobody sees.
Started start(const std::vector<std::string>& words, HANDLE out, HANDLE log, HANDLE job) {
  SECURITY_ATTRIBUTES inherited = inheritable();
  const Handle nothing(
      CreateFileA("NUL", GENERIC_READ, FILE_SHARE_READ, &inherited, OPEN_EXISTING, 0, nullptr));
  std::vector<HANDLE> handles{nothing.get(), log};
  if (out != log) handles.push_back(out);  // the list takes each once
  Inheritance inheritance(std::move(handles));
  STARTUPINFOEXA how{};
  how.StartupInfo.cb = sizeof how;
  how.StartupInfo.dwFlags = STARTF_USESTDHANDLES;
  how.StartupInfo.hStdInput = nothing.get();
  how.StartupInfo.hStdOutput = out;
  how.StartupInfo.hStdError = log;
  how.lpAttributeList = inheritance.list();
  std::string line = command_line(words);
  PROCESS_INFORMATION made{};
  constexpr DWORD flags = CREATE_NO_WINDOW | CREATE_SUSPENDED | EXTENDED_STARTUPINFO_PRESENT;
  if (!CreateProcessA(nullptr, line.data(), nullptr, nullptr, TRUE, flags, nullptr, nullptr, &how.StartupInfo,
                      &made))
    throw std::runtime_error("cannot run " + words.front() + ": " +
                             std::system_category().message(static_cast<int>(GetLastError())));
  Started started{Handle(made.hProcess), made.dwProcessId};
  const Handle first_thread(made.hThread);
  if (!AssignProcessToJobObject(job, made.hProcess)) {
    TerminateProcess(made.hProcess, 1);
    fail("put a program into its job");
  }
  ResumeThread(first_thread.get());
  return started;
}

int wine_version() {
  const FARPROC asked = GetProcAddress(GetModuleHandleA("ntdll.dll"), "wine_get_version");
  return asked ? std::stoi(reinterpret_cast<const char* (*)()>(reinterpret_cast<void*>(asked))()) : 0;
}

bool under_wine() {
  return wine_version() > 0;
}

std::string beside_us(const char* name) {
  std::array<char, MAX_PATH> own{};
  const DWORD size = GetModuleFileNameA(nullptr, own.data(), static_cast<DWORD>(own.size()));
  if (size == 0 || size == own.size()) fail("the path of this program");
  return (std::filesystem::path(own.data()).parent_path() / name).string();
}

Duration duration(const FILETIME& time) {  // in steps of 100 ns
  const std::uint64_t steps = (std::uint64_t{time.dwHighDateTime} << 32) | time.dwLowDateTime;
  return std::chrono::duration_cast<Duration>(std::chrono::nanoseconds(steps * 100));
}

struct Times {
  FILETIME begun{}, ended{}, kernel{}, user{};
  Duration used() const { return duration(kernel) + duration(user); }
};

std::vector<DWORD> threads_of(DWORD process) {
  const Handle snapshot(CreateToolhelp32Snapshot(TH32CS_SNAPTHREAD, 0));
  if (!snapshot) fail("a list of threads");
  THREADENTRY32 thread{};
  thread.dwSize = sizeof thread;
  std::vector<DWORD> all;
  for (BOOL more = Thread32First(snapshot.get(), &thread); more; more = Thread32Next(snapshot.get(), &thread))
    if (thread.th32OwnerProcessID == process) all.push_back(thread.th32ThreadID);
  return all;
}

}  // namespace

std::string to_string(const Ended& ended) {
  if (ended.signal) return "killed";
  std::ostringstream text;
  text << "exit ";
  if (ended.status < 0)  // NTSTATUS: an exception that nobody handled
    text << "0x" << std::hex << static_cast<unsigned>(ended.status);
  else
    text << ended.status;
  return text.str();
}

struct Process::State {
  Handle job{}, process{}, log{};
  DWORD id = 0;
  std::optional<Output> out{};
  std::optional<Ended> ended{};
  bool killed = false;

  ~State() {
    if (job) TerminateJobObject(job.get(), 1);  // then the pipe's writers are gone, and `out` ends
  }
};

Process::Process(const Launch& launch) : self_(std::make_unique<State>()) {
  if (!launch.closed.empty())
    throw NotApplicable("Windows has no descriptors 0, 1 and 2 that could be closed");
  if (launch.inherited)
    throw NotApplicable("of Windows' handles a program inherits none that it is not given");
  if (!launch.limits.empty()) throw NotApplicable("Windows starts no program with such limits");
  if (launch.log != Log::kept) throw NotApplicable("a log that nobody reads is judged on Linux");
  self_->job = new_job();
  LogFile log;
  SECURITY_ATTRIBUTES inherited = inheritable();
  HANDLE read_end = nullptr, write_end = nullptr;
  if (!CreatePipe(&read_end, &write_end, &inherited, 0)) fail("pipe");
  Handle childs_out(write_end);
  Handle our_out(read_end);
  if (!launch.takes_output) {  // the child writes to a second pipe, whose reader is gone; ours has no writer
    if (!CreatePipe(&read_end, &write_end, &inherited, 0)) fail("pipe");
    Handle(read_end).close();
    childs_out = Handle(write_end);
  }
  Started started = start(launch.words, launch.announces ? childs_out.get() : log.childs.get(),
                          log.childs.get(), self_->job.get());
  childs_out.close();
  self_->process = std::move(started.process);
  self_->id = started.id;
  self_->log = std::move(log.ours);
  self_->out.emplace(std::move(our_out));
}

Process::Process(Process&&) noexcept = default;

Process::~Process() = default;

std::optional<Ended> Process::wait(Duration patience) {
  if (self_->ended) return self_->ended;
  if (WaitForSingleObject(self_->process.get(), whole_milliseconds(patience)) != WAIT_OBJECT_0) return {};
  DWORD status = 0;
  if (!GetExitCodeProcess(self_->process.get(), &status)) fail("GetExitCodeProcess");
  self_->ended = Ended{.status = static_cast<int>(status), .signal = self_->killed ? 1 : 0};
  return self_->ended;
}

std::optional<std::string> Process::line(Duration patience) {
  return self_->out->line(patience);
}

std::string Process::output() {
  return self_->out->rest(self_->ended.has_value());
}

void Process::hang_up() {
  throw NotApplicable("a thread reads the pipe to its end here");
}

std::string Process::log() const {
  std::string text;
  std::array<char, 4096> chunk;
  DWORD size = 0;
  SetFilePointer(self_->log.get(), 0, nullptr, FILE_BEGIN);
  while (ReadFile(self_->log.get(), chunk.data(), static_cast<DWORD>(chunk.size()), &size, nullptr) &&
         size > 0)
    text.append(chunk.data(), size);
  return text;
}

std::vector<std::string> Process::log_pieces() {
  throw NotApplicable("a file does not keep the writes to it apart");
}

WaysToStop Process::ways_to_stop() const {
  if (under_wine()) return {{Signal::interrupt}, "asked by Ctrl-C; Wine passes on no Ctrl-Break"};
  return {{Signal::interrupt, Signal::terminate}, {}};
}

void Process::send(Signal signal) {
  if (!running()) return;
  Process key({.words = {beside_us("press_key.exe"), std::to_string(self_->id),
                         signal == Signal::terminate ? "break" : "c"}});
  const auto ended = key.wait(patience());
  if (running() && (!ended || !ended->in_order())) throw std::runtime_error("press_key: " + key.log());
}

void Process::kill() {
  if (!running()) return;
  self_->killed = true;
  TerminateJobObject(self_->job.get(), 1);
  wait(std::chrono::seconds(10));
}

bool Process::can_freeze() {
  return false;
}

void Process::freeze() {
  throw NotApplicable("Windows does not let a program stand still: what it has posted goes on");
}

void Process::thaw() {}  // it never stands still

bool Process::asleep() const {
  return true;
}

int Process::id() const {
  return static_cast<int>(self_->id);
}

bool Process::under_wine() const {
  return conformance::under_wine();
}

int Process::wine_version() const {
  return conformance::wine_version();
}

Duration Process::cpu() const {
  if (!under_wine()) {
    Times times;
    if (!GetProcessTimes(self_->process.get(), &times.begun, &times.ended, &times.kernel, &times.user))
      fail("GetProcessTimes");
    return times.used();
  }
  Duration all{};
  for (const auto& [thread, used] : cpu_by_thread())  // Wine's GetProcessTimes answers with the asker's own
    all += used;
  return all;
}

std::map<std::uint64_t, Duration> Process::cpu_by_thread() const {
  std::map<std::uint64_t, Duration> all;
  for (const DWORD id : threads_of(self_->id)) {
    Times times;
    const Handle thread(OpenThread(THREAD_QUERY_INFORMATION, FALSE, id));
    if (thread && GetThreadTimes(thread.get(), &times.begun, &times.ended, &times.kernel, &times.user))
      all[id] = times.used();
  }
  return all;
}

std::uint64_t Process::memory() const {
  PROCESS_MEMORY_COUNTERS_EX counts{};
  if (!K32GetProcessMemoryInfo(self_->process.get(), reinterpret_cast<PROCESS_MEMORY_COUNTERS*>(&counts),
                               sizeof counts))
    fail("GetProcessMemoryInfo");
  return counts.PrivateUsage;
}

bool Process::sanitized() const {
  return false;
}

bool Process::tells_leaks() const {
  return false;
}

std::size_t Process::threads() const {
  return threads_of(self_->id).size();
}

std::size_t Process::descriptors() const {
  DWORD count = 0;
  if (!GetProcessHandleCount(self_->process.get(), &count)) fail("GetProcessHandleCount");
  return count;
}

std::size_t Process::sockets() const {
  throw NotApplicable("Windows does not tell which handles are sockets");
}

std::map<std::string, std::size_t> Process::kinds() const {
  return {};
}

std::size_t Process::note_share() {
  return descriptors();
}

bool Process::has_socket_at(int) const {
  throw NotApplicable("Windows has no descriptors");
}

void Process::deny_descriptors(std::size_t) {
  throw NotApplicable("Windows has no limit of handles that could be lowered");
}

void Process::allow_descriptors() {}

std::string Process::deaf_without_descriptors() const {
  return "Windows has no limit of handles that could be lowered";
}

void Process::deny_memory(std::size_t) {
  throw NotApplicable("little memory is judged on Linux");
}

void Process::allow_memory() {}

bool can_limit_threads() {
  return false;
}

std::size_t most_descriptors() {
  return std::numeric_limits<std::size_t>::max();
}

bool enter_private_network() {
  return false;
}

bool counts_are_exact() {
  return false;
}

Counters counters() {
  throw NotApplicable("the counters of this network are not ours alone");
}

namespace {

TableEntry::State state_from(DWORD code) {
  using enum TableEntry::State;
  if (code == MIB_TCP_STATE_ESTAB) return established;
  if (code == MIB_TCP_STATE_TIME_WAIT) return time_wait;
  if (code == MIB_TCP_STATE_CLOSE_WAIT) return close_wait;
  return other;
}

std::uint16_t port_from(DWORD field) {
  return ntohs(static_cast<std::uint16_t>(field));
}

}  // namespace

std::vector<TableEntry> socket_table() {
  std::vector<std::byte> memory;
  ULONG size = 0;
  DWORD error = ERROR_INSUFFICIENT_BUFFER;
  while (error == ERROR_INSUFFICIENT_BUFFER) {
    memory.resize(size);
    error = GetTcpTable(reinterpret_cast<MIB_TCPTABLE*>(memory.data()), &size, FALSE);
  }
  if (error != NO_ERROR)
    throw std::system_error(static_cast<int>(error), std::system_category(), "GetTcpTable");
  const auto* const raw = reinterpret_cast<const MIB_TCPTABLE*>(memory.data());
  std::vector<TableEntry> table;
  for (const MIB_TCPROW& row : std::span(raw->table, raw->dwNumEntries))
    table.push_back({.state = state_from(row.dwState),
                     .local_port = port_from(row.dwLocalPort),
                     .remote_port = port_from(row.dwRemotePort)});
  return table;
}

bool shows_queues() {
  return false;
}

bool has_program(std::string_view name) {
  return SearchPathA(nullptr, std::string(name).c_str(), ".exe", 0, nullptr, nullptr) != 0;
}

std::string quoted(const std::string& word) {
  return word.find_first_of(" *\"&|<>^") == word.npos ? word : command_line({word});
}

std::string unseen() {
  return under_wine() ? "handles: Wine counts none" : "";
}

void prepare_console() {
  SetConsoleOutputCP(CP_UTF8);  // fails if there is none
}

}  // namespace conformance
