// Why is a receive posted right after the accept, and how does a connection end while one is under way? Five
// experiments on one thread, the client's side included.
// A port reports operations that were started, not bytes that have come. "Quiet" below is a wait on the port
// itself that ended with nothing: that interval is what is measured.
//
//   x86_64-w64-mingw32-g++-posix -std=c++20 -static 04_iocp/first_receive.cpp -o first_receive.exe -lws2_32
//   cl /std:c++20 /EHsc 04_iocp/first_receive.cpp ws2_32.lib           (MSVC)
//
// Then first_receive.exe, which prints what it sees and ends after some seconds. Windows only.

#include <winsock2.h>  // brings windows.h with it

#include <array>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string_view>
#include <utility>

namespace {

constexpr DWORD quiet = 500;  // milliseconds on the port without a packet

[[noreturn]] void fail(std::string_view what) {
  const DWORD error = GetLastError();  // before the output, which may change it
  std::cerr << what << ": error " << error << '\n';
  std::exit(1);
}

struct Socket {  // owns a socket
  explicit Socket(SOCKET socket) : handle(socket) {
    if (socket == INVALID_SOCKET) fail("no socket");
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket() {
    if (handle != INVALID_SOCKET) closesocket(handle);
  }
  SOCKET handle;
};

struct Port {
  Port() {
    if (!handle) fail("no completion port");
  }
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;
  ~Port() { CloseHandle(handle); }
  HANDLE handle = CreateIoCompletionPort(INVALID_HANDLE_VALUE, nullptr, 0, 0);
};

Socket tcp() {
  return Socket(WSASocketW(AF_INET, SOCK_STREAM, IPPROTO_TCP, nullptr, 0, WSA_FLAG_OVERLAPPED));
}

sockaddr_in listen_anywhere(const Socket& listener) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int size = sizeof address;
  if (bind(listener.handle, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      listen(listener.handle, 1) != 0 ||
      getsockname(listener.handle, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    fail("cannot listen");
  return address;
}

// A client, its connection at the server's side, and the port that speaks of it.
class Scene {
 public:
  Scene() {
    if (!CreateIoCompletionPort(reinterpret_cast<HANDLE>(server_.handle), port_.handle, 0, 0))
      fail("cannot associate");
  }

  void send(std::string_view text) const {
    if (::send(client_.handle, text.data(), static_cast<int>(text.size()), 0) !=
        static_cast<int>(text.size()))
      fail("send");
    std::cout << "  the client sends \"" << text << "\"\n";
  }

  /// What the client can send before it would have to wait, and goes on having to for a quiet interval.
  std::size_t send_until_stuck() const {
    u_long on = 1;
    if (ioctlsocket(client_.handle, FIONBIO, &on) != 0) fail("FIONBIO");
    std::size_t total = 0;
    for (std::size_t taken = send_what_goes(); taken > 0; taken = send_what_goes()) {
      total += taken;
      if (packet()) fail("a packet, of nothing that was started");
    }
    return total;
  }

  /// Starts a receive. True: its bytes were there, and the call has taken them at once.
  bool receive() {
    overlapped_ = {};
    WSABUF room{static_cast<ULONG>(buffer_.size()), buffer_.data()};
    DWORD flags = 0;
    if (WSARecv(server_.handle, &room, 1, nullptr, &flags, &overlapped_, nullptr) == 0) return true;
    if (WSAGetLastError() != WSA_IO_PENDING) fail("WSARecv");
    return false;
  }

  /// The next packet's bytes; nothing if the port stays quiet. Sleeps here.
  std::optional<DWORD> packet() const {
    DWORD bytes = 0;
    ULONG_PTR key = 0;
    OVERLAPPED* done = nullptr;
    if (GetQueuedCompletionStatus(port_.handle, &bytes, &key, &done, quiet)) return bytes;
    if (done && ending_) return 0;  // of an operation that we have cancelled, or whose socket we have closed
    if (done || GetLastError() != WAIT_TIMEOUT) fail("GetQueuedCompletionStatus");
    return std::nullopt;
  }

  std::string_view text(DWORD bytes) const { return {buffer_.data(), bytes}; }

  // What the server does to end the connection.
  void shut_down() const {
    if (shutdown(server_.handle, SD_SEND) != 0) fail("shutdown");
  }
  void cancel() {
    ending_ = true;
    if (!CancelIoEx(reinterpret_cast<HANDLE>(server_.handle), &overlapped_)) fail("CancelIoEx");
  }
  void close() {
    ending_ = true;
    if (closesocket(std::exchange(server_.handle, INVALID_SOCKET)) != 0) fail("closesocket");
  }

  /// How the connection ends for the client. Sleeps here.
  std::string_view end() const {
    const DWORD patience = 2000;  // milliseconds
    setsockopt(client_.handle, SOL_SOCKET, SO_RCVTIMEO, reinterpret_cast<const char*>(&patience),
               sizeof patience);
    char byte = 0;
    if (recv(client_.handle, &byte, 1, 0) == 0) return "a FIN";
    if (WSAGetLastError() == WSAECONNRESET) return "a reset";
    if (WSAGetLastError() != WSAETIMEDOUT) fail("recv");
    return "nothing";
  }

  u_long unread() const {  // bytes that the kernel has for the server
    u_long bytes = 0;
    if (ioctlsocket(server_.handle, FIONREAD, &bytes) != 0) fail("FIONREAD");
    return bytes;
  }

 private:
  SOCKET connected() const {
    const sockaddr_in address = listen_anywhere(listener_);
    if (connect(client_.handle, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      fail("connect");
    return WSAAccept(listener_.handle, nullptr, nullptr, nullptr, 0);
  }

  std::size_t send_what_goes() const {
    static const std::array<char, 65536> block{};
    std::size_t total = 0;
    while (true) {
      const int sent = ::send(client_.handle, block.data(), static_cast<int>(block.size()), 0);
      if (sent < 0 && WSAGetLastError() != WSAEWOULDBLOCK) fail("send");
      if (sent < 0) return total;
      total += static_cast<std::size_t>(sent);
    }
  }

  Socket listener_ = tcp(), client_ = tcp(), server_{connected()};
  OVERLAPPED
  overlapped_{};  // one receive at a time, so one record; it outlives the port and the socket below
  std::array<char, 65536> buffer_{};
  bool ending_ = false;
  Port port_{};
};

void look(const Scene& scene) {
  if (const auto bytes = scene.packet())
    std::cout << "  the port:   a packet, " << *bytes << " bytes: \"" << scene.text(*bytes) << "\"\n";
  else
    std::cout << "  the port:   quiet for " << quiet << " ms; the kernel holds " << scene.unread()
              << " bytes\n";
}

void post(Scene& scene) {
  std::cout << "  WSARecv:    " << (scene.receive() ? "done at once" : "under way") << '\n';
}

void none_posted_then_late() {
  std::cout << "(a) no receive posted\n";
  Scene scene;
  scene.send("hello");
  look(scene);
  std::cout << "(b) posted late, on the same connection\n";
  post(scene);
  look(scene);
}

void posted_once() {
  std::cout << "(c) posted in time, once and not again\n";
  Scene scene;
  post(scene);
  scene.send("one");
  look(scene);
  scene.send("two");
  look(scene);
  post(scene);
  look(scene);
}

void sender_without_receiver() {
  std::cout << "(d) a client that sends and sends, a server that posts none\n";
  Scene scene;
  const std::size_t sent = scene.send_until_stuck();
  std::cout << "  the client: stuck after " << sent << " bytes; the kernel holds " << scene.unread()
            << " of them at the server's side\n";
  std::size_t received = 0, receives = 0;
  while (received < sent) {
    scene.receive();
    const auto bytes = scene.packet();
    if (!bytes || *bytes == 0) fail("bytes were lost");
    received += *bytes;
    ++receives;
  }
  std::cout << "  the server: " << receives << " receives took " << received << " bytes, all of them\n";
}

/// A receive is under way, no byte is unread, and the server ends the connection: in which way does it tell?
void end_while_receiving() {
  std::cout << "(e) three ends of a connection whose receive is under way\n";
  const auto show = [](std::string_view way, const auto& end) {
    Scene scene;
    if (scene.receive()) fail("a receive of nothing was done at once");
    end(scene);
    std::cout << "  " << way << "   the client sees " << scene.end() << '\n';
  };
  const auto wait_for_packet = [](const Scene& scene) {
    if (!scene.packet()) fail("a receive that never ends");
  };
  show("closesocket                                  ", [&](Scene& scene) {
    scene.close();
    wait_for_packet(scene);
  });
  show("CancelIoEx, closesocket                      ", [&](Scene& scene) {
    scene.cancel();
    scene.close();
    wait_for_packet(scene);
  });
  show("shutdown, CancelIoEx, the packet, closesocket", [&](Scene& scene) {
    scene.shut_down();
    scene.cancel();
    wait_for_packet(scene);
    scene.close();
  });
}

}  // namespace

int main() {
  WSADATA about;
  if (WSAStartup(MAKEWORD(2, 2), &about) != 0) fail("WSAStartup");
  none_posted_then_late();
  posted_once();
  sender_without_receiver();
  end_while_receiving();
  WSACleanup();
}
