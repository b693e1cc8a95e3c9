#include "bench/load/oracle/answers.h"

#include <fmt/format.h>

namespace klatch::load {

void JudgeAnswers(const Graph& graph, const Model& model, std::span<const Refusal> refusals,
                  Violations& violations) {
  for (uint64_t id : model.repeated_ids()) {
    violations.AddOther(fmt::format("two posts were accepted under one id, {}", id));
  }
  for (const PostRecord& post : model.posts()) {
    post.ForEachPlace([&](const Place& place) {
      if (model.MembershipAt(place.group, post.author, place.position) == Access::kNone) {
        violations.AddOther(fmt::format("accepted: update {} of {}, who was no member of {} then",
                                        post.id, graph.person(post.author),
                                        graph.group(place.group).id));
      }
    });
  }
  for (const Refusal& refusal : refusals) {
    if (!model.HasLeft(refusal.group, refusal.author)) {
      violations.AddOther(fmt::format("refused: a post of {} to {}, which they never left",
                                      graph.person(refusal.author), graph.group(refusal.group).id));
    }
  }
}

}  // namespace klatch::load
