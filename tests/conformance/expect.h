// The judgements that the cases share. Each throws Failed.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tests/conformance/peer.h"
#include "tests/conformance/platform.h"
#include "tests/conformance/scene.h"
#include "tests/conformance/sockets.h"
#include "tests/conformance/subject.h"
#include "tests/conformance/suite.h"

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
/// It ends, in whatever way, and not a byte comes before.
void expect_end(Peer&, Duration within);
/// The stream ends in a reset, whatever came before.
void expect_reset(Peer&);
/// All that still comes, up to the end, which must be a FIN.
std::string expect_rest_and_fin(Peer&);
/// All that still comes, up to the end, whatever that is.
std::string expect_rest_and_end(Peer&);
/// FIN from us, and then from the server: an orderly end.
void expect_orderly_end(Peer&);
void leave_in_order(std::span<Peer>);
/// Not a byte has come, nor an end.
void expect_silence(std::span<Peer>);
/// Serves the next client of the service as it should be served. Its steps go to a log of its own.
void expect_next_client_served(const Target&, std::string_view service);
/// What chargen sends (RFC 864): lines of 72 of the 95 printing characters, each begun one further.
std::string chargen_lines(std::size_t size);
/// The server has no more sockets than that within the time.
void expect_sockets(Server&, std::size_t count, Duration within);
/// The RFC calls that one popular pattern, and lets the data be anything: of another's server it is looked at
/// first, and NotApplicable if that sends others.
void require_chargen_lines(Scene&);
/// So much of what any chargen sends: lines of printing characters.
void expect_chargen(Peer&, std::size_t size);
/// The process ends in order within the time.
void expect_exit_in_order(Process&, Duration within);

/// The program ends with this status: nothing on standard output, and on standard error one line that has one of the
/// words in it.
void expect_refusal(Process&, int status, const std::vector<std::string>& named, const std::string& command);

/// A client that sends one byte as soon as it can.
struct Asker {
  Peer* peer;
  bool asked = false;
};
std::vector<Asker> askers(std::span<Peer>);
/// What becomes of them: they are answered, see an end, or wait in silence.
struct Answers {
  std::vector<Peer*> served{}, closed{};
  std::vector<Asker> waiting{};
};
/// Looks until all is decided, or nothing has come for this long; the first answer may take patience().
Answers ask(std::vector<Asker>, Duration quiet = scaled(milliseconds(200)));
/// Those who are served leave, until nobody waits. Returns how many were closed.
std::size_t serve_the_waiting(Answers);
void expect_counts(const Answers&, std::size_t served, std::size_t closed, std::size_t waiting);

/// Plays `act` with clients that are all connected: with all of them at once, or, where the model serves
/// fewer at a time, in turns, while the others are seen to wait in silence (LIMIT). Each turn ends in order.
void in_turns(Scene&, std::span<Peer>, const std::function<void(std::span<Peer>)>& act);

/// Each of the clients asks and is answered 50 times, one byte a time, all of them at once, while `meanwhile`, which
/// never waits, goes on beside them. 99 of 100 answers must take less than a second. The figure is noted.
void expect_quick_answers(Scene&, std::span<Peer>, const std::function<void()>& meanwhile = {});

std::string receive_line(Peer&);
/// Members of a chat: all are in the room, and none of them will hear any more of what was said meanwhile.
void gather(std::span<Peer>);

/// The server's end of a client's connection, as the system sees it.
TableEntry server_end(const Server&, const Peer&);

std::string text(Duration);  ///< "42 ms"

/// Under Wine a thread takes descriptors, the wineserver's: where each client has one, threads run out first, and those
/// who come then are closed. Throws NotApplicable there.
void need_threads_that_take_no_descriptor(const Scene&);
void need_sends_that_a_close_respects(const Scene&, Server&);

/// From now on the server gets no new descriptor, and clients wait that need one: worth a line in its log.
std::vector<Peer> exhaust_descriptors(Scene&, Server&, std::size_t clients = 8);

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
