// The plain runner: each file that is named goes through the target once.
//
//   build/linux/bin/fuzz_http_parser tests/fuzz/corpus/http_parser/*
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <span>
#include <string>

#include "tests/fuzz/fuzz.h"

int main(int argc, char** argv) {
  const std::span<char*> names(argv + 1, static_cast<std::size_t>(argc - 1));
  if (names.empty()) {
    std::cerr << argv[0] << ": name the files of inputs\n";
    return 2;
  }
  for (const char* const name : names) {
    std::ifstream file(name, std::ios::binary);
    const std::string input{std::istreambuf_iterator<char>(file), {}};
    if (!file.is_open()) {
      std::cerr << name << ": cannot be read\n";
      return EXIT_FAILURE;
    }
    std::cerr << name << std::endl;  // first: the last one named is the one that fails
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
  }
  std::cout << names.size() << " inputs\n";
}
