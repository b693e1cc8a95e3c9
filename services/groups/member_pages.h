#pragma once
// Pages of a group's members, read by HSCAN: a group of a million members must not be read whole.
//
// HSCAN answers batches, not pages: a small group comes whole whatever was asked for, a large one
// in buckets, so that a batch can be greater than the page. What is left over is read again for the
// next page, from where that batch began. A batch's members are sorted by id, so that the last one
// shown tells which of them were shown.
//
//   scan ──▶ ┌────────── batch ──────────┐ ──▶ end
//            │ ann  bob  cat │ dan  eve  │           page of 3: ann, bob, cat
//            └───────────────┴───────────┘           next: {scan, end, count, after = cat}
//
// If the same question ends elsewhere than before, Redis has moved members between buckets (the
// group has grown or shrunk since), and nothing is known of who was shown: the batch is shown from
// its beginning. So members who stay are never missing, and shown twice only if the group changed
// meanwhile.
//
// Thread safety: functions without state.
// Bounds: never more members than asked for, at most kMemberScansMax questions; a page may be short
// and still have a next one.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "common/base/task.h"
#include "services/groups/group_reader.h"

namespace klatch {

constexpr int kMemberScansMax = 16;

// Where a page begins.
struct MemberCursor {
  uint64_t scan = 0;  // Redis's cursor; 0 begins
  // Of a batch that was shown in part: where it ended, how many were asked for, the last one shown.
  uint64_t end = 0;
  uint32_t count = 0;
  std::string after{};

  bool operator==(const MemberCursor&) const = default;
};

struct MemberPage {
  std::vector<StoredMember> members;
  std::optional<MemberCursor> next;  // nothing at the end
};

std::string EncodeMemberCursor(const MemberCursor& cursor);
// Nothing if `bytes` are none.
std::optional<MemberCursor> DecodeMemberCursor(std::string_view bytes);

// At most `size` members from `cursor` on. Errors: those of the reader. REQUIRES: size > 0; the
// reader outlives the task.
base::Task<absl::StatusOr<MemberPage>> ReadMemberPage(GroupReader& reader, GroupId group,
                                                      MemberCursor cursor, size_t size);

}  // namespace klatch
