// The judgements that the cases share. Each throws Failed.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tests/conformance/peer.h"
#include "tests/conformance/scene.h"
#include "tests/conformance/subject.h"

namespace conformance {

/// What is sent, at most `slice` bytes a time, comes back; both directions go at the same time.
void expect_echo(Peer&, std::string_view content, std::size_t slice = uncut);
/// These bytes come, and the client sends nothing meanwhile.
void expect_reply(Peer&, std::string_view content);
/// The same after the client's FIN: what the server still owes comes, then its FIN. Where a server closes on
/// its peer's FIN, the failure says what that means. A slow reader pauses after each 64 KiB.
void expect_reply_after_fin(Peer&, std::string_view content, Duration pause = {});
/// Nothing more comes but a FIN.
void expect_fin(Peer&);
/// The stream ends in a reset, whatever came before.
void expect_reset(Peer&);
/// All that still comes, up to the end, which must be a FIN.
std::string expect_rest_and_fin(Peer&);
/// FIN from us, and then from the server: an orderly end.
void expect_orderly_end(Peer&);
/// Not a byte has come, nor an end.
void expect_silence(std::span<Peer>);
/// Serves the next client of the service as it should be served. Its steps go to a log of its own.
void expect_next_client_served(const Target&, std::string_view service);
/// What chargen sends (RFC 864): lines of 72 of the 95 printing characters, each begun one further.
std::string chargen_lines(std::size_t size);
/// The process ends in order within the time.
void expect_exit_in_order(Process&, Duration within);

/// Plays `act` with clients that are all connected: with all of them at once, or, where the model serves
/// fewer at a time, in turns, while the others are seen to wait in silence (LIMIT). Each turn ends in order.
void in_turns(Scene&, std::span<Peer>, const std::function<void(std::span<Peer>)>& act);

/// Each of the clients asks and is answered 50 times, one byte a time, all of them at once, while `meanwhile`, which
/// never waits, goes on beside them. 99 of 100 answers must take less than a second. The figure is noted.
void expect_quick_answers(Scene&, std::span<Peer>, const std::function<void()>& meanwhile = {});

/// The server's end of a client's connection, as the system sees it.
TableEntry server_end(const Server&, const Peer&);

/// From now on the server gets no new descriptor, and clients wait that need one: worth a line in its log.
std::vector<Peer> exhaust_descriptors(Scene&, Server&);

/// No connection has been reset since the guard was made, by either side: the kernel's own count. OutRsts
/// alone would not do: where processors are busy, segments of one connection overtake each other, and one
/// that comes after the end is answered by a reset of the system's.
class ExpectNoReset {
 public:
  explicit ExpectNoReset(Scene&);
  void now() const;

 private:
  Scene& scene_;
  Counters before_{};
};

}  // namespace conformance
