#include "tests/integration/history_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace klatch::testing {
namespace {

using grpc::StatusCode;

// What a moderator, and who is above, may do.
bool Moderates(v1::Role role) { return role >= v1::ROLE_MODERATOR; }

}  // namespace

size_t Model::OwnersOf(GroupNumber group) const {
  return static_cast<size_t>(std::ranges::count(At(group).stays, v1::ROLE_OWNER, &Stay::role));
}

const ModelUpdate* Model::Find(uint64_t id) const {
  const auto found = updates_.find(id);
  return found == updates_.end() ? nullptr : &found->second;
}

StatusCode Model::WhyNotCreate(GroupNumber group) const {
  return At(group).state == ModelGroup::State::kNone ? StatusCode::OK : StatusCode::ALREADY_EXISTS;
}

StatusCode Model::WhyNotAdd(PersonNumber actor, GroupNumber group,
                            const std::vector<PersonNumber>& persons, v1::Role role) const {
  const ModelGroup& there = At(group);
  if (there.state != ModelGroup::State::kLive) {
    return StatusCode::NOT_FOUND;
  }
  const bool adds_others = RoleOf(actor, group) >= there.policy.add_role();
  const bool joins =
      there.policy.joining() == v1::JOINING_OPEN && persons.size() == 1 && persons.front() == actor;
  if (!adds_others && !joins) {
    return StatusCode::PERMISSION_DENIED;
  }
  if (there.policy.closed()) {
    return StatusCode::FAILED_PRECONDITION;
  }
  const bool gives_any = adds_others && RoleOf(actor, group) == v1::ROLE_OWNER;
  return gives_any || role <= v1::ROLE_MEMBER ? StatusCode::OK : StatusCode::PERMISSION_DENIED;
}

StatusCode Model::WhyNotRemove(PersonNumber actor, GroupNumber group,
                               const std::vector<PersonNumber>& persons) const {
  if (At(group).state != ModelGroup::State::kLive) {
    return StatusCode::NOT_FOUND;
  }
  const v1::Role own = RoleOf(actor, group);
  const bool only_oneself = persons.size() == 1 && persons.front() == actor;
  if (!only_oneself && !Moderates(own)) {
    return StatusCode::PERMISSION_DENIED;
  }
  size_t owners = 0;
  for (const PersonNumber person : persons) {
    const v1::Role role = RoleOf(person, group);
    if (role >= own && own != v1::ROLE_OWNER && !only_oneself) {
      return StatusCode::PERMISSION_DENIED;
    }
    owners += role == v1::ROLE_OWNER ? 1 : 0;
  }
  return owners > 0 && owners == OwnersOf(group) ? StatusCode::FAILED_PRECONDITION : StatusCode::OK;
}

StatusCode Model::WhyNotChangeRole(PersonNumber actor, GroupNumber group, PersonNumber person,
                                   v1::Role role) const {
  const StatusCode refusal = WhyNotRule(actor, group);
  if (refusal != StatusCode::OK) {
    return refusal;
  }
  const v1::Role old = RoleOf(person, group);
  if (old == v1::ROLE_UNSPECIFIED) {
    return StatusCode::NOT_FOUND;
  }
  const bool is_last = old == v1::ROLE_OWNER && OwnersOf(group) == 1;
  return is_last && role != old ? StatusCode::FAILED_PRECONDITION : StatusCode::OK;
}

StatusCode Model::WhyNotRule(PersonNumber actor, GroupNumber group) const {
  if (At(group).state != ModelGroup::State::kLive) {
    return StatusCode::NOT_FOUND;
  }
  return RoleOf(actor, group) == v1::ROLE_OWNER ? StatusCode::OK : StatusCode::PERMISSION_DENIED;
}

StatusCode Model::WhyNotDeleteGroup(PersonNumber actor, GroupNumber group) const {
  return At(group).state == ModelGroup::State::kDeleted ? StatusCode::OK : WhyNotRule(actor, group);
}

bool Model::MayPost(PersonNumber person, GroupNumber group) const {
  return WhyNotPost(person, group) == StatusCode::OK;
}

StatusCode Model::WhyNotPost(PersonNumber actor, GroupNumber group) const {
  const ModelGroup& there = At(group);
  if (there.state != ModelGroup::State::kLive) {
    return StatusCode::NOT_FOUND;
  }
  const v1::Role needed = Has(Fault::kForgetsPostRole) ? v1::ROLE_MEMBER : there.policy.post_role();
  if (RoleOf(actor, group) < needed) {
    return StatusCode::PERMISSION_DENIED;
  }
  return there.policy.closed() ? StatusCode::FAILED_PRECONDITION : StatusCode::OK;
}

StatusCode Model::WhyNotEdit(PersonNumber actor, uint64_t id) const {
  const ModelUpdate* update = Find(id);
  if (update == nullptr || update->is_deleted) {
    return StatusCode::NOT_FOUND;
  }
  if (update->author != actor) {
    return See(actor, *update, Surface::kSingle) ? StatusCode::PERMISSION_DENIED
                                                 : StatusCode::NOT_FOUND;
  }
  if (update->is_several) {
    const bool may = std::ranges::any_of(update->carries, [&](const ModelCarry& carry) {
      return carry.is_there && MayPost(actor, carry.group);
    });
    return may ? StatusCode::OK : StatusCode::PERMISSION_DENIED;
  }
  const StatusCode refusal = WhyNotPost(actor, update->carries.front().group);
  // Nobody is a member of a group that is gone.
  return refusal == StatusCode::NOT_FOUND ? StatusCode::PERMISSION_DENIED : refusal;
}

StatusCode Model::WhyNotDelete(PersonNumber actor, uint64_t id) const {
  const ModelUpdate* update = Find(id);
  if (update == nullptr || update->is_deleted) {
    return StatusCode::NOT_FOUND;
  }
  if (update->author == actor) {
    return StatusCode::OK;
  }
  bool moderates = false;
  bool finds = false;
  for (const ModelCarry& carry : update->carries) {
    if (Moderates(RoleOf(actor, carry.group))) {
      moderates = true;
      finds = finds || carry.is_there;
    }
  }
  if (moderates) {
    return finds ? StatusCode::OK : StatusCode::NOT_FOUND;
  }
  return See(actor, *update, Surface::kSingle) ? StatusCode::PERMISSION_DENIED
                                               : StatusCode::NOT_FOUND;
}

StatusCode Model::WhyNotHide(PersonNumber actor, uint64_t id) const {
  const ModelUpdate* update = Find(id);
  if (update == nullptr || !See(actor, *update, Surface::kSingle)) {
    return StatusCode::NOT_FOUND;
  }
  return update->author == actor ? StatusCode::FAILED_PRECONDITION : StatusCode::OK;
}

std::vector<GroupNumber> Model::WherePosts(PersonNumber person) const {
  std::vector<GroupNumber> groups;
  for (size_t i = 0; i < groups_.size(); ++i) {
    if (MayPost(person, GroupNumber(i))) {
      groups.push_back(GroupNumber(i));
    }
  }
  return groups;
}

void Model::Create(GroupNumber group, PersonNumber owner, v1::Group policy) {
  ModelGroup& created = groups_[IndexOf(group)];
  created.state = ModelGroup::State::kLive;
  created.policy = std::move(policy);
  const int64_t now = ++created.time;
  created.stays[IndexOf(owner)] = {v1::ROLE_OWNER, now, now};
  NoteAnything();
}

void Model::SetPolicy(GroupNumber group, v1::Group policy) {
  groups_[IndexOf(group)].policy = std::move(policy);
}

void Model::DeleteGroup(GroupNumber group) {
  groups_[IndexOf(group)].state = ModelGroup::State::kDeleted;
  groups_[IndexOf(group)].stays.fill({});
  NoteAnything();
}

int64_t Model::BeginOfPast(const ModelGroup& group) const {
  if (Has(Fault::kForgetsWhereHistoryBegins)) {
    return group.time;
  }
  switch (group.policy.history()) {
    case v1::HISTORY_ALL:
      return 0;
    case v1::HISTORY_LAST: {
      const size_t count = group.policy.history_count();
      return group.taken.size() <= count ? 0 : group.taken[group.taken.size() - count];
    }
    default:
      return group.time;
  }
}

size_t Model::Add(GroupNumber group, const std::vector<PersonNumber>& persons, v1::Role role) {
  NoteAnything();
  ModelGroup& there = groups_[IndexOf(group)];
  ++there.time;
  const int64_t visible_from = BeginOfPast(there);
  size_t joined = 0;
  for (const PersonNumber person : persons) {
    Stay& stay = there.stays[IndexOf(person)];
    if (!stay.is_member()) {
      stay = {role, there.time, visible_from};
      ++joined;
    }
  }
  return joined;
}

size_t Model::Remove(GroupNumber group, const std::vector<PersonNumber>& persons) {
  NoteAnything();
  size_t removed = 0;
  for (const PersonNumber person : persons) {
    Stay& stay = groups_[IndexOf(group)].stays[IndexOf(person)];
    if (stay.is_member()) {
      ++removed;
      if (!Has(Fault::kForgetsLeaves)) {
        stay = {};
      }
    }
  }
  return removed;
}

void Model::SetRole(GroupNumber group, PersonNumber person, v1::Role role) {
  groups_[IndexOf(group)].stays[IndexOf(person)].role = role;
}

void Model::Post(ModelUpdate update) {
  const uint64_t id = update.id;
  updates_.emplace(id, std::move(update));
}

void Model::Take(uint64_t id, GroupNumber number, v1::Audience asked) {
  ModelGroup& group = groups_[IndexOf(number)];
  ModelCarry carry;
  carry.group = number;
  carry.time = ++group.time;
  carry.open_since = carry.time;
  carry.audience = asked == v1::AUDIENCE_UNSPECIFIED ? group.policy.default_audience() : asked;
  for (size_t i = 0; i < persons_.size(); ++i) {
    carry.members[i] = group.stays[i].is_member();
  }
  group.taken.push_back(carry.time);
  updates_.at(id).carries.push_back(carry);
  journal_.push_back(id);
}

void Model::Edit(uint64_t id, const std::string& text, v1::Audience audience, uint32_t revision) {
  if (Has(Fault::kForgetsEdits)) {
    return;
  }
  journal_.push_back(id);
  ModelUpdate& update = updates_.at(id);
  update.texts.resize(revision + 1, text.empty() ? update.texts.back() : text);
  if (audience == v1::AUDIENCE_UNSPECIFIED) {
    return;
  }
  for (ModelCarry& carry : update.carries) {
    if (carry.audience != audience) {
      carry.audience = audience;
      carry.open_since = groups_[IndexOf(carry.group)].time;
    }
  }
}

void Model::Delete(PersonNumber actor, uint64_t id) {
  ModelUpdate& update = updates_.at(id);
  const bool is_author = update.author == actor;
  if (Has(is_author || !update.is_several ? Fault::kForgetsDeletions
                                          : Fault::kForgetsRemovalsFromGroups)) {
    return;
  }
  journal_.push_back(id);
  update.removed.clear();
  ++update.removals;
  bool is_anywhere = false;
  for (ModelCarry& carry : update.carries) {
    if (carry.is_there && (is_author || Moderates(RoleOf(actor, carry.group)))) {
      update.removed.push_back(carry);
      carry.is_there = false;
    }
    is_anywhere = is_anywhere || carry.is_there;
  }
  update.is_deleted = !is_anywhere;
}

bool Model::IsBlockBetween(PersonNumber a, PersonNumber b) const {
  return !Has(Fault::kForgetsBlocks) && (At(a).blocked[IndexOf(b)] || At(b).blocked[IndexOf(a)]);
}

bool Model::SeesThrough(PersonNumber viewer, const ModelUpdate& update,
                        const ModelCarry& carry) const {
  const Stay& stay = StayOf(viewer, carry.group);
  if (!carry.is_there || !stay.is_member() || update.is_deleted) {
    return false;
  }
  if (carry.audience == v1::AUDIENCE_MEMBERS_NOW && !Has(Fault::kForgetsAudience)) {
    return carry.time >= stay.visible_from;
  }
  return carry.time > stay.joined;
}

bool Model::IsDueAtHome(PersonNumber viewer, const ModelCarry& carry) const {
  return carry.members[IndexOf(viewer)] || StayOf(viewer, carry.group).joined > carry.open_since;
}

std::optional<Sight> Model::See(PersonNumber viewer, const ModelUpdate& update,
                                Surface surface) const {
  const ModelPerson& person = At(viewer);
  const bool is_own = update.author == viewer;
  const bool minds_mutes = surface == Surface::kHome && !is_own && !Has(Fault::kForgetsMutes);
  if (!is_own) {
    const bool is_hidden = surface != Surface::kSingle && !Has(Fault::kForgetsHidden) &&
                           person.hidden.contains(update.id);
    const bool is_muted = minds_mutes && person.muted_persons[IndexOf(update.author)];
    if (is_hidden || is_muted || IsBlockBetween(viewer, update.author)) {
      return std::nullopt;
    }
  }
  Sight sight{.update = &update, .through = {}, .is_due = surface != Surface::kHome};
  for (const ModelCarry& carry : update.carries) {
    if ((minds_mutes && person.muted_groups[IndexOf(carry.group)]) ||
        !SeesThrough(viewer, update, carry)) {
      continue;
    }
    const bool agrees = sight.through.empty() || sight.audience == carry.audience;
    sight.audience = agrees ? carry.audience : v1::AUDIENCE_UNSPECIFIED;
    sight.through.push_back(carry.group);
    sight.is_due = sight.is_due || IsDueAtHome(viewer, carry);
    sight.was_member = sight.was_member || carry.members[IndexOf(viewer)];
  }
  if (sight.through.empty()) {
    return std::nullopt;
  }
  std::ranges::sort(sight.through);
  return sight;
}

template <typename Filter>
std::vector<Sight> Model::SeeAll(PersonNumber viewer, Surface surface, Extent extent,
                                 Filter filter) const {
  std::vector<Sight> sights;
  size_t due = 0;
  for (auto each = updates_.lower_bound(extent.below);
       each != updates_.begin() && due < extent.due_max;) {
    --each;
    std::optional<Sight> sight = See(viewer, each->second, surface);
    if (sight && filter(*sight)) {
      due += sight->is_due ? 1 : 0;
      sights.push_back(*std::move(sight));
    }
  }
  return sights;
}

std::vector<Sight> Model::Home(PersonNumber viewer, Extent extent) const {
  return SeeAll(viewer, Surface::kHome, extent, [](const Sight&) { return true; });
}

std::vector<Sight> Model::GroupPage(PersonNumber viewer, GroupNumber group, Extent extent) const {
  return SeeAll(viewer, Surface::kGroup, extent, [group](const Sight& sight) {
    return std::ranges::count(sight.through, group) > 0;
  });
}

std::vector<Sight> Model::Profile(PersonNumber viewer, PersonNumber author, Extent extent) const {
  return SeeAll(viewer, Surface::kProfile, extent,
                [author](const Sight& sight) { return sight.update->author == author; });
}

bool Model::LearnsOfRemoval(PersonNumber watcher, const ModelUpdate& update) const {
  const ModelPerson& person = At(watcher);
  return !person.hidden.contains(update.id) &&
         std::ranges::any_of(update.removed, [&](const ModelCarry& carry) {
           const Stay& stay = StayOf(watcher, carry.group);
           return stay.is_member() && stay.joined < carry.time &&
                  !person.muted_groups[IndexOf(carry.group)];
         });
}

std::string Model::Explain(PersonNumber viewer, const ModelUpdate& update) const {
  std::string text = fmt::format("{} of p{}, revision {}{}", update.id, IndexOf(update.author),
                                 update.revision(), update.is_deleted ? ", deleted" : "");
  for (const ModelCarry& carry : update.carries) {
    const Stay& stay = StayOf(viewer, carry.group);
    text += fmt::format(
        "; g{} took it at {}{}, for {} since {}, p{} {} a member then, {} now, joined {}, sees "
        "from {}",
        IndexOf(carry.group), carry.time, carry.is_there ? "" : " and has it no longer",
        v1::Audience_Name(carry.audience), carry.open_since, IndexOf(viewer),
        carry.members[IndexOf(viewer)] ? "was" : "was not", v1::Role_Name(stay.role), stay.joined,
        stay.visible_from);
  }
  return text;
}

}  // namespace klatch::testing
