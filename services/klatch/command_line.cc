#include "services/klatch/command_line.h"

#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "common/base/decimal.h"
#include "common/base/endpoint.h"
#include "common/base/option_value.h"
#include "common/base/standard_streams.h"
#include "common/base/status.h"
#include "common/base/version.h"
#include "services/klatch/text.h"
#include "services/model/limits.h"

namespace klatch::cli {
namespace {

std::string Joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) {
    text += (text.empty() ? "" : " ") + word;
  }
  return text;
}

// All of stdin without its last line feed. What is longer than any update may be is cut one byte
// past the limit, for the server to refuse. An error if reading fails: what was read until then is
// not what its author meant to say.
absl::StatusOr<std::string> ReadStandardInput() {
  std::string text;
  char buffer[4096];
  while (text.size() <= limits::kTextBytesMax + 1) {
    const ssize_t count = read(STDIN_FILENO, buffer, sizeof(buffer));
    if (count == 0) {
      break;
    }
    if (count > 0) {
      text.append(buffer, static_cast<size_t>(count));
    } else if (errno != EINTR) {
      return base::Error(absl::StatusCode::kInvalidArgument,
                         fmt::format("can't read the text from stdin: {}", std::strerror(errno)));
    }
  }
  text.resize(std::min(text.size(), limits::kTextBytesMax + 2));
  if (!text.empty() && text.back() == '\n') {
    text.pop_back();
  }
  return text;
}

// What --history takes.
CLI::Validator HistoryValue() {
  const auto check = [](const std::string& value) {
    const std::optional<uint64_t> count = base::ParseDecimal(value);
    const bool known = value == "none" || value == "all";
    return known || (count && *count > 0 && *count <= limits::kTimelineCap)
               ? std::string()
               : fmt::format("{} is neither none nor all nor a count from 1 to {}", value,
                             limits::kTimelineCap);
  };
  return CLI::Validator(check, "none|all|COUNT");
}

// What --expire-in and --keep-age take.
CLI::Validator DurationValue() {
  const auto check = [](const std::string& value) {
    const auto duration = base::ParseDuration(value);
    return duration.ok() ? std::string() : base::MessageOf(duration.status());
  };
  return CLI::Validator(check, "DURATION");
}

// What --keep-count takes.
CLI::Validator CountValue() {
  const auto check = [](const std::string& value) {
    const std::optional<uint64_t> count = base::ParseDecimal(value);
    return count && *count <= limits::kKeepCountMax
               ? std::string()
               : fmt::format("{} is no count from 0 to {}", value, limits::kKeepCountMax);
  };
  return CLI::Validator(check, "COUNT");
}

// What --keep-bytes takes.
CLI::Validator BytesValue() {
  const auto check = [](const std::string& value) {
    const auto bytes = base::ParseBytes(value);
    return bytes.ok() ? std::string() : base::MessageOf(bytes.status());
  };
  return CLI::Validator(check, "BYTES");
}

// What --expire-at takes.
CLI::Validator TimeValue() {
  const auto check = [](const std::string& value) {
    google::protobuf::Timestamp time;
    return google::protobuf::util::TimeUtil::FromString(value, &time)
               ? std::string()
               : fmt::format("{} is no time such as 2027-01-31T20:00:00Z", value);
  };
  return CLI::Validator(check, "TIME");
}

CommandResult Usage(const std::string& message) {
  return {kExitUsage, "", fmt::format("klatch: {}\n", message)};
}

}  // namespace

CommandResult Failure(const absl::Status& status) {
  int code = kExitRefused;
  if (IsUnreachable(status)) {
    code = kExitUnreachable;
  } else if (status.code() == absl::StatusCode::kInvalidArgument) {
    code = kExitUsage;
  }
  return {code, "", fmt::format("klatch: {}\n", DescribeError(status))};
}

CommandLine::CommandLine(const std::atomic<bool>& interrupted,
                         const std::function<const char*(const char*)>& environment)
    : interrupted_(interrupted), app_("Posts to groups and reads timelines of a Klatch server.") {
  const std::pair<const char*, std::string*> variables[] = {
      {"KLATCH_TARGET", &client_options_.target},
      {"KLATCH_CA", &client_options_.access.ca_file},
      {"KLATCH_CERT", &client_options_.access.cert_file},
      {"KLATCH_KEY", &client_options_.access.key_file},
      {"KLATCH_TOKEN_FILE", &client_options_.access.token_file},
      {"KLATCH_NAMESPACE", &name_space_},
      {"KLATCH_AS", &actor_}};
  for (const auto& [name, value] : variables) {
    if (const char* text = environment(name); text != nullptr && *text != '\0') {
      *value = text;
    }
  }
  if (const char* target = environment("KLATCH_TARGET"); target != nullptr && *target != '\0') {
    environment_target_ = target;
  }
  app_.name("klatch");
  app_.set_help_flag("-h,--help", "print this");
  app_.set_version_flag("--version", fmt::format("klatch {}", base::kVersion), "print the version");
  app_.require_subcommand(0, 1);
  app_.fallthrough();
  app_.footer(
      "Examples:\n"
      "  klatch group create hiking --as alice\n"
      "  klatch group add hiking bob carol --as alice\n"
      "  klatch post --as alice --to hiking \"Up to the hut on Saturday?\"\n"
      "  klatch timeline bob\n"
      "klatch help COMMAND explains each. Exit codes: 0 good, 1 refused by the server, 2 usage,\n"
      "4 no server there, 130 interrupted.");
  AddCommonOptions(app_);
  AddFeedCommands();
  AddGroupCommand();
  AddPersonCommands();
  AddImportCommand();
  AddWatchCommand();
  AddAdminCommands();
  AddDocumentCommands();
}

void CommandLine::AddCommonOptions(CLI::App& app) {
  app.add_option("--as", actor_, "the person who acts [env KLATCH_AS]")->type_name("PERSON");
  app.add_option("--target", client_options_.target,
                 "the server, HOST:PORT or unix:/PATH [env KLATCH_TARGET]")
      ->type_name("ADDRESS")
      ->capture_default_str();
  ClientAccess& access = client_options_.access;
  app.add_option("--ca", access.ca_file,
                 "TLS: who signs the server's certificate, in PEM [env KLATCH_CA]")
      ->type_name("FILE");
  app.add_option("--cert", access.cert_file, "TLS: a certificate of ours, in PEM [env KLATCH_CERT]")
      ->type_name("FILE");
  app.add_option("--key", access.key_file, "TLS: its private key, in PEM [env KLATCH_KEY]")
      ->type_name("FILE");
  app.add_option("--server-name", access.server_name,
                 "TLS: the name in the server's certificate, if it is not the target's")
      ->type_name("NAME");
  app.add_option("--token-file", access.token_file,
                 "a token that says who calls [env KLATCH_TOKEN_FILE]")
      ->type_name("FILE");
  app.add_option("--namespace", name_space_, "the app's world [env KLATCH_NAMESPACE]")
      ->type_name("NAME");
  app.add_option("--timeout", timeout_seconds_, "for a call with its retries, in seconds")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.1, 600.0))
      ->capture_default_str();
  app.add_flag("--json", json_, "print the answer as JSON, for programs");
}

CLI::App* CommandLine::AddCommand(CLI::App& parent, const std::string& name,
                                  const std::string& description, const std::string& examples,
                                  SimpleCommand run) {
  CLI::App* command = parent.add_subcommand(name, description);
  command->footer("Examples:\n" + examples);
  AddCommonOptions(*command);
  command->callback([this, run = std::move(run)] {
    command_ = [this, run](const Session& session) { return RunSimple(run, session); };
  });
  return command;
}

CommandResult CommandLine::RunSimple(const SimpleCommand& run, const Session& session) {
  if (absl::Status read = ReadText(); !read.ok()) {
    return Usage(base::MessageOf(read));
  }
  auto result = run(session);
  return result.ok() ? CommandResult{kExitGood, *std::move(result), ""} : Failure(result.status());
}

absl::Status CommandLine::ReadText() {
  if (words_ == std::vector<std::string>{"-"}) {
    KLATCH_ASSIGN_OR_RETURN(text_, ReadStandardInput());
  } else {
    text_ = Joined(words_);
  }
  return absl::OkStatus();
}

void CommandLine::AddFeedCommands() {
  CLI::App* post =
      AddCommand(app_, "post", "post an update to groups",
                 "  klatch post --as alice --to hiking \"Up to the hut?\"\n"
                 "  klatch post --as alice --to hiking --to book-club \"Away in May\"\n"
                 "  klatch post --as alice --all-my-groups \"A new number: 555 0199\"\n"
                 "  klatch post --as alice --to hiking --attach https://a.example/1.jpg\n"
                 "  klatch post --as alice --to hiking --expire-in 2h \"Who has a spare rope?\"\n"
                 "  fortune | klatch post --as alice --to hiking -",
                 [this](const Session& session) {
                   post_.text = text_;
                   return Post(session, post_);
                 });
  auto* to = post->add_option("--to,--group", post_.groups, "the group, repeatable")
                 ->type_name("GROUP")
                 ->allow_extra_args(false);
  post->add_flag("--all-my-groups", post_.all_my_groups, "to every group where you may post")
      ->excludes(to);
  post->add_option("text", words_, "what to say; - reads it from stdin")->type_name("TEXT");
  post->add_option("--attach", post_.attachments, "a reference to media, repeatable")
      ->type_name("URI")
      ->allow_extra_args(false);
  post->add_option("--place", post_.place, "where you are")->type_name("NAME");
  post->add_option("--reply-to", post_.reply_to, "the update that this one answers")
      ->type_name("ID");
  post->add_option("--reshare", post_.reshare_of, "the update that this one passes on")
      ->type_name("ID");
  post->add_option("--audience", post_.audience, "members at posting, or whoever is one now")
      ->check(CLI::IsMember({"at-posting", "now"}));
  post->add_option("--ack", post_.ack, "which copies to wait for; without it as the node was told")
      ->check(CLI::IsMember({"local", "replicated", "strict"}));
  auto* expire_in = post->add_option("--expire-in", post_.expire_in, "when it goes by itself")
                        ->type_name("")
                        ->check(DurationValue());
  post->add_option("--expire-at", post_.expire_at,
                   "the same as a time; needed to repeat the post with its --request-id")
      ->type_name("")
      ->check(TimeValue())
      ->excludes(expire_in);
  post->add_option("--request-id", post_.request_id,
                   "the idempotency key; the same key never posts twice")
      ->type_name("KEY");

  CLI::App* timeline =
      AddCommand(app_, "timeline", "read a home, group or profile timeline",
                 "  klatch timeline alice\n"
                 "  klatch timeline alice --group hiking --limit 50\n"
                 "  klatch timeline alice --profile bob --json",
                 [this](const Session& session) { return Timeline(session, timeline_); });
  timeline->add_option("person", actor_, "who looks (or --as)")->type_name("PERSON");
  auto* group = timeline->add_option("--group", timeline_.group, "the updates of this group")
                    ->type_name("GROUP");
  timeline->add_option("--profile", timeline_.profile, "the updates of this person")
      ->type_name("PERSON")
      ->excludes(group);
  timeline->add_option("--limit", timeline_.limit, "at most this many updates")
      ->type_name("COUNT")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  timeline
      ->add_option("--after", timeline_.after,
                   "wait until this update (or token's position) is there, repeatable")
      ->type_name("ID")
      ->allow_extra_args(false);

  const auto with_id = [this](CLI::App* command) {
    command->add_option("id", update_id_, "the update's id")->type_name("ID")->required();
    return command;
  };
  with_id(AddCommand(app_, "get", "show one update", "  klatch get 380123456789012480 --as bob",
                     [this](const Session& session) { return Get(session, update_id_); }));
  with_id(AddCommand(app_, "edit", "change an update's text",
                     "  klatch edit 380123456789012480 --as alice \"On Sunday, sorry\"",
                     [this](const Session& session) { return Edit(session, update_id_, text_); }))
      ->add_option("text", words_, "the new text; - reads it from stdin")
      ->type_name("TEXT")
      ->required();
  with_id(AddCommand(app_, "delete", "delete an update",
                     "  klatch delete 380123456789012480 --as alice",
                     [this](const Session& session) { return Delete(session, update_id_); }));
}

void CommandLine::AddGroupPolicyOptions(CLI::App& command) {
  command.add_option("--name", group_.display_name, "what people call it")->type_name("TEXT");
  command.add_option("--about", group_.description, "what it is for")->type_name("TEXT");
  command.add_option("--history", group_.history, "what who joins later sees of the past")
      ->type_name("")
      ->check(HistoryValue());
  command.add_option("--audience", group_.audience, "who sees updates that don't say")
      ->check(CLI::IsMember({"at-posting", "now"}));
  const CLI::IsMember lowest_role({"member", "moderator", "owner"});
  command.add_option("--post-role", group_.post_role, "the lowest role that may post")
      ->check(lowest_role);
  command.add_option("--add-role", group_.add_role, "the lowest role that may add others")
      ->check(lowest_role);
  command.add_option("--joining", group_.joining, "whether people may add themselves")
      ->check(CLI::IsMember({"invitation", "open"}));
  command.add_option("--closed", group_.closed, "whether nobody may post or join any more")
      ->check(CLI::IsMember({"yes", "no"}));
  command
      .add_option("--keep-age", group_.keep_age, "how old its updates become; 0s: as old as any")
      ->type_name("")
      ->check(DurationValue());
  command.add_option("--keep-count", group_.keep_count, "how many of the newest stay; 0: all")
      ->type_name("")
      ->check(CountValue());
  command
      .add_option("--keep-bytes", group_.keep_bytes, "how many bytes of the newest stay; 0B: all")
      ->type_name("")
      ->check(BytesValue());
}

void CommandLine::AddGroupCommand() {
  CLI::App* group = app_.add_subcommand("group", "create groups and keep their members");
  group->require_subcommand(0, 1);
  group->fallthrough();
  group->footer("klatch help group COMMAND explains each.");
  const auto with_group = [this](CLI::App* command) {
    command->add_option("group", group_.group, "the group's id")->type_name("GROUP")->required();
    return command;
  };
  AddGroupPolicyOptions(*with_group(
      AddCommand(*group, "create", "create a group that you own",
                 "  klatch group create hiking --as alice\n"
                 "  klatch group create book-club --as alice --history all --audience now\n"
                 "  klatch group create today --as alice --keep-age 24h --keep-count 100",
                 [this](const Session& session) { return CreateGroup(session, group_); })));
  AddGroupPolicyOptions(*with_group(
      AddCommand(*group, "update", "change a group's name or policy",
                 "  klatch group update hiking --as alice --name \"Hiking, Saturdays\"",
                 [this](const Session& session) { return UpdateGroup(session, group_); })));
  with_group(
      AddCommand(*group, "show", "show a group", "  klatch group show hiking --as alice",
                 [this](const Session& session) { return ShowGroup(session, group_.group); }));
  with_group(AddCommand(*group, "delete", "delete a group with its timeline",
                        "  klatch group delete hiking --as alice", [this](const Session& session) {
                          return DeleteGroup(session, group_.group);
                        }));
  AddMemberCommands(*group);
  AddSyncCommand(*group);
}

void CommandLine::AddMemberCommands(CLI::App& group) {
  const auto with_members = [this](CLI::App* command) {
    command->add_option("group", members_.group, "the group's id")->type_name("GROUP")->required();
    command->add_option("person", members_.persons, "who")->type_name("PERSON")->required();
    return command;
  };
  const auto with_role = [this](CLI::App* command) {
    return command->add_option("--role", members_.role, "what they may do")
        ->check(CLI::IsMember({"reader", "member", "moderator", "owner"}))
        ->capture_default_str();
  };
  with_role(with_members(
      AddCommand(group, "add", "add persons", "  klatch group add hiking bob carol --as alice",
                 [this](const Session& session) { return AddMembers(session, members_); })));
  with_members(
      AddCommand(group, "remove", "remove persons, or leave",
                 "  klatch group remove hiking bob --as alice\n"
                 "  klatch group remove hiking bob --as bob",
                 [this](const Session& session) { return RemoveMembers(session, members_); }));
  with_role(with_members(
                AddCommand(group, "role", "change what persons may do",
                           "  klatch group role hiking bob --role moderator --as alice",
                           [this](const Session& session) { return SetRole(session, members_); })))
      ->required();
  CLI::App* members =
      AddCommand(group, "members", "list a group's members",
                 "  klatch group members hiking --as alice", [this](const Session& session) {
                   return ListMembers(session, members_.group, members_limit_);
                 });
  members->add_option("group", members_.group, "the group's id")->type_name("GROUP")->required();
  AddListLimit(*members);
  CLI::App* list =
      AddCommand(group, "list", "list a person's groups", "  klatch group list alice",
                 [this](const Session& session) { return ListGroups(session, members_limit_); });
  list->add_option("person", actor_, "whose (or --as)")->type_name("PERSON");
  AddListLimit(*list);
}

void CommandLine::AddListLimit(CLI::App& command) {
  command.add_option("--limit", members_limit_, "at most this many")
      ->type_name("COUNT")
      ->check(CLI::Range(1, 10'000'000))
      ->capture_default_str();
}

void CommandLine::AddWatchCommand() {
  CLI::App* watch = app_.add_subcommand("watch", "show a home timeline as it grows");
  AddCommonOptions(*watch);
  watch->add_option("--person,person", actor_, "whose (or --as)")->type_name("PERSON");
  watch->add_option("--resume", watch_.resume_token, "go on from where an earlier watch ended")
      ->type_name("TOKEN");
  watch->add_option("--count", watch_.count, "end after so many events")
      ->type_name("COUNT")
      ->check(CLI::Range(1, 1'000'000'000));
  watch->add_option("--for", watch_.seconds, "end after so many seconds")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.1, 1e9));
  watch->footer(
      "With --json a line for each event. Ctrl-C ends it; the token to go on from is then on "
      "stderr.\n"
      "Examples:\n"
      "  klatch watch bob\n"
      "  klatch watch --person bob --json --count 10");
  watch->callback([this] {
    is_watch_ = true;
    command_ = [this](const Session& session) { return RunWatch(session); };
  });
}

CommandResult CommandLine::RunWatch(const Session& session) {
  int error = 0;
  const auto print = [&error](std::string_view text) {
    error = base::WriteAll(STDOUT_FILENO, text);
    return error == 0;
  };
  const WatchEnd end = Watch(session, watch_, client_options_.timeout, interrupted_, print);
  if (!end.status.ok()) {
    return Failure(end.status);
  }
  CommandResult result;
  if (!end.resume_token.empty()) {
    result.err = fmt::format("klatch: to go on: --resume {}\n", end.resume_token);
  }
  result.exit_code = end.interrupted ? kExitInterrupted : kExitGood;
  // A reader that went away (| head) has seen enough.
  if (error != 0 && error != EPIPE) {
    result.err += fmt::format("klatch: can't write the result: {}\n", std::strerror(error));
    result.exit_code = kExitRefused;
  }
  return result;
}

std::optional<CommandResult> CommandLine::Parse(const std::vector<std::string>& arguments) {
  try {
    // CLI11 wants the arguments last first.
    app_.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::CallForHelp&) {
    return CommandResult{kExitGood, app_.help(), ""};
  } catch (const CLI::CallForVersion&) {
    return CommandResult{kExitGood, fmt::format("klatch {}\n", base::kVersion), ""};
  } catch (const CLI::ParseError& error) {
    return UsageError(error);
  }
  client_options_.timeout =
      std::chrono::milliseconds(static_cast<int64_t>(timeout_seconds_ * 1'000));
  if (printed_) {
    return CommandResult{kExitGood, *printed_, ""};
  }
  if (Selected().get_name() == "help") {
    return Help();
  }
  if (const std::string missing = Missing(); !missing.empty()) {
    return Usage(missing);
  }
  if (const std::string mistake = MistakeInTarget(); !mistake.empty()) {
    return Usage(mistake);
  }
  return std::nullopt;
}

std::string CommandLine::MistakeInTarget() const {
  const std::string& target = client_options_.target;
  const absl::Status status = base::Endpoint::Parse(target).status();
  if (status.ok()) {
    return "";
  }
  // Who gives the same by both has made the mistake twice.
  return fmt::format("{} is {}, {}", target == environment_target_ ? "KLATCH_TARGET" : "--target",
                     base::QuoteForMessage(target), base::MessageOf(status));
}

CommandResult CommandLine::Help() const {
  const CLI::App* app = &app_;
  std::string name = app_.get_name();
  for (const std::string& word : words_) {
    const auto named = app->get_subcommands(
        [&word](const CLI::App* command) { return command->get_name() == word; });
    if (named.empty()) {
      return Usage(Unknown(*app, word));
    }
    app = named.front();
    name += " " + word;
  }
  return {kExitGood, app->get_formatter()->make_help(app, name, CLI::AppFormatMode::Normal), ""};
}

std::string CommandLine::Missing() const {
  const std::string& command = Selected().get_name();
  if (command == "import" && files_.empty()) {
    return "which files? See klatch help import";
  }
  if (!command_) {
    std::string commands;
    for (const CLI::App* one : Selected().get_subcommands([](const CLI::App*) { return true; })) {
      commands += (commands.empty() ? " " : "|") + one->get_name();
    }
    return fmt::format("name a command: {}{}; --help explains them", SelectedName("klatch"),
                       commands);
  }
  if (needs_actor_ && actor_.empty()) {
    return "who acts? Say --as PERSON, or set KLATCH_AS";
  }
  if (command == "post" && post_.groups.empty() && !post_.all_my_groups) {
    return "to whom? Say --to GROUP, or --all-my-groups";
  }
  if (command == "scrub" && scrub_.persons.empty() && scrub_.partition < 0 && !scrub_all_) {
    return "of whom? Name persons, or say --partition NUMBER or --all";
  }
  return "";
}

const CLI::App& CommandLine::Selected() const {
  const CLI::App* app = &app_;
  while (!app->get_subcommands().empty()) {
    app = app->get_subcommands().front();
  }
  return *app;
}

std::string CommandLine::SelectedName(std::string name) const {
  const CLI::App* app = &app_;
  while (!app->get_subcommands().empty()) {
    app = app->get_subcommands().front();
    name += " " + app->get_name();
  }
  return name;
}

std::string CommandLine::Unknown(const CLI::App& app, const std::string& word) {
  std::vector<std::string> known;
  const bool is_option = word.size() > 1 && word.front() == '-';
  const std::string name = word.substr(0, word.find('='));
  if (is_option) {
    for (const CLI::Option* option : app.get_options()) {
      for (const std::string& long_name : option->get_lnames()) {
        known.push_back("--" + long_name);
      }
    }
  } else {
    for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
      known.push_back(command->get_name());
    }
  }
  // Where there is no command of that name, as in `klatch version`.
  const bool names_option = !is_option && app.get_option_no_throw("--" + name) != nullptr;
  const std::string nearest = names_option ? "--" + name : Nearest(name, known);
  const char* what = is_option ? "option" : known.empty() ? "argument" : "command";
  return fmt::format("unknown {} '{}'{}", what, CleanLine(name),
                     nearest.empty() ? "; --help lists what there is"
                                     : fmt::format("; did you mean {}?", nearest));
}

CommandResult CommandLine::UsageError(const CLI::ParseError& error) const {
  // A word that nothing takes is the likely reason for what is missing: name it first.
  const std::vector<std::string> rest = app_.remaining(/*recurse=*/true);
  if (!rest.empty()) {
    return Usage(Unknown(Selected(), rest.front()));
  }
  const std::string what = CleanLine(error.what());
  const bool is_missing = error.get_exit_code() == static_cast<int>(CLI::ExitCodes::RequiredError);
  return Usage(is_missing ? fmt::format("{}; see {}", what, SelectedName("klatch help")) : what);
}

}  // namespace klatch::cli
