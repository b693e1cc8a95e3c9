#pragma once
// The commands of `klatch` with their options as plain data, read off the parser's own tables: what
// completions and manual pages are made from, so that they can't say anything else than --help.
//
// Pure; any thread.

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace klatch::cli {

struct OptionDoc {
  // "--limit", "-h"; empty of what stands by its place.
  std::vector<std::string> names;
  // "GROUP"; empty of a flag.
  std::string placeholder;
  std::string description;
  // The only values that there are, if there are such.
  std::vector<std::string> choices;
  std::string default_text;
  bool takes_value = false;
  bool is_repeatable = false;
  bool is_required = false;
};

struct CommandDoc {
  std::string name;
  std::string description;
  // Examples and what else stands below the options.
  std::string footer;
  std::vector<OptionDoc> options;
  std::vector<OptionDoc> positionals;
  std::vector<CommandDoc> commands;
};

CommandDoc Describe(const CLI::App& app);

}  // namespace klatch::cli
