// What the contract's cases need of the operating system and the servers' os.h does not have: a client's side of a
// socket, and limits. platform_posix.cpp and platform_windows.cpp implement it.
#pragma once

#include <cstddef>

#include "common/os/os.h"
#include <ladder/server.h>

namespace ladder::contract {

os::Descriptor new_socket(bool v6);
bool connect(const os::Descriptor&, const Endpoint& to);
void set_receive_buffer(const os::Descriptor&, int bytes);
/// From now on a send or a receive that sleeps for so long ends with would_block.
void give_up_after(const os::Descriptor&, Milliseconds);

bool under_wine();  ///< and not Windows itself

std::size_t usable_size(void* memory);  ///< of what malloc gave
std::size_t threads();                  ///< of this process
Milliseconds cpu_time();                ///< of this process, all its threads

/// From now on no descriptor can be had beyond those that are open, until it goes. None: this system sets no such
/// limit for one process.
class NoMoreDescriptors {
 public:
  static bool possible();
  NoMoreDescriptors();
  ~NoMoreDescriptors();  // NOLINT(performance-trivially-destructible): on Windows alone
  NoMoreDescriptors(const NoMoreDescriptors&) = delete;
  NoMoreDescriptors& operator=(const NoMoreDescriptors&) = delete;

 private:
  [[maybe_unused]] std::size_t before_ = 0;
};

/// From now on new threads get a stack of 64 KiB, until it goes. On Windows the linker alone decides.
class SmallStacks {
 public:
  static bool possible();
  SmallStacks();
  ~SmallStacks();  // NOLINT(performance-trivially-destructible): on Windows alone
  SmallStacks(const SmallStacks&) = delete;
  SmallStacks& operator=(const SmallStacks&) = delete;

 private:
  [[maybe_unused]] std::size_t before_ = 0;
};

/// From now on this process may have as many descriptors as the hard limit allows. A server program sees to that itself,
/// a library leaves it to its user.
void allow_descriptors();

/// A descriptor that does nothing but take a place.
os::Descriptor place_holder();

}  // namespace ladder::contract
