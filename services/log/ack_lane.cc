#include "services/log/ack_lane.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "common/redis/channel.h"
#include "common/redis/connection.h"
#include "common/redis/info.h"

namespace klatch {
namespace {

constexpr std::chrono::milliseconds kMarkKept{std::chrono::hours(1)};
// Whether there is memory Redis looks only before the first write of a script, and PEXPIRE needs none.
constexpr std::string_view kMarkScript =
    "if redis.call('PEXPIRE', KEYS[1], ARGV[1]) == 0 then "
    "redis.call('SET', KEYS[1], '', 'PX', ARGV[1]) end return 1";

// At the end of each round, in this order.
enum Answer : size_t { kMark, kWait, kInfo, kConfig, kAnswers };

absl::Status Unknown(std::string_view why) {
  return base::WithReason(
      base::Error(
          absl::StatusCode::kUnavailable,
          fmt::format("written, but its copies are not known of ({}); repeat the call", why)),
      redis::kReasonOutcomeUnknown);
}

std::string Count(uint32_t replicas) {
  return fmt::format("{} replica{}", replicas, replicas == 1 ? "" : "s");
}

}  // namespace

CopyFacts AckLane::facts() const {
  std::lock_guard lock(mutex_);
  return facts_;
}

bool AckLane::Submit(Waiting& waiting) {
  {
    std::lock_guard lock(mutex_);
    if (waiting_.size() >= kWaitingMax) {
      waiting.result = Unknown(fmt::format("{} calls wait to ask", waiting_.size()));
      return false;
    }
    waiting_.push_back(&waiting);
    if (std::exchange(is_under_way_, true)) {
      return true;
    }
  }
  // The call may be over, and gone, when this returns.
  StartRound();
  return true;
}

uint32_t AckLane::Needed(const Question& question) const {
  return question.all_in_sync ? std::max(facts_.in_sync, question.replicas_min)
                              : question.replicas_min;
}

AckLane::Round AckLane::Gather(Round again, Round& late) {
  Round round = std::move(again);
  size_t commands = 0;
  for (const Waiting* waiting : round) {
    commands += waiting->question.looks.size();
  }
  while (!waiting_.empty() && round.size() < kPerRoundMax && commands < kCommandsPerRoundMax) {
    Waiting* waiting = waiting_.front();
    waiting_.pop_front();
    if (waiting->question.deadline < clock_.Monotonic()) {
      waiting->result = Unknown("others were asked about for too long");
      late.push_back(waiting);
    } else {
      commands += waiting->question.looks.size();
      round.push_back(waiting);
    }
  }
  return round;
}

std::vector<redis::Command> AckLane::CommandsOf(const Round& round, uint32_t replicas) const {
  std::vector<redis::Command> commands;
  for (const Waiting* waiting : round) {
    commands.insert(commands.end(), waiting->question.looks.begin(), waiting->question.looks.end());
  }
  // With its source each time: behind a WAIT, where what Redis does not know is sent again, it would be no
  // use.
  commands.push_back(
      {"EVAL", std::string(kMarkScript), "1", mark_, std::to_string(kMarkKept.count())});
  commands.push_back({"WAIT", std::to_string(replicas), std::to_string(slice_.count())});
  commands.push_back({"INFO", "replication"});
  commands.push_back({"CONFIG", "GET", "*append*"});
  return commands;
}

void AckLane::StartRound() {
  const bool is_bound = !again_.empty();
  Round late;
  Round round;
  uint32_t replicas = 0;
  {
    std::lock_guard lock(mutex_);
    round = Gather(std::exchange(again_, {}), late);
    for (const Waiting* waiting : round) {
      replicas = std::max(replicas, Needed(waiting->question));
    }
    is_under_way_ = !round.empty();
  }
  if (!round.empty()) {
    std::vector<redis::Command> commands = CommandsOf(round, replicas);
    auto end = [this, round = std::move(round)](const redis::Pipeline::Replies& replies) {
      EndRound(round, replies);
    };
    if (is_bound) {
      pipeline_.SubmitOver(connection_, std::move(commands), std::move(end));
    } else {
      pipeline_.Submit(std::move(commands), std::move(end));
    }
  }
  for (Waiting* waiting : late) {
    waiting->handle.resume();
  }
}

void AckLane::EndRound(const Round& round, const redis::Pipeline::Replies& replies) {
  if (!replies.ok()) {
    EndFailed(round, replies.status());
    return;
  }
  connection_ = pipeline_.connection();
  std::span answers(*replies);
  const Outcome outcome = ReadOutcome(answers.last(kAnswers));
  Round done;
  for (Waiting* waiting : round) {
    const size_t looks = waiting->question.looks.size();
    std::optional<absl::Status> result = Judge(*waiting, answers.first(looks), outcome);
    answers = answers.subspan(looks);
    if (result) {
      waiting->result = *std::move(result);
      done.push_back(waiting);
    } else {
      again_.push_back(waiting);
    }
  }
  Finish(done);
}

void AckLane::EndFailed(const Round& round, const absl::Status& status) {
  Round done;
  {
    std::lock_guard lock(mutex_);
    for (Waiting* waiting : round) {
      // Those that came to a round over a connection that was gone already.
      if (base::ReasonOf(status) == redis::kReasonNotSent && !waiting->has_looked &&
          !std::exchange(waiting->is_sent_again, true)) {
        waiting_.push_back(waiting);
      } else {
        waiting->result = Unknown(base::MessageOf(status));
        done.push_back(waiting);
      }
    }
  }
  Finish(done);
}

AckLane::Outcome AckLane::ReadOutcome(std::span<const redis::Reply> answers) {
  Outcome outcome;
  for (const Answer answer : {kMark, kWait, kInfo}) {
    outcome.status.Update(redis::ToStatus(answers[answer].view()));
  }
  if (!outcome.status.ok()) {
    return outcome;
  }
  const redis::Replication replication = redis::ReadReplication(answers[kInfo].text());
  if (!replication.is_master) {
    outcome.status = base::Error(absl::StatusCode::kUnavailable, "what was asked is no master");
    return outcome;
  }
  outcome.copies = static_cast<uint32_t>(answers[kWait].integer());
  const redis::ReplyView config = answers[kConfig].view();
  outcome.is_synced = redis::ConfigText(config, "appendonly") == "yes" &&
                      redis::ConfigText(config, "appendfsync") == "always" &&
                      redis::ConfigText(config, "no-appendfsync-on-rewrite") != "yes";
  if (replication.in_sync != 0) {
    has_seen_replicas_.store(true, std::memory_order_relaxed);
  }
  std::lock_guard lock(mutex_);
  facts_.at = clock_.Monotonic();
  facts_.in_sync = replication.in_sync;
  facts_.is_synced = outcome.is_synced;
  return outcome;
}

std::optional<absl::Status> AckLane::Judge(Waiting& waiting, std::span<const redis::Reply> looks,
                                           const Outcome& outcome) {
  const Question& question = waiting.question;
  if (!outcome.status.ok()) {
    return Unknown(base::MessageOf(outcome.status));
  }
  waiting.has_looked = true;
  if (question.holds) {
    const absl::Status held = question.holds(looks);
    if (!held.ok()) {
      return Unknown(base::MessageOf(held));
    }
  }
  if (question.on_disk && !outcome.is_synced) {
    return Unknown("Redis does not write to its disk before it answers");
  }
  uint32_t needed = 0;
  {
    std::lock_guard lock(mutex_);
    needed = Needed(question);
  }
  if (outcome.copies >= needed) {
    return absl::OkStatus();
  }
  if (clock_.Monotonic() < question.deadline) {
    return std::nullopt;
  }
  return Unknown(fmt::format("{} of {} had it in time", outcome.copies, Count(needed)));
}

void AckLane::Finish(const Round& done) {
  StartRound();
  for (Waiting* waiting : done) {
    waiting->handle.resume();
  }
}

}  // namespace klatch
