#pragma once
// The fields of the hash `group:<group>`. Names are one letter, because every publish reads and
// writes some of them. Written by the scripts only; the hash of a deleted group stays, so that its
// id is never given out again.
//
//   field  value
//   s      state: "1" active, "2" deleted
//   n, d   display name, description
//   h, l   history: "1" none, "2" all, "3" the last l (klatch.v1.History); l is "0" otherwise
//   a      default audience: "1" members at posting, "2" members now (klatch.v1.Audience)
//   p, b   the lowest roles that may post, and that may bring in others: "2" to "4" (klatch.v1.Role)
//   j      joining: "1" by invitation, "2" open (klatch.v1.Joining)
//   z      closed: "1", or "0"
//   e, q, y  retention: age in milliseconds, count, bytes; decimal, "0": no bound
//   m, o   how many members, how many of them owners; decimal
//   f      how many updates its feed has taken; decimal. The next goes to slot f modulo the slots
//   u      pulled: "1", or "0", or no such field: it never was (scripts/delivery.lua)
//   c, x   positions of its creation and deletion; 8 bytes, little-endian
//   v, w   of the last list of members that an app brought: its version, 20 digits; its digest 16 bytes
//          and what tells the call from others 8. Only scripts look at them
//
// Thread safety: functions without state.

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "common/redis/reply.h"
#include "services/log/stored_group.h"

namespace klatch::group_hash {

constexpr char kState[] = "s";
constexpr char kDisplayName[] = "n";
constexpr char kDescription[] = "d";
constexpr char kHistory[] = "h";
constexpr char kAudience[] = "a";
constexpr char kMemberCount[] = "m";
constexpr char kOwnerCount[] = "o";
constexpr char kFeedCount[] = "f";
constexpr char kCreated[] = "c";
constexpr char kDeleted[] = "x";
constexpr char kPostRole[] = "p";
constexpr char kAddRole[] = "b";
constexpr char kJoining[] = "j";
constexpr char kHistoryCount[] = "l";
constexpr char kClosed[] = "z";
constexpr char kPulled[] = "u";

constexpr char kKeepAge[] = "e";
constexpr char kKeepCount[] = "q";
constexpr char kKeepBytes[] = "y";

constexpr char kActive[] = "1";

// In the order in which scripts and readers ask for them.
inline constexpr std::array kAll = {
    kState,     kDisplayName, kDescription, kHistory,   kAudience, kMemberCount, kOwnerCount,
    kFeedCount, kCreated,     kDeleted,     kPostRole,  kAddRole,  kJoining,     kHistoryCount,
    kClosed,    kKeepAge,     kKeepCount,   kKeepBytes, kPulled};

// Where a field stands in kAll.
constexpr size_t PlaceOf(std::string_view field) {
  return static_cast<size_t>(std::ranges::find(kAll, field) - kAll.begin());
}

// The retention whose three fields are these. Nothing if one is no number; a missing one is no bound.
std::optional<GroupRetention> DecodeRetention(redis::ReplyView age, redis::ReplyView count,
                                              redis::ReplyView bytes);

// The group whose kAll are `values`, without its id. Nothing if a field is missing or of a shape
// that the scripts don't write.
std::optional<StoredGroup> Decode(redis::ReplyView values);

}  // namespace klatch::group_hash
