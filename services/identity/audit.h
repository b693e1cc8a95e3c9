#pragma once
// Who changed whose membership, and what operators did: a line of the log for each such call, answered or
// refused, with who called (identity and subject), as whom (actor), what for, and what came of it.
//
//   {"ts":…,"level":"info","component":"audit","msg":"GroupService/RemoveMembers","identity":"backend",
//    "subject":"","actor":"ann","group":"g","outcome":"OK","count":2,"persons":"bob carl"}
//
// What the door refuses, and what can't be parsed, is not among it. A line that is too long loses persons.
// It names people and groups by their ids and holds nothing that anybody has posted.
//
// Thread safety: pure but for the log. Bound: the first kAuditPersonsMax persons are named.

#include <cstddef>
#include <string>

#include "common/base/status.h"
#include "services/identity/call_names.h"
#include "services/identity/caller.h"

namespace klatch {

constexpr size_t kAuditPersonsMax = 20;

// Whether the call is one of those: what changes groups, members and blocks, imports, and all of operators.
bool IsAudited(const CallName& call);

// What a request is about, kept because it is gone when its outcome is known.
struct AuditedRequest {
  std::string actor;
  std::string group;
  std::string persons;  // parted by blanks
  size_t count = 0;     // of persons

  void Add(const std::string& person);
};

template <typename Request>
AuditedRequest AuditedOf(const Request& request) {
  AuditedRequest audited;
  if constexpr (requires { request.actor(); }) {
    audited.actor = request.actor();
  }
  if constexpr (requires { request.group().id(); }) {
    audited.group = request.group().id();
  } else if constexpr (requires { request.group(); }) {
    audited.group = request.group();
  }
  if constexpr (requires { request.person(); }) {
    audited.Add(request.person());
  }
  if constexpr (requires { request.member().person(); }) {
    audited.Add(request.member().person());
  }
  if constexpr (requires { request.persons(); }) {
    for (const std::string& person : request.persons()) {
      audited.Add(person);
    }
  }
  if constexpr (requires { request.members(); }) {
    for (const auto& member : request.members()) {
      audited.Add(member.person());
    }
  }
  return audited;
}

// The line of one call. One that was made of nothing writes nothing.
class AuditLine {
 public:
  AuditLine() = default;
  // Before the call runs.
  template <typename Request>
  AuditLine(const Caller& caller, const CallName& call, const Request& request)
      : call_(IsAudited(call) ? &call : nullptr) {
    if (call_ != nullptr) {
      caller_ = caller;
      request_ = AuditedOf(request);
    }
  }

  // Writes it, once the call's outcome is known; gives that back.
  const absl::Status& End(const absl::Status& outcome) const;

 private:
  const CallName* call_ = nullptr;
  Caller caller_;
  AuditedRequest request_;
};

}  // namespace klatch
