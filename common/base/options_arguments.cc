// The two sources of options that a process starts with: its arguments and its environment.

#include <fmt/format.h>

#include <algorithm>

#include "common/base/options_internal.h"

namespace klatch::base {
namespace {

constexpr std::string_view kNegation = "no-";

// --help wins over everything, even over mistakes elsewhere: it is how one finds out.
ResolvedOptions::Action AskedFor(const std::vector<std::string>& arguments) {
  const auto end = std::ranges::find(arguments, "--");
  for (auto argument = arguments.begin(); argument != end; ++argument) {
    if (*argument == "--help" || *argument == "-h") {
      return ResolvedOptions::Action::kShowHelp;
    }
  }
  return std::find(arguments.begin(), end, "--version") != end
             ? ResolvedOptions::Action::kShowVersion
             : ResolvedOptions::Action::kRun;
}

}  // namespace

absl::StatusOr<OptionTable::Given> OptionTable::ReadFlag(const std::vector<std::string>& arguments,
                                                         size_t& index) const {
  const std::string_view argument = std::string_view(arguments[index]).substr(2);
  const size_t equals = argument.find('=');
  const std::string_view name = argument.substr(0, equals);
  const Row* row = Find(name);
  bool negated = false;
  if (row == nullptr && name.starts_with(kNegation)) {
    row = Find(name.substr(kNegation.size()));
    negated = row != nullptr && row->option.value.kind == OptionKind::kFlag;
  }
  if (row == nullptr || (name != row->option.name && !negated)) {
    return InvalidOption(fmt::format("unknown option --{}{}", name, Suggestion(name, "--")));
  }
  const std::string label = fmt::format("--{}", name);
  Given given{row, OptionSource::kFlag, label, label, negated ? "false" : "true"};
  if (equals != std::string_view::npos) {
    if (negated) {
      return InvalidOption(fmt::format("{} takes no value", label));
    }
    given.text = argument.substr(equals + 1);
    return given;
  }
  if (row->option.value.kind == OptionKind::kFlag) {
    return given;
  }
  // What starts with two dashes is the next option: a value like that is given with '='.
  if (index + 1 >= arguments.size() || arguments[index + 1].starts_with("--")) {
    return InvalidOption(fmt::format("{} needs a value", label));
  }
  given.text = arguments[++index];
  return given;
}

absl::StatusOr<OptionTable::Arguments> OptionTable::ReadArguments(
    const std::vector<std::string>& arguments, Positionals positionals) const {
  Arguments read;
  read.action = AskedFor(arguments);
  if (read.action != ResolvedOptions::Action::kRun) {
    return read;
  }
  bool options_ended = false;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (!options_ended && argument == "--") {
      options_ended = true;
    } else if (!options_ended && argument.starts_with("--")) {
      KLATCH_ASSIGN_OR_RETURN(Given given, ReadFlag(arguments, i));
      const auto earlier = std::ranges::find(read.flags, given.row, &Given::row);
      if (given.row->option.value.kind == OptionKind::kList && earlier != read.flags.end()) {
        earlier->text += "," + given.text;
      } else {
        read.flags.push_back(std::move(given));
      }
    } else if (!options_ended && argument.size() > 1 && argument[0] == '-') {
      return InvalidOption(
          fmt::format("unknown option {}; options start with two dashes, see --help",
                      QuoteForMessage(argument)));
    } else if (positionals == Positionals::kRefuse) {
      return InvalidOption(
          fmt::format("unexpected argument {}; see --help", QuoteForMessage(argument)));
    } else {
      read.positionals.push_back(argument);
    }
  }
  return read;
}

std::vector<OptionTable::Given> OptionTable::ReadEnvironment(
    const Environment& environment, std::vector<std::string>& warnings) const {
  std::vector<Given> read;
  for (const auto& [variable, text] : environment) {
    const auto row = std::ranges::find_if(rows_, [&name = variable](const Row& candidate) {
      return candidate.option.scope != OptionScope::kFlagOnly &&
             VariableName(candidate.option.name) == name;
    });
    if (row != rows_.end()) {
      read.push_back({&*row, OptionSource::kEnvironment, variable, variable, text});
    } else {
      warnings.push_back(fmt::format("{} names no option of {} and is ignored{}",
                                     QuoteForMessage(variable), program_.name,
                                     VariableSuggestion(variable)));
    }
  }
  return read;
}

}  // namespace klatch::base
