// The global operator new, counted: how much of the heap is in use, and a heap that refuses. In a file of its own, so that no compiler
// sees through it where it is called.
#include <atomic>
#include <cassert>
#include <cstdlib>
#include <limits>
#include <new>
#include <thread>

#include "tests/contract/harness.h"
#include "tests/contract/platform.h"

namespace {
std::atomic<long> in_use = 0;

std::atomic<bool> scarce = false, for_this_one = false;
std::atomic<std::thread::id> this_one;
std::atomic<long> asked = 0, failed = 0, first_refused = 0, first_granted_again = 0;

bool refuses() {
  if (!scarce || (std::this_thread::get_id() == this_one) != for_this_one) return false;
  const long number = asked++;
  if (number < first_refused || number >= first_granted_again) return false;
  ++failed;
  return true;
}
}  // namespace

long ladder::contract::heap_in_use() {
  return in_use;
}

ladder::contract::ScarceHeap::ScarceHeap(long granted, long refused, Whose whose) {
  assert(!scarce);
  this_one = std::this_thread::get_id();
  for_this_one = whose == Whose::this_threads;
  asked = failed = 0;
  first_refused = granted;
  first_granted_again = refused > std::numeric_limits<long>::max() - granted
                            ? std::numeric_limits<long>::max()
                            : granted + refused;
  scarce = true;
}
ladder::contract::ScarceHeap::~ScarceHeap() {
  scarce = false;
}
long ladder::contract::ScarceHeap::failures() const {
  return failed;
}

void* operator new(std::size_t size) {
  void* const memory = refuses() ? nullptr : std::malloc(size);  // NOLINT: this is where new gets it from
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
