#include "services/materialize/flush_ranges.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace klatch {

FlushRanges::FlushRanges(const Keys& keys, FlushScripts::NonceOf nonce_of, FlushScripts& scripts)
    : keys_(keys), nonce_of_(std::move(nonce_of)), scripts_(scripts) {}

bool FlushRanges::HasRoom(const Transaction& transaction, PartitionIndex partition) const {
  return transaction.commands.size() <= kWritesMax && transaction.bytes <= kBytesMax &&
         (transaction.partitions.size() < kPartitionsMax ||
          transaction.partitions.back() == partition);
}

void FlushRanges::SetRange(PartitionIndex partition, std::string key, uint32_t offset,
                           std::string value) {
  std::vector<std::string> write;
  write.reserve(4);
  write.emplace_back("SETRANGE");
  write.push_back(std::move(key));
  write.push_back(std::to_string(offset));
  write.push_back(std::move(value));
  Add(partition, std::move(write));
}

void FlushRanges::Set(PartitionIndex partition, std::string key, std::string value) {
  Add(partition, {"SET", std::move(key), std::move(value)});
}

void FlushRanges::Add(PartitionIndex partition, std::vector<std::string> write) {
  if (transactions_.empty() || !HasRoom(transactions_.back(), partition)) {
    transactions_.push_back({{}, {redis::Command{"MULTI"}}, {partition}});
  }
  Transaction& transaction = transactions_.back();
  // Timelines come sorted by partition, though more than once.
  if (std::ranges::find(transaction.partitions, partition) == transaction.partitions.end()) {
    transaction.partitions.push_back(partition);
  }
  transaction.bytes += write[1].size() + write.back().size();
  transaction.places.push_back(partition);
  transaction.commands.emplace_back(std::move(write));
}

void FlushRanges::AppendWatch(const Transaction& transaction,
                              std::vector<redis::Command>& commands) const {
  redis::Command& watch = commands.emplace_back(redis::Command{"WATCH"});
  for (const PartitionIndex partition : transaction.partitions) {
    watch.args.push_back(keys_.Lease(partition));
  }
  for (const PartitionIndex partition : transaction.partitions) {
    commands.push_back({"HMGET", keys_.Lease(partition), "nonce", "fence"});
  }
}

absl::Status FlushRanges::CheckLeases(const Transaction& transaction,
                                      std::span<const redis::Reply> answers,
                                      FlushScripts::Findings& findings) {
  for (size_t i = 0; i < answers.size(); ++i) {
    const PartitionIndex partition = transaction.partitions[i];
    const redis::Reply& lease = answers[i];
    KLATCH_RETURN_IF_ERROR(base::Annotate(redis::ToStatus(lease.view()), keys_.Lease(partition)));
    if (lease[0].text() != nonce_of_(partition)) {
      return FlushScripts::Lost(partition, findings);
    }
    if (lease[1].text() != scripts_.fence()) {
      return scripts_.FencedByAnother(partition);
    }
  }
  return absl::OkStatus();
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
      findings.wrong_type.push_back({transaction.places[i], key(i)});
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
      AppendWatch(left.front(), commands);
    }
    KLATCH_ASSIGN_OR_RETURN(const std::vector<redis::Reply> replies, redis.CallAll(commands));
    if (guarded) {
      commands.resize(answers - 1);
      guarded->commands = std::move(commands);
      KLATCH_ASSIGN_OR_RETURN(const bool is_done,
                              ReadAnswers(*guarded, std::span(replies).first(answers), findings));
      if (!is_done && ++guarded->tries == kTriesMax) {
        return base::Error(
            absl::StatusCode::kAborted,
            fmt::format("the lease of one of {} partitions from {} on changes all the time",
                        guarded->partitions.size(), guarded->partitions.front().value()));
      }
      if (!is_done) {
        left.push_back(*std::move(guarded));
      }
      guarded.reset();
    }
    if (answers < replies.size()) {
      KLATCH_RETURN_IF_ERROR(
          CheckLeases(left.front(), std::span(replies).subspan(answers + 1), findings));
      guarded = std::move(left.front());
      left.pop_front();
    }
  }
  return absl::OkStatus();
}

}  // namespace klatch
