// What the table of options prints for people: --help, --version, manual pages, --print-config.

#include <fmt/format.h>

#include <algorithm>

#include "common/base/manual.h"
#include "common/base/options_internal.h"

namespace klatch::base {
namespace {

constexpr size_t kHelpColumns = 96;
constexpr size_t kIndent = 8;

std::string Placeholder(const OptionValue& value) {
  switch (value.kind) {
    case OptionKind::kFlag:
      return "";
    case OptionKind::kCount:
      return " N";
    case OptionKind::kBytes:
      return " SIZE";
    case OptionKind::kDuration:
      return " DURATION";
    case OptionKind::kChoice:
      return " " + value.range;
    case OptionKind::kList:
      return " NAME,...";
    case OptionKind::kText:
      break;
  }
  return " TEXT";
}

// Breaks at spaces; words longer than a line stand alone.
std::string Wrap(std::string_view text) {
  std::string wrapped(kIndent, ' ');
  size_t column = kIndent;
  while (!text.empty()) {
    const size_t space = std::min(text.find(' '), text.size());
    if (column > kIndent && column + 1 + space > kHelpColumns) {
      wrapped.append("\n").append(kIndent, ' ');
      column = kIndent;
    } else if (column > kIndent) {
      wrapped.push_back(' ');
      ++column;
    }
    wrapped.append(text.substr(0, space));
    column += space;
    text.remove_prefix(std::min(space + 1, text.size()));
  }
  return wrapped + "\n";
}

std::string QuoteToml(std::string_view text) {
  // Option texts hold no control characters, so only these two need care.
  std::string quoted = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') {
      quoted.push_back('\\');
    }
    quoted.push_back(c);
  }
  return quoted + "\"";
}

std::string TomlValue(OptionKind kind, const std::string& text) {
  if (kind == OptionKind::kFlag || kind == OptionKind::kCount) {
    return text;
  }
  if (kind != OptionKind::kList) {
    return QuoteToml(text);
  }
  std::string array = "[";
  for (size_t start = 0; start < text.size();) {
    const size_t comma = std::min(text.find(',', start), text.size());
    array += (start == 0 ? "" : ", ") + QuoteToml(text.substr(start, comma - start));
    start = comma + 1;
  }
  return array + "]";
}

// A comment is one line whatever a path holds.
std::string OneLine(std::string text) {
  std::ranges::replace_if(
      text, [](char c) { return static_cast<unsigned char>(c) < 0x20; }, '?');
  return text;
}

std::string HelpOf(const Option& option, const std::string& default_text) {
  std::string facts;
  if (option.scope != OptionScope::kFlagOnly) {
    const bool none = default_text.empty();
    facts = fmt::format("Default: {}.", none ? std::string("none") : default_text);
    const bool has_range = !option.value.range.empty() && option.value.kind != OptionKind::kChoice;
    facts += has_range ? fmt::format(" Range: {}.", option.value.range) : "";
    facts += option.example.empty() ? "" : fmt::format(" Example: {}.", option.example);
    facts += fmt::format(" {}", VariableName(option.name));
  }
  std::string text = fmt::format("  --{}{}\n{}", option.name, Placeholder(option.value),
                                 Wrap(option.description + "."));
  return facts.empty() ? text : text + Wrap(facts);
}

// Its value, without secrets.
std::string Shown(const Option& option) {
  const std::string value = option.value.print();
  return option.redact ? option.redact(value) : value;
}

}  // namespace

std::string OptionTable::Help() const {
  std::string text = fmt::format("{}\n\nUsage: {}\n\n{}{}", program_.summary, program_.usage,
                                 "Flags beat the environment (KLATCH_...), which beats the file of "
                                 "--config,\nwhich beats the defaults. ",
                                 "Sizes: B, KiB, MiB, GiB, KB, MB, GB. Durations: ms, s, m, h.\n");
  std::vector<std::string> groups;
  for (const Row& row : rows_) {
    if (std::ranges::find(groups, row.option.group) == groups.end()) {
      groups.push_back(row.option.group);
    }
  }
  // The built-in group comes first in the table and reads best last.
  std::ranges::rotate(groups, groups.begin() + 1);
  for (const std::string& group : groups) {
    text += fmt::format("\n{}\n", group);
    for (const Row& row : rows_) {
      if (row.option.group == group) {
        text += HelpOf(row.option, row.default_text);
      }
    }
  }
  text += "  --help, -h\n        Prints this.\n  --version\n        Prints the version.\n";
  return text;
}

std::string OptionTable::Version() const {
  return fmt::format("{} {}\n", program_.name, program_.version);
}

std::string OptionTable::Manual(int section) const {
  return ManualOfHelp(program_.name, section, program_.version, Help());
}

std::map<std::string, std::string> OptionTable::GivenTexts(const ResolvedOptions& resolved) const {
  std::map<std::string, std::string> given;
  for (const Row& row : rows_) {
    if (resolved.origins.contains(row.option.name)) {
      given[row.option.name] = Shown(row.option);
    }
  }
  return given;
}

std::string OptionTable::Describe(const ResolvedOptions& resolved) const {
  std::string text =
      fmt::format("# {} {}: the options in force.\n", program_.name, program_.version);
  for (const Row& row : rows_) {
    const Option& option = row.option;
    if (option.scope != OptionScope::kAnywhere) {
      continue;
    }
    const std::string shown = Shown(option);
    const auto origin = resolved.origins.find(option.name);
    const std::string source =
        origin == resolved.origins.end()
            ? std::string(OptionSourceName(OptionSource::kDefault))
            : fmt::format("{} {}", OptionSourceName(origin->second.source), origin->second.place);
    text += fmt::format("{} = {}  # {}\n", option.name, TomlValue(option.value.kind, shown),
                        OneLine(source));
  }
  return text;
}

}  // namespace klatch::base
