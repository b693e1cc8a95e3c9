// A broadcast ring under one producer and three consumers. Each item's text and check derive from
// its number.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "common/lockfree/broadcast_ring.h"
#include "tests/stress/findings.h"
#include "tests/stress/seed.h"

namespace klatch::lockfree {
namespace {

using stress::Findings;
using stress::Mixed;

// A wait that lasts so long has lost its wake-up.
constexpr auto kPatience = std::chrono::seconds(30);

// Whether `wait`, given kPatience, came back empty because nobody woke it. It may come back empty
// early too: a bell's late wake-up can reach a sleeper that has already answered that ring.
template <typename Wait>
bool SleptThrough(Wait wait) {
  const auto before = std::chrono::steady_clock::now();
  return !wait() && std::chrono::steady_clock::now() - before >= kPatience;
}

struct Item {
  uint64_t number = 0;
  std::string text;
  uint64_t check = 0;
};

std::string TextOf(uint64_t number) {
  return std::string(Mixed(number) % 40, static_cast<char>('a' + number % 26));
}

class BroadcastRun {
 public:
  BroadcastRun(size_t slots, size_t consumers, uint64_t items)
      : ring_(slots, consumers), items_(items) {}

  void Play(size_t claims_max, uint64_t seed) {
    std::vector<std::thread> threads;
    for (size_t consumer = 0; consumer < ring_.consumers(); ++consumer) {
      threads.emplace_back([this, consumer, seed] { Consume(consumer, seed + 1 + consumer); });
    }
    Produce(claims_max, seed);
    for (std::thread& thread : threads) {
      thread.join();
    }
  }

  Findings findings;

 private:
  void Produce(size_t claims_max, uint64_t seed) {
    std::mt19937_64 random(seed);
    uint64_t next = 0;
    while (next < items_) {
      const uint64_t end = std::min<uint64_t>(next + 1 + random() % claims_max, items_);
      while (next < end) {
        Item* item = ring_.TryClaim();
        if (item == nullptr) {
          break;
        }
        item->number = next;
        item->text = TextOf(next);
        item->check = Mixed(next);
        ++next;
      }
      ring_.Publish();
      if (next < end && !ring_.WaitForRoom(kPatience)) {
        findings.Add("the producer was not woken at " + std::to_string(next));
      }
    }
  }

  void Consume(size_t consumer, uint64_t seed) {
    std::mt19937_64 random(seed);
    uint64_t expected = 0;
    while (expected < items_) {
      const auto check = [&](const Item& item) {
        if (item.number != expected || item.text != TextOf(expected) ||
            item.check != Mixed(expected)) {
          findings.Add("consumer " + std::to_string(consumer) + " expected " +
                       std::to_string(expected) + " and saw " + std::to_string(item.number));
        }
        ++expected;
      };
      if (ring_.Poll(consumer, check, 1 + random() % 32) == 0) {
        if (SleptThrough([&] { return ring_.WaitForItems(consumer, kPatience); })) {
          findings.Add("consumer " + std::to_string(consumer) + " was not woken at " +
                       std::to_string(expected));
          // Goes on and takes what is left, so that the producer ends.
        }
      }
    }
  }

  BroadcastRing<Item> ring_;
  const uint64_t items_;
};

TEST(BroadcastRingStressTest, EveryConsumerSeesEveryItemOnceAndInOrder) {
  BroadcastRun run(64, 3, 400'000);
  run.Play(24, stress::PrintedSeed());
  EXPECT_EQ(run.findings.count(), 0u) << run.findings.text();
}

TEST(BroadcastRingStressTest, NobodySleepsForeverInARingOfOneSlot) {
  BroadcastRun run(1, 2, 50'000);
  run.Play(1, stress::PrintedSeed());
  EXPECT_EQ(run.findings.count(), 0u) << run.findings.text();
}

TEST(DoorbellStressTest, NoRingIsLostBetweenLookingAndSleeping) {
  constexpr uint32_t kTurns = 50'000;
  Doorbell bell;
  std::atomic<uint32_t> turn{0};
  Findings findings;
  // Two players wait for their turn by the bell alone; each takes every second one.
  const auto play = [&](uint32_t parity) {
    for (uint32_t mine = parity; mine < kTurns; mine += 2) {
      while (true) {
        const uint32_t seen = bell.Seen();
        // Relaxed: only the bell may make the turn visible.
        if (turn.load(std::memory_order_relaxed) == mine) {
          break;
        }
        if (SleptThrough([&] { return bell.WaitFor(seen, kPatience); })) {
          findings.Add("slept through turn " + std::to_string(mine));
        }
      }
      turn.store(mine + 1, std::memory_order_relaxed);
      bell.Ring();
    }
  };
  std::thread other(play, 1);
  play(0);
  other.join();
  EXPECT_EQ(findings.count(), 0u) << findings.text();
}

}  // namespace
}  // namespace klatch::lockfree
