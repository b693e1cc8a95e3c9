#include "tests/integration/history_reads.h"

#include <limits>

namespace klatch::testing {
namespace {

using grpc::StatusCode;

constexpr size_t kCursorsMax = 40;
constexpr int kPageSizeMax = 25;
constexpr int kWholePageSize = 150;

}  // namespace

template <typename Response>
HistoryReads::Page HistoryReads::PageOf(Answer<Response> answer) {
  Page page;
  page.status = answer.status;
  page.updates.assign(answer.response.updates().begin(), answer.response.updates().end());
  page.next = answer.response.next_page_token();
  page.completeness = answer.response.completeness();
  return page;
}

HistoryReads::Page HistoryReads::Ask(const Path& path, int size, const std::string& token,
                                     const Tokens& tokens) {
  ++pages_;
  const auto fill = [&](auto& request) {
    request.set_actor(desk_.names.Of(path.viewer));
    request.set_page_size(size);
    request.set_page_token(token);
    *request.mutable_tokens() = tokens;
  };
  switch (path.kind) {
    case Kind::kHome: {
      v1::ListHomeTimelineRequest request;
      fill(request);
      return PageOf(desk_.caller.Call(&v1::FeedService::Stub::ListHomeTimeline, request));
    }
    case Kind::kGroup: {
      v1::ListGroupTimelineRequest request;
      fill(request);
      request.set_group(desk_.names.Of(path.group));
      return PageOf(desk_.caller.Call(&v1::FeedService::Stub::ListGroupTimeline, request));
    }
    case Kind::kProfile:
      break;
  }
  v1::ListProfileTimelineRequest request;
  fill(request);
  request.set_person(desk_.names.Of(path.author));
  return PageOf(desk_.caller.Call(&v1::FeedService::Stub::ListProfileTimeline, request));
}

std::string HistoryReads::Describe(const Path& path) const {
  const std::string viewer = fmt::format("p{}", IndexOf(path.viewer));
  switch (path.kind) {
    case Kind::kHome:
      return "home of " + viewer;
    case Kind::kGroup:
      return fmt::format("group g{} as {} sees it", IndexOf(path.group), viewer);
    case Kind::kProfile:
      break;
  }
  return fmt::format("profile of p{} as {} sees it", IndexOf(path.author), viewer);
}

std::vector<Sight> HistoryReads::Expected(const Path& path, Extent extent) const {
  switch (path.kind) {
    case Kind::kHome:
      return desk_.model.Home(path.viewer, extent);
    case Kind::kGroup:
      return desk_.model.GroupPage(path.viewer, path.group, extent);
    case Kind::kProfile:
      break;
  }
  return desk_.model.Profile(path.viewer, path.author, extent);
}

StatusCode HistoryReads::WhyNot(const Path& path) const {
  if (path.kind != Kind::kGroup) {
    return StatusCode::OK;
  }
  switch (desk_.model.At(path.group).state) {
    case ModelGroup::State::kNone:
      return StatusCode::NOT_FOUND;
    case ModelGroup::State::kDeleted:
      return StatusCode::PERMISSION_DENIED;
    case ModelGroup::State::kLive:
      break;
  }
  return desk_.model.IsMember(path.viewer, path.group) ? StatusCode::OK
                                                       : StatusCode::PERMISSION_DENIED;
}

bool HistoryReads::CheckStatus(const Path& path, const grpc::Status& status) {
  const StatusCode expected = WhyNot(path);
  // A restarted node does not know a group any more that was deleted.
  const bool is_forgotten = status.error_code() == StatusCode::NOT_FOUND &&
                            desk_.model.At(path.group).state == ModelGroup::State::kDeleted;
  if (status.error_code() != expected &&
      !(is_forgotten && expected == StatusCode::PERMISSION_DENIED)) {
    desk_.findings.Report(fmt::format("{}: {} ({}), expected {}", Describe(path),
                                      CodeName(status.error_code()), status.error_message(),
                                      CodeName(expected)));
  }
  return status.ok();
}

HistoryReads::Path HistoryReads::RandomPath() {
  Random& random = desk_.random;
  Path path;
  path.viewer = PersonNumber(random.Below(desk_.model.person_count()));
  path.author = PersonNumber(random.Below(desk_.model.person_count()));
  path.group = GroupNumber(random.Below(desk_.model.group_count()));
  const uint64_t dice = random.Below(10);
  path.kind = dice < 5 ? Kind::kHome : dice < 8 ? Kind::kGroup : Kind::kProfile;
  if (path.kind == Kind::kGroup && random.Chance(90)) {
    std::vector<GroupNumber> own;
    for (size_t i = 0; i < desk_.model.group_count(); ++i) {
      if (desk_.model.IsMember(path.viewer, GroupNumber(i))) {
        own.push_back(GroupNumber(i));
      }
    }
    path.group = own.empty() ? path.group : random.Pick(own);
  }
  return path;
}

void HistoryReads::One(With with) {
  const Tokens tokens = with == With::kTokens ? desk_.tokens.Get() : Tokens();
  Random& random = desk_.random;
  const uint64_t dice = random.Below(100);
  const auto viewer = PersonNumber(random.Below(desk_.model.person_count()));
  if (dice < 65 || desk_.model.updates().empty()) {
    FirstPage(RandomPath(), tokens);
  } else if (dice < 77) {
    NextPage(tokens);
  } else if (dice < 93) {
    const auto& updates = desk_.model.updates();
    auto update =
        updates.lower_bound(updates.begin()->first +
                            random.Below(updates.rbegin()->first - updates.begin()->first + 1));
    OneUpdate(viewer, update->first, tokens);
  } else {
    Counts(viewer, tokens);
  }
}

void HistoryReads::FirstPage(const Path& path, const Tokens& tokens) {
  const int size = 1 + static_cast<int>(desk_.random.Below(kPageSizeMax));
  const Page page = Ask(path, size, "", tokens);
  if (!CheckStatus(path, page.status)) {
    return;
  }
  constexpr uint64_t kEverything = std::numeric_limits<uint64_t>::max();
  Compare(path, page, size, kEverything, kEverything);
  Keep(path, page);
}

void HistoryReads::Keep(const Path& path, const Page& page) {
  if (page.next.empty() || page.updates.empty()) {
    return;
  }
  Cursor cursor{path, page.next, page.updates.back().id(), 0};
  const uint64_t hole = page.completeness.hole_since();
  for (const Sight& sight : Expected(path, {.below = cursor.below, .due_max = 1})) {
    if (sight.is_due && (hole == 0 || sight.update->id < hole)) {
      cursor.surely_from = sight.update->id;
    }
  }
  if (kept_.size() < kCursorsMax) {
    kept_.push_back(std::move(cursor));
  } else {
    kept_[desk_.random.Below(kCursorsMax)] = std::move(cursor);
  }
}

void HistoryReads::NextPage(const Tokens& tokens) {
  if (kept_.empty()) {
    return FirstPage(RandomPath(), tokens);
  }
  const Cursor cursor = desk_.random.Pick(kept_);
  const int size = 1 + static_cast<int>(desk_.random.Below(kPageSizeMax));
  const Page page = Ask(cursor.path, size, cursor.token, tokens);
  if (CheckStatus(cursor.path, page.status)) {
    ++cursors_used_;
    Compare(cursor.path, page, size, cursor.below, cursor.surely_from);
  }
}

void HistoryReads::Compare(const Path& path, const Page& page, int size, uint64_t below,
                           uint64_t surely_from) {
  const uint64_t hole = page.completeness.hole_since();
  incomplete_ += hole == 0 ? 0 : 1;
  if (page.completeness.trimmed()) {
    desk_.findings.Report(Describe(path) + " is trimmed");
  }
  const bool is_exact = hole == 0 && surely_from >= below;
  const size_t due_max = page.updates.size() + 1;
  const std::vector<Sight> sights = Expected(
      path, {.below = below, .due_max = is_exact ? due_max : std::numeric_limits<size_t>::max()});
  const auto must_be_shown = [&](const Sight& sight) {
    return sight.is_due && sight.update->id <= surely_from &&
           (hole == 0 || sight.update->id < hole);
  };
  const std::string where = fmt::format("{}, page of {} below {}", Describe(path), size, below);
  auto sight = sights.begin();
  const auto pass = [&](uint64_t id) {
    for (; sight != sights.end() && sight->update->id > id; ++sight) {
      if (must_be_shown(*sight)) {
        desk_.findings.Report(where + " lacks " + desk_.model.Explain(path.viewer, *sight->update));
      }
    }
  };
  for (const v1::Update& shown : page.updates) {
    pass(shown.id());
    if (sight == sights.end() || sight->update->id != shown.id()) {
      const ModelUpdate* update = desk_.model.Find(shown.id());
      desk_.findings.Report(where + " shows " +
                            (update == nullptr ? shown.ShortDebugString()
                                               : desk_.model.Explain(path.viewer, *update)));
      return;
    }
    CompareUpdate(where, shown, *sight);
    ++sight;
  }
  if (page.next.empty()) {
    pass(0);
  }
  if (static_cast<int>(page.updates.size()) > size) {
    desk_.findings.Report(where + " is longer than asked for");
  }
}

void HistoryReads::CompareUpdate(const std::string& where, const v1::Update& shown,
                                 const Sight& sight) {
  const ModelUpdate& update = *sight.update;
  std::vector<std::string> through;
  for (const GroupNumber group : sight.through) {
    through.push_back(desk_.names.Of(group));
  }
  std::vector<std::string> named(shown.groups().begin(), shown.groups().end());
  std::ranges::sort(named);
  std::ranges::sort(through);
  const std::string expected =
      fmt::format("{} by {} \"{}\" revision {} in {} for {} answers {}", update.id,
                  desk_.names.Of(update.author), update.texts.back(), update.revision(),
                  fmt::join(through, ", "), static_cast<int>(sight.audience), update.reply_to);
  const std::string found =
      fmt::format("{} by {} \"{}\" revision {} in {} for {} answers {}", shown.id(), shown.author(),
                  shown.text(), shown.revision(), fmt::join(named, ", "),
                  static_cast<int>(shown.audience()), shown.reply_to());
  if (found != expected) {
    desk_.findings.Report(fmt::format("{} shows\n  {}, not\n  {}", where, found, expected));
  }
}

void HistoryReads::OneUpdate(PersonNumber viewer, uint64_t id, const Tokens& tokens) {
  v1::GetUpdateRequest request;
  request.set_actor(desk_.names.Of(viewer));
  request.set_update_id(id);
  *request.mutable_tokens() = tokens;
  const auto answer = desk_.caller.Call(&v1::FeedService::Stub::GetUpdate, request);
  const ModelUpdate* update = desk_.model.Find(id);
  const std::optional<Sight> sight =
      update == nullptr ? std::nullopt : desk_.model.See(viewer, *update, Surface::kSingle);
  const std::string where = fmt::format("update {} as p{} sees it", id, IndexOf(viewer));
  const StatusCode expected = sight ? StatusCode::OK : StatusCode::NOT_FOUND;
  if (answer.status.error_code() != expected) {
    desk_.findings.Report(fmt::format("{}: {} ({}), expected {}", where,
                                      CodeName(answer.status.error_code()),
                                      answer.status.error_message(), CodeName(expected)));
  } else if (sight) {
    CompareUpdate(where, answer.response.update(), *sight);
  }
}

void HistoryReads::Counts(PersonNumber viewer, const Tokens& tokens) {
  v1::GetUnreadCountsRequest request;
  request.set_actor(desk_.names.Of(viewer));
  request.set_home(true);
  std::vector<GroupNumber> groups;
  for (size_t i = 0; i < desk_.model.group_count(); ++i) {
    request.add_groups(desk_.names.Of(GroupNumber(i)));
    if (desk_.model.IsMember(viewer, GroupNumber(i))) {
      groups.push_back(GroupNumber(i));
    }
  }
  *request.mutable_tokens() = tokens;
  const auto answer = desk_.caller.Call(&v1::PersonService::Stub::GetUnreadCounts, request);
  const auto& counts = answer.response.counts();
  if (!answer.ok() || counts.size() != static_cast<int>(groups.size()) + 1) {
    desk_.findings.Report(fmt::format("unread counts of p{}: {}, {} of {}", IndexOf(viewer),
                                      answer.status.error_message(), counts.size(),
                                      groups.size() + 1));
    return;
  }
  const ModelPerson& person = desk_.model.At(viewer);
  CompareCount(viewer, counts[0], desk_.model.Home(viewer), person.read_home);
  for (size_t i = 0; i < groups.size(); ++i) {
    CompareCount(viewer, counts[static_cast<int>(i) + 1], desk_.model.GroupPage(viewer, groups[i]),
                 person.read_groups[IndexOf(groups[i])]);
  }
}

void HistoryReads::CompareCount(PersonNumber viewer, const v1::UnreadCount& count,
                                const std::vector<Sight>& sights, uint64_t marker) {
  uint32_t due = 0;
  uint32_t perhaps = 0;
  for (const Sight& sight : sights) {
    if (sight.update->id > marker && sight.update->author != viewer) {
      ++(sight.is_due ? due : perhaps);
    }
  }
  // What is being rebuilt is missing for a moment; only home says so.
  const bool may_lack = count.group().empty() && count.is_at_least();
  if (count.count() > due + perhaps || (count.count() < due && !may_lack) ||
      (count.is_at_least() && !may_lack)) {
    desk_.findings.Report(fmt::format(
        "p{} has {}{} unread in \"{}\" above {}, not {} to {}", IndexOf(viewer), count.count(),
        count.is_at_least() ? " or more" : "", count.group(), marker, due, due + perhaps));
  }
}

void HistoryReads::Markers(PersonNumber viewer) {
  v1::GetReadMarkersRequest request;
  request.set_actor(desk_.names.Of(viewer));
  request.set_home(true);
  for (size_t i = 0; i < desk_.model.group_count(); ++i) {
    request.add_groups(desk_.names.Of(GroupNumber(i)));
  }
  const auto answer = desk_.caller.Call(&v1::PersonService::Stub::GetReadMarkers, request);
  std::vector<uint64_t> found;
  for (const v1::ReadMarker& marker : answer.response.markers()) {
    found.push_back(marker.update_id());
  }
  const ModelPerson& person = desk_.model.At(viewer);
  std::vector<uint64_t> expected = {person.read_home};
  expected.insert(expected.end(), person.read_groups.begin(),
                  person.read_groups.begin() + static_cast<ptrdiff_t>(desk_.model.group_count()));
  if (!answer.ok() || found != expected) {
    desk_.findings.Report(fmt::format("read markers of p{}: {} {}, not {}", IndexOf(viewer),
                                      answer.status.error_message(), fmt::join(found, " "),
                                      fmt::join(expected, " ")));
  }
}

void HistoryReads::GroupsOf(PersonNumber viewer, const Tokens& tokens) {
  v1::ListPersonGroupsRequest request;
  request.set_actor(desk_.names.Of(viewer));
  *request.mutable_tokens() = tokens;
  const auto answer = desk_.caller.Call(&v1::GroupService::Stub::ListPersonGroups, request);
  std::map<std::string, v1::Role> found;
  for (const v1::PersonGroup& group : answer.response.groups()) {
    found[group.group()] = group.member().role();
  }
  std::map<std::string, v1::Role> expected;
  for (size_t i = 0; i < desk_.model.group_count(); ++i) {
    const Stay& stay = desk_.model.StayOf(viewer, GroupNumber(i));
    if (stay.is_member()) {
      expected[desk_.names.Of(GroupNumber(i))] = stay.role;
    }
  }
  if (!answer.ok() || found != expected) {
    desk_.findings.Report(fmt::format("groups of p{}: {} of them, expected {} {}", IndexOf(viewer),
                                      found.size(), expected.size(),
                                      answer.status.error_message()));
  }
}

void HistoryReads::OneGroup(PersonNumber viewer, GroupNumber group) {
  v1::GetGroupRequest request;
  request.set_actor(desk_.names.Of(viewer));
  request.set_group(desk_.names.Of(group));
  const auto answer = desk_.caller.Call(&v1::GroupService::Stub::GetGroup, request);
  const ModelGroup& there = desk_.model.At(group);
  const StatusCode expected = there.state != ModelGroup::State::kLive ? StatusCode::NOT_FOUND
                              : desk_.model.IsMember(viewer, group)   ? StatusCode::OK
                                                                    : StatusCode::PERMISSION_DENIED;
  const std::string where = fmt::format("group g{} for p{}", IndexOf(group), IndexOf(viewer));
  if (answer.status.error_code() != expected) {
    desk_.findings.Report(where + ": " + CodeName(answer.status.error_code()));
    return;
  }
  if (!answer.ok()) {
    return;
  }
  v1::Group found = answer.response.group();
  const auto members = static_cast<uint64_t>(std::ranges::count_if(there.stays, &Stay::is_member));
  if (found.member_count() != members) {
    desk_.findings.Report(
        fmt::format("{} has {} members, not {}", where, found.member_count(), members));
  }
  found.clear_member_count();
  found.clear_create_time();
  found.clear_retention();
  found.clear_pulled();
  v1::Group policy = there.policy;
  policy.set_id(desk_.names.Of(group));
  if (found.SerializeAsString() != policy.SerializeAsString()) {
    desk_.findings.Report(where + " is " + found.ShortDebugString() + ", not " +
                          policy.ShortDebugString());
  }
  MembersOf(viewer, group);
}

void HistoryReads::MembersOf(PersonNumber viewer, GroupNumber group) {
  v1::ListMembersRequest request;
  request.set_actor(desk_.names.Of(viewer));
  request.set_group(desk_.names.Of(group));
  std::map<std::string, v1::Role> found;
  do {
    const auto answer = desk_.caller.Call(&v1::GroupService::Stub::ListMembers, request);
    for (const v1::Member& member : answer.response.members()) {
      found[member.person()] = member.role();
    }
    request.set_page_token(answer.response.next_page_token());
  } while (!request.page_token().empty());
  std::map<std::string, v1::Role> expected;
  for (size_t i = 0; i < desk_.model.person_count(); ++i) {
    const Stay& stay = desk_.model.StayOf(PersonNumber(i), group);
    if (stay.is_member()) {
      expected[desk_.names.Of(PersonNumber(i))] = stay.role;
    }
  }
  if (found != expected) {
    desk_.findings.Report(fmt::format("members of g{}: {} of them, expected {}", IndexOf(group),
                                      found.size(), expected.size()));
  }
}

void HistoryReads::ProfileOf(PersonNumber viewer, PersonNumber person) {
  v1::GetProfileRequest request;
  request.set_actor(desk_.names.Of(viewer));
  request.set_person(desk_.names.Of(person));
  const auto answer = desk_.caller.Call(&v1::PersonService::Stub::GetProfile, request);
  const ModelPerson& shown = desk_.model.At(person);
  const bool is_seen =
      viewer == person || (shown.has_profile && !desk_.model.IsBlockBetween(viewer, person));
  const StatusCode expected = is_seen ? StatusCode::OK : StatusCode::NOT_FOUND;
  const v1::Profile& profile = answer.response.profile();
  if (answer.status.error_code() != expected ||
      (is_seen && (profile.display_name() != shown.display_name || profile.bio() != shown.bio))) {
    desk_.findings.Report(fmt::format("profile of p{} for p{}: {} {}", IndexOf(person),
                                      IndexOf(viewer), CodeName(answer.status.error_code()),
                                      profile.ShortDebugString()));
  }
}

void HistoryReads::Decisions(PersonNumber viewer) {
  v1::ListBlocksRequest blocks;
  blocks.set_actor(desk_.names.Of(viewer));
  v1::ListMutesRequest mutes;
  mutes.set_actor(blocks.actor());
  v1::ListHiddenRequest hidden;
  hidden.set_actor(blocks.actor());
  hidden.set_page_size(1000);
  const auto blocked = desk_.caller.Call(&v1::PersonService::Stub::ListBlocks, blocks);
  const auto muted = desk_.caller.Call(&v1::PersonService::Stub::ListMutes, mutes);
  const auto hides = desk_.caller.Call(&v1::PersonService::Stub::ListHidden, hidden);
  const ModelPerson& person = desk_.model.At(viewer);
  const std::vector<uint64_t> ids(hides.response.update_ids().begin(),
                                  hides.response.update_ids().end());
  const std::vector<uint64_t> expected(person.hidden.rbegin(), person.hidden.rend());
  if (static_cast<size_t>(blocked.response.persons_size()) != person.blocked.count() ||
      static_cast<size_t>(muted.response.persons_size()) != person.muted_persons.count() ||
      static_cast<size_t>(muted.response.groups_size()) != person.muted_groups.count() ||
      ids != expected) {
    desk_.findings.Report(
        fmt::format("p{} has {} blocks, {} and {} mutes, {} hidden, expected {}, {} and {}, {}",
                    IndexOf(viewer), blocked.response.persons_size(), muted.response.persons_size(),
                    muted.response.groups_size(), ids.size(), person.blocked.count(),
                    person.muted_persons.count(), person.muted_groups.count(), expected.size()));
  }
}

// A timeline from its first page to its last, when nothing is being rebuilt.
void HistoryReads::Whole(const Path& path) {
  Page whole;
  const auto read = [&] {
    whole = Ask(path, kWholePageSize, "", desk_.tokens.Get());
    uint64_t hole = whole.completeness.hole_since();
    while (whole.status.ok() && !whole.next.empty()) {
      Page next = Ask(path, kWholePageSize, whole.next, {});
      whole.status = next.status;
      whole.next = next.next;
      hole = std::max(hole, next.completeness.hole_since());
      whole.updates.insert(whole.updates.end(), next.updates.begin(), next.updates.end());
    }
    whole.completeness.set_hole_since(hole);
    return hole == 0;
  };
  if (!Eventually(read)) {
    desk_.findings.Report(Describe(path) + " is never whole");
  }
  if (CheckStatus(path, whole.status)) {
    constexpr uint64_t kEverything = std::numeric_limits<uint64_t>::max();
    Compare(path, whole, static_cast<int>(whole.updates.size()), kEverything, kEverything);
  }
}

void HistoryReads::Everything(PersonNumber viewer) {
  Whole({.kind = Kind::kHome, .viewer = viewer});
  for (size_t i = 0; i < desk_.model.group_count(); ++i) {
    Whole({.kind = Kind::kGroup, .viewer = viewer, .group = GroupNumber(i)});
    OneGroup(viewer, GroupNumber(i));
  }
  for (size_t i = 0; i < desk_.model.person_count(); ++i) {
    Whole({.kind = Kind::kProfile, .viewer = viewer, .author = PersonNumber(i)});
    ProfileOf(viewer, PersonNumber(i));
  }
  Counts(viewer, {});
  Markers(viewer);
  GroupsOf(viewer, {});
  Decisions(viewer);
}

}  // namespace klatch::testing
