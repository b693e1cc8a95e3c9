#pragma once
// Whether the answers of a run agree with each other: an id is given once, whoever was accepted was
// a member, whoever was refused had left. Asked after Model::Finish.

#include <span>

#include "bench/load/oracle/model.h"
#include "bench/load/oracle/violations.h"

namespace klatch::load {

void JudgeAnswers(const Graph& graph, const Model& model, std::span<const Refusal> refusals,
                  Violations& violations);

}  // namespace klatch::load
