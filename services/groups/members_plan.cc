#include "services/groups/members_plan.h"

#include <algorithm>
#include <utility>

#include "common/base/bytes.h"
#include "common/base/hash.h"
#include "services/groups/group_message.h"
#include "services/model/limits.h"

namespace klatch {
namespace {

void CutIntoChunks(std::vector<PersonRole> changes, std::vector<std::vector<PersonRole>>& chunks) {
  for (size_t i = 0; i < changes.size(); ++i) {
    if (i % limits::kMembersPerScript == 0) {
      chunks.emplace_back();
    }
    chunks.back().push_back(std::move(changes[i]));
  }
}

}  // namespace

MembersPlan::MembersPlan(const google::protobuf::RepeatedPtrField<v1::Member>& list) {
  wanted_.reserve(static_cast<size_t>(list.size()));
  for (const v1::Member& member : list) {
    wanted_.push_back({member.person(), RoleOrMember(member.role())});
  }
  std::ranges::sort(wanted_, {}, &Wanted::person);
}

std::string MembersPlan::Digest() const {
  std::string bytes = "sync_members";
  for (const Wanted& wanted : wanted_) {
    base::AppendLittleEndian<uint32_t>(bytes, static_cast<uint32_t>(wanted.person.size()));
    bytes.append(wanted.person);
    bytes.push_back(static_cast<char>(wanted.role));
  }
  return base::PayloadDigest(bytes);
}

void MembersPlan::NoteThere(const StoredMember& member) {
  const std::string_view person = member.person.value();
  const auto found = std::ranges::lower_bound(wanted_, person, {}, &Wanted::person);
  if (found != wanted_.end() && found->person == person) {
    found->there = member.stay.role;
  } else {
    leaving_.push_back(member.person);
  }
}

std::vector<std::string_view> MembersPlan::Joining() const {
  std::vector<std::string_view> joining;
  for (const Wanted& wanted : wanted_) {
    if (wanted.there == Role::kNone) {
      joining.push_back(wanted.person);
    }
  }
  return joining;
}

std::vector<std::vector<PersonRole>> MembersPlan::Chunks() const {
  std::vector<PersonRole> changes;
  const auto add = [&](auto is_due) {
    for (const Wanted& wanted : wanted_) {
      if (wanted.role != wanted.there && is_due(wanted)) {
        changes.push_back({PersonId(wanted.person), wanted.role});
      }
    }
  };
  add([](const Wanted& wanted) { return wanted.there == Role::kNone; });
  add([](const Wanted& wanted) {
    return wanted.there != Role::kNone && wanted.role == Role::kOwner;
  });
  add([](const Wanted& wanted) {
    return wanted.there != Role::kNone && wanted.role != Role::kOwner;
  });
  std::vector<std::vector<PersonRole>> chunks;
  CutIntoChunks(std::move(changes), chunks);

  std::vector<PersonId> leaving = leaving_;
  std::ranges::sort(leaving);
  const auto twice = std::ranges::unique(leaving);
  leaving.erase(twice.begin(), twice.end());
  std::vector<PersonRole> leaves;
  for (PersonId& person : leaving) {
    leaves.push_back({std::move(person), Role::kNone});
  }
  CutIntoChunks(std::move(leaves), chunks);
  return chunks;
}

}  // namespace klatch
