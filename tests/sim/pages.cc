// Home pages, as apps read them while everything happens: what was acknowledged and applied is on them, once, and
// nothing of a group that its reader is not in.
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/sim/world.h"

namespace klatch::sim {
namespace {

using std::chrono::milliseconds;

constexpr int32_t kPageSize = 200;

absl::StatusOr<klatch::v1::ListHomeTimelineResponse> Parse(const grpc::ByteBuffer& bytes) {
  std::vector<grpc::Slice> slices;
  std::string flat;
  klatch::v1::ListHomeTimelineResponse page;
  if (!bytes.Dump(&slices).ok()) {
    return absl::InternalError("a page can't be copied");
  }
  for (const grpc::Slice& slice : slices) {
    flat.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  if (!page.ParseFromString(flat)) {
    return absl::InternalError("a page can't be parsed");
  }
  return page;
}

}  // namespace

// What is known of a person before a page of theirs is read.
struct World::Expected {
  // By group, of what this client has last done and was answered.
  std::map<std::string, Change> changes;
  // Acknowledged posts to single groups that are due: id, and its request id.
  std::map<uint64_t, std::string> due;
  std::vector<Position> applied;  // what the node must have applied for that to be so
};

World::Expected World::ExpectedOf(const PersonId& person) const {
  Expected expected;
  for (const auto& [who, change] : changes_) {
    if (who.first == person.value()) {
      expected.changes.emplace(who.second, change);
      expected.applied.emplace_back(change.position);
    }
  }
  for (const auto& [key, post] : posts_) {
    const auto change = expected.changes.find(post.group);
    if (post.ids.empty() || post.is_deleted || change == expected.changes.end() ||
        !change->second.joined || *post.ids.begin() < change->second.position) {
      continue;
    }
    expected.due.emplace(*post.ids.begin(), key);
    expected.applied.emplace_back(*post.ids.begin());
  }
  return expected;
}

void World::ReadHome(const PersonId& person) {
  const auto core = AwaitServing();
  if (core == nullptr || core->feed_reads() == nullptr) {
    return;
  }
  const Expected expected = ExpectedOf(person);
  const auto is_applied = [&] {
    return std::ranges::all_of(expected.applied, [&](Position at) { return core->Applied(at); });
  };
  if (!scheduler_.WaitUntil([&] { return is_applied() || !core->health().ok(); }, kCallMax)) {
    return;
  }
  klatch::v1::ListHomeTimelineRequest request;
  request.set_actor(person.value());
  request.set_page_size(kPageSize);
  // Keeps the core until it ends.
  const auto reading =
      [](std::shared_ptr<Core> of, klatch::v1::ListHomeTimelineRequest asked,
         base::MonotonicTime deadline) -> base::Task<absl::StatusOr<grpc::ByteBuffer>> {
    auto page = of->feed_reads()->ListHome(std::move(asked), deadline);
    co_return co_await std::move(page);
  };
  const auto bytes = Await(reading(core, request, core->clock().Monotonic() + kCallMax));
  if (!bytes || !core->health().ok() || !core->HoldsAll()) {
    return;
  }
  if (!bytes->ok()) {
    if (!absl::IsUnavailable(bytes->status())) {
      Violate(fmt::format("{}'s home: {}", person.value(), bytes->status().ToString()));
    }
    return;
  }
  const auto page = Parse(**bytes);
  if (!page.ok()) {
    Violate(page.status().ToString());
    return;
  }
  // What a Redis may have lost may be missing, and so may be who has left.
  if (!promises_.may_lose() && !promises_.may_lose_removals()) {
    ++verdict_.pages;
    CheckPage(person, expected, *page);
  }
}

void World::CheckPage(const PersonId& person, const Expected& expected,
                      const klatch::v1::ListHomeTimelineResponse& page) {
  std::set<uint64_t> shown;
  uint64_t last = UINT64_MAX;
  for (const klatch::v1::Update& update : page.updates()) {
    if (update.id() >= last) {
      Violate(fmt::format("{} is shown {} behind {}", person.value(), update.id(), last));
    }
    last = update.id();
    shown.insert(update.id());
    // Groups take a post to several later than its id says.
    const auto post = posts_.find(update.text());
    const bool is_of_one = post != posts_.end() && post->second.groups.empty();
    for (const std::string& group : update.groups()) {
      const auto change = expected.changes.find(group);
      if (change == expected.changes.end()) {
        continue;  // nothing was answered of it
      }
      if (!change->second.joined) {
        Violate(fmt::format("{} has left {} and is shown {}", person.value(), group, update.id()));
      } else if (is_of_one && update.id() < change->second.position &&
                 terms_.at(group).audience == AudienceRule::kMembersAtPosting) {
        Violate(fmt::format("{} came to {} later than {} and is shown it", person.value(), group,
                            update.id()));
      }
    }
  }
  // What a log lacks that was cut comes back later, from the groups' feeds.
  if (trims_ == Trims::kCuts) {
    return;
  }
  const uint64_t hole = page.completeness().hole_since();
  for (const auto& [id, key] : expected.due) {
    const bool is_beyond = !page.next_page_token().empty() && id < last;
    if (!shown.contains(id) && !is_beyond && (hole == 0 || id < hole) &&
        !posts_.at(key).is_deleted) {
      Violate(fmt::format("{}'s home lacks {}", person.value(), id));
    }
  }
}

}  // namespace klatch::sim
