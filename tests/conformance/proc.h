// What Linux tells of its processes (proc(5)), for platform_linux.cpp and wine.cpp.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace conformance::proc {

std::string contents(const std::filesystem::path&);
std::filesystem::path directory(int process);
std::vector<int> descriptors(int process);  ///< open ones, in rising order
/// Of a descriptor that is a socket: "socket:[4711]" → 4711.
std::optional<std::uint64_t> socket_number(int process, int descriptor);

}  // namespace conformance::proc
