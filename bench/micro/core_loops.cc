// The loops that the core spends its time in, each a fixed number of times in one thread, so that
// callgrind can count their instructions: no figure of this program depends on how busy the machine
// is. bench/lib/instructions.sh runs it and compares.
//
//   core_loops              runs all; "name operations" of each on stdout; 1 if an answer is wrong
//   core_loops --compiler   what it was compiled by and for, which the figures depend on

#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/executor.h"
#include "common/lockfree/broadcast_ring.h"
#include "common/lockfree/doorbell.h"
#include "common/lockfree/insert_only_table.h"
#include "common/lockfree/published_pointer.h"
#include "common/lockfree/timeline_ring.h"
#include "services/deliver/worker.h"

#if defined(__x86_64__)
#define KLATCH_MACHINE "x86_64"
#elif defined(__aarch64__)
#define KLATCH_MACHINE "aarch64"
#else
#define KLATCH_MACHINE "another-machine"
#endif

#if defined(__clang__)
#define KLATCH_COMPILER "clang-" __clang_version__
#else
#define KLATCH_COMPILER "g++-" __VERSION__
#endif

namespace klatch {

struct Loop {
  const char* name;
  uint64_t operations;
  std::function<bool()> run;  // whether all answers were right
  bool is_right = false;
};

// What callgrind counts: it sets its counter to 0 before RunLoop and writes it down before TellLoop.
[[gnu::noinline, gnu::noclone]] void RunLoop(Loop& loop) { loop.is_right = loop.run(); }
[[gnu::noinline, gnu::noclone]] void TellLoop(const Loop& loop) {
  if (loop.is_right) {
    std::printf("%s %llu\n", loop.name, static_cast<unsigned long long>(loop.operations));
  } else {
    std::fprintf(stderr, "core_loops: %s: a wrong answer\n", loop.name);
  }
}

namespace {

using lockfree::TimelineEntry;
using lockfree::TimelineRing;

constexpr uint64_t kEntries = 256;
constexpr size_t kNewest = 20;

bool Measure(Loop loop) {
  RunLoop(loop);
  TellLoop(loop);
  return loop.is_right;
}

// Full and flushed rings, as after a while of service: each append overwrites.
bool MeasureTimelineRings() {
  constexpr uint64_t kRings = 1'000;
  constexpr uint64_t kAppends = 20'000;
  constexpr uint64_t kCopies = 1'000;
  lockfree::RingArena arena(kRings * kEntries * lockfree::kTimelineEntryBytes * 2);
  std::vector<TimelineRing> rings(kRings);
  std::vector<TimelineEntry> entries;
  entries.reserve(kEntries);
  const auto append = [&](uint64_t count, uint64_t first_id) {
    bool is_kept = true;
    for (uint64_t id = first_id; id < first_id + count; ++id) {
      is_kept &= rings[id % kRings].Append(arena, {id, 1, 0}) == lockfree::AppendResult::kOk;
    }
    return is_kept;
  };
  const uint64_t to_fill = kRings * kEntries;
  bool is_right =
      Measure({"timeline_ring_append_to_new", to_fill, [&] { return append(to_fill, 1); }});
  is_right &= Measure({"timeline_ring_copy_unflushed_256", kRings, [&] {
                         bool is_whole = true;
                         for (TimelineRing& ring : rings) {
                           ring.MarkFlushed(ring.CopyUnflushed(arena, entries));
                           is_whole &= entries.size() == kEntries;
                         }
                         return is_whole;
                       }});
  is_right &= Measure(
      {"timeline_ring_append_to_full", kAppends, [&] { return append(kAppends, to_fill + 1); }});
  is_right &= Measure({"timeline_ring_copy_newest_20", kCopies, [&] {
                         bool is_whole = true;
                         for (uint64_t i = 0; i < kCopies; ++i) {
                           uint64_t floor = 0;
                           is_whole &= rings[i].CopyNewest(arena, entries, kNewest, &floor) &&
                                       entries.size() == kNewest && floor != 0;
                         }
                         return is_whole;
                       }});
  return is_right;
}

bool MeasureBroadcastRing() {
  constexpr uint64_t kItems = 64'000;
  constexpr size_t kBatch = 64;
  lockfree::BroadcastRing<uint64_t> ring(1'024, 1);
  return Measure({"broadcast_ring_hand_over_64", kItems, [&] {
                    uint64_t sum = 0;
                    for (uint64_t next = 0; next < kItems;) {
                      for (size_t i = 0; i < kBatch; ++i) {
                        *ring.TryClaim() = next++;
                      }
                      ring.Publish();
                      ring.Poll(
                          0, [&](uint64_t item) { sum += item; }, kBatch);
                    }
                    return sum == kItems * (kItems - 1) / 2;
                  }});
}

struct Element {
  std::string name;
  std::string_view key() const { return name; }
};

bool MeasureInsertOnlyTable() {
  constexpr uint32_t kElements = 50'000;
  std::vector<std::string> names;
  std::vector<std::unique_ptr<Element>> elements;
  for (uint32_t i = 0; i < kElements; ++i) {
    names.push_back("person-" + std::to_string(100'000'000 + i));
    elements.push_back(std::make_unique<Element>(Element{names.back()}));
  }
  lockfree::InsertOnlyTable<Element> table(kElements);
  bool is_right = Measure({"insert_only_table_insert", kElements, [&] {
                             bool is_in = true;
                             for (std::unique_ptr<Element>& element : elements) {
                               is_in &= table.Insert(std::move(element)) != nullptr;
                             }
                             return is_in;
                           }});
  is_right &= Measure({"insert_only_table_find", kElements, [&] {
                         bool is_found = true;
                         for (const std::string& name : names) {
                           const Element* const element = table.Find(name);
                           is_found &= element != nullptr && element->name.size() == name.size();
                         }
                         return is_found;
                       }});
  return is_right;
}

bool MeasurePublishedPointer() {
  constexpr uint64_t kReads = 10'000;
  lockfree::EpochReclaimer epochs;
  lockfree::PublishedPointer<uint64_t> pointer;
  pointer.Replace(std::make_unique<const uint64_t>(1), epochs);
  return Measure({"published_pointer_read", kReads, [&] {
                    uint64_t sum = 0;
                    for (uint64_t i = 0; i < kReads; ++i) {
                      const lockfree::EpochReclaimer::Guard guard(epochs);
                      sum += *pointer.Load(guard);
                    }
                    return sum == kReads;
                  }});
}

bool MeasureDoorbell() {
  constexpr uint32_t kRings = 10'000;
  lockfree::Doorbell bell;
  return Measure({"doorbell_ring", kRings, [&] {
                    for (uint32_t i = 0; i < kRings; ++i) {
                      bell.Ring();
                    }
                    return bell.Seen() == kRings;
                  }});
}

// A worker without a thread or a Redis, and one group of 400 that it delivers to.
class Delivery {
 public:
  static constexpr uint32_t kGroupSize = 400;
  static constexpr uint64_t kPosts = 64;

  Delivery() {
    const Membership membership{*groups_.FindOrAdd(GroupId("g")),
                                {Role::kMember, NextPosition(), Position()},
                                NextPosition()};
    for (uint32_t i = 0; i < kGroupSize; ++i) {
      are_restored_ &=
          worker_.Restore("person-" + std::to_string(i), {membership}, UpdateId(), 0).ok();
    }
    worker_.Begin(std::vector<Position>(layout_.shard_count));
    for (uint64_t id = 0; id < kEntries; id += kPosts) {
      PublishPosts();
      worker_.DoWork();
    }
    for (uint32_t i = 0; i < kGroupSize; ++i) {
      persons_.Home(i).MarkFlushed(persons_.Home(i).head());
      persons_.Posts(i).MarkFlushed(persons_.Posts(i).head());
    }
  }
  ~Delivery() {
    progress_.Stop();
    executor_.Stop();
  }

  // Hands kPosts posts to the worker, all by the same author.
  void PublishPosts() {
    const PersonId author("person-0");
    for (uint64_t i = 0; i < kPosts; ++i) {
      Event& event = *ring_.TryClaim();
      event.kind = Event::Kind::kPublished;
      event.position = NextPosition();
      event.author = author.value();
      event.author_partition = layout_.PartitionOf(author);
    }
    ring_.Publish();
  }

  // Whether all of them were applied, and each member and the author's profile got a copy.
  bool Work() {
    const uint64_t delivered = worker_.delivered();
    return worker_.DoWork() == kPosts &&
           worker_.delivered() - delivered == kPosts * (kGroupSize + 1) && are_restored_;
  }

 private:
  Position NextPosition() { return Position(++ms_, ShardIndex(0), 0); }

  const Layout layout_;
  const base::SystemClock clock_;
  base::Executor executor_{1, "bench"};
  lockfree::EpochReclaimer epochs_;
  lockfree::BroadcastRing<Event> ring_{kPosts, 1};
  Progress progress_{layout_.shard_count, 1, executor_, clock_};
  GroupDirectory groups_{layout_, 10};
  GroupSizes sizes_{groups_, {}};
  PersonStore persons_{layout_, kGroupSize, size_t{64} << 20};
  Worker worker_{0, 1, {layout_, ring_, progress_, epochs_, sizes_, clock_}, persons_};
  uint64_t ms_ = 0;
  bool are_restored_ = true;
};

bool MeasureDelivery() {
  Delivery delivery;
  delivery.PublishPosts();
  return Measure({"worker_post_to_400", Delivery::kPosts, [&] { return delivery.Work(); }});
}

}  // namespace
}  // namespace klatch

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--compiler") {
    std::puts(KLATCH_COMPILER "-" KLATCH_MACHINE);
    return 0;
  }
  if (argc != 1) {
    std::fprintf(stderr, "core_loops: unknown argument '%s'; there is only --compiler\n", argv[1]);
    return 2;
  }
  bool is_right = klatch::MeasureTimelineRings();
  is_right &= klatch::MeasureBroadcastRing();
  is_right &= klatch::MeasureInsertOnlyTable();
  is_right &= klatch::MeasurePublishedPointer();
  is_right &= klatch::MeasureDoorbell();
  is_right &= klatch::MeasureDelivery();
  return is_right ? 0 : 1;
}
