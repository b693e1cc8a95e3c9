#pragma once
// Who makes a call, once the door has let them in. A value; it keeps the policy that it was let in by.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "klatch/v1/feed_service.pb.h"
#include "services/identity/policy.h"

namespace klatch {

class Caller {
 public:
  // For how long the door would say the same.
  struct Validity {
    uint64_t rules = 0;  // the generation of what it was held against
    base::WallTime until = base::WallTime::max();
  };

  // Where nobody is asked who they are: whoever reaches the port acts for anybody.
  Caller() = default;
  // `subject`: whose token it is; empty for a certificate. `identity` is of `policy`.
  Caller(std::shared_ptr<const Policy> policy, const Identity& identity, std::string subject,
         Validity validity)
      : policy_(std::move(policy)),
        identity_(&identity),
        subject_(std::move(subject)),
        validity_(validity) {}

  // Empty if nobody was asked.
  std::string_view identity() const {
    return identity_ == nullptr ? std::string_view() : identity_->name;
  }
  std::string_view subject() const { return subject_; }
  const Validity& validity() const { return validity_; }
  CallerRates::Bounds rate() const {
    return identity_ == nullptr ? CallerRates::Bounds{} : identity_->rate;
  }
  bool MayCall(const CallName& call) const {
    return identity_ == nullptr || identity_->calls.test(call.index);
  }
  bool MayUse(const std::string& space) const;
  bool acts_for_anybody() const { return identity_ == nullptr || identity_->acts_for_anybody; }

  // PERMISSION_DENIED with reason ACTOR_NOT_ALLOWED, naming `field`, if it may not act for `actor`.
  absl::Status CheckActor(std::string_view field, std::string_view actor) const;

 private:
  std::shared_ptr<const Policy> policy_;
  const Identity* identity_ = nullptr;
  std::string subject_;
  Validity validity_;
};

// The same of all whom a request acts for. What names nobody is for those who act for anybody: a policy
// gives it to no others.
template <typename Request>
absl::Status CheckActors(const Caller& caller, const Request& request) {
  if (caller.acts_for_anybody()) {
    return absl::OkStatus();
  }
  if constexpr (requires { request.actor(); }) {
    return caller.CheckActor("actor", request.actor());
  } else {
    return caller.CheckActor("actor", "");
  }
}
absl::Status CheckActors(const Caller& caller, const v1::BatchPublishUpdatesRequest& request);

}  // namespace klatch
