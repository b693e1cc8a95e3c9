// The part of RedisAppender that looks after the copies that posts ask for.
#include <map>

#include "services/log/redis_appender.h"

namespace klatch {

base::Task<std::vector<absl::Status>> RedisAppender::FindRefused(
    const std::vector<PublishCommand>& commands) {
  std::map<AckClass, absl::Status> offered;
  std::vector<absl::Status> statuses;
  for (const PublishCommand& command : commands) {
    auto [known, is_new] = offered.try_emplace(command.ack);
    if (is_new && WantsCopies(command.ack)) {
      auto asking = acks_->Offered(command.ack);
      known->second = co_await std::move(asking);
    }
    statuses.push_back(known->second);
  }
  co_return statuses;
}

base::Task<std::vector<absl::StatusOr<Appended>>> RedisAppender::PublishThose(
    std::vector<PublishCommand> commands, UpdateOrigin origin, std::vector<absl::Status> refused) {
  std::vector<absl::StatusOr<Appended>> results(commands.size());
  std::vector<PublishCommand> taken;
  for (size_t i = 0; i < commands.size(); ++i) {
    if (!refused[i].ok()) {
      results[i] = refused[i];
    } else {
      taken.push_back(std::move(commands[i]));
    }
  }
  auto publishing = PublishAll(std::move(taken), origin);
  std::vector<absl::StatusOr<Appended>> outcomes = co_await std::move(publishing);
  auto outcome = outcomes.begin();
  for (size_t i = 0; i < results.size(); ++i) {
    if (refused[i].ok()) {
      results[i] = *std::move(outcome++);
    }
  }
  co_return results;
}

base::Task<void> RedisAppender::AwaitCopies(const std::vector<PublishCommand>& commands,
                                            std::vector<absl::StatusOr<Appended>>& results) {
  std::map<AckClass, std::vector<size_t>> by_ack;
  for (size_t i = 0; i < commands.size(); ++i) {
    if (results[i].ok() && WantsCopies(commands[i].ack)) {
      by_ack[commands[i].ack].push_back(i);
    }
  }
  for (const auto& [ack, places] : by_ack) {
    std::vector<Position> positions;
    for (const size_t place : places) {
      positions.push_back(results[place]->position);
    }
    auto waiting = acks_->AwaitRecords(ack, std::move(positions));
    const absl::Status copied = co_await std::move(waiting);
    for (const size_t place : places) {
      if (!copied.ok()) {
        results[place] = copied;
      }
    }
  }
}

}  // namespace klatch
