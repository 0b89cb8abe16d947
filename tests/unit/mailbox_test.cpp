// Whose turn a connection is (common/mailbox.h). Small programs of several threads are run in every order
// that their calls can have, and each state on the way is judged: a stress test misses bugs here, since later
// traffic rings again. The stress test at the end is for the thread sanitizer.
#include "common/mailbox.h"

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
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

using namespace ladder;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t cap = 1000;
constexpr std::uint32_t bell_event = 1u << 31;

Wish send_of(std::size_t size, std::byte fill = {}) {
  return {Wish::Kind::send, std::vector<std::byte>(size, fill)};
}

const auto arm_well = [] { return std::error_code{}; };
const auto no_bell = [](std::uint64_t) { FAIL("a bell for nobody"); };

// ---- a seat and all that happens to it

/// One mailbox, its bell, and a witness who notes what came of each wish and event.
struct World {
  Mailbox box{};
  std::uint64_t tenant = 0;  // its generation; 0: nobody lives here
  int holders = 0;
  std::deque<std::uint64_t> bells{};  // rung, and not yet answered
  const char* fault = nullptr;

  struct Wished {
    std::uint64_t of;  // the generation that it was posted to
    int received = 0;
  };
  std::map<int, Wished> wishes{};  // those that were taken, by number
  std::vector<int> order{};        // in which they were received
  std::map<std::uint64_t, Wished> events{};

  auto bell() {
    return [this](std::uint64_t generation) {
      check(generation == tenant, "a bell for one who is gone");
      bells.push_back(generation);
    };
  }
  void check(bool good, const char* otherwise) {
    if (!good && !fault) fault = otherwise;
  }

  void holds(std::uint64_t generation, const Mail& mail) {
    check(++holders == 1, "two hold the turn");
    check(generation == tenant, "the turn of one who is gone");
    read(mail);
  }
  void read(const Mail& mail) {
    for (auto& [bit, event] : events)
      if (mail.events & bit) {
        ++event.received;
        check(event.of == tenant, "an event of another tenant's");
      }
    for (const Wish& wish : mail.wishes)
      for (const std::byte byte : wish.bytes) {  // each poster's send has one
        const int number = static_cast<int>(byte);
        order.push_back(number);
        const auto found = wishes.find(number);
        if (found == wishes.end()) return check(false, "a wish that was refused");
        ++found->second.received;
        check(found->second.of == tenant, "a wish of another tenant's");
      }
  }
  void moves_out() {
    check(holders == 1, "moved out without the turn");
    box.move_out();
    tenant = 0;
    holders = 0;
  }
};

/// A thread: each step is one call of the mailbox's.
class Actor {
 public:
  virtual ~Actor() = default;
  virtual bool can(const World&) const = 0;  ///< whether it has a step to make now
  virtual void step(World&) = 0;
  virtual bool answers(std::uint64_t) const { return false; }  ///< it is on its way to answer this bell
};
using Cast = std::vector<std::unique_ptr<Actor>>;

class Holder : public Actor {
 protected:
  enum class Fate { releases, hands_over, cannot_arm, leaves };
  explicit Holder(Fate fate) : fate_(fate) {}

  void take(World& world, std::uint64_t generation, std::uint32_t event) {
    Mail mail;
    if (event != bell_event && generation == world.tenant) world.events[event] = {generation};
    has_turn_ = world.box.take(generation, event, mail);
    if (has_turn_) world.holds(generation, mail);
  }
  void give_back(World& world) {
    if (fate_ == Fate::leaves) {
      world.moves_out();
      has_turn_ = false;
      return;
    }
    Mail mail;
    std::error_code error;
    const auto arm = [&] {
      return fate_ == Fate::cannot_arm ? std::make_error_code(std::errc::not_enough_memory)
                                       : std::error_code{};
    };
    if (fate_ == Fate::hands_over) {
      world.check(world.box.hand_over(0, error, arm, world.bell()), "kept what was to be handed over");
      --world.holders;
      has_turn_ = false;
    } else if (world.box.release(0, mail, error, arm)) {
      world.check(fate_ != Fate::cannot_arm, "freed though the system refused to arm it");
      --world.holders;
      has_turn_ = false;
    } else if (error) {
      world.check(mail.empty(), "mail beside an error");
      fate_ = Fate::leaves;
    } else {
      world.check(!mail.empty(), "kept for nothing");
      world.read(mail);
    }
  }

  bool has_turn_ = false;

 private:
  Fate fate_;
};

/// A worker whom the system told something about the first tenant.
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
  bool can(const World&) const override { return !told_ || has_turn_; }
  void step(World& world) override {
    if (told_) return give_back(world);
    told_ = true;
    take(world, 1, event_);
  }

 private:
  std::uint32_t event_;
  bool told_ = false;
};

/// Answers bells, for as long as any ring.
class Ringer final : public Holder {
 public:
  Ringer() : Holder(Fate::releases) {}
  bool can(const World& world) const override { return has_turn_ || heard_ || !world.bells.empty(); }
  void step(World& world) override {
    if (has_turn_) return give_back(world);
    if (heard_) return take(world, std::exchange(heard_, 0), bell_event);
    heard_ = world.bells.front();
    world.bells.pop_front();
  }
  bool answers(std::uint64_t generation) const override { return heard_ == generation; }

 private:
  std::uint64_t heard_ = 0;  // and not yet acted upon
};

/// Another thread's wishes, one a step.
class Poster final : public Actor {
 public:
  Poster(std::optional<std::uint64_t> generation, int first, int count)
      : generation_(generation), next_(first), last_(first + count) {}
  bool can(const World&) const override { return next_ < last_; }
  void step(World& world) override {
    const int number = next_++;
    const bool for_it = world.tenant != 0 && generation_.value_or(world.tenant) == world.tenant;
    std::size_t backlog = 0;
    const auto ring = [&](std::uint64_t generation) {
      world.check(world.holders == 0, "a bell, though the turn is taken");
      world.bell()(generation);
    };
    const auto posted =
        world.box.post(generation_, send_of(1, static_cast<std::byte>(number)), cap, backlog, ring);
    world.check(posted == (for_it ? Mailbox::Posted::taken : Mailbox::Posted::gone), "the answer to post");
    if (posted == Mailbox::Posted::taken) world.wishes[number] = {world.tenant};
  }

 private:
  std::optional<std::uint64_t> generation_;  // none: whoever lives there
  int next_, last_;
};

/// The seat's next tenant, once it is free.
class Newcomer final : public Holder {
 public:
  Newcomer() : Holder(Fate::releases) {}
  bool can(const World& world) const override { return has_turn_ || (!came_ && world.tenant == 0); }
  void step(World& world) override {
    if (has_turn_) return give_back(world);
    came_ = has_turn_ = true;
    world.tenant = world.box.move_in();
    world.check(world.tenant != 1, "the generation of the last tenant");
    world.holds(world.tenant, {});
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
    world.tenant = world.box.move_in();
    world.holds(world.tenant, {});
    Mail mail;
    std::error_code error;
    world.box.release(0, mail, error, arm_well);
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
    for (const auto& [number, wish] : world.wishes)
      world.check(wish.received <= 1, "a wish came twice");
    for (std::size_t i = 1; i < world.order.size(); ++i)  // each poster counts on from a ten of its own
      world.check(world.order[i] / 10 != world.order[i - 1] / 10 || world.order[i] > world.order[i - 1],
                  "one poster's wishes out of order");
    Mail mail;
    const bool free = world.box.take(world.tenant ? world.tenant : 1, 0, mail);
    world.check(free == (world.tenant != 0 && world.holders == 0), "whether the turn is free");
    if (!free) return;
    const bool rung =
        std::count(world.bells.begin(), world.bells.end(), world.tenant) > 0 ||
        std::any_of(cast.begin(), cast.end(), [&](const auto& one) { return one->answers(world.tenant); });
    world.check(mail.empty() || rung, "mail, a free turn, and no bell");
    world.check(mail.empty() || !at_end || !world.bells.empty(), "mail that nobody will read");
    world.read(mail);
    for (const auto& [number, wish] : world.wishes)
      world.check(wish.of != world.tenant || wish.received == 1, "a wish was lost");
    for (const auto& [bit, event] : world.events)
      world.check(event.of != world.tenant || event.received > 0, "an event was lost");
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

TEST_CASE("mailbox: two workers, two posters and one who answers bells, in every order") {
  const Explorer all([] {
    return cast_of(std::make_unique<Worker>(1), std::make_unique<Worker>(2),
                   std::make_unique<Poster>(1, 0, 2), std::make_unique<Poster>(1, 10, 1),
                   std::make_unique<Ringer>());
  });
  CHECK(all.ends > 10'000);
}

TEST_CASE("mailbox: two who answer bells, a poster of four wishes and a worker, in every order") {
  const Explorer all([] {
    return cast_of(std::make_unique<Worker>(1), std::make_unique<Poster>(1, 0, 4), std::make_unique<Ringer>(),
                   std::make_unique<Ringer>());
  });
  CHECK(all.ends > 10'000);
}

TEST_CASE(
    "mailbox: workers who hand their mail over, two posters and one who answers bells, in every order") {
  const Explorer all([] {
    return cast_of(Worker::handing_over(1), Worker::handing_over(2), std::make_unique<Poster>(1, 0, 2),
                   std::make_unique<Poster>(1, 10, 1), std::make_unique<Ringer>());
  });
  CHECK(all.ends > 10'000);
}

TEST_CASE("mailbox: wishes while nobody answers: there is a bell for them in every state") {
  const Explorer all([] {
    return cast_of(std::make_unique<Worker>(1), std::make_unique<Worker>(2), std::make_unique<Worker>(4),
                   std::make_unique<Poster>(1, 0, 3));
  });
  CHECK(all.ends > 1'000);
}

TEST_CASE("mailbox: a tenant leaves while it is told and wished things, and another moves in") {
  const Explorer all([] {
    return cast_of(Worker::leaving(1), Worker::handing_over(2), std::make_unique<Poster>(1, 0, 2),
                   std::make_unique<Newcomer>(), std::make_unique<Poster>(2, 10, 1),
                   std::make_unique<Ringer>());
  });
  CHECK(all.ends > 10'000);
}

TEST_CASE("mailbox: a stop's sweep finds whoever lives there") {
  const Explorer all([] {
    return cast_of(Worker::leaving(1), std::make_unique<Worker>(2), std::make_unique<Poster>(1, 0, 2),
                   std::make_unique<Poster>(std::nullopt, 10, 1), std::make_unique<Newcomer>(),
                   std::make_unique<Ringer>());
  });
  CHECK(all.ends > 10'000);
}

TEST_CASE("mailbox: one who cannot arm keeps the turn, and ends the connection") {
  const Explorer all([] {
    return cast_of(Worker::unable_to_arm(1), std::make_unique<Worker>(2), std::make_unique<Poster>(1, 0, 3),
                   std::make_unique<Newcomer>(), std::make_unique<Ringer>());
  });
  CHECK(all.ends > 10'000);
}

// ---- the answers, one by one

namespace {

/// A mailbox whose first tenant's turn is free.
struct Seated {
  Mailbox box{};
  std::uint64_t generation = box.move_in();
  Mail mail{};
  std::error_code error{};
  std::size_t backlog = 0;
  int rung = 0;

  explicit Seated(std::size_t queued = 0) { release(queued); }
  bool release(std::size_t queued) { return box.release(queued, mail, error, arm_well); }
  bool take(std::uint32_t events = 0) { return box.take(generation, events, mail); }
  Mailbox::Posted post(Wish wish) {
    return box.post(generation, std::move(wish), cap, backlog, [this](std::uint64_t) { ++rung; });
  }
};

}  // namespace

TEST_CASE("mailbox: one bell for all wishes until it is answered, none while the turn is taken") {
  Seated seat;
  seat.post({Wish::Kind::resume});
  seat.post({Wish::Kind::close});
  CHECK(seat.rung == 1);
  REQUIRE(seat.take(4));
  CHECK(seat.mail.events == 4);
  REQUIRE(seat.mail.wishes.size() == 2);
  CHECK(seat.mail.wishes[0].kind == Wish::Kind::resume);
  CHECK(seat.mail.wishes[1].kind == Wish::Kind::close);

  seat.post({Wish::Kind::stop});
  CHECK(seat.rung == 1);
  CHECK_FALSE(seat.release(0));
  REQUIRE(seat.mail.wishes.size() == 1);
  CHECK(seat.release(0));
  seat.post({Wish::Kind::stop});
  CHECK(seat.rung == 2);
}

TEST_CASE("mailbox: events that come while the turn is taken are gathered for its holder") {
  Seated seat;
  REQUIRE(seat.take(1));
  Mail other;
  CHECK_FALSE(seat.box.take(seat.generation, 2, other));
  CHECK_FALSE(seat.box.take(seat.generation, 4, other));
  CHECK(other.empty());
  CHECK_FALSE(seat.box.take(seat.generation + 1, 8, other));
  CHECK_FALSE(seat.box.take(0, 8, other));
  CHECK_FALSE(seat.release(0));
  CHECK(seat.mail.events == 6);
  CHECK(seat.release(0));
}

TEST_CASE("mailbox: an empty one takes nothing, and a new tenant finds no mail and no bell of the last") {
  Mailbox fresh;
  Mail mail;
  CHECK_FALSE(fresh.take(0, 1, mail));
  CHECK_FALSE(fresh.take(1, 1, mail));

  Seated seat;
  seat.post(send_of(cap));
  REQUIRE(seat.take());
  seat.post({Wish::Kind::close});
  CHECK_FALSE(seat.box.take(seat.generation, 2, mail));
  seat.box.move_out();
  CHECK(seat.post({Wish::Kind::close}) == Mailbox::Posted::gone);
  CHECK(seat.box.post(std::nullopt, {Wish::Kind::stop}, cap, seat.backlog, no_bell) == Mailbox::Posted::gone);
  CHECK_FALSE(seat.take(1));

  const std::uint64_t before = std::exchange(seat.generation, seat.box.move_in());
  CHECK(seat.generation != before);
  CHECK(seat.generation != 0);
  CHECK(seat.post(send_of(cap)) == Mailbox::Posted::taken);  // the last one's backlog has gone with it
  CHECK_FALSE(seat.release(0));
  CHECK(seat.mail.events == 0);
  CHECK(seat.mail.wishes.size() == 1);
  CHECK(seat.release(0));
  CHECK(seat.box.post(before, {Wish::Kind::close}, cap, seat.backlog, no_bell) == Mailbox::Posted::gone);
  const int rung = seat.rung;
  seat.post({Wish::Kind::close});
  CHECK(seat.rung == rung + 1);
}

TEST_CASE("mailbox: the cap bounds what waits here and in the send queue together") {
  Seated seat(600);
  CHECK(seat.post(send_of(300)) == Mailbox::Posted::taken);
  CHECK(seat.backlog == 900);
  CHECK(seat.post(send_of(101)) == Mailbox::Posted::full);
  CHECK(seat.post(send_of(100)) == Mailbox::Posted::taken);
  CHECK(seat.backlog == cap);
  CHECK(seat.post({Wish::Kind::resume}) == Mailbox::Posted::taken);  // no send: it needs no room
  REQUIRE(seat.take());
  REQUIRE(seat.mail.wishes.size() == 2);
  CHECK(seat.mail.wishes[0].bytes.size() == 400);         // a crowd of small sends is one wish
  CHECK(seat.mail.wishes[0].backlog == cap);              // the holder learns the most that a sender was told
  CHECK(seat.mail.turned_away);                           // ... and that one was told `full`
  CHECK(seat.post(send_of(1)) == Mailbox::Posted::full);  // what the holder has is not sent yet
  CHECK_FALSE(seat.release(0));                           // on_drained is owed for it
  CHECK(seat.mail.turned_away);
  CHECK(seat.release(0));
  CHECK(seat.post(send_of(1)) == Mailbox::Posted::taken);
  CHECK(seat.backlog == 1);
}

TEST_CASE(
    "mailbox: what the holder has sent counts no longer, though mail keeps it from giving the turn back") {
  Seated seat(500);
  REQUIRE(seat.take());
  for (int round = 0; round < 5; ++round) {
    CHECK(seat.post(send_of(400)) == Mailbox::Posted::taken);
    CHECK_FALSE(seat.release(100));  // of what came before, all but 100 have been sent
    CHECK(seat.post(send_of(501)) == Mailbox::Posted::full);
  }
  CHECK_FALSE(seat.release(0));  // on_drained is owed
  CHECK(seat.release(0));
}

TEST_CASE("mailbox: sends become one wish only if nothing stands between them") {
  Seated seat;
  REQUIRE(seat.take());
  for (int i = 0; i < 3; ++i)
    seat.post(send_of(2, static_cast<std::byte>(i)));
  seat.post({Wish::Kind::resume});
  seat.post(send_of(1));
  CHECK_FALSE(seat.release(0));
  REQUIRE(seat.mail.wishes.size() == 3);
  CHECK(seat.mail.wishes[0].bytes == std::vector<std::byte>{std::byte{0}, std::byte{0}, std::byte{1},
                                                            std::byte{1}, std::byte{2}, std::byte{2}});
  CHECK(seat.mail.wishes[1].kind == Wish::Kind::resume);
  CHECK(seat.mail.wishes[2].bytes.size() == 1);
}

TEST_CASE("mailbox: to hand over frees the turn and leaves the mail, with a bell for it") {
  Seated seat;
  REQUIRE(seat.take());
  seat.post(send_of(300));
  Mail other;
  CHECK_FALSE(seat.box.take(seat.generation, 2, other));
  const auto ring = [&](std::uint64_t generation) {
    ++seat.rung;
    CHECK(generation == seat.generation);
  };
  CHECK_FALSE(seat.box.hand_over(
      100, seat.error, [] { return std::make_error_code(std::errc::not_enough_memory); }, ring));
  CHECK_FALSE(seat.box.take(seat.generation, 2, other));  // it could not be armed, so the turn is kept
  CHECK(seat.rung == 0);
  CHECK(seat.box.hand_over(100, seat.error, arm_well, ring));
  CHECK(seat.rung == 1);
  seat.post(send_of(1));
  CHECK(seat.rung == 1);
  CHECK(seat.backlog == 401);
  REQUIRE(seat.take());
  CHECK(seat.mail.events == 2);
  REQUIRE(seat.mail.wishes.size() == 1);
  CHECK(seat.mail.wishes[0].bytes.size() == 301);

  seat.post({Wish::Kind::close});
  CHECK(seat.box.hand_over(0, seat.error, arm_well, ring));
  CHECK(seat.post(send_of(1)) == Mailbox::Posted::gone);  // an end is on its way
}

TEST_CASE("mailbox: a bell that could not be rung is rung for the next wish") {
  Seated seat;
  const auto no_memory = [](std::uint64_t) { throw std::bad_alloc(); };
  CHECK_THROWS_AS(seat.box.post(seat.generation, {Wish::Kind::resume}, cap, seat.backlog, no_memory),
                  std::bad_alloc);
  seat.post({Wish::Kind::close});
  CHECK(seat.rung == 1);
  REQUIRE(seat.take());
  REQUIRE(seat.mail.wishes.size() == 1);  // who was told that it threw may post again
  CHECK(seat.mail.wishes.back().kind == Wish::Kind::close);
}

TEST_CASE("mailbox: after takes_no_more a send is answered `gone`; other wishes still come") {
  Seated seat(Mailbox::takes_no_more);
  CHECK(seat.post(send_of(1)) == Mailbox::Posted::gone);
  CHECK(seat.post(send_of(0)) == Mailbox::Posted::gone);
  CHECK(seat.rung == 0);
  CHECK(seat.post({Wish::Kind::abort}) == Mailbox::Posted::taken);
  REQUIRE(seat.take());
  CHECK(seat.mail.wishes.size() == 1);
}

TEST_CASE("mailbox: behind a wish that ends the connection, and after close(), a send is too late") {
  SUBCASE("behind such a wish") {
    for (const Wish::Kind kind : {Wish::Kind::close, Wish::Kind::stop, Wish::Kind::abort}) {
      Seated seat;
      CHECK(seat.post(send_of(1)) == Mailbox::Posted::taken);
      CHECK(seat.post({Wish::Kind::resume}) == Mailbox::Posted::taken);
      CHECK(seat.post(send_of(1)) == Mailbox::Posted::taken);  // a resume ends nothing
      CHECK(seat.post({kind}) == Mailbox::Posted::taken);
      CHECK(seat.post(send_of(1)) == Mailbox::Posted::gone);
      REQUIRE(seat.take());
      CHECK(seat.mail.wishes.size() == 4);
    }
  }
  SUBCASE("after close()") {
    Seated seat;
    REQUIRE(seat.take());
    seat.box.close();
    CHECK(seat.post(send_of(1)) == Mailbox::Posted::gone);
  }
}

TEST_CASE("mailbox: mail comes before arming; an arming that fails leaves the turn and takes no mail") {
  Seated seat;
  int armed = 0;
  const auto refuse = [&] {
    ++armed;
    return std::make_error_code(std::errc::not_enough_memory);
  };
  REQUIRE(seat.take());
  seat.post({Wish::Kind::resume});
  CHECK_FALSE(seat.box.release(0, seat.mail, seat.error, refuse));
  CHECK(armed == 0);
  CHECK_FALSE(seat.error);
  seat.mail = {};
  CHECK_FALSE(seat.box.release(0, seat.mail, seat.error, refuse));
  CHECK(armed == 1);
  CHECK(seat.error == std::errc::not_enough_memory);
  Mail other;
  CHECK_FALSE(seat.box.take(seat.generation, 1, other));
}

TEST_CASE("mailbox: arming and ringing are under the lock: an event that they bring about comes after them") {
  Seated seat;
  REQUIRE(seat.take());
  std::future<bool> taken;
  Mail mail;
  bool waited = false;
  const auto bring_event = [&] {
    taken = std::async(std::launch::async, [&] { return seat.box.take(seat.generation, 1, mail); });
    waited = taken.wait_for(20ms) == std::future_status::timeout;
  };
  seat.box.release(0, seat.mail, seat.error, [&] {
    bring_event();
    return std::error_code{};
  });
  CHECK(waited);
  CHECK(taken.get());
  CHECK(mail.events == 1);

  REQUIRE(seat.release(0));
  seat.box.post(seat.generation, {Wish::Kind::resume}, cap, seat.backlog,
                [&](std::uint64_t) { bring_event(); });
  CHECK(waited);
  CHECK(taken.get());
  CHECK(mail.wishes.size() == 1);
}

// ---- many threads at once

namespace {

class Stress {
 public:
  static constexpr std::size_t posters = 3, wishes_each = 100'000;

  bool run() {
    const auto give_up = std::chrono::steady_clock::now() + 10s;
    Mail mail;
    std::error_code error;
    generation_ = box_.move_in();
    box_.release(0, mail, error, arm_well);
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
      box_.post(generation_, send_of(1, fill), Mailbox::takes_no_more - 1, backlog,
                [this](std::uint64_t) { ring(); });
    }
  }
  void ring() {
    const std::lock_guard lock(mutex_);
    ++bells_;
    changed_.notify_all();
  }
  void answer_bells() {
    for (;;) {
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return bells_ > 0 || ended_; });
        if (bells_ == 0) return;
        --bells_;
      }
      serve(bell_event);
    }
  }
  void serve(std::uint32_t event) {
    Mail mail;
    if (!box_.take(generation_, event, mail)) return;
    std::error_code error;
    for (int round = 0;; ++round) {
      for (const Wish& wish : mail.wishes)
        received.insert(received.end(), wish.bytes.begin(), wish.bytes.end());
      if (received.size() == posters * wishes_each) {
        const std::lock_guard lock(mutex_);
        all_received_ = true;
        changed_.notify_all();
      }
      mail = {};
      const bool free = round < 4 ? box_.release(0, mail, error, arm_well)
                                  : box_.hand_over(0, error, arm_well, [this](std::uint64_t) { ring(); });
      if (free) return;
    }
  }

  Mailbox box_;
  std::uint64_t generation_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  int bells_ = 0;
  bool all_received_ = false, ended_ = false;
};

}  // namespace

TEST_CASE("mailbox: many threads at once: one holder at a time, and each wish comes") {
  Stress stress;
  CHECK(stress.run());
  for (std::size_t i = 0; i < Stress::posters; ++i)
    CHECK(std::count(stress.received.begin(), stress.received.end(), static_cast<std::byte>(i)) ==
          Stress::wishes_each);
}
