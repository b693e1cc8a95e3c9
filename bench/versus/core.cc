#include "bench/versus/core.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <thread>

#include "bench/load/plan/generated_graph.h"
#include "bench/load/plan/random.h"
#include "common/base/executor.h"
#include "services/deliver/worker.h"
#include "services/persons/person_store.h"

namespace klatch::versus {
namespace {

constexpr uint32_t kPersons = 1'000'000;
constexpr uint32_t kGroupSize = 400;
constexpr uint64_t kEntries = 256;
// What the rings outgrow on their way to their size, and those of posts.
constexpr size_t kArenaBytes = size_t{kPersons} * kEntries * lockfree::kTimelineEntryBytes * 15 / 8;
constexpr uint64_t kBytesNeeded = uint64_t{7'500} << 20;
constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr size_t kRingSlots = 4'096;
constexpr std::chrono::milliseconds kFlushInterval{250};
constexpr std::chrono::milliseconds kWait{100};
constexpr std::chrono::seconds kBatchWait{5};
// Slices alternate at a second or two: what the machine gives swings.
constexpr std::chrono::duration<double> kSliceMax{2.0};

const base::Clock& Time() {
  static const base::SystemClock clock;
  return clock;
}

class World {
 public:
  World(const Layout& layout, const load::Graph& graph)
      : layout_(layout), graph_(graph), persons_(layout, kPersons, kArenaBytes) {
    worker_ = std::make_unique<Worker>(
        0, 1, Worker::Dependencies{layout_, ring_, progress_, epochs_, sizes_, Time(), {}},
        persons_);
  }
  ~World() {
    taking_.store(false, std::memory_order_relaxed);
    if (flusher_.joinable()) {
      flusher_.join();
    }
    worker_->Stop();
    progress_.Stop();
    executor_.Stop();
  }

  // Everybody with their groups and full rings, all of it flushed. Before Start.
  absl::Status Restore() {
    for (uint32_t group = 0; group < graph_.group_count(); ++group) {
      if (!groups_.FindOrAdd(GroupId(graph_.group(group).id)).has_value()) {
        return base::Error(absl::StatusCode::kInternal, "the directory of groups is full");
      }
    }
    for (uint32_t person = 0; person < graph_.person_count(); ++person) {
      std::vector<Membership> memberships;
      for (const uint32_t group : graph_.GroupsOf(person)) {
        memberships.push_back({GroupIndex(group), {Role::kMember, kJoined, kJoined}, kJoined});
      }
      KLATCH_RETURN_IF_ERROR(worker_->Restore(graph_.person(person), memberships, UpdateId(), 0));
      Fill(persons_.Home(person));
      persons_.Posts(person).MarkFlushed(UINT64_MAX / 2);
    }
    return absl::OkStatus();
  }

  void Start() {
    worker_->Start(std::vector<Position>(layout_.shard_count));
    flusher_ = std::thread([this] {
      while (taking_.load(std::memory_order_relaxed)) {
        worker_->TakeBatch({}, kBatchWait);
        std::this_thread::sleep_for(kFlushInterval);
      }
    });
  }

  // Home deliveries per second.
  double Deliver(std::chrono::duration<double> time) {
    const auto start = std::chrono::steady_clock::now();
    uint64_t posts = 0;
    while (std::chrono::steady_clock::now() - start < time) {
      for (int i = 0; i < 64; ++i) {
        Post();
        ++posts;
      }
      ring_.Publish();
    }
    while (ring_.consumed(0) != ring_.published()) {
      std::this_thread::yield();
    }
    return static_cast<double>(posts * kGroupSize) / SecondsSince(start);
  }

  // Writes of 16 bytes per second, at the places of random members as a delivery has them.
  double WriteAtRandom(std::chrono::duration<double> time) {
    const auto start = std::chrono::steady_clock::now();
    uint64_t writes = 0;
    while (std::chrono::steady_clock::now() - start < time) {
      const std::vector<uint32_t>& members = RandomGroup().members;
      const uint64_t entry = random_.Below(kEntries);
      for (const uint32_t person : members) {
        // Within the arena, which has given out as many entries for each person.
        std::atomic<uint64_t>* slot =
            persons_.arena().WordsAt((person * kEntries + entry) * lockfree::kTimelineEntryBytes);
        // Relaxed: nobody reads them, only the traffic counts. No id is greater than what stood there.
        slot[0].store(1, std::memory_order_relaxed);
        slot[1].store(entry, std::memory_order_relaxed);
      }
      writes += members.size();
    }
    return static_cast<double>(writes) / SecondsSince(start);
  }

  bool failed() const { return worker_->failed() || worker_->dropped() != 0; }
  bool huge_pages() const { return persons_.arena().huge_pages() == lockfree::HugePages::kAdvised; }

 private:
  static double SecondsSince(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  void Fill(lockfree::TimelineRing& ring) {
    for (uint64_t id = 1; id <= kEntries; ++id) {
      ring.Append(persons_.arena(), {id, 0, 0});
    }
    // Beyond the head, so that no flusher is needed: everything to come counts as written.
    ring.MarkFlushed(UINT64_MAX / 2);
  }

  const load::GroupSpec& RandomGroup() {
    return graph_.group(static_cast<uint32_t>(random_.Below(graph_.group_count())));
  }
  void Post() {
    Event* event = ring_.TryClaim();
    while (event == nullptr) {
      ring_.Publish();
      ring_.WaitForRoom(kWait);
      event = ring_.TryClaim();
    }
    const auto group = static_cast<uint32_t>(random_.Below(graph_.group_count()));
    const std::string& author = graph_.person(graph_.group(group).owner);
    event->kind = Event::Kind::kPublished;
    event->position = Position(++now_ms_, ShardIndex(0), 0);
    event->group = GroupIndex(group);
    event->author = author;
    event->author_partition = layout_.PartitionOf(PersonId(author));
  }

  static constexpr Position kJoined{1, ShardIndex(0), 0};

  const Layout layout_;
  const load::Graph& graph_;
  lockfree::BroadcastRing<Event> ring_{kRingSlots, 1};
  base::Executor executor_{1, "versus"};
  Progress progress_{layout_.shard_count, 1, executor_, Time()};
  lockfree::EpochReclaimer epochs_;
  GroupDirectory groups_{layout_, graph_.group_count() + 1};
  GroupSizes sizes_{groups_, PullThresholds{}};
  PersonStore persons_;
  std::unique_ptr<Worker> worker_;
  load::Random random_{1};
  uint64_t now_ms_ = 1'000;
  std::atomic<bool> taking_{true};  // relaxed: it only ends a loop
  std::thread flusher_;
};

// Both sides in turn.
Figure CoreRatio(World& world, const Lab& lab) {
  std::vector<double> deliveries;
  std::vector<double> writes;
  const std::chrono::duration<double> timed = lab.options().Timed();
  const auto slices = static_cast<uint32_t>(std::max(2.0, timed / kSliceMax));
  for (uint32_t slice = 0; slice < slices && !lab.interrupted(); ++slice) {
    deliveries.push_back(world.Deliver(timed / slices));
    writes.push_back(world.WriteAtRandom(timed / slices));
  }
  Figure figure = RatioFigure("core_ratio", {"one worker", 0, "deliveries/s"}, deliveries,
                              {"16 bytes at random", 0, "writes/s"}, writes, timed.count());
  figure.notes.push_back(world.huge_pages() ? "the memory is advised to have huge pages"
                                            : "the kernel refused huge pages");
  return figure;
}

}  // namespace

absl::StatusOr<std::vector<Figure>> MeasureCore(const Lab& lab) {
  if (AvailableMemoryBytes() < kBytesNeeded) {
    return base::Error(absl::StatusCode::kResourceExhausted,
                       fmt::format("needs {} MiB of memory, {} are free", kBytesNeeded / kMiB,
                                   AvailableMemoryBytes() / kMiB));
  }
  SayProgress(fmt::format("filling {} rings of {} entries in this process", kPersons, kEntries));
  KLATCH_ASSIGN_OR_RETURN(
      const auto graph,
      load::GenerateUniform({.persons = kPersons, .group_size = kGroupSize}, lab.options().seed));
  const uint64_t before = ResidentBytesOf(getpid());
  World world(Layout(), *graph);
  KLATCH_RETURN_IF_ERROR(world.Restore());
  const uint64_t after = ResidentBytesOf(getpid());
  std::vector<Figure> figures;
  if (lab.options().Wants("core_ratio")) {
    world.Start();
    figures.push_back(CoreRatio(world, lab));
    if (world.failed()) {
      return base::Error(absl::StatusCode::kInternal, "the worker dropped deliveries");
    }
  }
  if (lab.options().Wants("memory_bytes_per_entry")) {
    constexpr double kAllEntries = double{kPersons} * kEntries;
    Figure figure;
    figure.key = "memory_bytes_per_entry";
    figure.value = static_cast<double>(after - before) / kAllEntries;
    figure.sides = {{"persons with 10 memberships each, rosters, rings",
                     static_cast<double>(after - before), "bytes"},
                    {"entries of full rings", kAllEntries, "entries"}};
    figures.push_back(std::move(figure));
  }
  return figures;
}

}  // namespace klatch::versus
