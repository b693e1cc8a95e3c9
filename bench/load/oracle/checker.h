#pragma once
// After the load: reads timelines and single updates through the API, in all pages and over several
// connections, and holds them against the model. What is read is decided by PlanChecks.
//
// Nothing may be posted or moved meanwhile.

#include <atomic>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "bench/load/calls/client.h"
#include "bench/load/oracle/check_tasks.h"
#include "bench/load/oracle/compare.h"
#include "bench/load/oracle/violations.h"
#include "bench/load/plan/plan.h"

namespace klatch::load {

struct CheckOptions {
  Client::Options client;
  uint32_t connections = 4;
  size_t cap = 800;
};

struct CheckResult {
  // Different ones; who is read for two reasons counts once.
  uint64_t home_timelines = 0;
  uint64_t group_timelines = 0;
  uint64_t profiles = 0;
  uint64_t single_updates = 0;
  uint64_t trimmed = 0;
};

class Checker {
 public:
  Checker(const Graph& graph, const Plan& plan, const Model& model, const CheckOptions& options,
          RunState& state, Violations& violations)
      : graph_(graph),
        plan_(plan),
        model_(model),
        options_(options),
        state_(state),
        violations_(violations) {}

  // `tasks_done` counts for progress. A read that fails is a fault.
  CheckResult Run(const std::vector<CheckTask>& tasks, std::atomic<uint64_t>& tasks_done);

 private:
  // One connection's work.
  class Reader;

  // What a shown update is that is none of those due to the viewer.
  Stray Classify(PersonNumber viewer, const klatch::v1::Update& update);
  // The same of one whose call stayed undecided, if it is one: it may stand, once, for those who
  // were members then.
  std::optional<Stray> ClassifyUndecided(PersonNumber viewer, const klatch::v1::Update& update);
  // Whether what is shown under a known id is what was posted, and edited since.
  bool SameAsPosted(const CheckTask& task, const klatch::v1::Update& update,
                    const PostRecord& post) const;
  // Whether it names the groups that it must, and no other: those through which the viewer sees it.
  bool NamesItsGroups(const CheckTask& task, const klatch::v1::Update& update,
                      const PostRecord& post) const;
  // Whether it is the post with this number in the plan, by author, group and text.
  bool IsPlanned(const klatch::v1::Update& update, uint64_t number) const;
  // Whether it says what this post does, in its author's name.
  bool Repeats(const klatch::v1::Update& update, const PostRecord& post) const;
  CheckResult Count(const std::vector<CheckTask>& tasks) const;

  const Graph& graph_;
  const Plan& plan_;
  const Model& model_;
  const CheckOptions options_;
  RunState& state_;
  Violations& violations_;
  std::mutex mutex_;
  // By number in the plan: the id under which an undecided post was first seen. Guarded by mutex_.
  std::unordered_map<uint64_t, uint64_t> undecided_seen_;
};

}  // namespace klatch::load
