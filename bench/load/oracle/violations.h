#pragma once
// What went against a promise: pairs of a person and an update, each counted once however many
// paths show it, and a few of them told in words.
//
// Thread safety: any thread.
// Bound: the first kPairsMax pairs of a kind are told apart; beyond that each report counts.

#include <array>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "bench/load/plan/graph.h"

namespace klatch::load {

enum class Violation : uint8_t { kLost, kDuplicated, kLeaked };
constexpr size_t kViolationKinds = 3;

// Where it was seen, or was not.
enum class Surface : uint8_t {
  kHome,
  kGroup,
  kProfile,
  kSingle,
  kWatch,
  kResumedWatch,  // a watch that has gone on from a token
  kStored,        // in Redis
  kHttp,          // a home timeline over HTTP
  kPublish,       // an answer to a post
};
constexpr size_t kSurfaces = 9;

// "home timeline", "resumed watch" …
std::string_view NameOf(Surface surface);

class Violations {
 public:
  static constexpr size_t kPairsMax = 1'000'000;
  static constexpr size_t kExamplesMax = 10;

  explicit Violations(const Graph& graph) : graph_(graph) {}

  // `when`: "after leaving", and so on; may be empty.
  void Add(Violation kind, Surface surface, PersonNumber person, uint64_t update,
           std::string_view when = {});
  // Something wrong that is no such pair: pages out of order, a wrong text.
  void AddOther(std::string what);

  // Of all surfaces together, where a pair counts once.
  uint64_t Count(Violation kind) const;
  uint64_t Count(Violation kind, Surface surface) const;
  uint64_t other_count() const;
  std::vector<std::string> Examples() const;

 private:
  struct Pairs {
    // Whether this pair is a new one; then it is counted.
    bool Take(uint64_t pair);

    std::unordered_set<uint64_t> seen;
    uint64_t count = 0;
  };

  void AddExample(std::string text);  // under mutex_

  const Graph& graph_;
  mutable std::mutex mutex_;
  // Guarded by mutex_.
  std::array<Pairs, kViolationKinds> pairs_;
  std::array<std::array<Pairs, kSurfaces>, kViolationKinds> by_surface_;
  uint64_t other_count_ = 0;
  std::vector<std::string> examples_;
};

}  // namespace klatch::load
