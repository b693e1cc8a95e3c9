// Personal state written to a real Redis and loaded from it: whole, or not at all, whatever leases,
// connections and memory do meanwhile.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/redis/pipeline.h"
#include "services/model/limits.h"
#include "services/personal/personal_loader.h"
#include "services/personal/personal_writes.h"
#include "tests/integration/holding_proxy.h"
#include "tests/integration/klatchd_contents.h"
#include "tests/integration/redis_server_fixture.h"
#include "tests/unit/accept_fakes.h"

namespace klatch {
namespace {

using std::chrono::milliseconds;
using testing::Await;
using testing::Contents;
using testing::ContentsOf;
using testing::Differences;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr base::MonotonicTime kDeadline = base::MonotonicTime::max();
constexpr milliseconds kPatience{20'000};
constexpr milliseconds kCallTimeout{300};

std::string FieldOf(const absl::Status& status) {
  const auto violation = base::FieldViolationOf(status);
  return violation ? violation->field : "";
}

v1::Profile BioOf(const std::string& bio) {
  v1::Profile profile;
  profile.set_bio(bio);
  return profile;
}

class PersonalWritesTest : public testing::RedisTest {
 protected:
  void SetUp() override {
    redis_ = Connect();
    for (uint32_t i = 0; i < layout_.partition_count; ++i) {
      SetNonce(PartitionIndex(i), "mine");
    }
    Open(server_.address(), kPatience);
  }

  void Open(const redis::Address& address, milliseconds call_timeout) {
    writes_.reset();
    pipeline_ = std::make_unique<redis::SocketPipeline>(
        address, redis::Pipeline::Options{.call_timeout = call_timeout});
    writes_ = std::make_unique<PersonalWrites>(PersonalWrites::Dependencies{
        .layout = layout_,
        .store = store_,
        .redis = *pipeline_,
        .nonce_of = [this](PartitionIndex) -> const std::string& { return nonce_; },
        .note_lost = [this](PartitionIndex partition) { lost_.push_back(partition); },
        .executor = executor_,
        .clock = clock_});
  }

  void SetNonce(PartitionIndex partition, const std::string& nonce) {
    ASSERT_TRUE(redis_->Call({"HSET", keys_.Lease(partition), "nonce", nonce}).ok());
  }
  void SetMemoryMax(const std::string& bytes) {
    ASSERT_TRUE(redis_->Call({"CONFIG", "SET", "maxmemory", bytes}).ok());
  }
  std::vector<std::string> Members(const std::string& key) {
    const auto reply = redis_->Call({"SMEMBERS", key});
    EXPECT_TRUE(reply.ok()) << reply.status();
    std::vector<std::string> members;
    for (size_t i = 0; reply.ok() && i < reply->size(); ++i) {
      members.emplace_back((*reply)[i].text());
    }
    std::ranges::sort(members);
    return members;
  }
  std::vector<std::string> AllPersonal() {
    std::vector<std::string> persons;
    for (uint32_t i = 0; i < layout_.partition_count; ++i) {
      std::ranges::move(Members(keys_.Personal(PartitionIndex(i))), std::back_inserter(persons));
    }
    std::ranges::sort(persons);
    return persons;
  }
  // What a node that starts now finds.
  PersonalState Loaded(const PersonId& person) {
    PersonalStore store(1'000, epochs_);
    PersonalLoader loader(layout_, *redis_, store);
    const absl::Status loaded = loader.LoadAll([] { return false; });
    EXPECT_TRUE(loaded.ok()) << loaded;
    return store.Current(person);
  }
  template <typename Change>
  void Fill(const PersonId& person, Change change) {
    ASSERT_TRUE(store_.Admit(person));
    PersonalState state = store_.Current(person);
    change(state);
    store_.Publish(person, std::move(state));
  }

  absl::Status Block(const PersonId& actor, const PersonId& person) {
    return Await(writes_->Block(actor, person, kDeadline));
  }
  absl::Status Unblock(const PersonId& actor, const PersonId& person) {
    return Await(writes_->Unblock(actor, person, kDeadline));
  }

  // Of different partitions.
  const PersonId ann_{"ann"};
  const PersonId bob_{"bob"};
  const Layout layout_{.name = "default", .shard_count = 4, .partition_count = 8};
  const Keys keys_{layout_};
  const std::string nonce_ = "mine";
  lockfree::EpochReclaimer epochs_;
  PersonalStore store_{20'000, epochs_};
  testing::FakeClock clock_;
  std::vector<PartitionIndex> lost_;
  std::unique_ptr<redis::Connection> redis_;
  base::Executor executor_{2, "calls"};
  std::unique_ptr<redis::Pipeline> pipeline_;
  std::unique_ptr<PersonalWrites> writes_;
};

TEST_F(PersonalWritesTest, ABlockStandsAtBothAndGoesFromBoth) {
  ASSERT_NE(layout_.PartitionOf(ann_), layout_.PartitionOf(bob_));
  const Contents before = ContentsOf(*redis_);
  ASSERT_TRUE(Block(ann_, bob_).ok());
  EXPECT_THAT(Members(keys_.Blocks(ann_)), ElementsAre(">bob"));
  EXPECT_THAT(Members(keys_.Blocks(bob_)), ElementsAre("<ann"));
  EXPECT_THAT(AllPersonal(), ElementsAre("ann", "bob"));
  EXPECT_TRUE(store_.IsBlockedBetween(ann_, bob_));
  EXPECT_TRUE(store_.IsBlockedBetween(bob_, ann_));
  EXPECT_TRUE(Loaded(ann_).blocks.Contains("bob"));
  EXPECT_TRUE(Loaded(bob_).blocked_by.Contains("ann"));
  ASSERT_TRUE(Block(ann_, bob_).ok()) << "again";
  // The other's own block is another.
  ASSERT_TRUE(Block(bob_, ann_).ok());
  ASSERT_TRUE(Unblock(ann_, bob_).ok());
  EXPECT_TRUE(store_.IsBlockedBetween(ann_, bob_));
  EXPECT_TRUE(store_.IsBlockedBetween(bob_, ann_));
  ASSERT_TRUE(Unblock(bob_, ann_).ok());
  EXPECT_FALSE(store_.IsBlockedBetween(ann_, bob_));
  EXPECT_FALSE(store_.IsBlockedBetween(bob_, ann_));
  EXPECT_THAT(Differences(before, ContentsOf(*redis_)), IsEmpty());
}

TEST_F(PersonalWritesTest, EverythingIsLoadedAsItWasWritten) {
  ASSERT_TRUE(Await(writes_->Mute(ann_, PersonId("p:%1"), kDeadline)).ok());
  ASSERT_TRUE(Await(writes_->MuteGroup(ann_, GroupId("g"), kDeadline)).ok());
  ASSERT_TRUE(Await(writes_->MuteGroup(ann_, GroupId("h"), kDeadline)).ok());
  ASSERT_TRUE(Await(writes_->UnmuteGroup(ann_, GroupId("h"), kDeadline)).ok());
  // Not expired by the clock of the test.
  const UpdateId update(base::UnixMs(clock_.wall) - kEpochUnixMs, ShardIndex(1), 7);
  ASSERT_TRUE(Await(writes_->Hide(ann_, update, kDeadline)).ok());
  const PersonalState loaded = Loaded(ann_);
  EXPECT_THAT(loaded.muted_persons.Above("", 9), ElementsAre("p:%1"));
  EXPECT_THAT(loaded.muted_groups.Above("", 9), ElementsAre("g"));
  EXPECT_THAT(loaded.hidden, ElementsAre(update));
  ASSERT_TRUE(Await(writes_->Unmute(ann_, PersonId("p:%1"), kDeadline)).ok());
  ASSERT_TRUE(Await(writes_->UnmuteGroup(ann_, GroupId("g"), kDeadline)).ok());
  EXPECT_THAT(AllPersonal(), ElementsAre("ann"));
  ASSERT_TRUE(Await(writes_->Unhide(ann_, update, kDeadline)).ok());
  EXPECT_THAT(AllPersonal(), IsEmpty());
}

TEST_F(PersonalWritesTest, ManyAreLoadedInSeveralParts) {
  constexpr int kCount = 2'500;
  redis::Command add{"SADD", keys_.Blocks(ann_)};
  redis::Command hide{"SADD", keys_.Hidden(ann_)};
  for (int i = 1; i <= kCount; ++i) {
    add.args.push_back(">" + std::to_string(i));
    hide.args.push_back(std::to_string(kCount + 1 - i));
  }
  for (const redis::Command& command :
       {add, hide, redis::Command{"SADD", keys_.Personal(layout_.PartitionOf(ann_)), "ann"}}) {
    ASSERT_TRUE(redis_->Call(command).ok());
  }
  const PersonalState loaded = Loaded(ann_);
  EXPECT_EQ(loaded.blocks.size(), size_t{kCount});
  EXPECT_EQ(loaded.hidden.size(), size_t{kCount});
  EXPECT_TRUE(std::ranges::is_sorted(loaded.hidden));
}

TEST_F(PersonalWritesTest, WhatCannotBeReadIsNamedAndNotPassedOver) {
  const auto load = [this] {
    PersonalStore store(1'000, epochs_);
    PersonalLoader loader(layout_, *redis_, store);
    return loader.LoadAll([] { return false; });
  };
  ASSERT_TRUE(Block(ann_, bob_).ok());
  ASSERT_TRUE(redis_->Call({"SADD", keys_.Blocks(bob_), "?eve"}).ok());
  EXPECT_TRUE(absl::IsDataLoss(load()));
  EXPECT_THAT(base::MessageOf(load()), HasSubstr(keys_.Blocks(bob_)));
  ASSERT_TRUE(redis_->Call({"SET", keys_.Blocks(bob_), "x"}).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(load()));
  EXPECT_THAT(base::MessageOf(load()), HasSubstr(keys_.Blocks(bob_)));
}

TEST_F(PersonalWritesTest, WhoLostTheLeaseWritesNothing) {
  ASSERT_TRUE(Await(writes_->Mute(ann_, bob_, kDeadline)).ok());
  SetNonce(layout_.PartitionOf(ann_), "another's");
  SetNonce(layout_.PartitionOf(bob_), "another's");
  const Contents before = ContentsOf(*redis_);
  for (const absl::Status& refused :
       {Block(ann_, bob_), Unblock(ann_, bob_), Await(writes_->Unmute(ann_, bob_, kDeadline)),
        Await(writes_->RaiseMarker(ann_, GroupId(), UpdateId(1), kDeadline)).status(),
        Await(writes_->ChangeProfile(ann_, ProfileChange{.bio = true, .values = {}}, kDeadline))
            .status()}) {
    EXPECT_TRUE(absl::IsUnavailable(refused)) << refused;
    EXPECT_EQ(base::ReasonOf(refused), "NOT_OWNER") << refused;
  }
  EXPECT_EQ(lost_.size(), 5U);
  EXPECT_THAT(Differences(before, ContentsOf(*redis_)), IsEmpty());
  EXPECT_FALSE(store_.IsBlockedBetween(ann_, bob_));
  EXPECT_TRUE(store_.Current(ann_).muted_persons.Contains("bob"));
}

TEST_F(PersonalWritesTest, HalfABlockHidesAndIsFinishedByARepetition) {
  SetNonce(layout_.PartitionOf(ann_), "another's");
  const absl::Status half = Block(ann_, bob_);
  EXPECT_TRUE(absl::IsUnavailable(half)) << half;
  EXPECT_EQ(base::ReasonOf(half), "OUTCOME_UNKNOWN");
  EXPECT_TRUE(store_.IsBlockedBetween(bob_, ann_));
  EXPECT_FALSE(store_.IsBlockedBetween(ann_, bob_));
  SetNonce(layout_.PartitionOf(ann_), "mine");
  ASSERT_TRUE(Block(ann_, bob_).ok());
  EXPECT_TRUE(store_.IsBlockedBetween(ann_, bob_));

  SetNonce(layout_.PartitionOf(bob_), "another's");
  EXPECT_EQ(base::ReasonOf(Unblock(ann_, bob_)), "OUTCOME_UNKNOWN");
  EXPECT_FALSE(store_.IsBlockedBetween(ann_, bob_));
  EXPECT_TRUE(store_.IsBlockedBetween(bob_, ann_));
  SetNonce(layout_.PartitionOf(bob_), "mine");
  ASSERT_TRUE(Unblock(ann_, bob_).ok());
  EXPECT_FALSE(store_.IsBlockedBetween(bob_, ann_));
  EXPECT_THAT(AllPersonal(), IsEmpty());
}

TEST_F(PersonalWritesTest, WhatABrokenConnectionDeliversLateWritesNothing) {
  testing::HoldingProxy proxy(server_.address());
  Open(proxy.address(), kCallTimeout);
  ASSERT_TRUE(Block(ann_, bob_).ok());
  proxy.HoldNext({keys_.Blocks(ann_)});
  const absl::Status unknown = Unblock(ann_, bob_);
  EXPECT_EQ(base::ReasonOf(unknown), "OUTCOME_UNKNOWN") << unknown;
  EXPECT_TRUE(store_.IsBlockedBetween(ann_, bob_)) << "not known to be gone";
  ASSERT_TRUE(proxy.AwaitHeld(kPatience));
  absl::Status again;
  do {  // The pipeline connects anew in the background.
    again = Block(ann_, bob_);
  } while (base::ReasonOf(again) == "NOT_SENT");
  ASSERT_TRUE(again.ok()) << again;
  ASSERT_TRUE(proxy.Release(kPatience));
  EXPECT_THAT(Members(keys_.Blocks(ann_)), ElementsAre(">bob"));
  EXPECT_TRUE(Loaded(ann_).blocks.Contains("bob"));
  ASSERT_TRUE(Unblock(ann_, bob_).ok());
  EXPECT_THAT(AllPersonal(), IsEmpty());
}

TEST_F(PersonalWritesTest, BoundsRefuseOneMoreAndLeaveEverythingAsItWas) {
  const UpdateId now(base::UnixMs(clock_.wall) - kEpochUnixMs, ShardIndex(0), 0);
  Fill(ann_, [now](PersonalState& state) {
    for (size_t i = 0; i < limits::kBlocksMax; ++i) {
      state.blocks.Add("blocked " + std::to_string(i));
    }
    for (size_t i = 0; i < limits::kMutesMax; ++i) {
      (i % 2 == 0 ? state.muted_persons : state.muted_groups).Add(std::to_string(i));
    }
    for (size_t i = 0; i < limits::kHiddenMax; ++i) {
      state.hidden.emplace_back(now.value() + i);
    }
  });
  const Contents before = ContentsOf(*redis_);
  const std::pair<absl::Status, std::string> refusals[] = {
      {Block(ann_, bob_), "person"},
      {Await(writes_->Mute(ann_, bob_, kDeadline)), "person"},
      {Await(writes_->MuteGroup(ann_, GroupId("g"), kDeadline)), "group"},
      {Await(writes_->Hide(ann_, UpdateId(now.value() - 1), kDeadline)), "update_id"}};
  for (const auto& [refused, field] : refusals) {
    EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
    EXPECT_EQ(FieldOf(refused), field) << refused;
    EXPECT_FALSE(base::RetryAfterOf(refused)) << "waiting does not help";
  }
  EXPECT_THAT(Differences(before, ContentsOf(*redis_)), IsEmpty());
  EXPECT_FALSE(store_.IsBlockedBetween(bob_, ann_));
  // What is there already is none more.
  EXPECT_TRUE(Block(ann_, PersonId("blocked 0")).ok());
  EXPECT_TRUE(Await(writes_->Mute(ann_, PersonId("0"), kDeadline)).ok());
  EXPECT_TRUE(Await(writes_->Hide(ann_, now, kDeadline)).ok());
}

TEST_F(PersonalWritesTest, ExpiredHiddenUpdatesMakeRoom) {
  const auto retention = std::chrono::duration_cast<milliseconds>(limits::kBodyRetention);
  const UpdateId now(base::UnixMs(clock_.wall) - kEpochUnixMs, ShardIndex(0), 0);
  const UpdateId expired(now.ms() - static_cast<uint64_t>(retention.count()), ShardIndex(0), 0);
  const UpdateId kept(expired.ms() + 1, ShardIndex(0), 0);
  ASSERT_TRUE(Await(writes_->Hide(ann_, kept, kDeadline)).ok());
  ASSERT_TRUE(redis_->Call({"SADD", keys_.Hidden(ann_), std::to_string(expired.value())}).ok());
  Fill(ann_, [expired](PersonalState& state) { state.Hide(expired); });
  ASSERT_TRUE(Await(writes_->Hide(ann_, now, kDeadline)).ok());
  EXPECT_THAT(store_.Current(ann_).hidden, ElementsAre(kept, now));
  EXPECT_THAT(Loaded(ann_).hidden, ElementsAre(kept, now));
}

TEST_F(PersonalWritesTest, FullMemoryRefusesWhatAddsAndLetsWhatTakesAwayThrough) {
  ASSERT_TRUE(Block(ann_, bob_).ok());
  ASSERT_TRUE(Await(writes_->Mute(ann_, bob_, kDeadline)).ok());
  SetMemoryMax("1");
  const Contents before = ContentsOf(*redis_);
  for (const absl::Status& refused :
       {Block(bob_, PersonId("cid")), Await(writes_->MuteGroup(bob_, GroupId("g"), kDeadline)),
        Await(writes_->RaiseMarker(bob_, GroupId(), UpdateId(1), kDeadline)).status(),
        Await(writes_->ChangeProfile(bob_, ProfileChange{.bio = true, .values = BioOf("x")},
                                     kDeadline))
            .status()}) {
    EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
    EXPECT_TRUE(base::RetryAfterOf(refused)) << refused;
  }
  EXPECT_THAT(Differences(before, ContentsOf(*redis_)), IsEmpty());
  EXPECT_TRUE(store_.Current(bob_).blocks.empty());
  EXPECT_FALSE(store_.IsBlockedBetween(PersonId("cid"), bob_));
  EXPECT_TRUE(Unblock(ann_, bob_).ok());
  EXPECT_TRUE(Await(writes_->Unmute(ann_, bob_, kDeadline)).ok());
  EXPECT_THAT(AllPersonal(), IsEmpty());
  SetMemoryMax("0");
  EXPECT_TRUE(Block(bob_, PersonId("cid")).ok());
}

TEST_F(PersonalWritesTest, KeysThatHoldSomethingElseAreNamedAndLeftAlone) {
  for (const std::string& key : {keys_.Blocks(bob_), keys_.Mutes(bob_), keys_.Hidden(bob_),
                                 keys_.Personal(layout_.PartitionOf(bob_))}) {
    ASSERT_TRUE(redis_->Call({"SET", key, "something else"}).ok());
    const Contents before = ContentsOf(*redis_);
    const absl::Status refused = Block(ann_, bob_);
    EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
    EXPECT_THAT(base::MessageOf(refused), HasSubstr("key " + key));
    EXPECT_THAT(Differences(before, ContentsOf(*redis_)), IsEmpty());
    EXPECT_FALSE(store_.IsBlockedBetween(bob_, ann_));
    ASSERT_TRUE(redis_->Call({"DEL", key}).ok());
  }
  EXPECT_TRUE(Block(ann_, bob_).ok()) << "once they are mended";
}

TEST_F(PersonalWritesTest, APersonsHashAndALeaseThatHoldSomethingElseAreNamed) {
  const auto raise = [this] {
    return Await(writes_->RaiseMarker(ann_, GroupId(), UpdateId(1), kDeadline)).status();
  };
  const auto change = [this] {
    return Await(writes_->ChangeProfile(ann_, ProfileChange{.bio = true, .values = {}}, kDeadline))
        .status();
  };
  const std::string hash = keys_.PersonHash(ann_);
  ASSERT_TRUE(redis_->Call({"SET", hash, "something else"}).ok());
  for (const absl::Status& refused : {raise(), change()}) {
    EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
    EXPECT_THAT(base::MessageOf(refused), HasSubstr("key " + hash));
  }
  ASSERT_TRUE(redis_->Call({"DEL", hash}).ok());
  ASSERT_TRUE(redis_->Call({"HSET", hash, "read", "soon", "profile", "\xff"}).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(raise())) << raise();
  EXPECT_THAT(base::MessageOf(raise()), HasSubstr("key " + hash));
  EXPECT_TRUE(absl::IsDataLoss(change())) << change();
  EXPECT_THAT(base::MessageOf(change()), HasSubstr("key " + hash));

  const std::string lease = keys_.Lease(layout_.PartitionOf(ann_));
  ASSERT_TRUE(redis_->Call({"SET", lease, "something else"}).ok());
  for (const absl::Status& refused : {raise(), Await(writes_->Mute(ann_, bob_, kDeadline))}) {
    EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
    EXPECT_THAT(base::MessageOf(refused), HasSubstr("key " + lease));
  }
  EXPECT_TRUE(store_.Current(ann_).empty());
}

TEST_F(PersonalWritesTest, AfterTheDeadlineNothingIsBegun) {
  const Contents before = ContentsOf(*redis_);
  const absl::Status late = Await(writes_->Block(ann_, bob_, clock_.monotonic));
  EXPECT_TRUE(absl::IsDeadlineExceeded(late)) << late;
  EXPECT_EQ(base::ReasonOf(late), "NOT_SENT");
  EXPECT_THAT(Differences(before, ContentsOf(*redis_)), IsEmpty());
}

TEST_F(PersonalWritesTest, CallsOfAPairLeaveMemoryAndRedisAgreed) {
  std::atomic<int> failures{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([this, i, &failures] {
      const PersonId& actor = i % 2 == 0 ? ann_ : bob_;
      const PersonId& other = i % 2 == 0 ? bob_ : ann_;
      for (int j = 0; j < 100; ++j) {
        const absl::Status status = (i + j) % 3 == 0 ? Unblock(actor, other) : Block(actor, other);
        failures.fetch_add(status.ok() ? 0 : 1);
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(failures.load(), 0);
  for (const auto& [one, other] : {std::pair(ann_, bob_), std::pair(bob_, ann_)}) {
    const PersonalState memory = store_.Current(one);
    const PersonalState stored = Loaded(one);
    EXPECT_EQ(memory.blocks.Contains(other.value()), stored.blocks.Contains(other.value()));
    EXPECT_EQ(memory.blocked_by.Contains(other.value()), stored.blocked_by.Contains(other.value()));
    EXPECT_EQ(memory.blocks.Contains(other.value()),
              store_.Current(other).blocked_by.Contains(one.value()));
  }
}

TEST_F(PersonalWritesTest, MarkersNeverGoBackAndHaveABound) {
  const auto raise = [this](const char* group, uint64_t to) {
    return Await(writes_->RaiseMarker(ann_, GroupId(group), UpdateId(to), kDeadline));
  };
  EXPECT_EQ(raise("", 9)->value(), 9U);
  EXPECT_EQ(raise("", 10)->value(), 10U);
  EXPECT_EQ(raise("", 9)->value(), 10U);
  EXPECT_EQ(raise("g", 5)->value(), 5U);
  EXPECT_THAT(AllPersonal(), IsEmpty()) << "a start needs no markers";
  redis::Command fill{"HSET", keys_.PersonHash(ann_)};
  for (size_t i = 0; i < limits::kReadMarkersMax; ++i) {
    fill.args.insert(fill.args.end(),
                     {"read:" + std::to_string(i), personal::EncodeMarker(UpdateId(1))});
  }
  ASSERT_TRUE(redis_->Call(fill).ok());
  const absl::Status full = raise("one more", 7).status();
  EXPECT_TRUE(absl::IsResourceExhausted(full)) << full;
  EXPECT_EQ(FieldOf(full), "group");
  EXPECT_EQ(raise("", 11)->value(), 11U);
  EXPECT_EQ(raise("g", 6)->value(), 6U);
}

}  // namespace
}  // namespace klatch
