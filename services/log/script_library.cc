#include "services/log/script_library.h"

#include <algorithm>
#include <cctype>
#include <ranges>
#include <vector>

namespace klatch {
namespace {

constexpr std::string_view kLocal = "local ";
constexpr std::string_view kFunction = "function ";

bool IsOfName(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

std::string_view TakeLine(std::string_view& text) {
  const std::string_view line = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(text.size(), line.size() + 1));
  return line;
}

std::string WithoutComments(std::string_view text) {
  std::string kept;
  while (!text.empty()) {
    const std::string_view line = TakeLine(text);
    const size_t first = line.find_first_not_of(' ');
    if (first != std::string_view::npos && !line.substr(first).starts_with("--")) {
      kept.append(line).push_back('\n');
    }
  }
  return kept;
}

// The names that a definition's first line defines.
std::vector<std::string_view> NamesOf(std::string_view line) {
  line.remove_prefix(kLocal.size());
  const bool is_function = line.starts_with(kFunction);
  if (is_function) {
    line.remove_prefix(kFunction.size());
  }
  line = line.substr(0, line.find(is_function ? '(' : '='));
  std::vector<std::string_view> names;
  for (const auto part : std::views::split(line, ',')) {
    std::string_view name(part.begin(), part.end());
    name.remove_prefix(std::min(name.size(), name.find_first_not_of(' ')));
    names.push_back(name.substr(0, name.find(' ')));
  }
  return names;
}

bool Mentions(std::string_view text, std::string_view name) {
  for (size_t at = text.find(name); at != std::string_view::npos; at = text.find(name, at + 1)) {
    const size_t end = at + name.size();
    if ((at == 0 || !IsOfName(text[at - 1])) && (end == text.size() || !IsOfName(text[end]))) {
      return true;
    }
  }
  return false;
}

std::vector<std::string> DefinitionsOf(std::string_view library) {
  std::vector<std::string> definitions;
  while (!library.empty()) {
    const std::string_view line = TakeLine(library);
    if (line.starts_with(kLocal) || definitions.empty()) {
      definitions.emplace_back();
    }
    definitions.back().append(line).push_back('\n');
  }
  return definitions;
}

}  // namespace

std::string WithLibrary(std::string_view library, std::string_view script) {
  std::string whole = WithoutComments(script);
  const std::string code = WithoutComments(library);
  for (const std::string& definition : std::views::reverse(DefinitionsOf(code))) {
    const std::vector<std::string_view> names =
        NamesOf(std::string_view(definition).substr(0, definition.find('\n')));
    if (std::ranges::any_of(names, [&](std::string_view name) { return Mentions(whole, name); })) {
      whole.insert(0, definition);
    }
  }
  return whole;
}

}  // namespace klatch
