#pragma once
// The scripts that write a person's state to Redis, and what is stored there.
//
//   {ns:tN}:blocks:<person>   set    ">bob" blocked by this person, "<eve" has blocked this person
//   {ns:tN}:mutes:<person>    set    "p<person>", "g<group>"
//   {ns:tN}:hidden:<person>   set    ids of updates, decimal
//   {ns:tN}:person:<person>   hash   "profile" (a klatch.v1.Profile without its person), "read" and
//                                    "read:<group>" (read markers, 20 decimal digits)
//   {ns:tN}:personal          set    the persons who have any of the first three: all that a start
//                                    reads
//
// Each script compares the lease's nonce first, so that who has lost the lease writes nothing, and
// a fence of its own, so that what a broken connection still delivers writes nothing either
// (materialize/flush_scripts.h tells how). It reads every key that it writes before its first
// write: whatever Redis refuses, nothing has changed.
//
// Thread safety: functions and values without state.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "common/redis/command.h"
#include "common/redis/reply.h"
#include "services/model/ids.h"
#include "services/model/keys.h"
#include "services/model/position.h"
#include "services/personal/personal_state.h"

namespace klatch::personal {

enum class SetKey { kBlocks, kMutes, kHidden };

// Members that one of a person's sets gains and loses, in one step.
struct SetChange {
  SetKey key;
  std::vector<std::string> added{};
  std::vector<std::string> removed{};
  // Whether it must get through when Redis is out of memory.
  bool without_memory = false;
};

std::string BlockedMember(const PersonId& person);
std::string BlockedByMember(const PersonId& person);
std::string MutedMember(const PersonId& person);
std::string MutedMember(const GroupId& group);
std::string HiddenMember(UpdateId update);
// Adds a stored member to `state`; hidden updates in no order, and twice if it comes twice. False
// if it is none.
bool RestoreMember(SetKey key, std::string_view member, PersonalState& state);
std::string KeyOf(const Keys& keys, SetKey key, const PersonId& person);

inline constexpr char kProfileField[] = "profile";
// `group` empty: home.
std::string MarkerField(const GroupId& group);
std::string EncodeMarker(UpdateId marker);
// Nothing if `text` is none.
std::optional<UpdateId> DecodeMarker(std::string_view text);

// A call of a script, but for what every one of them compares first.
struct ScriptCall {
  const redis::Script* script;
  std::vector<std::string> keys;
  std::vector<std::string> arguments;
};
redis::Command CommandOf(const ScriptCall& call, const std::string& nonce,
                         const std::string& fence);

// Lets only scripts with this fence through from now on.
redis::Command SetFence(const std::string& lease_key, const std::string& nonce,
                        const std::string& fence);

// Answers {'OK'}.
ScriptCall ChangeSet(const Keys& keys, PartitionIndex partition, const PersonId& person,
                     const SetChange& change);
// `profile` empty: none any more. Answers {'OK'}.
ScriptCall SetProfile(const Keys& keys, PartitionIndex partition, const PersonId& person,
                      std::string profile);
// Answers {'OK', the marker as it is now}, or {'FULL'} if the person has as many as one may.
ScriptCall RaiseMarker(const Keys& keys, PartitionIndex partition, const PersonId& person,
                       const GroupId& group, UpdateId marker);

// How a call of a script ended.
enum class Verdict {
  kDone,
  kFull,
  // Somebody else holds the lease.
  kLost,
  // Another fence stands.
  kFenced,
};
// The error of Redis, naming the key: nothing has changed then.
absl::StatusOr<Verdict> ReadVerdict(redis::ReplyView reply);

}  // namespace klatch::personal
