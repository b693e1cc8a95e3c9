// A table that grows from nothing while readers look for keys that are in it, that will be and that
// never are.

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "common/lockfree/insert_only_table.h"
#include "tests/stress/findings.h"
#include "tests/stress/seed.h"

namespace klatch::lockfree {
namespace {

using stress::Findings;
using stress::Mixed;

constexpr uint32_t kElements = 100'000;
constexpr int kReaders = 3;

struct Element {
  std::string name;
  uint32_t index;
  uint64_t check;

  std::string_view key() const { return name; }
};

std::string NameOf(uint32_t index) { return "person-" + std::to_string(Mixed(index)); }

bool IsWhole(const Element& element, uint32_t index) {
  return element.index == index && element.check == Mixed(~uint64_t{index}) &&
         element.name == NameOf(index);
}

class TableRun {
 public:
  void Play(uint64_t seed) {
    std::vector<std::thread> readers;
    for (int reader = 0; reader < kReaders; ++reader) {
      readers.emplace_back([this, seed, reader] { Read(seed + static_cast<uint64_t>(reader)); });
    }
    for (uint32_t i = 0; i < kElements; ++i) {
      auto element = std::make_unique<Element>(Element{NameOf(i), i, Mixed(~uint64_t{i})});
      if (table_.Insert(std::move(element)) == nullptr) {
        findings.Add("refused element " + std::to_string(i));
      }
    }
    writer_is_done_.store(true, std::memory_order_release);
    for (std::thread& reader : readers) {
      reader.join();
    }
  }

  Findings findings;
  std::atomic<uint64_t> finds{0};

 private:
  void Read(uint64_t seed) {
    std::mt19937_64 random(seed);
    bool is_last = false;
    while (!is_last) {
      is_last = writer_is_done_.load(std::memory_order_acquire);
      for (int i = 0; i < 64; ++i) {
        ReadOnce(random);
      }
    }
  }

  void ReadOnce(std::mt19937_64& random) {
    const uint32_t size = table_.size();
    if (size == 0) {
      return;
    }
    finds.fetch_add(1, std::memory_order_relaxed);
    // Half of the lookups are for the newest, where the races are.
    const uint32_t index = static_cast<uint32_t>(
        random() % 2 == 0 ? random() % size : size - 1 - random() % std::min<uint32_t>(size, 8));
    // First by the size alone, before a look-up has made the element visible.
    if (!IsWhole(table_.At(index), index)) {
      findings.Add("element " + std::to_string(index) + " is not whole at its index");
    }
    const Element* found = table_.Find(NameOf(index));
    if (found == nullptr || !IsWhole(*found, index) || found != &table_.At(index)) {
      findings.Add("element " + std::to_string(index) + " of " + std::to_string(size) +
                   (found == nullptr ? " is not found" : " is not whole"));
    }
    const auto later = static_cast<uint32_t>(size + random() % 4);
    found = table_.Find(NameOf(later));
    if (found != nullptr && (!IsWhole(*found, later) || found != &table_.At(later))) {
      findings.Add("a new element is not whole");
    }
    if (table_.Find(NameOf(kElements + index)) != nullptr) {
      findings.Add("found what was never inserted");
    }
  }

  InsertOnlyTable<Element> table_{kElements};
  std::atomic<bool> writer_is_done_{false};
};

TEST(InsertOnlyTableStressTest, ReadersFindWhatIsInsertedWholeWhileTheTableGrows) {
  const uint64_t seed = stress::PrintedSeed();
  for (uint64_t round = 0; round < 5; ++round) {
    auto run = std::make_unique<TableRun>();
    run->Play(seed + round * 100);
    EXPECT_EQ(run->findings.count(), 0u) << run->findings.text();
    EXPECT_GT(run->finds.load(), 0u);
  }
}

}  // namespace
}  // namespace klatch::lockfree
