// From id to record (common/library/slot_map.h).
#include "common/library/slot_map.h"

#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include "common/library/strand.h"
#include <ladder/server.h>

using namespace ladder;

TEST_CASE("slot_map: an id is a slot and a generation") {
  constexpr std::uint64_t years = std::uint64_t{86'400} * 365;
  static_assert(last_generation / 20'000 / years >= 20, "an id comes again within years");
  for (const std::uint32_t slot : {0u, 1u, 4711u, most_connections - 1})
    for (const std::uint64_t generation :
         {std::uint64_t{1}, std::uint64_t{2}, std::uint64_t{1} << 40, last_generation}) {
      const ConnectionId id = make_id(slot, generation);
      CHECK(slot_of(id) == slot);
      CHECK(generation_of(id) == generation);
      CHECK(id != ConnectionId{});  // 0 names none
    }
  CHECK(make_id(1, 2) != make_id(2, 1));
}

TEST_CASE("slot_map: a slot is nobody else's until it is released; its record never moves") {
  SlotMap<int> slots;
  CHECK(slots.used() == 0);
  CHECK(slots.find(0) == nullptr);
  std::vector<int*> records;
  for (std::uint32_t i = 0; i < 2000; ++i) {  // several times as many as come in one piece
    REQUIRE(slots.acquire() == i);
    CHECK(slots.used() == i + 1);
    records.push_back(slots.find(i));
    REQUIRE(records.back() != nullptr);
    *records.back() = static_cast<int>(i);
  }
  CHECK(slots.find(2000) == nullptr);
  CHECK(slots.find(std::numeric_limits<std::uint32_t>::max()) == nullptr);
  CHECK(std::set<int*>(records.begin(), records.end()).size() == 2000);
  for (std::uint32_t i = 0; i < 2000; ++i) {
    REQUIRE(slots.find(i) == records[i]);
    REQUIRE(*records[i] == static_cast<int>(i));
  }

  for (const std::uint32_t slot : {7u, 300u, 1999u})
    slots.release(slot);
  CHECK(slots.find(300) == records[300]);  // it is there, without an occupant
  std::set<std::uint32_t> again;
  for (int i = 0; i < 3; ++i)
    again.insert(slots.acquire().value());
  CHECK(again == std::set<std::uint32_t>{7, 300, 1999});
  CHECK(slots.acquire() == 2000);
  CHECK(slots.used() == 2001);
}

TEST_CASE("slot_map: the next occupant of a slot has another id, and the old one finds nobody") {
  struct Record {
    Strand strand{};
  };
  SlotMap<Record> slots;
  std::set<std::uint64_t> ids;
  std::optional<ConnectionId> old;
  for (int occupant = 0; occupant < 100; ++occupant) {
    const std::uint32_t slot = slots.acquire().value();
    CHECK(slot == 0);
    Record& record = *slots.find(slot);
    const ConnectionId id = record.strand.start_session(slot);
    CHECK(ids.insert(id.value).second);
    std::size_t backlog = 0;
    if (old)
      CHECK(record.strand.post(old, {Command::Kind::close}, 1, backlog, [](ConnectionId) {}) ==
            Strand::Posted::gone);
    old = id;
    record.strand.end_session();
    slots.release(slot);
  }
}

TEST_CASE("slot_map: the last one is followed by none, and a released one is taken again") {
  SlotMap<char> slots;
  for (std::uint32_t i = 0; i < slots.capacity; ++i)
    if (slots.acquire() != i) FAIL("slot " << i);
  CHECK_FALSE(slots.acquire());
  CHECK_FALSE(slots.acquire());
  CHECK(slots.used() == slots.capacity);
  CHECK(slots.find(slots.capacity - 1) != nullptr);
  CHECK(slots.find(slots.capacity) == nullptr);
  slots.release(4711);
  CHECK(slots.acquire() == 4711);
  CHECK_FALSE(slots.acquire());
}

TEST_CASE("slot_map: records are found while others are made") {
  struct Record {
    std::atomic<std::uint32_t> tenants = 0;
    const int made = 42;  // by the constructor: whoever finds a record finds it whole
  };
  SlotMap<Record> slots;
  constexpr std::uint32_t total = 20'000;
  std::atomic<bool> done = false, whole = true;
  const auto look = [&] {
    while (!done) {
      const std::uint32_t used = slots.used();
      for (std::uint32_t slot = used > 300 ? used - 300 : 0; slot < used; ++slot)
        if (slots.find(slot)->made != 42 || slots.find(slot)->tenants > 1) whole = false;
    }
  };
  const auto acquire = [&] {
    for (std::uint32_t i = 0; i < total; ++i) {
      const std::uint32_t slot = slots.acquire().value();
      if (++slots.find(slot)->tenants != 1) whole = false;
      if (i % 3 == 0) continue;
      --slots.find(slot)->tenants;
      slots.release(slot);
    }
  };
  {
    const std::jthread seeker(look);
    {
      const std::jthread one(acquire), other(acquire);
    }
    done = true;
  }
  CHECK(whole);
  CHECK(slots.used() >= 2 * ((total + 2) / 3));
  CHECK(slots.used() <= 2 * ((total + 2) / 3) + 2);
}
