// Objects that their writers replace while readers look at them: each is whole for as long as it is
// looked at, and none is older than one that the same reader saw before.

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "common/lockfree/published_pointer.h"
#include "tests/stress/findings.h"
#include "tests/stress/poisoned_node.h"
#include "tests/stress/seed.h"

namespace klatch::lockfree {
namespace {

using stress::Findings;
using stress::PoisonedNode;

constexpr int kReaders = 3;
constexpr size_t kPlaces = 8;
constexpr uint64_t kReplacements = 200'000;

using Places = std::array<PublishedPointer<PoisonedNode>, kPlaces>;

void Replace(EpochReclaimer& epochs, Places& places, uint64_t seed) {
  std::mt19937_64 random(seed);
  for (uint64_t i = 1; i <= kReplacements; ++i) {
    places[random() % kPlaces].Replace(std::make_unique<const PoisonedNode>(i), epochs);
    if (random() % 64 == 0) {
      epochs.TryReclaim();
    }
  }
}

// Returns how many different objects it saw.
uint64_t Look(EpochReclaimer& epochs, const Places& places, uint64_t seed,
              const std::atomic<bool>& is_done, Findings& findings) {
  std::mt19937_64 random(seed);
  std::array<uint64_t, kPlaces> newest{};
  uint64_t seen = 0;
  while (!is_done.load(std::memory_order_acquire)) {
    const EpochReclaimer::Guard guard(epochs);
    const size_t place = random() % kPlaces;
    const PoisonedNode* node = places[place].Load(guard);
    if (node == nullptr) {
      continue;
    }
    for (uint64_t i = random() % 64; i > 0; --i) {
      if (!node->IsWhole()) {
        findings.Add("an object is not whole");
        break;
      }
    }
    if (node->value() < newest[place]) {
      findings.Add("an object came back");
    }
    seen += node->value() > newest[place] ? 1 : 0;
    newest[place] = node->value();
  }
  return seen;
}

TEST(PublishedPointerStressTest, ReadersSeeWholeObjectsThatNeverGoBack) {
  const uint64_t seed = stress::PrintedSeed();
  PoisonedNode::Reset(kReplacements);
  Findings findings;
  std::atomic<uint64_t> seen{0};
  {
    EpochReclaimer epochs;
    Places places;
    std::atomic<bool> is_done{false};
    std::vector<std::thread> readers;
    for (uint64_t reader = 1; reader <= kReaders; ++reader) {
      readers.emplace_back([&, reader] {
        seen.fetch_add(Look(epochs, places, seed + reader, is_done, findings),
                       std::memory_order_relaxed);
      });
    }
    Replace(epochs, places, seed);
    is_done.store(true, std::memory_order_release);
    for (std::thread& reader : readers) {
      reader.join();
    }
  }
  EXPECT_EQ(findings.count(), 0u) << findings.text();
  EXPECT_EQ(PoisonedNode::deleted(), kReplacements);
  // Otherwise the run has shown nothing.
  EXPECT_GT(seen.load(), kPlaces);
}

}  // namespace
}  // namespace klatch::lockfree
