#include "services/log/acks.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "common/redis/channel.h"
#include "common/redis/connection.h"
#include "services/log/log_end.h"

namespace klatch {
namespace {

constexpr std::chrono::seconds kFactsKept{1};
constexpr std::chrono::milliseconds kNoReplicaRetryAfter{500};

absl::Status NotOffered(std::string_view why) {
  return base::WithReason(base::FieldError(absl::StatusCode::kFailedPrecondition, "ack", why),
                          "ACK_NOT_OFFERED");
}

absl::Status NotNow(std::string_view why) {
  return base::WithReason(
      base::RetryLater(absl::StatusCode::kUnavailable, why, kNoReplicaRetryAfter),
      redis::kReasonNotSent);
}

// What a log has at a position, or before: of one record that is there, itself.
redis::Command Look(const Keys& keys, Position position) {
  return {"XREVRANGE", keys.Log(position.shard()), position.ToStreamId(), "-", "COUNT", "1"};
}

// Older ones without it: it was lost. None at all: they were trimmed, which takes the oldest, or all
// are lost; of a log that was trimmed its newest entry is left.
absl::Status IsThere(Position position, redis::ReplyView at, redis::ReplyView newest) {
  KLATCH_RETURN_IF_ERROR(redis::ToStatus(at));
  KLATCH_RETURN_IF_ERROR(redis::ToStatus(newest));
  const auto of = [&](redis::ReplyView found) {
    return found.size() == 0 ? std::optional<Position>()
                             : Position::FromStreamId(found[0][0].text(), position.shard());
  };
  const std::optional<Position> found = of(at);
  const bool is_there =
      at.size() == 0 ? of(newest).value_or(Position()) >= position : found && *found == position;
  return is_there ? absl::OkStatus()
                  : base::Error(
                        absl::StatusCode::kUnavailable,
                        fmt::format("shard {}'s log has it no longer", position.shard().value()));
}

}  // namespace

Acks::Acks(redis::Pipeline& one, redis::Pipeline& all, const Layout& layout,
           std::atomic<bool>& has_seen_replicas, const base::Clock& clock, const Options& options)
    : has_seen_replicas_(has_seen_replicas),
      one_(one, Keys(layout).CopyMark(), options.slice, has_seen_replicas, clock),
      all_(all, Keys(layout).CopyMark(), options.slice, has_seen_replicas, clock),
      keys_(layout),
      clock_(clock),
      options_(options) {}

base::Task<absl::StatusOr<CopyFacts>> Acks::Facts(AckLane& lane) {
  CopyFacts facts = lane.facts();
  if (facts.at == base::MonotonicTime() || clock_.Monotonic() - facts.at > kFactsKept) {
    AckLane::Question nothing;
    AckLane::Awaiter asking = lane.Ask(std::move(nothing));
    const absl::Status asked = co_await asking;
    if (!asked.ok()) {
      co_return asked;
    }
    facts = lane.facts();
  }
  co_return facts;
}

base::Task<absl::Status> Acks::Offered(AckClass ack) {
  const AckClass resolved = Resolve(ack);
  if (resolved == AckClass::kLocal || resolved == AckClass::kStrongest) {
    co_return absl::OkStatus();
  }
  auto asking = Facts(LaneOf(resolved));
  const absl::StatusOr<CopyFacts> facts = co_await std::move(asking);
  if (!facts.ok()) {
    co_return NotNow("whether Redis has replicas is not known at the moment");
  }
  if (resolved == AckClass::kReplicated) {
    if (facts->in_sync > 0) {
      co_return absl::OkStatus();
    }
    co_return HasSeenReplicas() ? NotNow("no replica of Redis is in sync")
                                : NotOffered("is replicated, and Redis has no replica");
  }
  if (!facts->is_synced) {
    co_return NotOffered(
        "is strict, and Redis answers before it has written to its disk, or does not tell; it "
        "wants "
        "appendonly yes, appendfsync always, no-appendfsync-on-rewrite no, and CONFIG GET");
  }
  if (facts->in_sync < StrictReplicasMin()) {
    co_return NotNow(fmt::format("{} replicas of Redis are in sync, and strict wants {}",
                                 facts->in_sync, StrictReplicasMin()));
  }
  co_return absl::OkStatus();
}

base::Task<absl::Status> Acks::Wait(AckClass ack, AckLane::Question question) {
  AckLane& lane = LaneOf(ack);
  question.replicas_min = ack == AckClass::kReplicated ? 1
                          : ack == AckClass::kStrict   ? StrictReplicasMin()
                                                       : 0;
  question.all_in_sync = ack != AckClass::kReplicated;
  question.on_disk = ack == AckClass::kStrict;
  question.deadline = clock_.Monotonic() + options_.wait_max;
  if (ack == AckClass::kStrongest && !HasSeenReplicas()) {
    auto asking = Facts(lane);
    const absl::StatusOr<CopyFacts> facts = co_await std::move(asking);
    if (!facts.ok()) {
      co_return facts.status();
    }
    // Where there have been replicas, and are none, what answers may be a former master, or the next
    // one: it is looked whether it has what was written.
    if (!HasSeenReplicas()) {
      co_return absl::OkStatus();
    }
  }
  AckLane::Awaiter waiting = lane.Ask(std::move(question));
  const absl::Status status = co_await waiting;
  waits_.fetch_add(1, std::memory_order_relaxed);
  unknown_.fetch_add(status.ok() ? 0 : 1, std::memory_order_relaxed);
  co_return status;
}

base::Task<absl::Status> Acks::AwaitRecords(AckClass ack, std::vector<Position> records) {
  const AckClass resolved = Resolve(ack);
  std::erase_if(records, [](Position position) { return position.is_zero(); });
  if (resolved == AckClass::kLocal || records.empty()) {
    co_return absl::OkStatus();
  }
  AckLane::Question question;
  for (const Position position : records) {
    question.looks.push_back(Look(keys_, position));
  }
  question.looks.push_back(LogEnd::Question(keys_.Log(records.front().shard())));
  question.holds = [records = std::move(records)](std::span<const redis::Reply> replies) {
    for (size_t i = 0; i < records.size(); ++i) {
      KLATCH_RETURN_IF_ERROR(IsThere(records[i], replies[i].view(), replies.back().view()));
    }
    return absl::OkStatus();
  };
  auto waiting = Wait(resolved, std::move(question));
  co_return co_await std::move(waiting);
}

base::Task<absl::Status> Acks::AwaitState(
    std::vector<redis::Command> looks,
    std::function<absl::Status(std::span<const redis::Reply>)> holds) {
  AckLane::Question question;
  question.looks = std::move(looks);
  question.holds = std::move(holds);
  auto waiting = Wait(AckClass::kStrongest, std::move(question));
  co_return co_await std::move(waiting);
}

}  // namespace klatch
