// The part of CommandLine about what belongs to one person.
#include "services/klatch/command_line.h"

namespace klatch::cli {

void CommandLine::AddPersonCommands() {
  AddBlockCommands();
  AddMuteCommands();
  AddHideCommands();
  CLI::App* markers =
      AddCommand(app_, "markers", "show how much is unread, or say up to where it is read",
                 "  klatch markers --as bob\n"
                 "  klatch markers --as bob --group hiking --group chess\n"
                 "  klatch markers --as bob --set now",
                 [this](const Session& session) { return Markers(session, markers_); });
  markers->add_option("--group", markers_.groups, "of this group instead of home, repeatable")
      ->type_name("GROUP")
      ->allow_extra_args(false);
  markers->add_option("--set", markers_.set, "read up to this update's id, or now")
      ->type_name("ID|now");

  CLI::App* profile =
      AddCommand(app_, "profile", "show a person's profile, or change your own",
                 "  klatch profile alice --as bob\n"
                 "  klatch profile --as bob --name \"Bob B.\" --field pronouns=he",
                 [this](const Session& session) { return Profile(session, profile_); });
  auto* person = profile->add_option("person", profile_.person, "whose; your own if left out")
                     ->type_name("PERSON");
  profile->add_option("--name", profile_.display_name, "what people call you")
      ->type_name("TEXT")
      ->excludes(person);
  profile->add_option("--avatar", profile_.avatar_uri, "a reference to a picture")
      ->type_name("URI")
      ->excludes(person);
  profile->add_option("--bio", profile_.bio, "about you")->type_name("TEXT")->excludes(person);
  profile
      ->add_option("--field", profile_.fields,
                   "for the app, repeatable; these take the place of all that there were")
      ->type_name("NAME=VALUE")
      ->allow_extra_args(false)
      ->excludes(person);
}

void CommandLine::AddBlockCommands() {
  const auto with_person = [this](CLI::App* command) {
    command->add_option("person", blocked_, "whom")->type_name("PERSON")->required();
  };
  with_person(AddCommand(app_, "block", "block a person: neither sees anything of the other",
                         "  klatch block mallory --as alice", [this](const Session& session) {
                           return BlockPerson(session, blocked_);
                         }));
  with_person(
      AddCommand(app_, "unblock", "take a block back", "  klatch unblock mallory --as alice",
                 [this](const Session& session) { return UnblockPerson(session, blocked_); }));
  AddListLimit(
      *AddCommand(app_, "blocks", "list whom you have blocked", "  klatch blocks --as alice",
                  [this](const Session& session) { return ListBlocks(session, members_limit_); }));
}

void CommandLine::AddMuteCommands() {
  const auto with_target = [this](CLI::App* command) {
    auto* person =
        command->add_option("person", mute_.person, "whose updates")->type_name("PERSON");
    command->add_option("--group", mute_.group, "this group's updates instead")
        ->type_name("GROUP")
        ->excludes(person);
  };
  with_target(AddCommand(app_, "mute", "keep a person or a group off your home timeline",
                         "  klatch mute bob --as alice\n"
                         "  klatch mute --group hiking --as alice",
                         [this](const Session& session) { return Mute(session, mute_); }));
  with_target(AddCommand(app_, "unmute", "take a mute back",
                         "  klatch unmute bob --as alice\n"
                         "  klatch unmute --group hiking --as alice",
                         [this](const Session& session) { return Unmute(session, mute_); }));
  AddCommand(app_, "mutes", "list what you have muted", "  klatch mutes --as alice",
             [](const Session& session) { return ListMutes(session); });
}

void CommandLine::AddHideCommands() {
  const auto with_id = [this](CLI::App* command) {
    command->add_option("id", update_id_, "the update's id")->type_name("ID")->required();
  };
  with_id(AddCommand(app_, "hide", "take an update off your timelines",
                     "  klatch hide 380123456789012480 --as bob",
                     [this](const Session& session) { return Hide(session, update_id_); }));
  with_id(AddCommand(app_, "unhide", "show a hidden update again",
                     "  klatch unhide 380123456789012480 --as bob",
                     [this](const Session& session) { return Unhide(session, update_id_); }));
  AddListLimit(*AddCommand(
      app_, "hidden", "list the updates that you have hidden", "  klatch hidden --as bob",
      [this](const Session& session) { return ListHidden(session, members_limit_); }));
}

}  // namespace klatch::cli
