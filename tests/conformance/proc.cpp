#include "tests/conformance/proc.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace conformance::proc {

namespace fs = std::filesystem;

std::string contents(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();  // a thread may end between open and read (ESRCH): then nothing
  return text.str();
}

fs::path directory(int process) {
  return "/proc/" + std::to_string(process);
}

std::vector<int> descriptors(int process) {
  std::vector<int> all;
  std::error_code gone;
  for (const auto& entry : fs::directory_iterator(directory(process) / "fd", gone))
    all.push_back(std::stoi(entry.path().filename()));
  std::sort(all.begin(), all.end());
  return all;
}

std::optional<std::uint64_t> socket_number(int process, int descriptor) {
  std::error_code gone;
  const std::string link = fs::read_symlink(directory(process) / "fd" / std::to_string(descriptor), gone);
  constexpr std::string_view mark = "socket:[";
  if (!link.starts_with(mark)) return {};
  return std::stoull(link.substr(mark.size()));
}

}  // namespace conformance::proc
