#include "bench/load/commands.h"

#include <unistd.h>

#include <algorithm>

#include "common/base/manual.h"
#include "common/base/standard_streams.h"
#include "common/base/version.h"

namespace klatch::load {
namespace {

constexpr char kProgram[] = "klatch-load";
constexpr char kManual[] = "manual";
constexpr int kManualSection = 1;
constexpr std::string_view kSummary =
    "Plays a social graph against Klatch, holds what everybody sees against a model, and makes "
    "reports of what came out.";

}  // namespace

void Say(std::string_view message) {
  static_cast<void>(base::WriteAll(STDERR_FILENO, fmt::format("{}: {}\n", kProgram, message)));
}

ExitCode Fail(ExitCode code, std::string_view message) {
  Say(message);
  return code;
}

ExitCode Print(std::string_view text) {
  return base::PrintResult(kProgram, text) ? ExitCode::kGood : ExitCode::kPromiseMissed;
}

ExitCode RunWithTable(const base::OptionTable& table,
                      const absl::StatusOr<base::ResolvedOptions>& resolved,
                      const std::function<ExitCode(const base::ResolvedOptions&)>& run) {
  if (!resolved.ok()) {
    return Fail(ExitCode::kUsage, base::MessageOf(resolved.status()));
  }
  switch (resolved->action) {
    case base::ResolvedOptions::Action::kShowHelp:
      return Print(table.Help());
    case base::ResolvedOptions::Action::kShowVersion:
      return Print(table.Version());
    case base::ResolvedOptions::Action::kRun:
      break;
  }
  return run(*resolved);
}

ExitCode Commands::Run(const std::vector<std::string>& words,
                       const base::Environment& environment) const {
  if (words.empty()) {
    return Fail(ExitCode::kUsage,
                "say what to do: klatch-load COMMAND [options]; --help tells the "
                "commands");
  }
  const std::string& first = words.front();
  if (first == "--help" || first == "-h") {
    return Print(Help());
  }
  if (first == "--version") {
    return Print(fmt::format("{} {}\n", kProgram, base::kVersion));
  }
  if (first == kManual) {
    return words.size() == 1 ? Print(Manual()) : Fail(ExitCode::kUsage, "manual stands alone");
  }
  const auto command = std::ranges::find(commands_, first, &Command::name);
  if (command == commands_.end()) {
    return Fail(ExitCode::kUsage, NoCommand(first));
  }
  return command->run({words.begin() + 1, words.end()}, environment);
}

std::string Commands::NoCommand(const std::string& word) const {
  if (word.starts_with('-')) {
    return fmt::format("the command comes first: klatch-load COMMAND {}",
                       base::QuoteForMessage(word));
  }
  std::vector<std::string> names;
  for (const Command& command : commands_) {
    names.push_back(command.name);
  }
  return fmt::format("{} is no command; did you mean {}?", base::QuoteForMessage(word),
                     base::FindNearestName(word, names).name);
}

std::string Commands::Help() const {
  std::string text =
      fmt::format("{}\n\nUsage: {} COMMAND [options]\n\nCommands\n", kSummary, kProgram);
  for (const Command& command : commands_) {
    text += fmt::format("  {:<10}{}\n", command.name, command.summary);
  }
  return text + fmt::format(
                    "  {:<10}prints the manual page, in roff\n\n{} COMMAND --help tells the "
                    "options of a command; --version prints the version.\n",
                    kManual, kProgram);
}

std::string Commands::Manual() const {
  std::string text = Help();
  for (const Command& command : commands_) {
    // Indented, so that the line above is a heading.
    text += fmt::format("\n{} {}\n {}", kProgram, command.name, command.help());
  }
  return base::ManualOfHelp(kProgram, kManualSection, std::string(base::kVersion), text);
}

}  // namespace klatch::load
