// Which thread holds a strand (common/library/strand.h). Small programs of several threads are run in every order
// that their calls can have, and each state on the way is judged: a stress test misses bugs here, since later
// traffic notifies again. The stress test at the end is for the thread sanitizer.
#include "common/library/strand.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "common/library/slot_map.h"
#include <ladder/server.h>

using namespace ladder;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t cap = 1000;
constexpr ConnectionId nobody{}, first_id = make_id(7, 1), second_id = make_id(7, 2);
constexpr std::uint32_t wake_event = 1u << 31;

Command send_of(std::size_t size, std::byte fill = {}) {
  return {Command::Kind::send, std::vector<std::byte>(size, fill)};
}

std::span<const Command> commands_of(const Pending& pending) {
  return pending.commands ? std::span<const Command>(*pending.commands) : std::span<const Command>();
}

const auto arm_well = [] { return std::error_code{}; };
const auto no_wake = [](ConnectionId) { FAIL("a wake-up for nobody"); };

// ---- a session and all that happens to it

/// One strand, its waker, and a witness who notes what came of each command and event.
struct World {
  Strand strand{};
  ConnectionId occupant{};  // its id; nobody: there is none
  int holders = 0;
  std::deque<ConnectionId> wakes{};  // notified, and not yet answered
  const char* fault = nullptr;

  struct Wished {
    ConnectionId of;  // the id that it was posted to
    int received = 0;
  };
  std::map<int, Wished> commands{};  // those that were taken, by number
  std::vector<int> order{};          // in which they were received
  std::map<std::uint64_t, Wished> events{};

  auto wake() {
    return [this](ConnectionId id) {
      check(id == occupant, "a wake-up for one who is gone");
      wakes.push_back(id);
    };
  }
  void check(bool good, const char* otherwise) {
    if (!good && !fault) fault = otherwise;
  }

  void holds(ConnectionId id, const Pending& pending) {
    check(++holders == 1, "two hold the strand");
    check(id == occupant, "the strand of one who is gone");
    read(pending);
  }
  void read(const Pending& pending) {
    for (auto& [bit, event] : events)
      if (pending.events & bit) {
        ++event.received;
        check(event.of == occupant, "an event of another session's");
      }
    for (const Command& command : commands_of(pending))
      for (const std::byte byte : command.bytes) {  // each poster's send has one
        const int number = static_cast<int>(byte);
        order.push_back(number);
        const auto found = commands.find(number);
        if (found == commands.end()) return check(false, "a command that was refused");
        ++found->second.received;
        check(found->second.of == occupant, "a command of another session's");
      }
  }
  void moves_out() {
    check(holders == 1, "ended without the strand");
    strand.end_session();
    occupant = nobody;
    holders = 0;
  }
};

/// A thread: each step is one call of the strand's.
class Actor {
 public:
  virtual ~Actor() = default;
  virtual bool can(const World&) const = 0;  ///< whether it has a step to make now
  virtual void step(World&) = 0;
  virtual bool answers(ConnectionId) const { return false; }  ///< it is on its way to answer this waker
};
using Cast = std::vector<std::unique_ptr<Actor>>;

class Holder : public Actor {
 protected:
  enum class Fate { releases, hands_over, cannot_arm, leaves };
  explicit Holder(Fate fate) : fate_(fate) {}

  void try_acquire(World& world, ConnectionId id, std::uint32_t event) {
    Pending pending;
    if (event != wake_event && id == world.occupant) world.events[event] = {id};
    holds_ = world.strand.try_acquire(id, event, pending);
    if (holds_) world.holds(id, pending);
  }
  void give_back(World& world) {
    if (fate_ == Fate::leaves) {
      world.moves_out();
      holds_ = false;
      return;
    }
    Pending pending;
    std::error_code error;
    const auto arm = [&] {
      return fate_ == Fate::cannot_arm ? std::make_error_code(std::errc::not_enough_memory)
                                       : std::error_code{};
    };
    if (fate_ == Fate::hands_over) {
      world.check(world.strand.yield(0, error, arm, world.wake()), "kept what it had to yield");
      --world.holders;
      holds_ = false;
    } else if (world.strand.release(0, pending, error, arm)) {
      world.check(fate_ != Fate::cannot_arm, "freed though the system refused to arm it");
      --world.holders;
      holds_ = false;
    } else if (error) {
      world.check(pending.empty(), "something pending beside an error");
      fate_ = Fate::leaves;
    } else {
      world.check(!pending.empty(), "kept for nothing");
      world.read(pending);
    }
  }

  bool holds_ = false;

 private:
  Fate fate_;
};

/// A worker that got an event of the first session from the system.
class Worker final : public Holder {
 public:
  explicit Worker(std::uint32_t event, Fate fate = Fate::releases) : Holder(fate), event_(event) {}
  static std::unique_ptr<Actor> leaving(std::uint32_t event) {
    return std::make_unique<Worker>(event, Fate::leaves);
  }
  static std::unique_ptr<Actor> handing_over(std::uint32_t event) {
    return std::make_unique<Worker>(event, Fate::hands_over);
  }
  static std::unique_ptr<Actor> unable_to_arm(std::uint32_t event) {
    return std::make_unique<Worker>(event, Fate::cannot_arm);
  }
  bool can(const World&) const override { return !told_ || holds_; }
  void step(World& world) override {
    if (told_) return give_back(world);
    told_ = true;
    try_acquire(world, first_id, event_);
  }

 private:
  std::uint32_t event_;
  bool told_ = false;
};

/// Answers wake-ups, for as long as there are any.
class Ringer final : public Holder {
 public:
  Ringer() : Holder(Fate::releases) {}
  bool can(const World& world) const override { return holds_ || heard_ != nobody || !world.wakes.empty(); }
  void step(World& world) override {
    if (holds_) return give_back(world);
    if (heard_ != nobody) return try_acquire(world, std::exchange(heard_, nobody), wake_event);
    heard_ = world.wakes.front();
    world.wakes.pop_front();
  }
  bool answers(ConnectionId id) const override { return heard_ == id; }

 private:
  ConnectionId heard_{};  // and not yet acted upon
};

/// Another thread's commands, one a step.
class Poster final : public Actor {
 public:
  Poster(std::optional<ConnectionId> id, int first, int count)
      : id_(id), next_(first), last_(first + count) {}
  bool can(const World&) const override { return next_ < last_; }
  void step(World& world) override {
    const int number = next_++;
    const bool for_it = world.occupant != nobody && id_.value_or(world.occupant) == world.occupant;
    std::size_t backlog = 0;
    const auto notify = [&](ConnectionId id) {
      world.check(world.holders == 0, "a wake-up, though the strand is taken");
      world.wake()(id);
    };
    const auto posted =
        world.strand.post(id_, send_of(1, static_cast<std::byte>(number)), cap, backlog, notify);
    world.check(posted == (for_it ? Strand::Posted::taken : Strand::Posted::gone), "the answer to post");
    if (posted == Strand::Posted::taken) world.commands[number] = {world.occupant};
  }

 private:
  std::optional<ConnectionId> id_;  // none: whoever lives there
  int next_, last_;
};

/// The next session, once the strand is free.
class Newcomer final : public Holder {
 public:
  Newcomer() : Holder(Fate::releases) {}
  bool can(const World& world) const override { return holds_ || (!came_ && world.occupant == nobody); }
  void step(World& world) override {
    if (holds_) return give_back(world);
    came_ = holds_ = true;
    world.occupant = world.strand.start_session(7);
    world.check(world.occupant != first_id, "the id of the last session");
    world.holds(world.occupant, {});
  }

 private:
  bool came_ = false;
};

// ---- every order that the steps can have

class Explorer {
 public:
  explicit Explorer(std::function<Cast()> program) : program_(std::move(program)) { explore(); }
  std::size_t states = 0, ends = 0;

 private:
  void explore() {
    World world;
    const Cast cast = program_();
    world.occupant = world.strand.start_session(7);
    world.holds(world.occupant, {});
    Pending pending;
    std::error_code error;
    world.strand.release(0, pending, error, arm_well);
    world.holders = 0;
    for (const std::size_t actor : path_)
      cast[actor]->step(world);
    std::vector<std::size_t> ready;
    for (std::size_t i = 0; i < cast.size(); ++i)
      if (cast[i]->can(world)) ready.push_back(i);
    ++states;
    ends += ready.empty();
    judge(world, cast, ready.empty());
    if (world.fault) FAIL(std::string(world.fault) << ", after the steps of" << path());
    for (const std::size_t actor : ready) {
      path_.push_back(actor);
      explore();
      path_.pop_back();
    }
  }

  /// The world is not needed afterwards: each state is made anew from its path.
  static void judge(World& world, const Cast& cast, bool at_end) {
    if (world.fault) return;
    for (const auto& [number, command] : world.commands)
      world.check(command.received <= 1, "a command came twice");
    for (std::size_t i = 1; i < world.order.size(); ++i)  // each poster counts on from a ten of its own
      world.check(world.order[i] / 10 != world.order[i - 1] / 10 || world.order[i] > world.order[i - 1],
                  "one poster's commands out of order");
    Pending pending;
    const bool free =
        world.strand.try_acquire(world.occupant != nobody ? world.occupant : first_id, 0, pending);
    world.check(free == (world.occupant != nobody && world.holders == 0), "whether the strand is free");
    if (!free) return;
    const bool notified =
        std::count(world.wakes.begin(), world.wakes.end(), world.occupant) > 0 ||
        std::any_of(cast.begin(), cast.end(), [&](const auto& one) { return one->answers(world.occupant); });
    world.check(pending.empty() || notified, "something pending, a free strand, and no wake-up");
    world.check(pending.empty() || !at_end || !world.wakes.empty(),
                "something pending that nobody will read");
    world.read(pending);
    for (const auto& [number, command] : world.commands)
      world.check(command.of != world.occupant || command.received == 1, "a command was lost");
    for (const auto& [bit, event] : world.events)
      world.check(event.of != world.occupant || event.received > 0, "an event was lost");
  }

  std::string path() const {
    std::string text;
    for (const std::size_t actor : path_)
      text += ' ' + std::to_string(actor);
    return text;
  }

  std::function<Cast()> program_;
  std::vector<std::size_t> path_;
};

template <class... Actors>
Cast cast_of(std::unique_ptr<Actors>... actors) {
  Cast cast;
  (cast.push_back(std::move(actors)), ...);
  return cast;
}

}  // namespace

TEST_CASE("strand: two workers, two posters and one who answers wake-ups, in every order") {
  const Explorer all([] {
    return cast_of(std::make_unique<Worker>(1), std::make_unique<Worker>(2),
                   std::make_unique<Poster>(first_id, 0, 2), std::make_unique<Poster>(first_id, 10, 1),
                   std::make_unique<Ringer>());
  });
  CHECK(all.ends > 10'000);
}

TEST_CASE("strand: two who answer wake-ups, a poster of four commands and a worker, in every order") {
  const Explorer all([] {
    return cast_of(std::make_unique<Worker>(1), std::make_unique<Poster>(first_id, 0, 4),
                   std::make_unique<Ringer>(), std::make_unique<Ringer>());
  });
  CHECK(all.ends > 10'000);
}

TEST_CASE(
    "strand: workers who yield with something pending, two posters and one who answers wake-ups, in every "
    "order") {
  const Explorer all([] {
    return cast_of(Worker::handing_over(1), Worker::handing_over(2), std::make_unique<Poster>(first_id, 0, 2),
                   std::make_unique<Poster>(first_id, 10, 1), std::make_unique<Ringer>());
  });
  CHECK(all.ends > 10'000);
}

TEST_CASE("strand: commands while nobody answers: there is a wake-up for them in every state") {
  const Explorer all([] {
    return cast_of(std::make_unique<Worker>(1), std::make_unique<Worker>(2), std::make_unique<Worker>(4),
                   std::make_unique<Poster>(first_id, 0, 3));
  });
  CHECK(all.ends > 1'000);
}

TEST_CASE("strand: a session ends while it is told and commanded things, and another starts") {
  const Explorer all([] {
    return cast_of(Worker::leaving(1), Worker::handing_over(2), std::make_unique<Poster>(first_id, 0, 2),
                   std::make_unique<Newcomer>(), std::make_unique<Poster>(second_id, 10, 1),
                   std::make_unique<Ringer>());
  });
  CHECK(all.ends > 10'000);
}

TEST_CASE("strand: a stop's broadcast finds whoever lives there") {
  const Explorer all([] {
    return cast_of(Worker::leaving(1), std::make_unique<Worker>(2), std::make_unique<Poster>(first_id, 0, 2),
                   std::make_unique<Poster>(std::nullopt, 10, 1), std::make_unique<Newcomer>(),
                   std::make_unique<Ringer>());
  });
  CHECK(all.ends > 10'000);
}

TEST_CASE("strand: one who cannot arm keeps the strand, and ends the connection") {
  const Explorer all([] {
    return cast_of(Worker::unable_to_arm(1), std::make_unique<Worker>(2),
                   std::make_unique<Poster>(first_id, 0, 3), std::make_unique<Newcomer>(),
                   std::make_unique<Ringer>());
  });
  CHECK(all.ends > 10'000);
}

// ---- the answers, one by one

namespace {

/// A strand whose first session has released it.
struct LiveSession {
  Strand strand{};
  ConnectionId id = strand.start_session(7);
  Pending pending{};
  std::error_code error{};
  std::size_t backlog = 0;
  int notified = 0;

  explicit LiveSession(std::size_t queued = 0) { release(queued); }
  bool release(std::size_t queued) { return strand.release(queued, pending, error, arm_well); }
  bool try_acquire(std::uint32_t events = 0) { return strand.try_acquire(id, events, pending); }
  Strand::Posted post(Command command) {
    return strand.post(id, std::move(command), cap, backlog, [this](ConnectionId) { ++notified; });
  }
};

}  // namespace

TEST_CASE("strand: one wake-up for all commands until it is answered, none while the strand is taken") {
  LiveSession session;
  session.post({Command::Kind::resume});
  session.post({Command::Kind::close});
  CHECK(session.notified == 1);
  REQUIRE(session.try_acquire(4));
  CHECK(session.pending.events == (4 | Pending::commanded));
  REQUIRE(session.pending.commands->size() == 2);
  CHECK((*session.pending.commands)[0].kind == Command::Kind::resume);
  CHECK((*session.pending.commands)[1].kind == Command::Kind::close);

  session.post({Command::Kind::stop});
  CHECK(session.notified == 1);
  CHECK_FALSE(session.release(0));
  REQUIRE(session.pending.commands->size() == 1);
  CHECK(session.release(0));
  session.post({Command::Kind::stop});
  CHECK(session.notified == 2);
}

TEST_CASE("strand: events that come while the strand is taken are gathered for its holder") {
  LiveSession session;
  REQUIRE(session.try_acquire(1));
  Pending other;
  CHECK_FALSE(session.strand.try_acquire(session.id, 2, other));
  CHECK_FALSE(session.strand.try_acquire(session.id, 4, other));
  CHECK(other.empty());
  CHECK_FALSE(session.strand.try_acquire(make_id(7, generation_of(session.id) + 1), 8, other));
  CHECK_FALSE(session.strand.try_acquire(nobody, 8, other));
  CHECK_FALSE(session.release(0));
  CHECK(session.pending.events == 6);
  CHECK(session.release(0));
}

TEST_CASE(
    "strand: an empty one takes nothing, and a new session finds nothing pending and no wake-up of the "
    "last") {
  Strand fresh;
  Pending pending;
  CHECK_FALSE(fresh.try_acquire(nobody, 1, pending));
  CHECK_FALSE(fresh.try_acquire(first_id, 1, pending));

  LiveSession session;
  session.post(send_of(cap));
  REQUIRE(session.try_acquire());
  session.post({Command::Kind::close});
  CHECK_FALSE(session.strand.try_acquire(session.id, 2, pending));
  session.strand.end_session();
  CHECK(session.post({Command::Kind::close}) == Strand::Posted::gone);
  CHECK(session.strand.post(std::nullopt, {Command::Kind::stop}, cap, session.backlog, no_wake) ==
        Strand::Posted::gone);
  CHECK_FALSE(session.try_acquire(1));

  const ConnectionId before = std::exchange(session.id, session.strand.start_session(7));
  CHECK(session.id != before);
  CHECK(session.id != nobody);
  CHECK(session.post(send_of(cap)) == Strand::Posted::taken);  // the last one's backlog has gone with it
  CHECK_FALSE(session.release(0));
  CHECK(session.pending.events == Pending::commanded);
  CHECK(session.pending.commands->size() == 1);
  CHECK(session.release(0));
  CHECK(session.strand.post(before, {Command::Kind::close}, cap, session.backlog, no_wake) ==
        Strand::Posted::gone);
  const int notified = session.notified;
  session.post({Command::Kind::close});
  CHECK(session.notified == notified + 1);
}

TEST_CASE("strand: the cap bounds what waits here and in the send queue together") {
  LiveSession session(600);
  CHECK(session.post(send_of(300)) == Strand::Posted::taken);
  CHECK(session.backlog == 900);
  CHECK(session.post(send_of(101)) == Strand::Posted::full);
  CHECK(session.post(send_of(100)) == Strand::Posted::taken);
  CHECK(session.backlog == cap);
  CHECK(session.post({Command::Kind::resume}) == Strand::Posted::taken);  // no send: it needs no room
  REQUIRE(session.try_acquire());
  REQUIRE(session.pending.commands->size() == 2);
  CHECK((*session.pending.commands)[0].bytes.size() == 400);  // a crowd of small sends is one command
  CHECK((*session.pending.commands)[0].backlog == cap);  // the holder learns the most that a sender was told
  CHECK((session.pending.events & Pending::turned_away) != 0);  // ... and that one was told `full`
  CHECK(session.post(send_of(1)) == Strand::Posted::full);      // what the holder has is not sent yet
  CHECK_FALSE(session.release(0));                              // on_drained is owed for it
  CHECK((session.pending.events & Pending::turned_away) != 0);
  CHECK(session.release(0));
  CHECK(session.post(send_of(1)) == Strand::Posted::taken);
  CHECK(session.backlog == 1);
}

TEST_CASE(
    "strand: what the holder has sent counts no longer, though something pending keeps it from giving the "
    "strand back") {
  LiveSession session(500);
  REQUIRE(session.try_acquire());
  for (int round = 0; round < 5; ++round) {
    CHECK(session.post(send_of(400)) == Strand::Posted::taken);
    CHECK_FALSE(session.release(100));  // of what came before, all but 100 have been sent
    CHECK(session.post(send_of(501)) == Strand::Posted::full);
  }
  CHECK_FALSE(session.release(0));  // on_drained is owed
  CHECK(session.release(0));
}

TEST_CASE("strand: sends become one command only if nothing stands between them") {
  LiveSession session;
  REQUIRE(session.try_acquire());
  for (int i = 0; i < 3; ++i)
    session.post(send_of(2, static_cast<std::byte>(i)));
  session.post({Command::Kind::resume});
  session.post(send_of(1));
  CHECK_FALSE(session.release(0));
  REQUIRE(session.pending.commands->size() == 3);
  CHECK((*session.pending.commands)[0].bytes == std::vector<std::byte>{std::byte{0}, std::byte{0},
                                                                       std::byte{1}, std::byte{1},
                                                                       std::byte{2}, std::byte{2}});
  CHECK((*session.pending.commands)[1].kind == Command::Kind::resume);
  CHECK((*session.pending.commands)[2].bytes.size() == 1);
}

TEST_CASE("strand: to yield frees the strand and leaves what is pending, with a wake-up for it") {
  LiveSession session;
  REQUIRE(session.try_acquire());
  session.post(send_of(300));
  Pending other;
  CHECK_FALSE(session.strand.try_acquire(session.id, 2, other));
  const auto notify = [&](ConnectionId id) {
    ++session.notified;
    CHECK(id == session.id);
  };
  CHECK_FALSE(session.strand.yield(
      100, session.error, [] { return std::make_error_code(std::errc::not_enough_memory); }, notify));
  CHECK_FALSE(session.strand.try_acquire(session.id, 2,
                                         other));  // it could not be armed, so the strand is kept
  CHECK(session.notified == 0);
  CHECK(session.strand.yield(100, session.error, arm_well, notify));
  CHECK(session.notified == 1);
  session.post(send_of(1));
  CHECK(session.notified == 1);
  CHECK(session.backlog == 401);
  REQUIRE(session.try_acquire());
  CHECK(session.pending.events == (2 | Pending::commanded));
  REQUIRE(session.pending.commands->size() == 1);
  CHECK((*session.pending.commands)[0].bytes.size() == 301);

  session.post({Command::Kind::close});
  CHECK(session.strand.yield(0, session.error, arm_well, notify));
  CHECK(session.post(send_of(1)) == Strand::Posted::gone);  // an end is on its way
}

TEST_CASE("strand: a wake-up that could not be sent is sent for the next command") {
  LiveSession session;
  const auto no_memory = [](ConnectionId) { throw std::bad_alloc(); };
  CHECK_THROWS_AS(session.strand.post(session.id, {Command::Kind::resume}, cap, session.backlog, no_memory),
                  std::bad_alloc);
  session.post({Command::Kind::close});
  CHECK(session.notified == 1);
  REQUIRE(session.try_acquire());
  REQUIRE(session.pending.commands->size() == 1);  // a poster that was told of the exception may post again
  CHECK(session.pending.commands->back().kind == Command::Kind::close);
}

TEST_CASE("strand: after takes_no_more a send is answered `gone`; other commands still come") {
  LiveSession session(Strand::takes_no_more);
  CHECK(session.post(send_of(1)) == Strand::Posted::gone);
  CHECK(session.post(send_of(0)) == Strand::Posted::gone);
  CHECK(session.notified == 0);
  CHECK(session.post({Command::Kind::abort}) == Strand::Posted::taken);
  REQUIRE(session.try_acquire());
  CHECK(session.pending.commands->size() == 1);
}

TEST_CASE("strand: behind a command that ends the connection, and after close(), a send is too late") {
  SUBCASE("behind such a command") {
    for (const Command::Kind kind : {Command::Kind::close, Command::Kind::abort, Command::Kind::stop_now}) {
      LiveSession session;
      CHECK(session.post(send_of(1)) == Strand::Posted::taken);
      CHECK(session.post({Command::Kind::resume}) == Strand::Posted::taken);
      CHECK(session.post({Command::Kind::stop}) == Strand::Posted::taken);
      CHECK(session.post(send_of(1)) ==
            Strand::Posted::taken);  // a resume ends nothing, and a stop waits for answers
      CHECK(session.post({kind}) == Strand::Posted::taken);
      CHECK(session.post(send_of(1)) == Strand::Posted::gone);
      REQUIRE(session.try_acquire());
      CHECK(session.pending.commands->size() == 5);
    }
  }
  SUBCASE("after close()") {
    LiveSession session;
    REQUIRE(session.try_acquire());
    session.strand.close();
    CHECK(session.post(send_of(1)) == Strand::Posted::gone);
  }
}

TEST_CASE(
    "strand: what is pending comes before arming; an arming that fails leaves the strand and takes nothing") {
  LiveSession session;
  int armed = 0;
  const auto refuse = [&] {
    ++armed;
    return std::make_error_code(std::errc::not_enough_memory);
  };
  REQUIRE(session.try_acquire());
  session.post({Command::Kind::resume});
  CHECK_FALSE(session.strand.release(0, session.pending, session.error, refuse));
  CHECK(armed == 0);
  CHECK_FALSE(session.error);
  session.pending = {};
  CHECK_FALSE(session.strand.release(0, session.pending, session.error, refuse));
  CHECK(armed == 1);
  CHECK(session.error == std::errc::not_enough_memory);
  Pending other;
  CHECK_FALSE(session.strand.try_acquire(session.id, 1, other));
}

TEST_CASE(
    "strand: arming and notifying are under the lock: an event that they bring about comes after them") {
  LiveSession session;
  REQUIRE(session.try_acquire());
  std::future<bool> taken;
  Pending pending;
  bool waited = false;
  const auto bring_event = [&] {
    taken =
        std::async(std::launch::async, [&] { return session.strand.try_acquire(session.id, 1, pending); });
    waited = taken.wait_for(20ms) == std::future_status::timeout;
  };
  session.strand.release(0, session.pending, session.error, [&] {
    bring_event();
    return std::error_code{};
  });
  CHECK(waited);
  CHECK(taken.get());
  CHECK(pending.events == 1);

  REQUIRE(session.release(0));
  session.strand.post(session.id, {Command::Kind::resume}, cap, session.backlog,
                      [&](ConnectionId) { bring_event(); });
  CHECK(waited);
  CHECK(taken.get());
  CHECK(pending.commands->size() == 1);
}

// ---- many threads at once

namespace {

class Stress {
 public:
  static constexpr std::size_t posters = 3, wishes_each = 100'000;

  bool run() {
    const auto give_up = std::chrono::steady_clock::now() + 10s;
    Pending pending;
    std::error_code error;
    id_ = box_.start_session(7);
    box_.release(0, pending, error, arm_well);
    std::vector<std::jthread> threads;
    threads.reserve(posters + 3);
    for (int i = 0; i < 2; ++i)
      threads.emplace_back([this] { answer_bells(); });
    for (std::size_t i = 0; i < posters; ++i)
      threads.emplace_back([this, i] { post(static_cast<std::byte>(i)); });
    threads.emplace_back([this] {  // the system's events
      for (std::size_t i = 0; i < wishes_each; ++i)
        serve(1);
    });
    std::unique_lock lock(mutex_);
    const bool all_came = changed_.wait_until(lock, give_up, [this] { return all_received_; });
    ended_ = true;
    changed_.notify_all();
    return all_came;
  }
  std::vector<std::byte> received{};  // touched by the holder alone: the thread sanitizer watches it

 private:
  void post(std::byte fill) {
    for (std::size_t i = 0; i < wishes_each; ++i) {
      std::size_t backlog = 0;
      box_.post(id_, send_of(1, fill), Strand::takes_no_more - 1, backlog,
                [this](ConnectionId) { notify(); });
    }
  }
  void notify() {
    const std::lock_guard lock(mutex_);
    ++wakes_;
    changed_.notify_all();
  }
  void answer_bells() {
    for (;;) {
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return wakes_ > 0 || ended_; });
        if (wakes_ == 0) return;
        --wakes_;
      }
      serve(wake_event);
    }
  }
  void serve(std::uint32_t event) {
    Pending pending;
    if (!box_.try_acquire(id_, event, pending)) return;
    std::error_code error;
    for (int round = 0;; ++round) {
      for (const Command& command : commands_of(pending))
        received.insert(received.end(), command.bytes.begin(), command.bytes.end());
      if (received.size() == posters * wishes_each) {
        const std::lock_guard lock(mutex_);
        all_received_ = true;
        changed_.notify_all();
      }
      pending = {};
      const bool free = round < 4 ? box_.release(0, pending, error, arm_well)
                                  : box_.yield(0, error, arm_well, [this](ConnectionId) { notify(); });
      if (free) return;
    }
  }

  Strand box_;
  ConnectionId id_{};
  std::mutex mutex_;
  std::condition_variable changed_;
  int wakes_ = 0;
  bool all_received_ = false, ended_ = false;
};

}  // namespace

TEST_CASE("strand: many threads at once: one holder at a time, and each command comes") {
  Stress stress;
  CHECK(stress.run());
  for (std::size_t i = 0; i < Stress::posters; ++i)
    CHECK(std::count(stress.received.begin(), stress.received.end(), static_cast<std::byte>(i)) ==
          Stress::wishes_each);
}
