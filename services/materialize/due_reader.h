#pragma once
// What is due on home timelines by the feeds of their groups, and what is stored of them anyway: for many
// persons at once, so that a feed that they share is read once, and whom an update is for is asked once.
//
//   memberships ─▶ stored timelines ─▶ feeds ─▶ certainly due
//                                        └────▶ perhaps due ─▶ bodies' headers, carries ─▶ due
//
// Everything that a timeline has lost before a read begins is in the feeds: the append that put it into the
// log also put it there.
//
// Thread safety: one thread, which the Connection is the reader's for during a call.
// Bound: limits::kPulledFeedsPerRead feeds, or stored timelines, are held at a time, and per person about nine
// timelines; kHeadersPerRead headers are asked for at a time.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "common/base/status.h"
#include "common/redis/connection.h"
#include "services/model/carry.h"
#include "services/model/keys.h"
#include "services/model/membership.h"
#include "services/persons/group_directory.h"

namespace klatch {

class DueReader {
 public:
  struct MemberGroup {
    GroupIndex group;
    Stay stay;
  };
  struct Asked {
    PersonId person;
    std::vector<MemberGroup> groups;
  };
  // Newest first, at most limits::kTimelineCap. Or why this person's can't be told: a feed of theirs holds
  // what is none.
  using Timeline = absl::StatusOr<std::vector<uint64_t>>;

  DueReader(const Layout& layout, const GroupDirectory& groups) : keys_(layout), groups_(groups) {}

  // In the order of `asked`. `written`: how far each shard is applied and written. An error concerns all.
  absl::StatusOr<std::vector<Timeline>> Read(redis::Connection& redis, std::span<const Asked> asked,
                                             const std::vector<Position>& written) const;

 private:
  // One person's, while they are collected.
  struct Collected;
  // A group of somebody.
  struct Member;
  // An id in the feed of one of a person's groups, and the person's stay there.
  struct PastUpdate {
    uint64_t id;
    GroupIndex group;
    Stay stay;
  };
  // Where an update stands in its group, and who may see it there.
  class Carries;

  absl::Status ReadStored(redis::Connection& redis, std::span<const Asked> asked,
                          std::vector<Collected>& collected) const;
  absl::Status ReadFeeds(redis::Connection& redis, std::span<const Asked> asked,
                         const std::vector<Position>& written,
                         std::vector<Collected>& collected) const;
  absl::StatusOr<Carries> ReadCarries(redis::Connection& redis,
                                      const std::vector<Collected>& collected) const;
  static void AddDue(std::span<const uint64_t> feed, const Member& member,
                     const std::vector<Position>& written, Collected& collected);

  const Keys keys_;
  const GroupDirectory& groups_;
};

}  // namespace klatch
