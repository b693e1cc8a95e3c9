// Objects that are replaced and retired, by several writers, while readers look at them.

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <random>
#include <thread>
#include <vector>

#include "common/lockfree/epoch.h"
#include "tests/stress/findings.h"
#include "tests/stress/poisoned_node.h"
#include "tests/stress/seed.h"

namespace klatch::lockfree {
namespace {

using stress::Findings;
using Node = stress::PoisonedNode;

constexpr int kReaders = 3;
constexpr int kWriters = 2;
constexpr uint64_t kReplacements = 300'000;  // per writer
constexpr size_t kPlaces = 8;

using Places = std::array<std::atomic<const Node*>, kPlaces>;

void Replace(EpochReclaimer& epochs, Places& places, uint64_t seed, std::atomic<size_t>& peak) {
  std::mt19937_64 random(seed);
  for (uint64_t i = 0; i < kReplacements; ++i) {
    // acq_rel: publishes the new node, and takes over the old one from who published it.
    epochs.Retire(
        places[random() % kPlaces].exchange(new Node(random()), std::memory_order_acq_rel));
    if (i % 1024 == 0) {
      peak.store(std::max(peak.load(std::memory_order_relaxed), epochs.retired()),
                 std::memory_order_relaxed);
    }
    if (random() % 256 == 0) {
      epochs.TryReclaim();
    }
  }
}

void Look(EpochReclaimer& epochs, const Places& places, uint64_t seed,
          const std::atomic<bool>& is_done, Findings& findings) {
  std::mt19937_64 random(seed);
  while (!is_done.load(std::memory_order_acquire)) {
    const EpochReclaimer::Guard guard(epochs);
    const Node* first = places[random() % kPlaces].load(std::memory_order_acquire);
    const Node* second = places[random() % kPlaces].load(std::memory_order_acquire);
    for (uint64_t i = random() % 64; i > 0; --i) {
      if (!first->IsWhole() || !second->IsWhole()) {
        findings.Add("a reader's object was deleted");
        break;
      }
    }
  }
}

TEST(EpochReclaimerStressTest, NothingIsDeletedUnderAReadersEyesAndAllIsDeletedOnce) {
  const uint64_t seed = stress::PrintedSeed();
  Node::Reset(kPlaces + kWriters * kReplacements);
  Findings findings;
  std::atomic<size_t> peak{0};
  Places places;
  {
    EpochReclaimer epochs;
    for (auto& place : places) {
      place.store(new Node(1), std::memory_order_relaxed);  // before the threads start
    }
    std::atomic<bool> is_done{false};
    std::vector<std::thread> readers;
    std::vector<std::thread> writers;
    for (uint64_t reader = 0; reader < kReaders; ++reader) {
      readers.emplace_back([&, reader] { Look(epochs, places, seed + reader, is_done, findings); });
    }
    for (uint64_t writer = 0; writer < kWriters; ++writer) {
      writers.emplace_back([&, writer] { Replace(epochs, places, seed + 50 + writer, peak); });
    }
    for (std::thread& writer : writers) {
      writer.join();
    }
    is_done.store(true, std::memory_order_release);
    for (std::thread& reader : readers) {
      reader.join();
    }
    for (auto& place : places) {
      epochs.Retire(place.load(std::memory_order_relaxed));
    }
  }
  std::printf("at most %zu objects waited\n", peak.load());
  EXPECT_EQ(findings.count(), 0u) << findings.text();
  EXPECT_EQ(Node::deleted(), kPlaces + kWriters * kReplacements);
  // Deletion went on meanwhile.
  EXPECT_LT(peak.load(), kWriters * kReplacements / 2);
}

}  // namespace
}  // namespace klatch::lockfree
