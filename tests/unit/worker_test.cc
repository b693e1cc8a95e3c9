#include "services/deliver/worker.h"

#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <string>
#include <tuple>

#include "common/lockfree/doorbell.h"
#include "services/persons/person_store.h"

namespace klatch {
namespace {

using std::chrono::milliseconds;

constexpr std::chrono::seconds kPatience{20};

// Stands still until it is moved.
class StepClock final : public base::Clock {
 public:
  base::MonotonicTime Monotonic() const override {
    return base::MonotonicTime(milliseconds(now_ms_.load(std::memory_order_relaxed)));
  }
  base::WallTime Wall() const override {
    return base::WallTime(milliseconds(now_ms_.load(std::memory_order_relaxed)));
  }
  void Advance(milliseconds by) { now_ms_.fetch_add(by.count(), std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> now_ms_{1'000'000};
};

// A worker that owns everything, fed by hand.
class WorkerTest : public testing::Test {
 protected:
  void MakeWorker(size_t ring_bytes = 64 << 20, uint32_t persons_max = 1'000) {
    persons_ = std::make_unique<PersonStore>(layout_, persons_max, ring_bytes);
    worker_ = std::make_unique<Worker>(
        0, 1,
        Worker::Dependencies{layout_, ring_, progress_, epochs_, sizes_, steps_, quiet_after_},
        *persons_);
  }
  void StartWorker(size_t ring_bytes = 64 << 20) {
    MakeWorker(ring_bytes);
    worker_->Start(std::vector<Position>(layout_.shard_count));
  }

  WorkerTest() { EXPECT_EQ(groups_.FindOrAdd(GroupId("g")), GroupIndex(0)); }
  ~WorkerTest() override {
    if (worker_) {
      worker_->Stop();
    }
    progress_.Stop();
    executor_.Stop();
  }

  Event* Claim() {
    Event* slot = ring_.TryClaim();
    while (slot == nullptr) {
      ring_.Publish();
      ring_.WaitForRoom(milliseconds(10));
      slot = ring_.TryClaim();
    }
    slot->position = Position(++ms_, ShardIndex(0), 0);
    slot->change_count = 0;
    slot->visible_from.reset();
    slot->has_past = false;
    slot->is_imported = false;
    slot->group = GroupIndex(0);
    return slot;
  }

  Position Change(const std::string& person, MemberChange::Kind kind, Role role,
                  std::optional<Position> visible_from = std::nullopt, bool has_past = false) {
    Event* slot = Claim();
    slot->kind = Event::Kind::kMembersChanged;
    slot->visible_from = visible_from;
    slot->has_past = has_past;
    slot->changes.resize(1);
    slot->change_count = 1;
    slot->changes[0] = {person, layout_.PartitionOf(PersonId(person)), kind, role};
    ring_.Publish();
    return slot->position;
  }
  Position Join(const std::string& person) {
    return Change(person, MemberChange::Kind::kJoined, Role::kMember);
  }
  Position Leave(const std::string& person) {
    return Change(person, MemberChange::Kind::kLeft, Role::kNone);
  }

  Position Publish(const std::string& author) {
    Event* slot = Claim();
    slot->kind = Event::Kind::kPublished;
    slot->author = author;
    slot->author_partition = layout_.PartitionOf(PersonId(author));
    ring_.Publish();
    return slot->position;
  }

  Position Home(const std::string& author) {
    Event* slot = Claim();
    slot->kind = Event::Kind::kHomed;
    slot->author = author;
    slot->author_partition = layout_.PartitionOf(PersonId(author));
    ring_.Publish();
    return slot->position;
  }
  Position Carry(UpdateId update) {
    Event* slot = Claim();
    slot->kind = Event::Kind::kCarried;
    slot->update = update;
    ring_.Publish();
    return slot->position;
  }

  Position Switch(bool is_pulled) {
    Event* slot = Claim();
    slot->kind = Event::Kind::kDeliverySwitched;
    slot->is_pulled = is_pulled;
    ring_.Publish();
    return slot->position;
  }

  void AwaitQuiet(uint64_t count) {
    const auto deadline = clock_.Monotonic() + kPatience;
    while (worker_->quiet() != count) {
      ASSERT_LT(clock_.Monotonic(), deadline);
      std::this_thread::yield();
    }
  }
  void Read(const std::string& person) {
    persons_->Find(person)->seen_ns.store(
        std::chrono::nanoseconds(steps_.Monotonic().time_since_epoch()).count(),
        std::memory_order_relaxed);
  }

  void AwaitApplied(Position position) {
    const auto deadline = clock_.Monotonic() + kPatience;
    while (progress_.Applied(ShardIndex(0)) < position) {
      ASSERT_LT(clock_.Monotonic(), deadline);
      std::this_thread::yield();
    }
  }

  std::set<uint64_t> HomeOf(const std::string& person) {
    std::vector<lockfree::TimelineEntry> entries;
    uint64_t floor = 0;
    EXPECT_TRUE(
        persons_->Find(person)->home->CopyNewest(persons_->arena(), entries, 10'000, &floor));
    std::set<uint64_t> ids;
    for (const auto& entry : entries) {
      ids.insert(entry.id);
    }
    return ids;
  }

  const Layout layout_;
  const base::SystemClock clock_;
  base::Executor executor_{1, "test"};
  lockfree::EpochReclaimer epochs_;
  lockfree::BroadcastRing<Event> ring_{64, 1};
  Progress progress_{layout_.shard_count, 1, executor_, clock_};
  // Of who reads; nobody falls quiet unless a test says after how long.
  StepClock steps_;
  milliseconds quiet_after_{0};
  GroupDirectory groups_{layout_, 10};
  GroupSizes sizes_{groups_, {.above = 2}};
  std::unique_ptr<PersonStore> persons_;
  std::unique_ptr<Worker> worker_;
  uint64_t ms_ = 1;
};

TEST_F(WorkerTest, DeliversToWhoIsAMemberAtThatPositionOnly) {
  StartWorker();
  Join("ann");
  Join("bob");
  const Position first = Publish("ann");
  Leave("bob");
  const Position second = Publish("ann");
  Join("cat");
  const Position third = Publish("cat");
  AwaitApplied(third);
  EXPECT_EQ(HomeOf("ann"), (std::set<uint64_t>{first.value(), second.value(), third.value()}));
  EXPECT_EQ(HomeOf("bob"), (std::set<uint64_t>{first.value()}));
  EXPECT_EQ(HomeOf("cat"), (std::set<uint64_t>{third.value()}));
}

TEST_F(WorkerTest, DeliversACarriedUpdateOnceAndToWhoIsAMemberThen) {
  StartWorker();
  Join("ann");
  const Position home = Home("ann");
  Join("bob");
  Carry(home);
  Join("cat");
  AwaitApplied(Carry(home));
  const auto copies = [&](const std::string& person) {
    std::vector<lockfree::TimelineEntry> entries;
    uint64_t floor = 0;
    EXPECT_TRUE(persons_->Find(person)->home->CopyNewest(persons_->arena(), entries, 100, &floor));
    return entries.size();
  };
  EXPECT_EQ(HomeOf("ann"), (std::set<uint64_t>{home.value()}));
  EXPECT_EQ(HomeOf("bob"), (std::set<uint64_t>{home.value()})) << "joined before the carry";
  EXPECT_EQ(HomeOf("cat"), (std::set<uint64_t>{home.value()})) << "joined before the second";
  for (const char* person : {"ann", "bob", "cat"}) {
    EXPECT_EQ(copies(person), 1u) << person;
  }
  std::vector<lockfree::TimelineEntry> posts;
  uint64_t floor = 0;
  ASSERT_TRUE(persons_->Find("ann")->posts->CopyNewest(persons_->arena(), posts, 100, &floor));
  ASSERT_EQ(posts.size(), 1u) << "on the profile by its home";
  EXPECT_EQ(posts[0].id, home.value());
}

TEST_F(WorkerTest, CopiesNothingBetweenTheSwitchesOfAPulledGroup) {
  StartWorker();
  Join("ann");
  const Position copied = Publish("ann");
  Switch(true);
  Publish("ann");
  const Position home = Home("bob");
  Carry(home);
  Switch(false);
  const Position again = Publish("ann");
  AwaitApplied(again);
  EXPECT_EQ(HomeOf("ann"), (std::set<uint64_t>{copied.value(), again.value()}));
  std::vector<lockfree::TimelineEntry> posts;
  uint64_t floor = 0;
  ASSERT_TRUE(persons_->Find("ann")->posts->CopyNewest(persons_->arena(), posts, 100, &floor));
  EXPECT_EQ(posts.size(), 3u) << "profiles have no feed";
}

TEST_F(WorkerTest, GroupThatIsLoadedAsPulledStaysSoThroughAReplay) {
  MakeWorker();
  worker_->RestoreDelivery(GroupIndex(0), true);
  worker_->Start(std::vector<Position>(layout_.shard_count));
  Join("ann");
  Publish("ann");  // in the log before the switch
  Switch(true);
  AwaitApplied(Publish("ann"));
  EXPECT_TRUE(HomeOf("ann").empty());
}

TEST_F(WorkerTest, TellsOfEachMemberThatComesAndGoes) {
  StartWorker();
  for (const char* person : {"ann", "bob", "cat"}) {
    AwaitApplied(Join(person));
  }
  EXPECT_EQ(sizes_.TakeCrossed(), std::set<GroupIndex>{GroupIndex(0)}) << "more than 2";
  groups_.NoteDelivery(GroupIndex(0), Position(1), true);
  Leave("cat");
  AwaitApplied(Leave("bob"));
  EXPECT_EQ(sizes_.TakeCrossed(), std::set<GroupIndex>{GroupIndex(0)}) << "fewer than 2";
}

TEST_F(WorkerTest, WhoDoesNotReadGetsNoCopiesUntilTheyAreBack) {
  quiet_after_ = std::chrono::hours(1);
  StartWorker();
  Join("ann");
  AwaitApplied(Join("bob"));
  steps_.Advance(std::chrono::minutes(59));
  Read("ann");
  // It looks again an eighth of an hour after it has looked.
  steps_.Advance(std::chrono::minutes(20));
  AwaitQuiet(1);
  const Person& bob = *persons_->Find("bob");
  EXPECT_NE(bob.quiet_since.load(), 0u);
  EXPECT_EQ(persons_->Find("ann")->quiet_since.load(), 0u);
  const Position missed = Publish("ann");
  AwaitApplied(missed);
  EXPECT_EQ(HomeOf("ann"), std::set<uint64_t>{missed.value()});
  EXPECT_TRUE(HomeOf("bob").empty());

  persons_->Wake(bob.index);
  AwaitQuiet(0);
  const Position later = Publish("ann");
  AwaitApplied(later);
  EXPECT_EQ(HomeOf("bob"), std::set<uint64_t>{later.value()});
  EXPECT_GE(bob.home->floor(), missed.value()) << "memory lacks it";
  EXPECT_NE(bob.quiet_since.load(), 0u) << "what was missed is not stored yet";
  EXPECT_EQ(bob.hole_since.load(), 0u) << "but pages are whole";

  const auto batch = worker_->TakeBatch({}, kPatience);
  ASSERT_TRUE(batch);
  ASSERT_EQ(batch->quiet.size(), 2u);
  EXPECT_NE(batch->quiet[0].since, 0u);
  EXPECT_EQ(batch->quiet[1].since, 0u);
  ASSERT_EQ(batch->holes.size(), 1u);
  EXPECT_EQ(batch->holes[0].person, bob.index);
  ASSERT_TRUE(worker_->Tell({.rebuilt = {{bob.index, batch->holes[0].generation}}}, kPatience));
  EXPECT_EQ(bob.quiet_since.load(), 0u);
}

TEST_F(WorkerTest, WhoFallsQuietBeforeTheyAreRebuiltStaysMarked) {
  quiet_after_ = std::chrono::hours(1);
  StartWorker();
  AwaitApplied(Join("ann"));
  steps_.Advance(quiet_after_);
  AwaitQuiet(1);
  const Person& ann = *persons_->Find("ann");
  persons_->Wake(ann.index);
  AwaitQuiet(0);
  steps_.Advance(quiet_after_);
  AwaitQuiet(1);
  const auto batch = worker_->TakeBatch({}, kPatience);
  ASSERT_TRUE(batch);
  ASSERT_EQ(batch->quiet.size(), 3u);
  EXPECT_EQ(batch->quiet[2].since, batch->quiet[0].since) << "the older counts";
  ASSERT_TRUE(worker_->Tell({.rebuilt = {{ann.index, batch->holes[0].generation}}}, kPatience));
  EXPECT_NE(ann.quiet_since.load(), 0u);
}

TEST_F(WorkerTest, WhoIsWatchedDoesNotFallQuiet) {
  lockfree::Doorbell bell;
  quiet_after_ = std::chrono::hours(1);
  MakeWorker();
  worker_->watch_tap().Connect(bell);
  worker_->Start(std::vector<Position>(layout_.shard_count));
  Join("ann");
  AwaitApplied(Join("bob"));
  steps_.Advance(quiet_after_);
  AwaitQuiet(2);
  worker_->watch_tap().Watch("ann");
  AwaitQuiet(1);
  EXPECT_NE(persons_->Find("bob")->quiet_since.load(), 0u);
  steps_.Advance(quiet_after_);
  persons_->Wake(persons_->Find("bob")->index);
  AwaitQuiet(0);
  const Position posted = Publish("ann");
  AwaitApplied(posted);
  EXPECT_EQ(HomeOf("ann"), std::set<uint64_t>{posted.value()});
}

TEST_F(WorkerTest, WhoIsLoadedAsQuietGetsNoCopies) {
  MakeWorker();
  const Position joined(100, ShardIndex(0), 0);
  const Membership member{GroupIndex(0), Stay{Role::kMember, joined, joined}, joined};
  for (const char* person : {"ann", "bob"}) {
    ASSERT_TRUE(worker_->Restore(person, {member}, UpdateId(), 0).ok());
  }
  worker_->RestoreQuiet("bob", 7);
  worker_->Start(std::vector<Position>(layout_.shard_count));
  ms_ = 200;
  const Position posted = Publish("ann");
  AwaitApplied(posted);
  EXPECT_EQ(HomeOf("ann"), std::set<uint64_t>{posted.value()});
  EXPECT_TRUE(HomeOf("bob").empty());
  EXPECT_EQ(persons_->Find("bob")->quiet_since.load(), 7u);
  EXPECT_EQ(worker_->quiet(), 1u);
}

TEST_F(WorkerTest, IgnoresChangesThatTheRestoredViewHoldsAlready) {
  persons_ = std::make_unique<PersonStore>(layout_, 1'000, 64 << 20);
  worker_ = std::make_unique<Worker>(
      0, 1, Worker::Dependencies{layout_, ring_, progress_, epochs_, sizes_, steps_, quiet_after_},
      *persons_);
  // Ann left at 100; the log from 50 on still says that she joined.
  const Membership left{GroupIndex(0), Stay{}, Position(100, ShardIndex(0), 0)};
  ASSERT_TRUE(worker_->Restore("ann", {left}, UpdateId(), 0).ok());
  worker_->Start(std::vector<Position>(layout_.shard_count));
  ms_ = 50;
  Join("ann");
  const Position published = Publish("bob");
  AwaitApplied(published);
  EXPECT_TRUE(HomeOf("ann").empty());
}

TEST_F(WorkerTest, ReplayDeliversNothingFromBeforeARestoredStay) {
  MakeWorker();
  const Position early(10, ShardIndex(0), 0);
  const Position late(20, ShardIndex(0), 0);
  const auto restore = [this](const std::string& person, Position joined) {
    return worker_->Restore(person,
                            {Membership{GroupIndex(0), {Role::kMember, joined, joined}, joined}},
                            UpdateId(), 0);
  };
  ASSERT_TRUE(restore("ann", early).ok());
  ASSERT_TRUE(restore("bob", late).ok());
  worker_->Start(std::vector<Position>(layout_.shard_count));
  ms_ = 14;
  const Position between = Publish("ann");
  const Position carried = Carry(UpdateId(Position(13, ShardIndex(1), 0).value()));
  ms_ = 20;
  const Position after = Publish("ann");
  AwaitApplied(after);
  EXPECT_EQ(HomeOf("ann"), (std::set<uint64_t>{between.value(), after.value(),
                                               Position(13, ShardIndex(1), 0).value()}));
  EXPECT_EQ(HomeOf("bob"), (std::set<uint64_t>{after.value()}));
  EXPECT_LT(carried, late);
}

TEST_F(WorkerTest, OfAnOpenPastThatIsNotReplayedPagesAskForWhatIsStored) {
  MakeWorker();
  const Position checkpoint(5, ShardIndex(0), 0);
  const Position joined(20, ShardIndex(0), 0);
  const auto restore = [&](const std::string& person, Position visible_from) {
    return worker_->Restore(
        person, {Membership{GroupIndex(0), {Role::kMember, joined, visible_from}, joined}},
        checkpoint, 0);
  };
  ASSERT_TRUE(restore("ann", Position()).ok());
  ASSERT_TRUE(restore("bob", joined).ok());
  std::vector<lockfree::TimelineEntry> entries;
  uint64_t floor = 0;
  ASSERT_TRUE(persons_->Find("ann")->home->CopyNewest(persons_->arena(), entries, 100, &floor));
  EXPECT_EQ(floor, joined.value());
  ASSERT_TRUE(persons_->Find("bob")->home->CopyNewest(persons_->arena(), entries, 100, &floor));
  EXPECT_EQ(floor, checkpoint.value()) << "a closed past takes nobody to Redis";
}

TEST_F(WorkerTest, RoleChangeKeepsTheStay) {
  StartWorker();
  const Position joined = Join("ann");
  AwaitApplied(Change("ann", MemberChange::Kind::kRoleChanged, Role::kModerator));
  const lockfree::EpochReclaimer::Guard guard(epochs_);
  const Membership* membership =
      persons_->Find("ann")->memberships.Load(guard)->Find(GroupIndex(0));
  ASSERT_NE(membership, nullptr);
  EXPECT_EQ(membership->stay, (Stay{Role::kModerator, joined, joined}));
}

TEST_F(WorkerTest, OpenHistoryMakesThePastVisible) {
  StartWorker();
  const Position joined = Change("ann", MemberChange::Kind::kJoined, Role::kReader, Position());
  AwaitApplied(joined);
  EXPECT_EQ(persons_->Find("ann")->hole_since.load(), 0u) << "there is no past to fetch";
  const lockfree::EpochReclaimer::Guard guard(epochs_);
  const Membership* membership =
      persons_->Find("ann")->memberships.Load(guard)->Find(GroupIndex(0));
  ASSERT_NE(membership, nullptr);
  EXPECT_EQ(membership->stay, (Stay{Role::kReader, joined, Position()}));
}

TEST_F(WorkerTest, APastThatIsOpenIsToBeFetchedFromTheFeed) {
  StartWorker();
  const Position from(700'000, ShardIndex(0), 0);
  // A post to several groups that came to this one at `from` may have an id that is so much older.
  const UpdateId oldest(100'000, ShardIndex(0), 0);
  const Position joined =
      Change("ann", MemberChange::Kind::kJoined, Role::kMember, from, /*has_past=*/true);
  AwaitApplied(joined);
  const Person* ann = persons_->Find("ann");
  EXPECT_EQ(ann->hole_since.load(), oldest.value());
  EXPECT_EQ(ann->home->floor(), joined.value());
  const std::optional<FlushBatch> batch = worker_->TakeBatch({}, kPatience);
  ASSERT_TRUE(batch.has_value());
  ASSERT_EQ(batch->holes.size(), 1u);
  EXPECT_EQ(batch->holes[0].since, oldest.value());
}

TEST_F(WorkerTest, BatchNamesEachDirtyTimelineOnceAndHowFarTheLogIsApplied) {
  StartWorker();
  Join("ann");
  Publish("bob");
  const Position last = Publish("bob");
  AwaitApplied(last);
  const auto batch = worker_->TakeBatch({}, kPatience);
  ASSERT_TRUE(batch.has_value());
  EXPECT_EQ(batch->applied[0], last);
  EXPECT_EQ(batch->timelines.size(), 2u) << "ann's home, bob's posts";
  EXPECT_EQ(batch->views.size(), 1u);
  EXPECT_EQ(batch->new_persons.size(), 2u);
  const auto next = worker_->TakeBatch({}, kPatience);
  ASSERT_TRUE(next.has_value());
  EXPECT_TRUE(next->timelines.empty());
}

TEST_F(WorkerTest, MarksAHoleWhenNothingIsFlushedAndForgetsItWhenRebuilt) {
  StartWorker();
  Join("ann");
  Position last;
  for (int i = 0; i < 1'100; ++i) {
    last = Publish("bob");
  }
  AwaitApplied(last);
  const Person* ann = persons_->Find("ann");
  EXPECT_GT(worker_->dropped(), 0u);
  EXPECT_TRUE(worker_->tight());
  const uint64_t since = ann->hole_since.load(std::memory_order_relaxed);
  EXPECT_GT(since, 0u);
  auto batch = worker_->TakeBatch({}, kPatience);
  ASSERT_TRUE(batch.has_value());
  ASSERT_FALSE(batch->holes.empty());
  uint64_t generation = 0;
  for (const HoleMark& hole : batch->holes) {
    if (hole.person == ann->index) {
      EXPECT_GE(hole.since, since);
      generation = hole.generation;
    }
  }
  // A rebuild that began before the last loss mends nothing.
  batch = worker_->TakeBatch({.rebuilt = {{ann->index, generation - 1}}}, kPatience);
  ASSERT_TRUE(batch.has_value());
  EXPECT_TRUE(batch->mended.empty());
  batch = worker_->TakeBatch({.rebuilt = {{ann->index, generation}}}, kPatience);
  ASSERT_TRUE(batch.has_value());
  EXPECT_EQ(batch->mended, std::vector<uint32_t>{ann->index});
  EXPECT_EQ(ann->hole_since.load(std::memory_order_relaxed), 0u);
}

TEST_F(WorkerTest, DeletedGroupHasNoMembersAndGetsNoDeliveries) {
  StartWorker();
  Join("ann");
  Event* slot = Claim();
  slot->kind = Event::Kind::kGroupDeleted;
  ring_.Publish();
  const Position published = Publish("ann");
  AwaitApplied(published);
  EXPECT_TRUE(HomeOf("ann").empty());
}

TEST_F(WorkerTest, LateAnswerIsMarkedAndLeavesTheFlusherNoBatchBehind) {
  MakeWorker();
  // It looks at what it was asked before it looks at the ring.
  ASSERT_FALSE(worker_->TakeBatch({}, milliseconds(0)).has_value());
  Position last = Publish("bob");
  worker_->Start(std::vector<Position>(layout_.shard_count));
  AwaitApplied(last);
  auto batch = worker_->TakeBatch({}, kPatience);
  ASSERT_TRUE(batch.has_value());
  EXPECT_TRUE(batch->late);
  EXPECT_EQ(batch->applied[0], Position());
  for (int i = 0; i < 3; ++i) {
    last = Publish("bob");
    AwaitApplied(last);
    batch = worker_->TakeBatch({}, kPatience);
    ASSERT_TRUE(batch.has_value());
    EXPECT_FALSE(batch->late);
    EXPECT_EQ(batch->applied[0], last);
  }
}

TEST_F(WorkerTest, ProfileIsAHoleUntilItsSpilledPostsAreWritten) {
  StartWorker(/*ring_bytes=*/0);
  const Position first = Publish("bob");
  AwaitApplied(first);
  const Person* bob = persons_->Find("bob");
  const auto since = [&] { return bob->posts_hole_since.load(std::memory_order_relaxed); };
  EXPECT_EQ(since(), first.value());
  ASSERT_TRUE(worker_->TakeBatch({}, kPatience).has_value());
  EXPECT_EQ(since(), first.value()) << "taken, not written";
  const Position second = Publish("bob");
  AwaitApplied(second);
  // Asking for the next batch says that the one before is written; the second post isn't in it.
  ASSERT_TRUE(worker_->TakeBatch({}, kPatience).has_value());
  EXPECT_NE(since(), 0u);
  EXPECT_LE(since(), second.value());
  ASSERT_TRUE(worker_->TakeBatch({}, kPatience).has_value());
  EXPECT_EQ(since(), 0u);
}

TEST_F(WorkerTest, ForgetsARemovedTombstoneUnlessThePersonCameBackSince) {
  StartWorker();
  Join("ann");
  Join("bob");
  Leave("ann");
  AwaitApplied(Leave("bob"));
  const auto batch = worker_->TakeBatch({}, kPatience);
  ASSERT_TRUE(batch.has_value());
  FlusherNews news;
  for (const ViewChange& view : batch->views) {
    if (view.stay.role == Role::kNone) {
      news.removed.push_back(view);
    }
  }
  ASSERT_EQ(news.removed.size(), 2u);
  AwaitApplied(Join("ann"));
  ASSERT_TRUE(worker_->Tell(news, kPatience));
  const lockfree::EpochReclaimer::Guard guard(epochs_);
  EXPECT_TRUE(persons_->Find("bob")->memberships.Load(guard)->items().empty());
  const Membership* ann = persons_->Find("ann")->memberships.Load(guard)->Find(GroupIndex(0));
  ASSERT_NE(ann, nullptr);
  EXPECT_EQ(ann->stay.role, Role::kMember);
}

TEST_F(WorkerTest, ReplacedTimelineIsAHoleAtOnceAndInTheNextBatch) {
  StartWorker();
  AwaitApplied(Join("ann"));
  const Person* ann = persons_->Find("ann");
  ASSERT_TRUE(worker_->Tell({.replaced = {ann->index}}, kPatience));
  EXPECT_EQ(ann->hole_since.load(std::memory_order_relaxed), 1u);
  const auto batch = worker_->TakeBatch({}, kPatience);
  ASSERT_TRUE(batch.has_value());
  ASSERT_EQ(batch->holes.size(), 1u);
  EXPECT_EQ(batch->holes[0].generation, ann->hole_generation.load(std::memory_order_relaxed));
}

TEST_F(WorkerTest, AppliesNothingBehindTheRecordThatItStoppedAt) {
  MakeWorker(64 << 20, /*persons_max=*/1);
  // All three in one step of the worker.
  for (const char* author : {"ann", "bob", "ann"}) {
    Event* slot = Claim();
    slot->kind = Event::Kind::kPublished;
    slot->author = author;
    slot->author_partition = layout_.PartitionOf(PersonId(author));
  }
  const Position first(ms_ - 2, ShardIndex(0), 0);
  ring_.Publish();
  worker_->Start(std::vector<Position>(layout_.shard_count));
  const auto deadline = clock_.Monotonic() + kPatience;
  while (!worker_->failed()) {
    ASSERT_LT(clock_.Monotonic(), deadline);
    std::this_thread::yield();
  }
  worker_->Stop();
  EXPECT_EQ(progress_.Applied(ShardIndex(0)), first);
  EXPECT_EQ(persons_->Find("ann")->posts->size(), 1u);
}

TEST_F(WorkerTest, TellsWhatReachesWatchedPersonsAndWhoeverLeaves) {
  lockfree::Doorbell bell;
  MakeWorker();
  WatchTap& tap = worker_->watch_tap();
  tap.Connect(bell);
  tap.Watch("bob");
  worker_->Start(std::vector<Position>(layout_.shard_count));
  std::vector<WatchItem> items;
  const auto poll = [&] { tap.Poll([&](const WatchItem& item) { items.push_back(item); }); };
  const auto deadline = clock_.Monotonic() + kPatience;
  while (items.empty()) {
    ASSERT_LT(clock_.Monotonic(), deadline);
    poll();
  }
  ASSERT_EQ(items[0].kind, WatchItem::Kind::kStarted);
  const uint32_t bob = *tap.TakeAnswer().persons.at(0).index;
  items.clear();

  Join("ann");
  const Position joined = Join("bob");
  const Position first = Publish("ann");
  Event* edit = Claim();
  edit->kind = Event::Kind::kEdited;
  edit->update = first;
  ring_.Publish();
  const Position left = Leave("ann");
  Event* deletion = Claim();
  deletion->kind = Event::Kind::kGroupDeleted;
  const Position deleted = deletion->position;
  ring_.Publish();
  Publish("bob");
  Change("bob", MemberChange::Kind::kRoleChanged, Role::kMember);
  AwaitApplied(Position(ms_, ShardIndex(0), 0));
  // What is applied was told before.
  poll();

  using Kind = WatchItem::Kind;
  const uint32_t ann = persons_->Find("ann")->index;
  const std::vector<std::tuple<Kind, uint32_t, Position>> expected = {
      {Kind::kJoined, bob, joined},
      {Kind::kPublished, bob, first},
      {Kind::kEdited, WatchItem::kNobody, Position(first.ms() + 1, ShardIndex(0), 0)},
      {Kind::kEdited, bob, Position(first.ms() + 1, ShardIndex(0), 0)},
      {Kind::kLeft, ann, left},
      {Kind::kLeft, bob, deleted},
      {Kind::kGroupDeleted, WatchItem::kNobody, deleted}};
  std::vector<std::tuple<Kind, uint32_t, Position>> told;
  for (const WatchItem& item : items) {
    told.emplace_back(item.kind, item.person, item.position);
  }
  EXPECT_EQ(told, expected);
  EXPECT_FALSE(tap.TakeOverflow());
}

TEST_F(WorkerTest, ImportIsDeliveredAndNobodyWhoWatchesIsTold) {
  lockfree::Doorbell bell;
  MakeWorker();
  WatchTap& tap = worker_->watch_tap();
  tap.Connect(bell);
  tap.Watch("bob");
  worker_->Start(std::vector<Position>(layout_.shard_count));
  std::vector<WatchItem::Kind> told;
  const auto poll = [&] { tap.Poll([&](const WatchItem& item) { told.push_back(item.kind); }); };
  const auto deadline = clock_.Monotonic() + kPatience;
  while (told.empty()) {
    ASSERT_LT(clock_.Monotonic(), deadline);
    poll();
  }
  Join("bob");
  Event* import = Claim();
  import->kind = Event::Kind::kPublished;
  import->is_imported = true;
  import->author = "bob";
  import->author_partition = layout_.PartitionOf(PersonId("bob"));
  const Position imported = import->position;
  ring_.Publish();
  const Position posted = Publish("bob");
  AwaitApplied(posted);
  poll();
  using Kind = WatchItem::Kind;
  EXPECT_EQ(told, (std::vector{Kind::kStarted, Kind::kJoined, Kind::kPublished}));
  EXPECT_EQ(HomeOf("bob"), (std::set{imported.value(), posted.value()}));
  EXPECT_EQ(persons_->Find("bob")->posts->size(), 2u);
}

TEST_F(WorkerTest, ReplayedLeaveIsToldForWatchesThatResume) {
  lockfree::Doorbell bell;
  MakeWorker();
  worker_->watch_tap().Connect(bell);
  const Membership left{GroupIndex(0), Stay{}, Position(51, ShardIndex(0), 0)};
  ASSERT_TRUE(worker_->Restore("ann", {left}, UpdateId(), 0).ok());
  worker_->Start(std::vector<Position>(layout_.shard_count));
  ms_ = 49;
  Join("ann");
  AwaitApplied(Leave("ann"));
  std::vector<WatchItem::Kind> told;
  worker_->watch_tap().Poll([&](const WatchItem& item) { told.push_back(item.kind); });
  EXPECT_EQ(told, std::vector{WatchItem::Kind::kLeft});
}

}  // namespace
}  // namespace klatch
