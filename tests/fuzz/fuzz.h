// What the fuzz targets share. Each is one file with one entry function, under the name that libFuzzer gives it;
// replay.cpp calls it, too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace fuzz {

/// A condition that must hold for every input. If it does not, the process ends: keep the input.
inline void require(bool met, const std::string& what) {
  if (met) return;
  std::fprintf(stderr, "not so: %s\n", what.c_str());
  std::abort();
}

/// The input's first byte, taken off it; 0 at its end.
inline unsigned take(std::string_view& input) {
  if (input.empty()) return 0;
  const auto first = static_cast<unsigned char>(input.front());
  input.remove_prefix(1);
  return first;
}

inline std::string_view text(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

}  // namespace fuzz
