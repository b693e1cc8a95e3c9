#pragma once
// The commands of klatch-load: which there are, and how the words of a command line become the call
// of one, each with a table of options of its own.
//
//   Commands commands;
//   commands.Add(MakeCommand<LoadOptions>("play", "plays a graph", MakeOptionTable, RunPlay));
//   return static_cast<int>(commands.Run(words, base::ProcessEnvironment()));
//
// The first word names the command; --help, --version and `manual` stand alone or come first.
//
// Thread safety: none; for main.
// Errors: usage, in one line on stderr.

#include <fmt/format.h>

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/load/exit_code.h"
#include "common/base/options.h"

namespace klatch::load {

// A line on stderr that begins with the program's name.
void Say(std::string_view message);
// The same, and `code`.
ExitCode Fail(ExitCode code, std::string_view message);
// A result on stdout. One that nobody can read is no good end.
ExitCode Print(std::string_view text);

struct Command {
  std::string name;
  std::string summary;  // a line that goes on from the name
  std::function<std::string()> help;
  // With the words behind the name.
  std::function<ExitCode(const std::vector<std::string>&, const base::Environment&)> run;
};

// Reads the options of a command, or says what is wrong with them: OK, and nothing to run, after
// --help and --version.
ExitCode RunWithTable(const base::OptionTable& table, const absl::StatusOr<base::ResolvedOptions>&,
                      const std::function<ExitCode(const base::ResolvedOptions&)>& run);

// `make_table` binds a table to options; `run` is called with what was given. A command that takes
// files reads them from `positionals`.
template <typename Options>
Command MakeCommand(std::string name, std::string summary,
                    base::OptionTable (*make_table)(Options&),
                    ExitCode (*run)(const Options&, const base::ResolvedOptions&)) {
  auto help = [make_table] {
    Options options;
    return make_table(options).Help();
  };
  auto resolve_and_run = [make_table, run](const std::vector<std::string>& words,
                                           const base::Environment& environment) {
    Options options;
    base::OptionTable table = make_table(options);
    return RunWithTable(
        table, table.Resolve(words, environment, base::Positionals::kCollect),
        [&](const base::ResolvedOptions& resolved) { return run(options, resolved); });
  };
  return {std::move(name), std::move(summary), std::move(help), std::move(resolve_and_run)};
}

class Commands {
 public:
  // REQUIRES: the name is new, and none of "help", "manual".
  void Add(Command command) { commands_.push_back(std::move(command)); }

  // `words` come without the program's name.
  ExitCode Run(const std::vector<std::string>& words, const base::Environment& environment) const;

  std::string Help() const;
  // One page about all commands, in roff.
  std::string Manual() const;

 private:
  std::string NoCommand(const std::string& word) const;

  std::vector<Command> commands_;
};

}  // namespace klatch::load
