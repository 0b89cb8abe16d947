// A command line as a table: each option names itself, explains itself and stores its own value.
// Used by every program of the project, so that all of them answer bad arguments alike.
#pragma once

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace ladder {

/// Its text is the one line to print; the program then exits with 2.
struct BadArgument : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Argument {
  std::string_view name;   ///< "--port"
  std::string_view value;  ///< "N", as --help shows it; empty: a switch that takes none
  std::string_view help;
  std::function<void(std::string_view)> store;  ///< may throw BadArgument
};

/// A whole decimal number within [least, most], or BadArgument that names the option.
inline std::uint64_t number(std::string_view name, std::string_view text, std::uint64_t least,
                            std::uint64_t most) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < least || value > most)
    throw BadArgument(std::string(name) + " takes a whole number from " + std::to_string(least) + " to " +
                      std::to_string(most) + ", not '" + std::string(text) + "'");
  return value;
}

/// A decimal number such as 2, 0.5 or 1e-3, all of the text: no blank, no plus, no hexadecimal, no infinity; else
/// nothing. By strtod, since clang's library (libc++ 19) has no from_chars for these; its decimal point is a dot because
/// our programs leave the locale alone.
inline std::optional<double> decimal(std::string_view text) {
  if (text.empty() || text.starts_with('+') || text.find_first_not_of("0123456789.eE+-") != text.npos)
    return std::nullopt;
  const std::string copy(text);
  char* end = nullptr;
  errno = 0;
  const double value = std::strtod(copy.c_str(), &end);
  if (errno != 0 || end != copy.c_str() + copy.size()) return std::nullopt;
  return value;
}

/// Stores the options in order, so that the last of a name counts, and returns what is not an option.
/// Both `--port 80` and `--port=80` are taken. Throws BadArgument.
inline std::vector<std::string_view> parse(std::span<char* const> words, std::span<const Argument> table) {
  std::vector<std::string_view> rest;
  for (std::size_t i = 0; i < words.size(); ++i) {
    std::string_view word = words[i];
    if (!word.starts_with("--")) {
      rest.push_back(word);
      continue;
    }
    const std::size_t equals = word.find('=');
    const std::string name(word.substr(0, equals));
    const Argument* found = nullptr;
    for (const Argument& argument : table)
      if (argument.name == name) found = &argument;
    if (!found) throw BadArgument("unknown option " + name + " (--help lists them)");
    std::string_view value;
    if (found->value.empty()) {
      if (equals != word.npos) throw BadArgument(name + " takes no value");
    } else if (equals != word.npos) {
      value = word.substr(equals + 1);
    } else if (++i < words.size()) {
      value = words[i];
    } else {
      throw BadArgument(name + " needs a value (" + std::string(found->value) + ")");
    }
    found->store(value);
  }
  return rest;
}

/// The table as --help prints it, one option a line.
inline std::string help(std::span<const Argument> table) {
  std::string text;
  for (const Argument& argument : table) {
    std::string line = "  " + std::string(argument.name) + " " + std::string(argument.value);
    line.resize(std::max<std::size_t>(line.size() + 1, 26), ' ');
    text += line + std::string(argument.help) + "\n";
  }
  return text;
}

}  // namespace ladder
