#include "common/base/toml.h"

#include <fmt/format.h>

#include <algorithm>
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

// toml++ 3.0 looks bare letters beyond ASCII up in tables that it reads past the end of. They have no business
// outside of texts and comments: the number of the first line where one is; 0 if there is none.
size_t LineOfForeignLetter(std::string_view text) {
  constexpr std::string_view kQuotes[] = {"\"\"\"", "\'\'\'", "\"", "\'"};
  size_t line = 1;
  std::string_view quote;  // that ends the text in which we are
  bool is_comment = false;
  while (!text.empty()) {
    const char c = text.front();
    size_t taken = 1;
    if (c == '\n') {
      ++line;
      is_comment = false;
      quote = quote.size() == 1 ? std::string_view() : quote;
    } else if (is_comment) {
    } else if (!quote.empty()) {
      if (text.starts_with(quote)) {
        taken = quote.size();
        quote = {};
      } else if (c == '\\' && quote.front() == '"' && text.size() > 1 && text[1] != '\n') {
        taken = 2;
      }
    } else if (static_cast<unsigned char>(c) >= 0x80) {
      return line;
    } else if (c == '#') {
      is_comment = true;
    } else if (const auto found = std::ranges::find_if(
                   kQuotes, [&](std::string_view begin) { return text.starts_with(begin); });
               found != std::end(kQuotes)) {
      quote = *found;
      taken = quote.size();
    }
    text.remove_prefix(taken);
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
  if (const size_t line = LineOfForeignLetter(text); line != 0) {
    return invalid(line, "has a letter beyond ASCII that is neither in quotes nor in a comment");
  }
  toml::parse_result parsed = toml::parse(text);
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
