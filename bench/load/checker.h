#pragma once
// After the load: reads timelines through the API, in all pages, and holds them against the model.
// Home timelines of everybody, or of a seeded sample of a large population; group timelines,
// profiles and single updates by sample.
//
// Nothing may be posted or moved meanwhile.

#include <atomic>
#include <string>
#include <vector>

#include "bench/load/client.h"
#include "bench/load/compare.h"
#include "bench/load/plan.h"
#include "bench/load/violations.h"

namespace klatch::load {

struct CheckOptions {
  Client::Options client;
  uint32_t connections = 4;
  uint64_t seed = 0;
  size_t cap = 800;
  // How many of each path; home timelines are those of `persons`.
  size_t group_timelines = 200;
  size_t profiles = 200;
  size_t single_updates = 500;
};

struct CheckResult {
  uint64_t home_timelines = 0;
  uint64_t group_timelines = 0;
  uint64_t profiles = 0;
  uint64_t single_updates = 0;
  uint64_t trimmed = 0;
  // Reads that were refused or unreachable: what they would have shown is not known.
  uint64_t unread = 0;
};

// Everybody, or `sample` of them, seeded, ascending.
std::vector<PersonNumber> ChoosePersons(const Graph& graph, size_t sample, uint64_t seed);

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

  // `homes_read` counts for progress.
  CheckResult Run(const std::vector<PersonNumber>& persons, std::atomic<uint64_t>& homes_read);

 private:
  // One connection's work.
  class Reader;

  // What a shown update is that is none of those due to the viewer. `update` may be null.
  Stray Classify(PersonNumber viewer, uint64_t id, const klatch::v1::Update* update) const;
  // Whether what is shown under a known id is what was posted.
  bool SameAsPosted(const klatch::v1::Update& update, const PostRecord& post) const;
  // Whether it is the post with this number, by author, group and text.
  bool IsPost(const klatch::v1::Update& update, uint64_t number) const;

  const Graph& graph_;
  const Plan& plan_;
  const Model& model_;
  const CheckOptions options_;
  RunState& state_;
  Violations& violations_;
};

}  // namespace klatch::load
