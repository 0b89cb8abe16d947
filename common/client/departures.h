// When the messages under way on a connection left, the oldest first. Those that left together are one entry, so that
// memory goes with what was done: a --depth of a million costs nothing until a million have left one by one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/client/net.h"

namespace ladder::client {

class Departures {
 public:
  void leave(Time at, std::uint64_t count) {
    if (count > 0) entries_.push_back({at, count});
  }
  Time oldest() const { return entries_[first_].at; }
  /// The oldest is back.
  void arrive() {
    if (--entries_[first_].count > 0) return;
    ++first_;
    if (2 * first_ < entries_.size()) return;
    // Half of them are past: so each entry is moved once or less, and a vector that is large enough never grows.
    entries_.erase(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(first_));
    first_ = 0;
  }
  std::size_t entries() const { return entries_.size(); }  ///< what it costs

 private:
  struct Entry {
    Time at;
    std::uint64_t count;
  };
  std::vector<Entry> entries_{};
  std::size_t first_ = 0;
};

}  // namespace ladder::client
