#pragma once
// What one stream of watches has shown, in its order: taken down while it runs, judged afterwards.
// What came behind the last token before a connection broke comes again; such notes stay, for what
// must never be shown, but do not count as shown.
//
// Lifetime: a stream's own until it has been stopped; then read by anybody.
// Bound: 48 bytes for each event and person.

#include <chrono>
#include <cstdint>
#include <utility>
#include <vector>

#include "bench/load/plan/graph.h"

namespace klatch::load {

struct WatchNote {
  enum class Kind : uint8_t { kPublished, kEdited, kDeleted, kGap };

  PersonNumber person = 0;
  Kind kind = Kind::kPublished;
  // A token has come behind it.
  bool counts = true;
  // The stream had gone on from a token before.
  bool resumed = false;
  // The person had been told to have left every group that this is shown through.
  bool after_leaving = false;
  // Of a gap: nothing is missing that was posted before this id.
  uint64_t update = 0;
  // Of what it says, as base::StableHash64.
  uint64_t text = 0;
  std::chrono::steady_clock::time_point arrived = {};
};

struct WatchLog {
  std::vector<PersonNumber> persons;
  std::vector<WatchNote> notes;
  // Persons and updates that pages showed which were read behind a gap.
  std::vector<std::pair<PersonNumber, uint64_t>> paged;
  // Persons, and the oldest update that such a page showed when it said that older ones are trimmed.
  std::vector<std::pair<PersonNumber, uint64_t>> trimmed;
  // Ids from here on may have come by a watch that goes on from a token.
  uint64_t resumed_since = UINT64_MAX;
  uint64_t gaps = 0;
  uint64_t resumes = 0;
  // From the break of a connection to the moment from which the next shows what comes.
  std::vector<std::chrono::nanoseconds> resume_times;
};

}  // namespace klatch::load
