#include "services/identity/audit.h"

#include "common/obs/log.h"

namespace klatch {
namespace {

CallSet AuditedCalls() {
  CallSet calls;
  for (const char* name :
       {"GroupService/CreateGroup", "GroupService/UpdateGroup", "GroupService/DeleteGroup",
        "GroupService/AddMembers", "GroupService/RemoveMembers", "GroupService/UpdateMember",
        "PersonService/BlockPerson", "PersonService/UnblockPerson", "ImportService",
        "AdminService"}) {
    calls |= CallsNamed(name).value();
  }
  return calls;
}

}  // namespace

bool IsAudited(const CallName& call) {
  static const CallSet audited = AuditedCalls();
  return audited.test(call.index);
}

void AuditedRequest::Add(const std::string& person) {
  if (++count <= kAuditPersonsMax) {
    persons += (persons.empty() ? "" : " ") + person;
  }
}

void WriteAudit(const Caller& caller, const CallName& call, const AuditedRequest& request,
                const absl::Status& outcome) {
  obs::Log(obs::Level::kInfo, "audit", call.name,
           {{"identity", caller.identity()},
            {"subject", caller.subject()},
            {"actor", request.actor},
            {"group", request.group},
            {"outcome", absl::StatusCodeToString(outcome.code())},
            {"count", request.count},
            {"persons", request.persons}});
}

}  // namespace klatch
