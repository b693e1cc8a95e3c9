// The part of CommandLine about operating: what is asked of a node, and what documents the command.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "common/base/standard_streams.h"
#include "common/base/version.h"
#include "services/klatch/command_line.h"
#include "services/klatch/completion.h"
#include "services/klatch/manual.h"
#include "services/klatchd/options.h"

namespace klatch::cli {
namespace {

constexpr int kDaemonSection = 8;

CommandResult ResultOf(const absl::StatusOr<AdminResult>& result) {
  return result.ok() ? CommandResult{result->is_well ? kExitGood : kExitRefused, result->text, ""}
                     : Failure(result.status());
}

// What --dir takes: a folder, or what may become one.
CLI::Validator FolderValue() {
  const auto check = [](const std::string& value) {
    std::error_code error;
    std::filesystem::path path = value;
    while (path.has_relative_path() && !std::filesystem::exists(path, error)) {
      path = path.parent_path();
    }
    const bool may_be =
        !value.empty() && (path.empty() || std::filesystem::is_directory(path, error));
    return may_be ? std::string() : fmt::format("{} is no folder, and can't be made one", value);
  };
  return CLI::Validator(check, "");
}

std::string DaemonManual() {
  KlatchdOptions options;
  return MakeKlatchdOptionTable(options, base::kVersion).Manual(kDaemonSection);
}

}  // namespace

CLI::App* CommandLine::AddAdminCommand(CLI::App& admin, const std::string& name,
                                       const std::string& description, const std::string& examples,
                                       Command run) {
  CLI::App* command = AddCommand(admin, name, description, examples, nullptr);
  command->callback([this, run = std::move(run)] {
    needs_actor_ = false;
    command_ = run;
  });
  return command;
}

void CommandLine::AddAdminCommands() {
  CLI::App* admin = app_.add_subcommand("admin", "look after a node and what it stores");
  admin->require_subcommand(0, 1);
  admin->fallthrough();
  admin->footer("klatch help admin COMMAND explains each.");
  AddAdminCommand(*admin, "status", "show how the node is",
                  "  klatch admin status\n"
                  "  klatch admin status --json\n"
                  "Exit code 1: the node is not ready.",
                  [](const Session& session) { return ResultOf(Status(session)); });
  AddAdminCommand(*admin, "rebuild", "make home timelines anew from the groups' feeds",
                  "  klatch admin rebuild alice bob\n"
                  "Exit code 1: some are not rebuilt yet, or not known.",
                  [this](const Session& session) { return ResultOf(Rebuild(session, persons_)); })
      ->add_option("person", persons_, "whose")
      ->type_name("PERSON")
      ->required();
  CLI::App* scrub = AddAdminCommand(*admin, "scrub", "compare what is stored with what is due",
                                    "  klatch admin scrub alice bob\n"
                                    "  klatch admin scrub --all --repair\n"
                                    "Exit code 1: something is wrong and not being mended.",
                                    [this](const Session& session) { return RunScrub(session); });
  auto* persons =
      scrub->add_option("person", scrub_.persons, "of these persons")->type_name("PERSON");
  auto* partition =
      scrub->add_option("--partition", scrub_.partition, "of this partition's persons")
          ->type_name("NUMBER")
          ->check(CLI::Range(0, 4'095))
          ->excludes(persons);
  scrub->add_flag("--all", scrub_all_, "of everybody")->excludes(persons)->excludes(partition);
  scrub->add_flag("--repair", scrub_.repair, "mend what is found");
  AddArchiveCommand(*admin);
}

void CommandLine::AddArchiveCommand(CLI::App& admin) {
  CLI::App* archive = AddAdminCommand(
      admin, "archive", "write the log into files before it is trimmed",
      "  klatch admin archive --dir /var/lib/klatch-archive --follow\n"
      "A file per shard and hour; archive.json says where another run goes on.\n"
      "Exit code 1: records were trimmed before they were read; the files say where.",
      [this](const Session& session) { return RunArchive(session); });
  archive->add_option("--dir", archive_.folder, "the folder")
      ->type_name("DIR")
      ->check(FolderValue())
      ->required();
  archive->add_flag("--follow", archive_.follow, "go on until it is told to end");
  archive
      ->add_option("--file-max", archive_.file_mib, "begin another file from this size on, in MiB")
      ->type_name("MIB")
      ->check(CLI::Range(1, 4'096))
      ->capture_default_str();
  archive->parse_complete_callback([this] {
    is_archive_ = true;
    client_options_.interrupted = &interrupted_;
  });
}

CommandResult CommandLine::RunScrub(const Session& session) {
  int error = 0;
  const auto print = [&error](std::string_view text) {
    error = base::WriteAll(STDOUT_FILENO, text);
    return error == 0;
  };
  CommandResult result = ResultOf(Scrub(session, scrub_, print));
  if (error != 0 && error != EPIPE) {
    result = {kExitRefused, "",
              fmt::format("klatch: can't write the result: {}\n", std::strerror(error))};
  }
  return result;
}

CommandResult CommandLine::RunArchive(const Session& session) {
  const auto say = [](std::string_view line) {
    static_cast<void>(base::WriteAll(STDERR_FILENO, fmt::format("klatch: {}\n", line)));
  };
  const ArchiveEnd end = Archive(session, archive_, interrupted_, say);
  CommandResult result;
  if (!end.status.ok()) {
    result = Failure(end.status);
  } else if (end.gaps > 0) {
    result.exit_code = kExitRefused;
  } else if (end.interrupted) {
    result.exit_code = kExitInterrupted;
  }
  result.out = PrintArchive(session, end, archive_.folder);
  return result;
}

void CommandLine::AddDocumentCommands() {
  CLI::App* help = app_.add_subcommand("help", "explain a command");
  AddCommonOptions(*help);
  help->add_option("command", words_, "which one; klatch as a whole if left out")
      ->type_name("COMMAND");
  help->footer(
      "Examples:\n"
      "  klatch help post\n"
      "  klatch help group add");

  CLI::App* completion = app_.add_subcommand("completion", "print completions for a shell");
  AddCommonOptions(*completion);
  completion->add_option("shell", document_, "for which")
      ->type_name("SHELL")
      ->check(CLI::IsMember(Shells()))
      ->required();
  completion->footer(
      "Examples:\n"
      "  source <(klatch completion bash)\n"
      "  klatch completion zsh > ~/.zfunc/_klatch\n"
      "  klatch completion fish | source");
  completion->callback([this] { printed_ = Completion(Describe(app_), document_); });

  CLI::App* manual = app_.add_subcommand("manual", "print a manual page, for man -l -");
  AddCommonOptions(*manual);
  manual->add_option("page", document_, "about which program; klatch if left out")
      ->type_name("PAGE")
      ->check(CLI::IsMember({"klatch", "klatchd"}));
  manual->footer(
      "Examples:\n"
      "  klatch manual | man -l -\n"
      "  klatch manual klatchd | man -l -");
  manual->callback([this] {
    printed_ = document_ == "klatchd" ? DaemonManual() : Manual(Describe(app_), base::kVersion);
  });
}

}  // namespace klatch::cli
