// A log-linear histogram: each power of two is cut into 128 equal steps, so that a value is known to within
// 0.4 % whatever its size, and recording one is an index and an increment.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace ladder::client {

class Histogram {
 public:
  static constexpr unsigned step_bits = 7;
  static constexpr std::uint64_t steps = 1u << step_bits;
  /// The most that quantile() is off, as a part of the true value: half a step.
  static constexpr double relative_error = 0.5 / steps;

  void record(std::uint64_t value) {
    ++buckets_[bucket(value)];
    ++count_;
    max_ = std::max(max_, value);
  }

  void merge(const Histogram& other) {
    for (std::size_t i = 0; i < buckets_.size(); ++i)
      buckets_[i] += other.buckets_[i];
    count_ += other.count_;
    max_ = std::max(max_, other.max_);
  }

  std::uint64_t count() const { return count_; }
  std::uint64_t max() const { return max_; }  ///< exact

  /// The value that the part `q` (0 to 1) of all values does not pass (nearest rank). 0 if there are none.
  std::uint64_t quantile(double q) const {
    if (count_ == 0) return 0;
    const double rank = std::ceil(std::clamp(q, 0.0, 1.0) * static_cast<double>(count_));
    const auto wanted = std::clamp<std::uint64_t>(static_cast<std::uint64_t>(rank), 1, count_);
    if (wanted == count_) return max_;
    std::size_t i = 0;
    for (std::uint64_t seen = buckets_[0]; seen < wanted; seen += buckets_[i])
      ++i;
    return std::min(middle(i), max_);
  }

 private:
  // Below `steps` a bucket is one value. Above, the highest step_bits + 1 bits of a value choose its bucket.
  static std::size_t bucket(std::uint64_t value) {
    if (value < steps) return value;
    const auto shift = static_cast<unsigned>(std::bit_width(value)) - step_bits - 1;
    return (shift + 1) * steps + ((value >> shift) - steps);
  }
  static std::uint64_t middle(std::size_t bucket) {
    if (bucket < steps) return bucket;
    const std::size_t shift = bucket / steps - 1;
    return ((steps + bucket % steps) << shift) + ((std::uint64_t{1} << shift) >> 1);
  }

  std::vector<std::uint64_t> buckets_ = std::vector<std::uint64_t>((64 - step_bits + 1) * steps);
  std::uint64_t count_ = 0;
  std::uint64_t max_ = 0;
};

}  // namespace ladder::client
