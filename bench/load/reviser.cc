#include "bench/load/reviser.h"

#include <fmt/format.h>

#include <algorithm>

namespace klatch::load {
namespace {

constexpr int kDrawsMax = 64;

}  // namespace

void Reviser::Judge(const PlannedPost& post, uint64_t id, PersonNumber reader, Expected expected,
                    std::string_view text, const klatch::v1::Update* shown,
                    std::string_view where) {
  if (expected == Expected::kNothing) {
    if (shown != nullptr) {
      stage_.violations.Add(Violation::kLeaked, reader, id, where);
    }
  } else if (shown == nullptr) {
    stage_.violations.Add(Violation::kLost, reader, id, where);
  } else if (shown->text() != text) {
    stage_.violations.AddOther(fmt::format("update {} of {} shows another text than it must ({})",
                                           id, stage_.graph.person(post.author), where));
  }
}

void Reviser::LookEverywhere(const PlannedPost& post, uint64_t id, Expected expected,
                             std::string_view text, std::span<const klatch::v1::Token> tokens,
                             std::string_view when) {
  PersonNumber reader = stage_.plan.StayingMember(post.group, random_);
  const std::string& actor = stage_.graph.person(reader);
  const ReadLimits limits{.page_size = 50, .down_to = id};
  auto failed = [&](std::string_view path, const grpc::Status& status) {
    if (!stage_.state.MustStop()) {
      stage_.violations.AddOther(
          fmt::format("{} of {} could not be read: {}", path, actor, status.error_message()));
    }
  };
  auto judge_page = [&](std::string_view path, const TimelineRead& read) {
    if (!read.ok()) {
      failed(path, read.status);
      return;
    }
    auto found = std::find_if(read.updates.begin(), read.updates.end(),
                              [id](const auto& update) { return update.id() == id; });
    Judge(post, id, reader, expected, text, found == read.updates.end() ? nullptr : &*found,
          fmt::format("{} {}", path, when));
  };
  judge_page("home timeline", client_.ReadHome(actor, tokens, limits));
  judge_page("group timeline",
             client_.ReadGroup(actor, stage_.graph.group(post.group).id, tokens, limits));
  judge_page("profile timeline",
             client_.ReadProfile(actor, stage_.graph.person(post.author), tokens, limits));
  auto single = client_.GetUpdate(actor, id, tokens);
  if (single.done() || single.status.error_code() == grpc::StatusCode::NOT_FOUND) {
    Judge(post, id, reader, expected, text, single.done() ? &single.response.update() : nullptr,
          fmt::format("single update {}", when));
  } else {
    failed("single update", single.status);
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
  LookEverywhere(post, id, Expected::kText, text, {}, "after its edit");
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
  LookEverywhere(post, id, Expected::kNothing, {}, {}, "after its deletion");
  return Fate::kDeleted;
}

void Reviser::TakeTurn(uint64_t turn) {
  PlannedPost post = NextPost(stage_);
  for (int draw = 0; draw < kDrawsMax && stage_.plan.MayLeave(post.group, post.author); ++draw) {
    post = NextPost(stage_);
  }
  PublishOutcome published = client_.Publish({MakeRequest(stage_, post)}).front();
  Record(stage_, post, published, history_);
  if (published.certainty != Certainty::kDone) {
    return;
  }
  LookEverywhere(post, published.update_id, Expected::kText, stage_.plan.TextOf(post.number),
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
