// From id to record: records that never move, found by slot without a lock.
//
// A ConnectionId is the slot in its low 20 bits and the slot's generation in its high 44. The generation
// lives in the record, under the record's own lock (strand.h): whoever finds a record asks there whether it
// is still the one that the id means. A server that gives one slot to 20 000 newcomers a second comes to an old
// generation again after 27 years; with 32 bits it would after two days and a half.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <vector>

#include <ladder/server.h>

namespace ladder {

inline constexpr unsigned slot_bits = 20;
static_assert(most_connections == 1u << slot_bits);
inline constexpr std::uint64_t last_generation = (std::uint64_t{1} << (64 - slot_bits)) - 1;

inline std::uint32_t slot_of(ConnectionId id) {
  return static_cast<std::uint32_t>(id.value & (most_connections - 1));
}
inline std::uint64_t generation_of(ConnectionId id) {
  return id.value >> slot_bits;
}
constexpr ConnectionId make_id(std::uint32_t slot, std::uint64_t generation) {
  return {generation << slot_bits | slot};
}

template <class Record>
class SlotMap {
 public:
  static constexpr std::uint32_t capacity = most_connections;

  /// A slot that nobody has; none if all are taken, or memory is.
  std::optional<std::uint32_t> acquire() try {
    const std::lock_guard lock(mutex_);
    if (!free_.empty()) {
      const std::uint32_t slot = free_.back();
      free_.pop_back();
      return slot;
    }
    const std::uint32_t slot = used_;
    if (slot == capacity) return std::nullopt;
    if (slot / chunk == chunks_.size()) {
      free_.reserve(slot + chunk);  // so that release never has to allocate
      chunks_.push_back(std::make_unique<Record[]>(chunk));
      table_[slot / chunk] = chunks_.back().get();
    }
    used_ = slot + 1;
    return slot;
  } catch (const std::bad_alloc&) {
    return std::nullopt;
  }

  void release(std::uint32_t slot) noexcept {
    const std::lock_guard lock(mutex_);
    free_.push_back(slot);
  }

  /// The record of a slot below used(); null for one that never was.
  Record* find(std::uint32_t slot) {
    return slot < used_ ? &table_[slot / chunk].load()[slot % chunk] : nullptr;
  }
  std::uint32_t used() const { return used_; }  ///< only grows

 private:
  static constexpr std::uint32_t chunk = 256;
  std::mutex mutex_;
  std::vector<std::uint32_t> free_;
  std::vector<std::unique_ptr<Record[]>> chunks_;
  std::array<std::atomic<Record*>, capacity / chunk> table_{};
  std::atomic<std::uint32_t> used_ = 0;
};

}  // namespace ladder
