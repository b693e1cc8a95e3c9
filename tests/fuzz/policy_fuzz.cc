// Policies: whatever a file holds, it is refused with its name, or every identity in it is whole.

#include "services/identity/policy.h"
#include "tests/fuzz/fuzz_input.h"

using klatch::fuzz::Require;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<klatch::Policy> policy = klatch::Policy::Parse("policy", text);
  if (!policy.ok()) {
    Require(absl::IsInvalidArgument(policy.status()), "a bad policy is an invalid argument");
    Require(klatch::base::MessageOf(policy.status()).starts_with("policy:"),
            "an error names its file");
    return 0;
  }
  Require(policy->knows_tokens() || policy->knows_certificates(), "somebody may call");
  for (const klatch::Identity* identity :
       {policy->OfSubject("app"), policy->OfCertificate("app")}) {
    if (identity != nullptr) {
      Require(!identity->name.empty() && !identity->namespaces.empty() && identity->calls.any(),
              "an identity is whole");
      Require(identity->acts_for_anybody || klatch::FirstForAnybody(identity->calls).empty(),
              "who acts for one person calls nothing that acts for anybody");
    }
  }
  return 0;
}
