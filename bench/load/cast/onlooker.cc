#include "bench/load/cast/onlooker.h"

#include <fmt/format.h>

#include <algorithm>

namespace klatch::load {
namespace {

constexpr int kPageSize = 50;

// Whether the pages themselves have told that they may be without the update.
bool MayLack(const TimelineRead& read, uint64_t update) {
  const bool in_hole = read.hole_since != 0 && read.hole_since <= update;
  const bool is_trimmed =
      read.trimmed && !read.updates.empty() && update < read.updates.back().id();
  return in_hole || is_trimmed;
}

}  // namespace

void Onlooker::Failed(const Look& look, Surface surface, const grpc::Status& status) {
  if (!stage_.state.MustStop()) {
    stage_.violations.AddOther(fmt::format("{} of {} could not be read {}: {}", NameOf(surface),
                                           stage_.graph.person(look.reader), look.when,
                                           status.error_message()));
  }
}

void Onlooker::Judge(const Look& look, Surface surface, bool expected,
                     const klatch::v1::Update* shown) {
  if (!expected) {
    if (shown != nullptr) {
      stage_.violations.Add(Violation::kLeaked, surface, look.reader, look.update, look.when);
    }
  } else if (shown == nullptr) {
    stage_.violations.Add(Violation::kLost, surface, look.reader, look.update, look.when);
  } else if (shown->text() != look.text) {
    stage_.violations.AddOther(
        fmt::format("update {} of {} shows another text than it must ({} {})", look.update,
                    stage_.graph.person(look.author), NameOf(surface), look.when));
  }
}

void Onlooker::JudgePage(const Look& look, Surface surface, bool expected,
                         const TimelineRead& read) {
  if (!read.ok()) {
    Failed(look, surface, read.status);
    return;
  }
  auto found = std::find_if(read.updates.begin(), read.updates.end(),
                            [&](const auto& update) { return update.id() == look.update; });
  if (expected && found == read.updates.end() && MayLack(read, look.update)) {
    return;  // The check behind the load looks for it.
  }
  Judge(look, surface, expected, found == read.updates.end() ? nullptr : &*found);
}

void Onlooker::LookEverywhere(const Look& look, const ShownOn& expected) {
  const std::string& actor = stage_.graph.person(look.reader);
  const ReadLimits limits{.page_size = kPageSize, .down_to = look.update};
  JudgePage(look, Surface::kHome, expected.home, client_.ReadHome(actor, look.tokens, limits));
  JudgePage(look, Surface::kGroup, expected.group,
            client_.ReadGroup(actor, stage_.graph.group(look.group).id, look.tokens, limits));
  JudgePage(look, Surface::kProfile, expected.profile,
            client_.ReadProfile(actor, stage_.graph.person(look.author), look.tokens, limits));
  auto single = client_.GetUpdate(actor, look.update, look.tokens);
  if (single.done() || single.status.error_code() == grpc::StatusCode::NOT_FOUND) {
    Judge(look, Surface::kSingle, expected.single,
          single.done() ? &single.response.update() : nullptr);
  } else {
    Failed(look, Surface::kSingle, single.status);
  }
}

}  // namespace klatch::load
