#pragma once
// The table of a command's options: one row each, with name, unit, default, range and description,
// from which everything follows: flags, environment, configuration file, --help, --print-config.
// Flags beat the environment, which beats the file, which beats the defaults.
//
//   Settings settings;
//   OptionTable table({.name = "klatchd", .version = "0.1.0", .usage = "klatchd [options]"});
//   table.Add({.name = "flush-interval",
//              .group = "Delivery",
//              .description = "Longest time that an entry waits in memory before it is written",
//              .value = Duration(&settings.flush_interval, 10ms, 60s)});
//   auto resolved = table.Resolve(arguments, ProcessEnvironment());
//
// Each row answers to --flush-interval 2s, --flush-interval=2s, KLATCH_FLUSH_INTERVAL=2s and, in
// the file named by --config, flush-interval = "2s". A flag also to --name and --no-name. The last
// flag given wins; those of a list add up.
//
// Thread safety: none; options are read before threads start.
// Lifetime: the bound fields outlive the table. Their values when Add is called are the defaults.
// Bounds: the file has at most kConfigFileBytesMax.
// Errors: INVALID_ARGUMENT with one line that names the option, where it came from and what it
// wants. After an error the bound fields are unspecified.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/option_value.h"
#include "common/base/status.h"

namespace klatch::base {

constexpr size_t kConfigFileBytesMax = 1 << 20;

// Variables by name.
using Environment = std::map<std::string, std::string>;

// The variables of this process whose names start with KLATCH_.
Environment ProcessEnvironment();

enum class OptionSource { kDefault, kFile, kEnvironment, kFlag };
std::string_view OptionSourceName(OptionSource source);

enum class OptionScope {
  kAnywhere,
  kNotInFile,  // what names the file itself
  kFlagOnly,   // what this one run shall do, such as --check-config
};

struct Option {
  std::string name;          // "flush-interval"
  std::string group;         // heading in --help
  std::string description;   // one sentence, without its full stop
  std::string example = {};  // for --help
  OptionValue value;
  OptionScope scope = OptionScope::kAnywhere;
  // Set if a value can hold a secret: returns what may be shown of it.
  std::function<std::string(std::string_view)> redact = nullptr;
};

struct ProgramInfo {
  std::string name;
  std::string version;
  std::string usage;         // one line
  std::string summary = {};  // one sentence
};

enum class Positionals { kRefuse, kCollect };

struct ResolvedOptions {
  enum class Action { kRun, kShowHelp, kShowVersion };
  struct Origin {
    OptionSource source = OptionSource::kDefault;
    std::string place;  // "--shards", "KLATCH_SHARDS", "klatch.toml:3"; empty for a default
  };

  OptionSource SourceOf(std::string_view name) const;

  // With kShowHelp and kShowVersion nothing else was looked at.
  Action action = Action::kRun;
  std::map<std::string, Origin, std::less<>> origins;  // of what is not at its default
  std::vector<std::string> positionals;
  // KLATCH_ variables that no option answers to, one line each. No errors: Kubernetes sets some,
  // such as KLATCH_SERVICE_HOST, for a Service of that name.
  std::vector<std::string> warnings;
};

class OptionTable {
 public:
  explicit OptionTable(ProgramInfo program);

  // REQUIRES: the name is new and consists of [a-z0-9-]; not "help", "version" or "config".
  void Add(Option option);

  // `arguments` come without the program's name. --help, -h and --version may stand anywhere before
  // "--"; after "--" everything is positional.
  absl::StatusOr<ResolvedOptions> Resolve(const std::vector<std::string>& arguments,
                                          const Environment& environment,
                                          Positionals positionals = Positionals::kRefuse);

  std::string Help() const;
  std::string Version() const;
  // What Help says as a manual page of that section, in roff.
  std::string Manual(int section) const;

  // What was given, by name, as Resolve reads it back. Secrets are redacted.
  std::map<std::string, std::string> GivenTexts(const ResolvedOptions& resolved) const;

  // The values in force as TOML that Resolve reads back, each with where it came from. Secrets are
  // redacted.
  std::string Describe(const ResolvedOptions& resolved) const;

 private:
  struct Row {
    Option option;
    std::string default_text;
  };
  // One value given for a row, and where.
  struct Given {
    const Row* row;
    OptionSource source;
    std::string place;  // as in Origin
    std::string label;  // how messages name it
    std::string text;
  };
  struct Arguments;

  const Row* Find(std::string_view name) const;
  static absl::Status Apply(const Given& given, ResolvedOptions& resolved);
  // The file that flags or environment name; empty if none.
  absl::StatusOr<std::string> ConfigPath(const Arguments& arguments,
                                         const std::vector<Given>& variables,
                                         ResolvedOptions& resolved) const;

  // In options_arguments.cc.
  absl::StatusOr<Arguments> ReadArguments(const std::vector<std::string>& arguments,
                                          Positionals positionals) const;
  absl::StatusOr<Given> ReadFlag(const std::vector<std::string>& arguments, size_t& index) const;
  std::vector<Given> ReadEnvironment(const Environment& environment,
                                     std::vector<std::string>& warnings) const;

  // In options_file.cc.
  absl::Status ApplyFile(const std::string& path, ResolvedOptions& resolved) const;

  // "; did you mean --listen?"
  std::string Suggestion(std::string_view name, std::string_view prefix) const;
  // The same for a variable, but empty unless it looks like a slip.
  std::string VariableSuggestion(std::string_view variable) const;

  ProgramInfo program_;
  std::unique_ptr<std::string> config_path_;  // bound to the row "config", so it must not move
  std::vector<Row> rows_;
};

// KLATCH_FLUSH_INTERVAL for "flush-interval".
std::string VariableName(std::string_view option_name);

struct NearestName {
  std::string name;
  size_t edits = 0;
};
// The name among `candidates` with the fewest edits (insert, delete, replace, swap neighbours) to
// `name`; one that starts with `name` counts as one edit. Empty without candidates.
NearestName FindNearestName(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace klatch::base
