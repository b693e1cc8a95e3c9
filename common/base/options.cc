#include "common/base/options.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <utility>

#include "common/base/options_internal.h"

namespace klatch::base {
namespace {

constexpr std::string_view kVariablePrefix = "KLATCH_";
constexpr std::string_view kConfigOption = "config";

// Up to a third of the letters wrong looks like a slip, more like another word.
bool LooksLikeSlip(size_t edits, size_t letters) {
  return edits <= std::max<size_t>(2, letters / 3);
}

}  // namespace

Environment ProcessEnvironment() {
  Environment environment;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view variable = *entry;
    const size_t equals = variable.find('=');
    if (variable.starts_with(kVariablePrefix) && equals != std::string_view::npos) {
      environment.emplace(variable.substr(0, equals), variable.substr(equals + 1));
    }
  }
  return environment;
}

std::string VariableName(std::string_view option_name) {
  std::string name(kVariablePrefix);
  for (char c : option_name) {
    const bool lower = c >= 'a' && c <= 'z';
    name.push_back(c == '-' ? '_' : lower ? static_cast<char>(c - 'a' + 'A') : c);
  }
  return name;
}

std::string_view OptionSourceName(OptionSource source) {
  switch (source) {
    case OptionSource::kDefault:
      return "default";
    case OptionSource::kFile:
      return "file";
    case OptionSource::kEnvironment:
      return "environment";
    case OptionSource::kFlag:
      break;
  }
  return "flag";
}

NearestName FindNearestName(std::string_view name, const std::vector<std::string>& candidates) {
  constexpr size_t kNameBytesMax = 64;
  name = name.substr(0, kNameBytesMax);
  NearestName nearest;
  for (const std::string& candidate : candidates) {
    // Optimal string alignment: rows of the edit matrix, the last two of them kept.
    const size_t width = candidate.size();
    std::vector<size_t> before_last(width + 1), last(width + 1), row(width + 1);
    for (size_t j = 0; j <= width; ++j) {
      last[j] = j;
    }
    for (size_t i = 1; i <= name.size(); ++i) {
      row[0] = i;
      for (size_t j = 1; j <= width; ++j) {
        const bool same = name[i - 1] == candidate[j - 1];
        row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (same ? 0 : 1)});
        const bool swapped =
            i > 1 && j > 1 && name[i - 1] == candidate[j - 2] && name[i - 2] == candidate[j - 1];
        if (swapped) {
          row[j] = std::min(row[j], before_last[j - 2] + 1);
        }
      }
      before_last.swap(last);
      last.swap(row);
    }
    const bool begins = !name.empty() && candidate.starts_with(name);
    const size_t edits = begins ? std::min<size_t>(last[width], 1) : last[width];
    if (nearest.name.empty() || edits < nearest.edits) {
      nearest = {candidate, edits};
    }
  }
  return nearest;
}

OptionSource ResolvedOptions::SourceOf(std::string_view name) const {
  const auto origin = origins.find(name);
  return origin == origins.end() ? OptionSource::kDefault : origin->second.source;
}

OptionTable::OptionTable(ProgramInfo program)
    : program_(std::move(program)), config_path_(std::make_unique<std::string>()) {
  Option config;
  config.name = kConfigOption;
  config.group = "Configuration";
  config.description =
      "TOML file with any of these options, by their names without dashes in front";
  config.example = "/etc/klatch.toml";
  config.value = Text(config_path_.get());
  config.scope = OptionScope::kNotInFile;
  Add(std::move(config));
}

void OptionTable::Add(Option option) {
  assert(Find(option.name) == nullptr);
  std::string default_text = option.value.print();
  rows_.push_back({std::move(option), std::move(default_text)});
}

const OptionTable::Row* OptionTable::Find(std::string_view name) const {
  const auto row = std::ranges::find_if(rows_, [&](const Row& r) { return r.option.name == name; });
  return row == rows_.end() ? nullptr : &*row;
}

std::string OptionTable::Suggestion(std::string_view name, std::string_view prefix) const {
  std::vector<std::string> names;
  for (const Row& row : rows_) {
    names.push_back(row.option.name);
  }
  const NearestName nearest = FindNearestName(name, names);
  const bool slip = LooksLikeSlip(nearest.edits, name.size());
  return fmt::format("; {} {}{}{}", slip ? "did you mean" : "the nearest is", prefix, nearest.name,
                     slip ? "?" : "");
}

std::string OptionTable::VariableSuggestion(std::string_view variable) const {
  std::vector<std::string> variables;
  for (const Row& row : rows_) {
    if (row.option.scope != OptionScope::kFlagOnly) {
      variables.push_back(VariableName(row.option.name));
    }
  }
  const NearestName nearest = FindNearestName(variable, variables);
  return LooksLikeSlip(nearest.edits, variable.size() - kVariablePrefix.size())
             ? fmt::format("; did you mean {}?", nearest.name)
             : "";
}

absl::Status OptionTable::Apply(const Given& given, ResolvedOptions& resolved) {
  const Option& option = given.row->option;
  const absl::Status status = option.value.read(given.text);
  if (!status.ok()) {
    const std::string shown = option.redact ? option.redact(given.text) : given.text;
    return FieldError(absl::StatusCode::kInvalidArgument, given.label,
                      fmt::format("is {}, {}", QuoteForMessage(shown), MessageOf(status)));
  }
  resolved.origins[option.name] = {given.source, given.place};
  return absl::OkStatus();
}

absl::StatusOr<std::string> OptionTable::ConfigPath(const Arguments& arguments,
                                                    const std::vector<Given>& variables,
                                                    ResolvedOptions& resolved) const {
  config_path_->clear();
  for (const std::vector<Given>* source : {&variables, &arguments.flags}) {
    for (const Given& given : *source) {
      if (given.row->option.name == kConfigOption) {
        KLATCH_RETURN_IF_ERROR(Apply(given, resolved));
        if (given.text.empty()) {
          return InvalidOption(given.label + " is \"\", wants the path of a file");
        }
      }
    }
  }
  return *config_path_;
}

absl::StatusOr<ResolvedOptions> OptionTable::Resolve(const std::vector<std::string>& arguments,
                                                     const Environment& environment,
                                                     Positionals positionals) {
  ResolvedOptions resolved;
  KLATCH_ASSIGN_OR_RETURN(Arguments read, ReadArguments(arguments, positionals));
  resolved.action = read.action;
  if (read.action != ResolvedOptions::Action::kRun) {
    return resolved;
  }
  const std::vector<Given> variables = ReadEnvironment(environment, resolved.warnings);
  KLATCH_ASSIGN_OR_RETURN(const std::string path, ConfigPath(read, variables, resolved));
  // From the weakest source to the strongest. Each is checked even where a stronger one overrides
  // it: a wrong value that waits in a file bites later.
  if (!path.empty()) {
    KLATCH_RETURN_IF_ERROR(ApplyFile(path, resolved));
  }
  for (const Given& given : variables) {
    KLATCH_RETURN_IF_ERROR(Apply(given, resolved));
  }
  for (const Given& given : read.flags) {
    KLATCH_RETURN_IF_ERROR(Apply(given, resolved));
  }
  resolved.positionals = std::move(read.positionals);
  return resolved;
}

}  // namespace klatch::base
