// The part of HistoryWorld about groups and who belongs to them.

#include <array>
#include <utility>

#include "tests/integration/history_world.h"

namespace klatch::testing {
namespace {

using grpc::StatusCode;

constexpr std::array kRoles = {v1::ROLE_READER, v1::ROLE_MEMBER, v1::ROLE_MODERATOR,
                               v1::ROLE_OWNER};

// Mostly members: others are what policies are for.
v1::Role SomeRole(Random& random) {
  return random.Chance(65) ? v1::ROLE_MEMBER : kRoles[random.Below(kRoles.size())];
}

void SetHistory(Random& random, v1::Group& group) {
  group.set_history(static_cast<v1::History>(1 + random.Below(3)));
  group.set_history_count(
      group.history() == v1::HISTORY_LAST ? 1 + static_cast<uint32_t>(random.Below(20)) : 0);
}

// What a group is made with that leaves something out.
v1::Group WithDefaults(v1::Group group) {
  if (group.history() == v1::HISTORY_UNSPECIFIED) {
    group.set_history(v1::HISTORY_NONE);
  }
  if (group.default_audience() == v1::AUDIENCE_UNSPECIFIED) {
    group.set_default_audience(v1::AUDIENCE_MEMBERS_AT_POSTING);
  }
  if (group.post_role() == v1::ROLE_UNSPECIFIED) {
    group.set_post_role(v1::ROLE_MEMBER);
  }
  if (group.add_role() == v1::ROLE_UNSPECIFIED) {
    group.set_add_role(v1::ROLE_MODERATOR);
  }
  if (group.joining() == v1::JOINING_UNSPECIFIED) {
    group.set_joining(v1::JOINING_BY_INVITATION);
  }
  return group;
}

std::string NamesOf(const std::vector<PersonNumber>& persons) {
  std::string names;
  for (const PersonNumber person : persons) {
    names += fmt::format(" p{}", IndexOf(person));
  }
  return names;
}

}  // namespace

v1::Group HistoryWorld::SomePolicy() {
  v1::Group group;
  group.set_display_name(fmt::format("name {}", random_.Below(100)));
  if (random_.Chance(80)) {
    SetHistory(random_, group);
  }
  group.set_default_audience(static_cast<v1::Audience>(random_.Below(3)));
  if (random_.Chance(30)) {
    group.set_post_role(kRoles[1 + random_.Below(3)]);
  }
  if (random_.Chance(40)) {
    group.set_add_role(kRoles[1 + random_.Below(3)]);
  }
  group.set_joining(static_cast<v1::Joining>(random_.Below(3)));
  return group;
}

void HistoryWorld::CreateGroupIn(GroupNumber group, PersonNumber owner) {
  v1::CreateGroupRequest request;
  SetActor(request, owner);
  request.set_request_id(NewRequestId());
  *request.mutable_group() = SomePolicy();
  request.mutable_group()->set_closed(random_.Chance(5));
  const v1::Group policy = WithDefaults(request.group());
  request.mutable_group()->set_id(names_.Of(group));
  const StatusCode expected = model_.WhyNotCreate(group);
  const auto answer = caller_.Call(&v1::GroupService::Stub::CreateGroup, request);
  const std::string what =
      fmt::format("p{} creates g{}: {}", IndexOf(owner), IndexOf(group), policy.ShortDebugString());
  if (!Check(what, answer.status, expected)) {
    return;
  }
  tokens_.Add(answer.response.tokens());
  model_.Create(group, owner, policy);
  if (random_.Chance(20)) {
    Check("creates it again", caller_.Call(&v1::GroupService::Stub::CreateGroup, request).status,
          StatusCode::OK);
  }
}

void HistoryWorld::CreateGroup() { CreateGroupIn(AnyGroup(), AnyPerson()); }

void HistoryWorld::ChangePolicy() {
  const GroupNumber group = AnyGroup();
  const PersonNumber actor = Actor(group, v1::ROLE_OWNER);
  v1::Group policy = model_.At(group).policy;
  v1::UpdateGroupRequest request;
  SetActor(request, actor);
  const v1::Group wanted = WithDefaults(SomePolicy());
  const auto change = [&](const char* field, uint64_t percent, auto copy) {
    if (random_.Chance(percent)) {
      request.mutable_update_mask()->add_paths(field);
      copy();
    }
  };
  change("display_name", 30, [&] { policy.set_display_name(wanted.display_name()); });
  change("history", 40, [&] {
    request.mutable_update_mask()->add_paths("history_count");
    policy.set_history(wanted.history());
    policy.set_history_count(wanted.history_count());
  });
  change("default_audience", 40, [&] { policy.set_default_audience(wanted.default_audience()); });
  change("post_role", 30, [&] { policy.set_post_role(wanted.post_role()); });
  change("add_role", 30, [&] { policy.set_add_role(wanted.add_role()); });
  change("joining", 30, [&] { policy.set_joining(wanted.joining()); });
  change("closed", policy.closed() ? 80 : 15, [&] { policy.set_closed(!policy.closed()); });
  if (request.update_mask().paths().empty()) {
    change("display_name", 100, [&] { policy.set_display_name(wanted.display_name()); });
  }
  *request.mutable_group() = policy;
  request.mutable_group()->set_id(names_.Of(group));
  const StatusCode expected = model_.WhyNotRule(actor, group);
  const auto answer = caller_.Call(&v1::GroupService::Stub::UpdateGroup, request);
  const std::string what = fmt::format("p{} changes g{}: {}", IndexOf(actor), IndexOf(group),
                                       request.ShortDebugString());
  if (Check(what, answer.status, expected)) {
    tokens_.Add(answer.response.tokens());
    model_.SetPolicy(group, policy);
  }
}

void HistoryWorld::DeleteGroup() {
  const GroupNumber group = AnyGroup();
  const PersonNumber actor = Actor(group, v1::ROLE_OWNER);
  v1::DeleteGroupRequest request;
  SetActor(request, actor);
  request.set_group(names_.Of(group));
  const StatusCode expected = model_.WhyNotDeleteGroup(actor, group);
  const auto answer = caller_.Call(&v1::GroupService::Stub::DeleteGroup, request);
  if (Check(fmt::format("p{} deletes g{}", IndexOf(actor), IndexOf(group)), answer.status,
            expected)) {
    is_in_force_ = true;
    tokens_.Add(answer.response.tokens());
    model_.DeleteGroup(group);
  }
}

void HistoryWorld::AddTo(PersonNumber actor, GroupNumber group,
                         const std::vector<PersonNumber>& persons, v1::Role role) {
  v1::AddMembersRequest request;
  SetActor(request, actor);
  request.set_request_id(NewRequestId());
  request.set_group(names_.Of(group));
  for (const PersonNumber person : persons) {
    v1::Member* member = request.add_members();
    member->set_person(names_.Of(person));
    member->set_role(role);
  }
  const StatusCode expected = model_.WhyNotAdd(actor, group, persons, role);
  const auto answer = caller_.Call(&v1::GroupService::Stub::AddMembers, request);
  const std::string what = fmt::format("p{} adds{} to g{} as {}", IndexOf(actor), NamesOf(persons),
                                       IndexOf(group), v1::Role_Name(role));
  if (!Check(what, answer.status, expected)) {
    return;
  }
  tokens_.Add(answer.response.tokens());
  const size_t joined = model_.Add(group, persons, role);
  if (answer.response.added_count() != joined ||
      answer.response.unchanged_count() != persons.size() - joined) {
    findings_.Report(fmt::format("{}: {} joined, {} stayed, expected {} of {}", what,
                                 answer.response.added_count(), answer.response.unchanged_count(),
                                 joined, persons.size()));
  }
}

void HistoryWorld::AddPersons() {
  const GroupNumber group = AnyGroup();
  AddTo(Actor(group, v1::ROLE_MODERATOR), group, SomePersons(4), SomeRole(random_));
}

void HistoryWorld::JoinAlone() {
  const PersonNumber person = AnyPerson();
  AddTo(person, AnyGroup(), {person}, SomeRole(random_));
}

void HistoryWorld::RemoveFrom(PersonNumber actor, GroupNumber group,
                              const std::vector<PersonNumber>& persons) {
  v1::RemoveMembersRequest request;
  SetActor(request, actor);
  request.set_request_id(NewRequestId());
  request.set_group(names_.Of(group));
  for (const PersonNumber person : persons) {
    request.add_persons(names_.Of(person));
  }
  const StatusCode expected = model_.WhyNotRemove(actor, group, persons);
  const auto answer = caller_.Call(&v1::GroupService::Stub::RemoveMembers, request);
  const std::string what =
      fmt::format("p{} removes{} from g{}", IndexOf(actor), NamesOf(persons), IndexOf(group));
  if (!Check(what, answer.status, expected)) {
    return;
  }
  is_in_force_ = true;
  tokens_.Add(answer.response.tokens());
  const size_t removed = model_.Remove(group, persons);
  if (answer.response.removed_count() != removed) {
    findings_.Report(
        fmt::format("{}: {} left, expected {}", what, answer.response.removed_count(), removed));
  }
}

// The actor is not among them: whoever removes oneself with others goes in a chunk of one's own.
void HistoryWorld::RemovePersons() {
  const GroupNumber group = AnyGroup();
  const PersonNumber actor = Actor(group, v1::ROLE_MODERATOR);
  std::vector<PersonNumber> persons = SomePersons(3);
  std::erase(persons, actor);
  if (persons.empty()) {
    persons.push_back(actor);
  }
  RemoveFrom(actor, group, persons);
}

void HistoryWorld::Leave() {
  const PersonNumber person = AnyPerson();
  const std::vector<GroupNumber> groups = GroupsOf(person, v1::ROLE_READER);
  RemoveFrom(person, groups.empty() || random_.Chance(20) ? AnyGroup() : random_.Pick(groups),
             {person});
}

void HistoryWorld::ChangeRole() {
  const GroupNumber group = AnyGroup();
  const PersonNumber actor = Actor(group, v1::ROLE_OWNER);
  const PersonNumber person = Actor(group, v1::ROLE_READER);
  const v1::Role role = kRoles[random_.Below(kRoles.size())];
  v1::UpdateMemberRequest request;
  SetActor(request, actor);
  request.set_group(names_.Of(group));
  request.mutable_member()->set_person(names_.Of(person));
  request.mutable_member()->set_role(role);
  const StatusCode expected = model_.WhyNotChangeRole(actor, group, person, role);
  const auto answer = caller_.Call(&v1::GroupService::Stub::UpdateMember, request);
  const std::string what = fmt::format("p{} makes p{} {} in g{}", IndexOf(actor), IndexOf(person),
                                       v1::Role_Name(role), IndexOf(group));
  if (Check(what, answer.status, expected)) {
    is_in_force_ = true;
    tokens_.Add(answer.response.tokens());
    model_.SetRole(group, person, role);
  }
}

}  // namespace klatch::testing
