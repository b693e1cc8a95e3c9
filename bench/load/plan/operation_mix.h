#pragma once
// Of which kinds the operations of an open loop are, and how many of each: "home=60,profile=30,post=10".
//
// Thread safety: a value; immutable.

#include <array>
#include <string_view>

#include "bench/load/plan/random.h"
#include "common/base/status.h"

namespace klatch::load {

enum class Operation : uint8_t { kPost, kHomePage, kProfilePage, kGroupPage };
constexpr size_t kOperations = 4;

class OperationMix {
 public:
  // Nothing but posts.
  OperationMix() { weights_[static_cast<size_t>(Operation::kPost)] = 1; }

  // Weights up to 1,000,000, each kind once. INVALID_ARGUMENT: what is wrong with which part.
  static absl::StatusOr<OperationMix> Parse(std::string_view text);

  Operation Draw(Random& random) const;
  // In [0, 1].
  double ShareOf(Operation operation) const;

 private:
  uint64_t Total() const;

  std::array<uint64_t, kOperations> weights_{};
};

}  // namespace klatch::load
