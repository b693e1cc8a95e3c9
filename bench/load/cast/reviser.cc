#include "bench/load/cast/reviser.h"

#include <fmt/format.h>

namespace klatch::load {
namespace {

constexpr int kDrawsMax = 64;

}  // namespace

void Reviser::LookEverywhere(const PlannedPost& post, uint64_t id, const ShownOn& expected,
                             std::string_view text, std::span<const klatch::v1::Token> tokens,
                             std::string_view when) {
  const PersonNumber reader = FindReader(stage_, post.group, random_);
  if (reader != kNobody) {
    onlooker_.LookEverywhere({.reader = reader,
                              .author = post.author,
                              .group = post.group,
                              .update = id,
                              .text = text,
                              .tokens = tokens,
                              .when = when},
                             expected);
  }
}

void Reviser::CouldNot(std::string_view what, const PlannedPost& post, Certainty certainty,
                       const grpc::Status& status) {
  if (certainty == Certainty::kUnknown) {
    stage_.state.unknown.fetch_add(1, std::memory_order_relaxed);
  } else if (!stage_.state.MustStop()) {
    stage_.violations.AddOther(
        fmt::format("{} could not {} their post to {}: {}", stage_.graph.person(post.author), what,
                    stage_.graph.group(post.group).id, status.error_message()));
  }
}

Fate Reviser::Edit(const PlannedPost& post, uint64_t id) {
  const std::string text = stage_.plan.EditedTextOf(post.number);
  klatch::v1::EditUpdateRequest request;
  request.set_actor(stage_.graph.person(post.author));
  request.set_update_id(id);
  request.mutable_update()->set_text(text);
  request.mutable_update_mask()->add_paths("text");
  auto outcome = client_.EditUpdate(request);
  if (!outcome.done()) {
    CouldNot("edit", post, outcome.certainty, outcome.status);
    return Fate::kMaybeEdited;
  }
  LookEverywhere(post, id, ShownOn::Everywhere(), text, {}, "after its edit");
  return Fate::kEdited;
}

Fate Reviser::Delete(const PlannedPost& post, uint64_t id) {
  klatch::v1::DeleteUpdateRequest request;
  request.set_actor(stage_.graph.person(post.author));
  request.set_update_id(id);
  auto outcome = client_.DeleteUpdate(request);
  if (!outcome.done()) {
    CouldNot("delete", post, outcome.certainty, outcome.status);
    return Fate::kMaybeDeleted;
  }
  LookEverywhere(post, id, ShownOn::Nowhere(), {}, {}, "after its deletion");
  return Fate::kDeleted;
}

void Reviser::TakeTurn(uint64_t turn) {
  PlannedPost post = NextPost(stage_);
  for (int draw = 0; draw < kDrawsMax && stage_.plan.MayLeave(post.group, post.author); ++draw) {
    post = NextPost(stage_);
  }
  const auto sent = std::chrono::steady_clock::now();
  PublishOutcome published = client_.Publish({MakeRequest(stage_, post)}).front();
  Record(stage_, post, published, sent, history_);
  if (published.certainty != Certainty::kDone) {
    return;
  }
  LookEverywhere(post, published.update_id, ShownOn::Everywhere(), stage_.plan.TextOf(post.number),
                 published.tokens, "read with its token");
  history_.posts.back().fate =
      turn % 2 == 0 ? Edit(post, published.update_id) : Delete(post, published.update_id);
  stage_.state.revisions.fetch_add(1, std::memory_order_relaxed);
}

void Reviser::Run() {
  for (uint64_t turn = 0; turn < pace_.tasks() && AwaitTurn(stage_, pace_, turn); ++turn) {
    TakeTurn(turn);
    pace_.Done();
  }
}

}  // namespace klatch::load
