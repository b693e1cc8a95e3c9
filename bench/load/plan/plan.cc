#include "bench/load/plan/plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "bench/load/plan/texts.h"

namespace klatch::load {
namespace {

constexpr uint64_t kLeaverSalt = 0x6c65617665727321ULL;
constexpr uint64_t kPostSalt = 0x706f737473657121ULL;
constexpr uint64_t kPastSalt = 0x6f70656e70617374ULL;
// Who has more groups never posts to all of them: one such post would be as many as all others.
constexpr size_t kAllGroupsMax = 20;
constexpr uint64_t kOthersMax = 3;
constexpr int kDrawsPerOther = 4;

}  // namespace

PlannedPost Plan::At(uint64_t number) const {
  Random random(Mix(seed_ ^ kPostSalt) ^ number);
  PersonNumber author = kNobody;
  do {
    author = static_cast<PersonNumber>(random.Below(graph_.author_count()));
  } while (graph_.GroupsOf(author).empty());
  GroupNumber group = GroupFor(author, random);
  PlannedPost post{number, author, group, random.Below(8) == 0};
  if (several_per_thousand_ != 0 && random.Below(1'000) < several_per_thousand_) {
    AddGroups(post, random);
  }
  return post;
}

void Plan::AddGroups(PlannedPost& post, Random& random) const {
  std::span<const GroupNumber> groups = graph_.GroupsOf(post.author);
  if (groups.size() < 2) {
    return;
  }
  if (groups.size() <= kAllGroupsMax && random.Below(4) == 0) {
    post.all_my_groups = true;
    return;
  }
  const size_t wanted = std::min<size_t>(1 + random.Below(kOthersMax), groups.size() - 1);
  for (size_t draw = 0; draw < wanted * kDrawsPerOther && post.others.size() < wanted; ++draw) {
    const GroupNumber other = groups[random.Below(groups.size())];
    if (other != post.group &&
        std::find(post.others.begin(), post.others.end(), other) == post.others.end()) {
      post.others.push_back(other);
    }
  }
}

GroupNumber Plan::GroupFor(PersonNumber author, Random& random) const {
  std::span<const GroupNumber> groups = graph_.GroupsOf(author);
  if (!graph_.first_circle().has_value()) {
    return groups[random.Below(groups.size())];
  }
  if (random.Below(5) < 4) {
    return author;  // friends' groups are numbered as their owners
  }
  auto circles = std::lower_bound(groups.begin(), groups.end(), *graph_.first_circle());
  if (circles != groups.end()) {
    return *(circles +
             static_cast<ptrdiff_t>(random.Below(static_cast<uint64_t>(groups.end() - circles))));
  }
  return groups[random.Below(groups.size())];
}

std::string Plan::TextOf(uint64_t number) const { return StatusText(seed_, number); }

std::string Plan::EditedTextOf(uint64_t number) const { return TextOf(number) + " (edited)"; }

bool Plan::OpensPast(GroupNumber group) const {
  return Mix(Mix(seed_ ^ kPastSalt) ^ group) % 4 == 0;
}

std::string Plan::RequestIdOf(uint64_t number) const { return fmt::format("{}-{}", run_, number); }

bool Plan::MayLeave(GroupNumber group, PersonNumber person) const {
  return graph_.group(group).owner != person &&
         Mix(Mix(seed_ ^ kLeaverSalt) ^ (static_cast<uint64_t>(group) << 32 | person)) % 8 == 0;
}

PersonNumber Plan::StayingMember(GroupNumber group, Random& random) const {
  const GroupSpec& spec = graph_.group(group);
  for (int attempt = 0; attempt < 16; ++attempt) {
    PersonNumber member = spec.members[random.Below(spec.members.size())];
    if (!MayLeave(group, member)) {
      return member;
    }
  }
  return spec.owner;
}

}  // namespace klatch::load
