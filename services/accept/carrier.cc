#include "services/accept/carrier.h"

#include <fmt/format.h>

#include <utility>

#include "common/base/failpoint.h"
#include "services/accept/when_all.h"

namespace klatch {
namespace {

// Whatever a single append says of itself: the post as a whole is neither done nor undone.
absl::Status Unfinished(const absl::Status& cause) {
  absl::Status status = base::Error(
      absl::StatusCode::kUnavailable,
      fmt::format(
          "accepted, but not decided by every group; repeat it with the same request_id ({})",
          base::MessageOf(cause)));
  return base::WithReason(std::move(status), "OUTCOME_UNKNOWN");
}

}  // namespace

base::Task<void> Carrier::CarryTo(CarryCommand command, absl::StatusOr<Carry>& result) {
  auto carrying = appender_.CarryTo(std::move(command));
  result = co_await std::move(carrying);
}

base::Task<absl::StatusOr<std::vector<Carry>>> Carrier::Finish(UpdateId update, BodyHeader header,
                                                               SettleCommand settling, Ask ask,
                                                               AckClass ack) {
  std::vector<absl::StatusOr<Carry>> results;
  results.reserve(header.targets.size());
  for (const Target& target : header.targets) {
    results.push_back(target.carry);
  }
  std::vector<base::Task<void>> carrying;
  for (size_t i = 0; i < header.targets.size(); ++i) {
    const Target& target = header.targets[i];
    // A refusal may be forgotten by the group once the body has it: asked again, it might differ.
    const bool asks = ask == Ask::kAlsoCarried
                          ? target.carry.is_carried() || !target.carry.is_decided()
                          : !target.carry.is_decided();
    if (asks) {
      CarryCommand command{update, header.author, target.group, header.audience, ack};
      carrying.push_back(CarryTo(std::move(command), results[i]));
    }
  }
  auto all = WhenAll(std::move(carrying));
  co_await std::move(all);
  KLATCH_FAILPOINT("several-carried");
  absl::Status open;
  std::vector<Carry> carries;
  for (const absl::StatusOr<Carry>& result : results) {
    open.Update(result.status());
    carries.push_back(result.ok() ? *result : Carry{});
  }
  settling.update = update;
  settling.carries = carries;
  auto settle = appender_.Settle(std::move(settling));
  const absl::StatusOr<Settled> settled = co_await std::move(settle);
  open.Update(settled.status());
  if (!open.ok()) {
    co_return Unfinished(open);
  }
  KLATCH_FAILPOINT("several-settled");
  co_return carries;
}

}  // namespace klatch
