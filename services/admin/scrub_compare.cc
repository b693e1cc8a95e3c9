#include "services/admin/scrub_compare.h"

#include <algorithm>
#include <functional>

#include "common/base/bytes.h"
#include "services/materialize/due.h"
#include "services/model/limits.h"

namespace klatch {
namespace {

// kNone both of who left and of who never was there.
Stay InMemory(const ThreeViews& views) {
  return views.memory && views.memory->stay.role != Role::kNone ? views.memory->stay : Stay();
}

// Nothing if the bytes are no view.
std::optional<Stay> InView(const ThreeViews& views) {
  if (!views.view) {
    return Stay();
  }
  const std::optional<Stay> stay =
      views.view->size() == kViewBytes ? DecodeStay(*views.view) : std::nullopt;
  return stay && stay->role == Role::kNone ? Stay() : stay;
}

std::string Evidence(const ThreeViews& views) {
  std::string evidence = views.members + "|";
  if (views.memory) {
    evidence += EncodeStay(views.memory->stay);
    base::AppendLittleEndian<uint64_t>(evidence, views.memory->position.value());
  }
  return evidence + "|" + views.view.value_or("");
}

v1::FindingKind KindOf(const Stay& due, const Stay& memory, const std::optional<Stay>& view) {
  if (!view) {
    return v1::FINDING_KIND_UNREADABLE;
  }
  if (due.role == Role::kNone) {
    return v1::FINDING_KIND_VIEW_STRAY;
  }
  return memory.role == Role::kNone || view->role == Role::kNone ? v1::FINDING_KIND_VIEW_MISSING
                                                                 : v1::FINDING_KIND_VIEW_DIFFERS;
}

}  // namespace

bool Found::SameAs(const Found& other) const {
  return person == other.person && finding.kind() == other.finding.kind() &&
         finding.group() == other.finding.group() &&
         finding.update_id() == other.finding.update_id() && finding.key() == other.finding.key() &&
         evidence == other.evidence;
}

std::optional<Found> CompareViews(const ThreeViews& views, Position seen,
                                  const GroupDirectory& groups, const Layout& layout) {
  // What the group has can't be decoded: told of the group, not of each member.
  const std::optional<Stay> decoded = views.members.empty() ? Stay() : DecodeStay(views.members);
  if (!decoded) {
    return std::nullopt;
  }
  const Stay memory = InMemory(views);
  const std::optional<Stay> view = InView(views);
  if (memory == *decoded && view == *decoded) {
    return std::nullopt;
  }
  Found found;
  found.finding.set_kind(KindOf(*decoded, memory, view));
  found.finding.set_group(views.group.value());
  found.finding.set_in_memory(memory != *decoded);
  found.evidence = Evidence(views);
  if (const GroupEntry* entry = groups.Find(views.group)) {
    found.stay = MendedStay{entry->index, layout.ShardOf(views.group), *decoded, seen};
  }
  return found;
}

std::vector<std::pair<uint64_t, const GroupId*>> MissingCopies(
    const std::vector<DueFeed>& feeds, const std::vector<uint64_t>& stored,
    const std::vector<Position>& written) {
  // What is stored comes first among equals; an id of several groups is missing once.
  std::vector<std::pair<uint64_t, const GroupId*>> all;
  for (const uint64_t id : stored) {
    all.emplace_back(id, nullptr);
  }
  for (const DueFeed& feed : feeds) {
    for (const uint64_t id : *feed.ids) {
      const UpdateId update(id);
      if (update <= written[update.shard().value()] &&
          IsDue(update, feed.stay, written) == Due::kYes) {
        all.emplace_back(id, feed.group);
      }
    }
  }
  std::ranges::stable_sort(all, std::greater<>(), &std::pair<uint64_t, const GroupId*>::first);
  const auto [end, last] =
      std::ranges::unique(all, {}, &std::pair<uint64_t, const GroupId*>::first);
  all.erase(end, last);
  all.resize(std::min<size_t>(all.size(), limits::kTimelineCap));
  std::erase_if(all, [](const auto& one) { return one.second == nullptr; });
  return all;
}

}  // namespace klatch
