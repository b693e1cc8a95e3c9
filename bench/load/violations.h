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
#include <unordered_set>
#include <vector>

#include "bench/load/graph.h"

namespace klatch::load {

enum class Violation : uint8_t { kLost, kDuplicated, kLeaked };

class Violations {
 public:
  static constexpr size_t kPairsMax = 1'000'000;
  static constexpr size_t kExamplesMax = 10;

  explicit Violations(const Graph& graph) : graph_(graph) {}

  // `where`: "home timeline", "stored timeline" …
  void Add(Violation kind, PersonNumber person, uint64_t update, std::string_view where);
  // Something wrong that is no such pair: pages out of order, a wrong text.
  void AddOther(std::string what);

  uint64_t Count(Violation kind) const;
  uint64_t other_count() const;
  std::vector<std::string> Examples() const;

 private:
  struct Pairs {
    std::unordered_set<uint64_t> seen;
    uint64_t count = 0;
  };

  void AddExample(std::string text);  // under mutex_

  const Graph& graph_;
  mutable std::mutex mutex_;
  // Guarded by mutex_.
  std::array<Pairs, 3> pairs_;
  uint64_t other_count_ = 0;
  std::vector<std::string> examples_;
};

}  // namespace klatch::load
