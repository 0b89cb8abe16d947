#include "common/client/stream.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <string>

#include "common/client/net.h"

namespace ladder::client {
namespace {

/// Writes what the stream holds from `offset` on. Cheap: the client shares its cores with the server it
/// measures.
void write_pattern(std::uint64_t seed, std::uint64_t offset, std::span<std::byte> out) {
  for (std::size_t at = 0; at < out.size();) {
    const std::uint64_t product = (seed + (offset + at) / 8) * 0xd6e8feb86659fd93;
    const std::uint64_t word = product ^ product >> 32;
    const std::size_t skip = (offset + at) % 8, size = std::min<std::size_t>(8 - skip, out.size() - at);
    if (size == 8)
      std::memcpy(out.data() + at, &word, 8);  // a size known to the compiler is one store
    else
      std::memcpy(out.data() + at, reinterpret_cast<const std::byte*>(&word) + skip, size);
    at += size;
  }
}

/// How many of the bytes are right, from the first on.
std::size_t right_bytes(std::uint64_t seed, std::uint64_t offset, std::span<const std::byte> got) {
  std::array<std::byte, 4096> expected;
  for (std::size_t at = 0; at < got.size(); at += expected.size()) {
    const auto part = got.subspan(at, std::min(expected.size(), got.size() - at));
    write_pattern(seed, offset + at, std::span(expected).first(part.size()));
    if (std::memcmp(part.data(), expected.data(), part.size()) != 0)
      return at + (std::mismatch(part.begin(), part.end(), expected.begin()).first - part.begin());
  }
  return got.size();
}

}  // namespace

std::uint64_t seed_of(std::uint64_t connection) {
  static const std::uint64_t base = std::uint64_t{std::random_device{}()} << 32;
  return base + connection * 0x9e3779b97f4a7c15;  // far apart, since a stream takes seed, seed + 1, …
}

bool Stream::send_up_to(std::uint64_t offset, std::span<std::byte> buffer, Trouble& trouble) {
  while (sent < offset) {
    const auto part = buffer.first(std::min<std::uint64_t>(buffer.size(), offset - sent));
    write_pattern(seed, sent, part);
    const Moved moved = send(socket, part);
    if (moved.error) trouble = {moved.error.message(), place()};
    if (moved.error) return false;
    sent += moved.bytes;
    if (moved.bytes < part.size()) break;
  }
  return true;
}

Stream::Came Stream::receive(std::span<std::byte> buffer, Trouble& trouble) {
  const Moved got = client::receive(socket, buffer);
  if (got.would_block) return Came::nothing;
  if (got.error) trouble = {got.error.message(), place()};
  if (got.error) return Came::failure;
  if (got.bytes == 0) return Came::end;
  const std::size_t due = std::min<std::uint64_t>(got.bytes, sent - received);
  const std::size_t right = right_bytes(seed, received, buffer.first(due));
  received += right;
  if (right == got.bytes) return Came::bytes;
  trouble = {right < due ? "wrong byte" : "a byte too many", "at offset " + std::to_string(received)};
  return Came::wrong;
}

std::string Stream::place() const {
  return "after " + std::to_string(received) + " of " + std::to_string(sent) + " bytes";
}

}  // namespace ladder::client
