// Windows programs on Linux: Wine runs each as a process of Linux's own, but their sockets are made, held and
// accepted by the wineserver. The suite has one of its own, which has seen no other network than this one.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "tests/conformance/platform.h"

namespace conformance {

bool is_windows_program(const std::string& word);
bool needs_wine(const std::vector<std::string>& command);  ///< one of its words names a Windows program

/// The wineserver of all commands that need one, started for the first. Throws std::runtime_error where Wine
/// does not start.
Process& wineserver(const std::vector<std::string>& command);

int wine_version();  ///< 10 of "wine-10.0 (Debian ...)". Throws std::runtime_error where Wine does not tell

std::size_t internet_sockets(int process);  ///< all of a process's sockets but those within this machine
/// What all programs under Wine that are at rest hold in the wineserver.
std::size_t& all_shares();
std::size_t& left_behind();  ///< ... and what killed ones have left there

}  // namespace conformance
