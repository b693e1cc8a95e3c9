#pragma once
// What the user typed, understood: which command, with which options, on which server.
//
// One thread. The object must outlive its command(), whose options it holds. Nothing is sent while
// parsing. Usage errors are one line that says what to do and name the nearest word that exists.
// Flags win over the environment (KLATCH_TARGET, KLATCH_NAMESPACE, KLATCH_AS).

#include <CLI/CLI.hpp>
#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/klatch/commands_admin.h"
#include "services/klatch/commands_archive.h"
#include "services/klatch/commands_feed.h"
#include "services/klatch/commands_group.h"
#include "services/klatch/commands_import.h"
#include "services/klatch/commands_import_updates.h"
#include "services/klatch/commands_person.h"
#include "services/klatch/commands_sync.h"
#include "services/klatch/commands_watch.h"
#include "services/klatch/session.h"

namespace klatch::cli {

// The exit codes of every command of Klatch.
enum ExitCode : int {
  kExitGood = 0,
  kExitRefused = 1,
  kExitUsage = 2,
  kExitUnreachable = 4,
  kExitInterrupted = 130,
};

struct CommandResult {
  int exit_code = kExitGood;
  // For stdout and stderr.
  std::string out;
  std::string err;
};

// The result of a command that failed with `status`: 4 if no server answers, 2 if it says that an
// argument is wrong, 1 for everything else.
CommandResult Failure(const absl::Status& status);

class CommandLine {
 public:
  // `interrupted` stops `import` between calls and ends `watch`; `environment` is getenv, or a
  // test's.
  CommandLine(const std::atomic<bool>& interrupted,
              const std::function<const char*(const char*)>& environment);

  // Nothing if there is a command to run; else what to print and return (help, a usage error).
  std::optional<CommandResult> Parse(const std::vector<std::string>& arguments);

  const ClientOptions& client_options() const { return client_options_; }
  Format format() const { return json_ ? Format::kJson : Format::kTables; }
  const std::string& name_space() const { return name_space_; }
  const std::string& actor() const { return actor_; }

  // Whether an interruption leaves something worth to tell, which Run then returns: `import`, `watch`
  // and `admin archive`.
  bool has_partial_result() const {
    return !files_.empty() || !updates_file_.empty() || is_watch_ || is_archive_;
  }
  // Whether it runs until it is told to end, so that SIGTERM is how it ends well.
  bool is_service() const { return is_archive_; }

  // What must be known before a server is asked: reads the files of `import` and `group sync`.
  absl::Status Prepare();
  // Reads stdin first, if the text is "-". REQUIRES: Parse returned nothing, Prepare OK.
  CommandResult Run(const Session& session) { return command_(session); }

 private:
  using Command = std::function<CommandResult(const Session&)>;
  using SimpleCommand = std::function<absl::StatusOr<std::string>(const Session&)>;

  CLI::App* AddCommand(CLI::App& parent, const std::string& name, const std::string& description,
                       const std::string& examples, SimpleCommand run);
  void AddCommonOptions(CLI::App& app);
  void AddFeedCommands();
  void AddGroupCommand();
  void AddGroupPolicyOptions(CLI::App& command);
  void AddMemberCommands(CLI::App& group);
  void AddImportCommand();
  void AddImportUpdatesCommand(CLI::App& parent);
  void AddSyncCommand(CLI::App& group);
  void AddPersonCommands();
  void AddBlockCommands();
  void AddMuteCommands();
  void AddHideCommands();
  void AddListLimit(CLI::App& command);
  void AddWatchCommand();
  // In command_line_admin.cc.
  void AddAdminCommands();
  void AddArchiveCommand(CLI::App& admin);
  void AddDocumentCommands();
  CLI::App* AddAdminCommand(CLI::App& admin, const std::string& name,
                            const std::string& description, const std::string& examples,
                            Command run);
  CommandResult RunScrub(const Session& session);
  CommandResult RunArchive(const Session& session);
  CommandResult RunSimple(const SimpleCommand& run, const Session& session);
  CommandResult RunImport(const Session& session);
  CommandResult RunImportUpdates(const Session& session);
  CommandResult RunWatch(const Session& session);
  // Makes text_ of words_: the words, or what stdin has. Nothing is left half: an error says why.
  absl::Status ReadText();
  CommandResult UsageError(const CLI::ParseError& error) const;
  // What `help` prints.
  CommandResult Help() const;
  // What the command can't do without and nobody gave; empty: it can run.
  std::string Missing() const;
  // Why nobody can be called there; empty: perhaps somebody can.
  std::string MistakeInTarget() const;
  static std::string Unknown(const CLI::App& app, const std::string& word);
  // The innermost command that was named, or the program.
  const CLI::App& Selected() const;
  // The commands that were named, behind `name`.
  std::string SelectedName(std::string name) const;

  const std::atomic<bool>& interrupted_;
  CLI::App app_;

  // What options are read into.
  ClientOptions client_options_;
  // KLATCH_TARGET, if it is set.
  std::optional<std::string> environment_target_;
  double timeout_seconds_ = 10;
  std::string name_space_;
  std::string actor_;
  bool json_ = false;
  PostOptions post_;
  std::vector<std::string> words_;
  std::string text_;
  uint64_t update_id_ = 0;
  TimelineOptions timeline_;
  GroupOptions group_;
  MembersOptions members_;
  int members_limit_ = 100;
  std::string blocked_;
  MuteOptions mute_;
  MarkerOptions markers_;
  ProfileOptions profile_;
  std::vector<std::string> files_;
  ImportOptions import_;
  std::string updates_file_;
  SyncOptions sync_;
  std::string sync_file_;
  WatchOptions watch_;
  bool is_watch_ = false;
  std::vector<std::string> persons_;
  ScrubOptions scrub_;
  bool scrub_all_ = false;
  ArchiveOptions archive_;
  bool is_archive_ = false;
  // Whether somebody must act: all but imports, operators' commands and documents.
  bool needs_actor_ = true;
  std::string document_;
  // Of commands that need no server: what they print.
  std::optional<std::string> printed_;

  ImportGroups import_groups_;
  Command command_;
};

}  // namespace klatch::cli
