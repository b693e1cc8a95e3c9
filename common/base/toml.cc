#include "common/base/toml.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "common/base/options.h"

namespace klatch::base {
namespace {

// toml++ takes for granted that a key begins behind the [ of a table, without looking. The number of the first line
// where none does; 0 if there is none.
size_t LineOfNamelessTable(std::string_view text) {
  constexpr std::string_view kBlanks = " \t";
  constexpr std::string_view kBeginsKey =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_\"'";
  for (size_t number = 1; !text.empty(); ++number) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    line.remove_prefix(std::min(line.find_first_not_of(kBlanks), line.size()));
    if (!line.starts_with('[')) {
      continue;
    }
    line.remove_prefix(line.starts_with("[[") ? 2 : 1);
    line.remove_prefix(std::min(line.find_first_not_of(kBlanks), line.size()));
    if (line.empty() || kBeginsKey.find(line.front()) == std::string_view::npos) {
      return number;
    }
  }
  return 0;
}

// toml++ looks letters beyond ASCII up in tables that it reads past the end of, also in texts that don't end as it
// thinks. So they are taken in lines that are comments only, which it needn't see; what such a line is must be plain,
// and so there are no texts of several lines. The number of the first line with one or the other; 0 if there is none.
size_t LineOfForeignLetter(std::string_view text, std::string& plain) {
  for (size_t number = 1; !text.empty(); ++number) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const size_t begin = line.find_first_not_of(" \t");
    if (begin == std::string_view::npos || line[begin] != '#') {
      const bool is_plain =
          std::ranges::all_of(line, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
      if (!is_plain || line.find("\"\"\"") != std::string_view::npos ||
          line.find("'''") != std::string_view::npos) {
        return number;
      }
      plain += line;
    }
    plain += '\n';
  }
  return 0;
}

}  // namespace

absl::StatusOr<toml::table> ParseToml(std::string_view path, std::string_view text) {
  const auto invalid = [&](size_t line, std::string_view what) {
    return Error(absl::StatusCode::kInvalidArgument, fmt::format("{}:{}: {}", path, line, what));
  };
  if (const size_t line = LineOfNamelessTable(text); line != 0) {
    return invalid(line, "expected a name behind [");
  }
  std::string plain;
  if (const size_t line = LineOfForeignLetter(text, plain); line != 0) {
    return invalid(line,
                   "letters beyond ASCII stand in lines of comments only, as \\u00e4 in texts; "
                   "there are no texts of several lines");
  }
  toml::parse_result parsed = toml::parse(plain);
  if (!parsed) {
    const toml::parse_error& error = parsed.error();
    return invalid(error.source().begin.line, QuoteForMessage(error.description()));
  }
  return std::move(parsed).table();
}

std::string_view TomlTypeWords(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "an array";
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "a number";
    case toml::node_type::floating_point:
      return "a number with a fraction";
    case toml::node_type::boolean:
      return "a boolean";
    default:
      return "a date or time";
  }
}

}  // namespace klatch::base
