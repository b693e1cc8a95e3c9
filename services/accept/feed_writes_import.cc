// Updates of the past, which the app itself brings: what FeedWrites::Publish does, without an actor and
// under keys of their own.

#include <utility>

#include "services/accept/feed_writes.h"
#include "services/accept/grpc_status.h"
#include "services/accept/update_message.h"
#include "services/accept/validate.h"
#include "services/accept/when_all.h"
#include "services/model/body.h"

namespace klatch {
namespace {

constexpr char kImportMethod[] = "import";

// REQUIRES: CheckImport passed.
PublishCommand MakeCommand(const v1::ImportedUpdate& update) {
  v1::Update payload = PublishPayload(update.update());
  *payload.mutable_original_time() = update.original_time();
  return CommandToOne(kImportMethod, PersonId(update.author()), update.source_id(), payload);
}

v1::ImportUpdatesResponse MakeResponse(const std::vector<absl::StatusOr<PublishCommand>>& commands,
                                       const std::vector<absl::StatusOr<Appended>>& appended) {
  v1::ImportUpdatesResponse response;
  for (size_t i = 0; i < commands.size(); ++i) {
    v1::ImportResult* result = response.add_results();
    const absl::Status outcome = commands[i].ok() ? appended[i].status() : commands[i].status();
    if (!outcome.ok()) {
      *result->mutable_error() = ToRpcStatus(outcome);
      continue;
    }
    const Position position = appended[i]->position;
    v1::ImportOutcome* imported = result->mutable_imported();
    imported->set_update_id(position.value());
    imported->set_was_there(appended[i]->replayed);
    v1::Token* token = imported->add_tokens();
    token->set_shard(position.shard().value());
    token->set_position(position.value());
  }
  return response;
}

}  // namespace

absl::Status FeedWrites::CheckImport(const v1::ImportedUpdate& update) const {
  KLATCH_RETURN_IF_ERROR(CheckSourceId(update.source_id()));
  KLATCH_RETURN_IF_ERROR(CheckId(update.author(), "author"));
  KLATCH_RETURN_IF_ERROR(CheckUpdateGroups(update.update(), "update"));
  if (update.update().groups_size() > 1) {
    return base::FieldError(absl::StatusCode::kInvalidArgument, "update.groups",
                            "has several groups; an update is imported to one");
  }
  KLATCH_RETURN_IF_ERROR(CheckUpdateContent(update.update(), "update"));
  return CheckOriginalTime(update, dependencies_.clock.Wall());
}

base::Task<void> FeedWrites::PrepareImport(v1::ImportedUpdate update, base::MonotonicTime deadline,
                                           absl::StatusOr<PublishCommand>& result) {
  const absl::Status status = CheckImport(update);
  if (!status.ok()) {
    result = status;
    co_return;
  }
  auto looking = FindBadReference(PersonId(update.author()), update.update(), deadline);
  const absl::StatusOr<BadReference> bad_reference = co_await std::move(looking);
  if (!bad_reference.ok()) {
    result = bad_reference.status();
    co_return;
  }
  result = MakeCommand(update);
  result->bad_reference = *bad_reference;
  result->bad_expiry = FindBadExpiry(update.update());
}

base::Task<absl::StatusOr<v1::ImportUpdatesResponse>> FeedWrites::Import(
    v1::ImportUpdatesRequest request, base::MonotonicTime deadline) {
  absl::Status status = CheckNamespace(request.namespace_(), dependencies_.layout);
  if (status.ok()) {
    status = CheckImportSize(request.updates_size());
  }
  if (status.ok()) {
    status = dependencies_.admission.Admit();
  }
  if (!status.ok()) {
    co_return status;
  }
  const auto size = static_cast<size_t>(request.updates_size());
  std::vector<absl::StatusOr<PublishCommand>> commands(size);
  std::vector<absl::StatusOr<Appended>> appended(size);
  std::vector<base::Task<void>> preparing;
  for (size_t i = 0; i < size; ++i) {
    preparing.push_back(PrepareImport(std::move(*request.mutable_updates(static_cast<int>(i))),
                                      deadline, commands[i]));
  }
  auto all_prepared = WhenAll(std::move(preparing));
  co_await std::move(all_prepared);
  auto appending = AppendPrepared(&Appender::Import, commands, deadline, appended);
  co_await std::move(appending);
  co_return MakeResponse(commands, appended);
}

}  // namespace klatch
