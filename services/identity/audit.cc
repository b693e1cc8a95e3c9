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

const absl::Status& AuditLine::End(const absl::Status& outcome) const {
  if (call_ != nullptr) {
    obs::Log(obs::Level::kInfo, "audit", call_->name,
             {{"identity", caller_.identity()},
              {"subject", caller_.subject()},
              {"actor", request_.actor},
              {"group", request_.group},
              {"outcome", absl::StatusCodeToString(outcome.code())},
              {"count", request_.count},
              {"persons", request_.persons}});
  }
  return outcome;
}

}  // namespace klatch
