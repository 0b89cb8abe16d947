// The client's histogram against a sorted list of the same values.

#include "common/client/histogram.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <random>
#include <vector>

using ladder::client::Histogram;

namespace {

constexpr double quantiles[] = {0, 0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 1};

struct Sample {
  Histogram histogram;
  std::vector<std::uint64_t> sorted;

  Sample(std::size_t count, const std::function<std::uint64_t()>& draw) {
    for (std::size_t i = 0; i < count; ++i)
      sorted.push_back(draw());
    for (const std::uint64_t value : sorted)
      histogram.record(value);
    std::sort(sorted.begin(), sorted.end());
  }

  /// Nearest rank: the smallest value that at least the part q of all values does not exceed.
  std::uint64_t exact(double q) const {
    const auto rank = static_cast<std::size_t>(std::ceil(q * static_cast<double>(sorted.size())));
    return sorted[std::max<std::size_t>(rank, 1) - 1];
  }

  void check() const {
    CHECK(histogram.count() == sorted.size());
    CHECK(histogram.max() == sorted.back());
    for (const double q : quantiles) {
      CAPTURE(q);
      const auto expected = static_cast<double>(exact(q)), got = static_cast<double>(histogram.quantile(q));
      CHECK(std::abs(got - expected) <= expected * Histogram::relative_error);
    }
  }
};

}  // namespace

TEST_CASE("the promise is half a percent") {
  CHECK(Histogram::relative_error <= 0.005);
}

TEST_CASE("an empty histogram answers zero") {
  const Histogram empty;
  CHECK(empty.count() == 0);
  CHECK(empty.max() == 0);
  for (const double q : quantiles)
    CHECK(empty.quantile(q) == 0);
}

TEST_CASE("one value is every quantile, exactly") {
  for (const std::uint64_t value : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{255},
                                    std::uint64_t{1'000'003}, std::numeric_limits<std::uint64_t>::max()}) {
    Histogram histogram;
    histogram.record(value);
    for (const double q : quantiles)
      CHECK(histogram.quantile(q) == value);
  }
}

TEST_CASE("small values are exact") {
  Histogram histogram;
  for (std::uint64_t value = 0; value < 2 * Histogram::steps; ++value)
    histogram.record(value);
  for (std::uint64_t rank = 1; rank <= 2 * Histogram::steps; ++rank)
    CHECK(histogram.quantile(static_cast<double>(rank) / (2.0 * Histogram::steps)) == rank - 1);
}

TEST_CASE("quantiles are those of a sorted list, within the promised error") {
  std::mt19937_64 random(20240611);
  std::uniform_int_distribution<std::uint64_t> narrow(0, 5'000),
      wide(0, std::numeric_limits<std::uint64_t>::max());
  std::lognormal_distribution<double> latency(11, 1.5);
  SUBCASE("evenly spread") {
    Sample(10'000, [&] { return narrow(random); }).check();
  }
  SUBCASE("over all 64 bits") {
    Sample(10'000, [&] { return wide(random); }).check();
  }
  SUBCASE("of each order of magnitude") {
    Sample(10'000, [&] { return wide(random) >> (wide(random) % 64); }).check();
  }
  SUBCASE("like latencies") {
    Sample(100'000, [&] { return static_cast<std::uint64_t>(latency(random)); }).check();
  }
  SUBCASE("few") {
    Sample(3, [&] { return narrow(random); }).check();
  }
}

TEST_CASE("values on each side of a bucket's edge keep the error bound") {
  for (unsigned shift = 0; shift < 64; ++shift)
    for (const std::uint64_t offset : {std::uint64_t{0}, std::uint64_t{1}, ~std::uint64_t{0}}) {
      const std::uint64_t value = (std::uint64_t{1} << shift) + offset;
      CAPTURE(value);
      Histogram histogram;
      histogram.record(value);
      histogram.record(std::numeric_limits<std::uint64_t>::max());  // else the answer is the exact maximum
      const auto got = static_cast<double>(histogram.quantile(0.5)), expected = static_cast<double>(value);
      CHECK(std::abs(got - expected) <= expected * Histogram::relative_error);
    }
}

TEST_CASE("merged histograms are the histogram of all values") {
  std::mt19937_64 random(7);
  std::uniform_int_distribution<std::uint64_t> low(100, 900), high(1'000'000, 9'000'000);
  Sample one(1'000, [&] { return low(random); });
  const Sample other(3'000, [&] { return high(random); });
  one.histogram.merge(other.histogram);
  one.sorted.insert(one.sorted.end(), other.sorted.begin(), other.sorted.end());
  one.check();
  const std::uint64_t median = one.histogram.quantile(0.5);
  one.histogram.merge(Histogram{});
  CHECK(one.histogram.quantile(0.5) == median);
  CHECK(one.histogram.count() == 4'000);
}
