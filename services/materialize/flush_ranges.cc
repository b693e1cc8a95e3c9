#include "services/materialize/flush_ranges.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

namespace klatch {

FlushRanges::FlushRanges(const Keys& keys, FlushScripts::NonceOf nonce_of, FlushScripts& scripts)
    : keys_(keys), nonce_of_(std::move(nonce_of)), scripts_(scripts) {}

void FlushRanges::SetRange(PartitionIndex partition, std::string key, uint32_t offset,
                           std::string value) {
  // Timelines come sorted by partition.
  if (transactions_.empty() || transactions_.back().partition != partition ||
      transactions_.back().commands.size() > kWritesMax || transactions_.back().bytes > kBytesMax) {
    transactions_.push_back({partition, {redis::Command{"MULTI"}}});
  }
  Transaction& transaction = transactions_.back();
  transaction.bytes += key.size() + value.size();
  std::vector<std::string>& words = transaction.commands.emplace_back().args;
  words.reserve(4);
  words.emplace_back("SETRANGE");
  words.push_back(std::move(key));
  words.push_back(std::to_string(offset));
  words.push_back(std::move(value));
}

void FlushRanges::AppendWatch(PartitionIndex partition,
                              std::vector<redis::Command>& commands) const {
  const std::string lease = keys_.Lease(partition);
  commands.push_back({"WATCH", lease});
  commands.push_back({"HMGET", lease, "nonce", "fence"});
}

absl::Status FlushRanges::CheckLease(PartitionIndex partition, const redis::Reply& lease,
                                     FlushScripts::Findings& findings) {
  KLATCH_RETURN_IF_ERROR(base::Annotate(redis::ToStatus(lease.view()), keys_.Lease(partition)));
  if (lease[0].text() != nonce_of_(partition)) {
    return FlushScripts::Lost(partition, findings);
  }
  return lease[1].text() == scripts_.fence() ? absl::OkStatus()
                                             : scripts_.FencedByAnother(partition);
}

absl::StatusOr<bool> FlushRanges::ReadAnswers(const Transaction& transaction,
                                              std::span<const redis::Reply> answers,
                                              FlushScripts::Findings& findings) {
  const std::vector<redis::Command>& commands = transaction.commands;
  const auto key = [&commands](size_t write) { return commands[write].args[1]; };
  const redis::Reply& exec = answers.back();
  if (exec.is_nil()) {
    return false;
  }
  if (exec.is_error()) {
    KLATCH_RETURN_IF_ERROR(base::Annotate(redis::ToStatus(answers[0].view()), "MULTI"));
    for (size_t i = 1; i < commands.size(); ++i) {
      KLATCH_RETURN_IF_ERROR(base::Annotate(redis::ToStatus(answers[i].view()), key(i)));
    }
    return base::Annotate(redis::ToStatus(exec.view()), key(1));
  }
  for (size_t i = 1; i < commands.size(); ++i) {
    const absl::Status status = redis::ToStatus(exec[i - 1]);
    if (status.code() == absl::StatusCode::kFailedPrecondition) {
      findings.wrong_type.push_back({transaction.partition, key(i)});
    } else {
      KLATCH_RETURN_IF_ERROR(base::Annotate(status, key(i)));
    }
  }
  return true;
}

absl::Status FlushRanges::Run(redis::Connection& redis, FlushScripts::Findings& findings) {
  std::deque<Transaction> left = std::exchange(transactions_, {});
  std::optional<Transaction> guarded;  // by a WATCH
  while (!left.empty() || guarded) {
    std::vector<redis::Command> commands;
    size_t answers = 0;
    if (guarded) {
      commands = std::move(guarded->commands);
      commands.push_back({"EXEC"});
      answers = commands.size();
    }
    if (!left.empty()) {
      AppendWatch(left.front().partition, commands);
    }
    KLATCH_ASSIGN_OR_RETURN(const std::vector<redis::Reply> replies, redis.CallAll(commands));
    if (guarded) {
      commands.resize(answers - 1);
      guarded->commands = std::move(commands);
      KLATCH_ASSIGN_OR_RETURN(const bool is_done,
                              ReadAnswers(*guarded, std::span(replies).first(answers), findings));
      if (!is_done && ++guarded->tries == kTriesMax) {
        return base::Error(absl::StatusCode::kAborted,
                           fmt::format("the lease of partition {} changes all the time",
                                       guarded->partition.value()));
      }
      if (!is_done) {
        left.push_back(*std::move(guarded));
      }
      guarded.reset();
    }
    if (answers < replies.size()) {
      KLATCH_RETURN_IF_ERROR(CheckLease(left.front().partition, replies.back(), findings));
      guarded = std::move(left.front());
      left.pop_front();
    }
  }
  return absl::OkStatus();
}

}  // namespace klatch
