// How much of the heap is in use: the global operator new, counted. In a file of its own, so that no compiler
// sees through it where it is called.
#include <cstdlib>
#include <new>

#include "tests/contract/harness.h"

namespace {
std::atomic<long> in_use = 0;
}

long ladder::contract::heap_in_use() {
  return in_use;
}

void* operator new(std::size_t size) {
  void* const memory = std::malloc(size);  // NOLINT: this is where new gets it from
  if (!memory) throw std::bad_alloc();
  in_use += static_cast<long>(ladder::contract::usable_size(memory));
  return memory;
}

void operator delete(void* memory) noexcept {
  if (memory) in_use -= static_cast<long>(ladder::contract::usable_size(memory));
  std::free(memory);  // NOLINT
}

void operator delete(void* memory, std::size_t) noexcept {
  operator delete(memory);
}
