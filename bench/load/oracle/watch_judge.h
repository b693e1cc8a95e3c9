#pragma once
// What watches have shown against the model: every update that reached a watched person in the stay
// that still lasts comes once, over all breaks and resumes; what a gap covers may have come by a page
// instead. Nothing comes that was never due, nothing of a group behind the event that says that the
// person has left it, nothing behind its deletion; who saw what was edited or deleted is told.
//
// What a person left, blocked or muted since it was posted may have been shown or not. Nobody is
// judged about their quarrels but for what was posted while it was unwanted.
//
// Thread safety: any thread; the references outlive it.

#include <cstdint>
#include <vector>

#include "bench/load/oracle/model.h"
#include "bench/load/oracle/violations.h"
#include "bench/load/oracle/watch_log.h"
#include "bench/load/plan/plan.h"
#include "bench/load/plan/quarrels.h"

namespace klatch::load {

struct WatchResult {
  uint64_t persons = 0;
  // Pairs of a person and an update that were shown.
  uint64_t shown = 0;
  // Of those that were due, the ones that came by a page behind a gap.
  uint64_t paged = 0;
  uint64_t gaps = 0;
  uint64_t resumes = 0;
};

class WatchJudge {
 public:
  WatchJudge(const Graph& graph, const Plan& plan, const Quarrels& quarrels, const Model& model)
      : graph_(graph), plan_(plan), quarrels_(quarrels), model_(model) {}

  // How many pairs are due and have not come yet.
  uint64_t CountMissing(const std::vector<WatchLog>& logs) const;
  WatchResult Judge(const std::vector<WatchLog>& logs, Violations& violations) const;

 private:
  // One person on one stream.
  class Viewing;
  template <typename Take>
  void ForEachViewing(const std::vector<WatchLog>& logs, const Take& take) const;

  const Graph& graph_;
  const Plan& plan_;
  const Quarrels& quarrels_;
  const Model& model_;
};

}  // namespace klatch::load
