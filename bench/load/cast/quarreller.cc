#include "bench/load/cast/quarreller.h"

#include <fmt/format.h>

namespace klatch::load {
namespace {

constexpr uint64_t kKinds = 5;

}  // namespace

ShownOn Quarreller::WhileItLasts(Kind kind) {
  switch (kind) {
    case Kind::kBlock:
    case Kind::kBlockedBy:
      return ShownOn::Nowhere();
    case Kind::kMutePerson:
    case Kind::kMuteGroup:
      return {.home = false};
    case Kind::kHide:
      break;
  }
  return {.home = false, .group = false, .profile = false};
}

absl::Status Quarreller::ClearLeftovers() {
  for (const Quarrel& quarrel : stage_.quarrels.all()) {
    for (PersonNumber person : {quarrel.person, quarrel.opponent}) {
      KLATCH_RETURN_IF_ERROR(personal_.ForgetAll(stage_.graph.person(person)));
    }
  }
  return absl::OkStatus();
}

std::optional<Quarreller::Posted> Quarreller::Post(const Quarrel& quarrel) {
  PlannedPost post = NextPost(stage_);
  post.GiveTo(quarrel.opponent, quarrel.group);
  const auto sent = std::chrono::steady_clock::now();
  PublishOutcome published = client_.Publish({MakeRequest(stage_, post)}).front();
  Record(stage_, post, published, sent, history_);
  if (published.certainty != Certainty::kDone) {
    return std::nullopt;
  }
  return Posted{published.update_id, stage_.plan.TextOf(post.number), std::move(published.tokens)};
}

void Quarreller::Look(const Quarrel& quarrel, const Posted& posted, const ShownOn& expected,
                      std::string_view when) {
  onlooker_.LookEverywhere({.reader = quarrel.person,
                            .author = quarrel.opponent,
                            .group = quarrel.group,
                            .update = posted.update,
                            .text = posted.text,
                            .tokens = posted.tokens,
                            .when = when},
                           expected);
}

bool Quarreller::Change(const Quarrel& quarrel, Kind kind, const Posted& posted,
                        PersonalClient::Wish wish) {
  const std::string& person = stage_.graph.person(quarrel.person);
  const std::string& opponent = stage_.graph.person(quarrel.opponent);
  grpc::Status status;
  switch (kind) {
    case Kind::kBlock:
      status = personal_.Block(person, opponent, wish);
      break;
    case Kind::kBlockedBy:
      status = personal_.Block(opponent, person, wish);
      break;
    case Kind::kMutePerson:
      status = personal_.MutePerson(person, opponent, wish);
      break;
    case Kind::kMuteGroup:
      status = personal_.MuteGroup(person, stage_.graph.group(quarrel.group).id, wish);
      break;
    case Kind::kHide:
      status = personal_.Hide(person, posted.update, wish);
      break;
  }
  if (!status.ok() && !stage_.state.MustStop()) {
    stage_.violations.AddOther(fmt::format(
        "a quarrel of {} with {} could not {}: {}", person, opponent,
        wish == PersonalClient::Wish::kApply ? "begin" : "end", status.error_message()));
  }
  return status.ok();
}

void Quarreller::LiveThrough(const Quarrel& quarrel, Kind kind, const Posted& before) {
  const ShownOn expected = WhileItLasts(kind);
  Look(quarrel, before, expected, "while it is unwanted");
  std::optional<Posted> meanwhile = Post(quarrel);
  if (meanwhile.has_value()) {
    if (kind != Kind::kHide) {
      history_.unwanted.push_back({.reader = quarrel.person, .update = meanwhile->update});
    }
    Look(quarrel, *meanwhile, kind == Kind::kHide ? ShownOn::Everywhere() : expected,
         "posted while it is unwanted");
  }
  if (meanwhile.has_value() && kind != Kind::kHide) {
    history_.unwanted.back().until = std::chrono::steady_clock::now();
  }
  if (Change(quarrel, kind, before, PersonalClient::Wish::kUndo)) {
    Look(quarrel, before, ShownOn::Everywhere(), "when it is wanted again");
    if (meanwhile.has_value()) {
      Look(quarrel, *meanwhile, ShownOn::Everywhere(), "when it is wanted again");
    }
    stage_.state.quarrels.fetch_add(1, std::memory_order_relaxed);
  }
}

void Quarreller::TakeTurn(uint64_t turn) {
  const auto& all = stage_.quarrels.all();
  const Quarrel& quarrel = all[turn % all.size()];
  const auto kind = static_cast<Kind>(turn % kKinds);
  std::optional<Posted> before = Post(quarrel);
  if (!before.has_value()) {
    return;
  }
  Look(quarrel, *before, ShownOn::Everywhere(), "before a quarrel");
  if (Change(quarrel, kind, *before, PersonalClient::Wish::kApply)) {
    LiveThrough(quarrel, kind, *before);
  } else {
    // It may have happened all the same.
    Change(quarrel, kind, *before, PersonalClient::Wish::kUndo);
  }
}

void Quarreller::Run() {
  for (uint64_t turn = 0; turn < pace_.tasks() && AwaitTurn(stage_, pace_, turn); ++turn) {
    TakeTurn(turn);
    pace_.Done();
  }
}

}  // namespace klatch::load
