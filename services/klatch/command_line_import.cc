// The part of CommandLine about what an app brings from elsewhere.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>

#include "common/base/standard_streams.h"
#include "common/base/status.h"
#include "services/klatch/command_line.h"

namespace klatch::cli {

void CommandLine::AddImportCommand() {
  CLI::App* command = app_.add_subcommand("import", "create groups with their members from files");
  AddCommonOptions(*command);
  command->add_option("file", files_, "edges (a b), NAME.circles, or .csv (group,person[,role])")
      ->type_name("FILE");
  command->add_option("--parallel", import_.parallel, "groups under way at once")
      ->type_name("COUNT")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  command->footer(
      "Edges make a group friends:PERSON of each person and their friends, circles make\n"
      "circle:EGO:NAME. Each group is created by its owner. Repeating an import does no harm.\n"
      "Examples:\n"
      "  klatch import facebook_combined.txt 0.circles 107.circles\n"
      "  klatch import staff.csv --json");
  command->callback([this] {
    needs_actor_ = false;
    if (!files_.empty()) {
      command_ = [this](const Session& session) { return RunImport(session); };
    }
  });
  AddImportUpdatesCommand(*command);
}

void CommandLine::AddImportUpdatesCommand(CLI::App& parent) {
  CLI::App* updates = parent.add_subcommand("updates", "import updates of the past");
  AddCommonOptions(*updates);
  updates->add_option("file", updates_file_, "a line of JSON for each update; - reads stdin")
      ->type_name("FILE")
      ->required();
  updates->footer(
      "A line is an ImportedUpdate of the API, such as\n"
      "  {\"source_id\": \"post-17\", \"author\": \"alice\",\n"
      "   \"original_time\": \"2019-05-01T08:00:00Z\",\n"
      "   \"update\": {\"groups\": [\"hiking\"], \"text\": \"The first hut\"}}\n"
      "but on one line. The source_id is the app's own key of the update: what was imported\n"
      "with it once is not imported again, so repeating an import does no harm. Nobody who\n"
      "watches is told.\n"
      "With --json a line for each update, with the id that it has.\n"
      "Examples:\n"
      "  klatch import updates posts.jsonl\n"
      "  gunzip -c posts.jsonl.gz | klatch import updates -");
  updates->callback([this] {
    needs_actor_ = false;
    command_ = [this](const Session& session) { return RunImportUpdates(session); };
  });
}

void CommandLine::AddSyncCommand(CLI::App& group) {
  CLI::App* sync = group.add_subcommand("sync", "make a group's members those of a list");
  AddCommonOptions(*sync);
  sync->add_option("group", sync_.group, "the group's id")->type_name("GROUP")->required();
  sync->add_option("--version", sync_.version, "of the list: it grows with each change")
      ->type_name("NUMBER")
      ->required();
  sync->add_option("file", sync_file_, "a line for each member (person[,role]); - reads stdin")
      ->type_name("FILE")
      ->required();
  sync->footer(
      "Who is not on the list is removed; at least one is an owner. A version older than the one\n"
      "that the group has is refused; the same list again goes on where it broke off.\n"
      "Examples:\n"
      "  klatch group sync hiking --version 7 hiking.csv\n"
      "  psql -AtF, -c \"SELECT person, role FROM hikers\" |\n"
      "    klatch group sync hiking --version 8 -");
  sync->callback([this] {
    needs_actor_ = false;
    command_ = [this](const Session& session) {
      const absl::StatusOr<std::string> text = SyncMembers(session, sync_);
      return text.ok() ? CommandResult{kExitGood, *text, ""} : Failure(text.status());
    };
  });
}

absl::Status CommandLine::Prepare() {
  for (const std::string& path : files_) {
    KLATCH_RETURN_IF_ERROR(ReadImportFile(path, import_groups_));
  }
  if (!sync_file_.empty()) {
    KLATCH_ASSIGN_OR_RETURN(sync_.members, ReadRoster(sync_file_));
  }
  return absl::OkStatus();
}

CommandResult CommandLine::RunImport(const Session& session) {
  ImportOptions options = import_;
  // A line that lives until the end, however it comes.
  const bool shows_progress = session.progress.colour == Colour::kOn;
  const auto show = [](std::string_view text) {
    static_cast<void>(base::WriteAll(STDERR_FILENO, fmt::format("\r\x1b[K{}", text)));
  };
  if (shows_progress) {
    options.progress = [&show](size_t done, size_t all) {
      if (done % 16 == 0 || done == all) {
        show(fmt::format("{} of {} groups", done, all));
      }
    };
  }
  const ImportSummary summary = Import(session, import_groups_, options, interrupted_);
  if (shows_progress) {
    show("");
  }
  CommandResult result{kExitGood, PrintImport(session, summary), ""};
  for (const std::string& failure : summary.failures) {
    result.err += fmt::format("klatch: {}\n", failure);
  }
  if (summary.unreachable) {
    result.exit_code = kExitUnreachable;
  } else if (summary.left > 0) {
    result.exit_code = kExitInterrupted;
  } else if (summary.failed > 0) {
    result.exit_code = kExitRefused;
  }
  return result;
}

CommandResult CommandLine::RunImportUpdates(const Session& session) {
  std::ifstream file;
  if (updates_file_ != "-") {
    file.open(updates_file_, std::ios::binary);
    // A folder can be opened, and not read.
    if (!file || (file.peek() == std::ifstream::traits_type::eof() && file.bad())) {
      return {kExitUsage, "", fmt::format("klatch: {}: {}\n", updates_file_, std::strerror(errno))};
    }
  }
  int error = 0;
  const auto print = [&error](std::string_view text) {
    error = error == 0 ? base::WriteAll(STDOUT_FILENO, text) : error;
    return error == 0;
  };
  const ImportUpdatesSummary summary =
      ImportUpdates(session, updates_file_ == "-" ? std::cin : file, interrupted_, print);
  CommandResult result{kExitGood, PrintImportUpdates(session, summary), ""};
  for (const std::string& failure : summary.failures) {
    result.err += fmt::format("klatch: {}\n", failure);
  }
  if (summary.unreachable) {
    result.exit_code = kExitUnreachable;
  } else if (summary.bad_line) {
    result.exit_code = kExitUsage;
  } else if (summary.interrupted) {
    result.exit_code = kExitInterrupted;
  } else if (summary.failed > 0 || summary.broke_off) {
    result.exit_code = kExitRefused;
  }
  return result;
}

}  // namespace klatch::cli
