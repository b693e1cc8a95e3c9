#pragma once
// What it takes to make a group's members those of a list: fed with who is there, it says who joins,
// whose role changes and who leaves.
//
//   MembersPlan plan(request.members());
//   for (…) plan.NoteThere(member);                 // as HSCAN tells, in any order, some twice
//   for (const auto& chunk : plan.Chunks()) …       // joins, roles, then leaves
//
// Thread safety: one thread at a time.
// Lifetime: refers to the list.
// Bounds: the list's; who leaves is kept by name, at most as many as the group has members.

#include <string>
#include <string_view>
#include <vector>

#include "klatch/v1/resources.pb.h"
#include "services/log/appender.h"
#include "services/log/group_store.h"

namespace klatch {

class MembersPlan {
 public:
  // REQUIRES: each person once, with valid roles; none is an ordinary member's.
  explicit MembersPlan(const google::protobuf::RepeatedPtrField<v1::Member>& list);

  // Tells the list from others, whatever its order.
  std::string Digest() const;

  void NoteThere(const StoredMember& member);

  // Who is not there.
  std::vector<std::string_view> Joining() const;
  // What is to be done, at most limits::kMembersPerScript at a time. Owners are appointed before
  // others are less than owners; who leaves (Role::kNone) comes last, in chunks of their own.
  std::vector<std::vector<PersonRole>> Chunks() const;

 private:
  struct Wanted {
    std::string_view person;
    Role role;
    Role there = Role::kNone;
  };

  // By person.
  std::vector<Wanted> wanted_;
  std::vector<PersonId> leaving_;
};

}  // namespace klatch
