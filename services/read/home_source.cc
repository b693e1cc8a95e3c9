#include "services/read/home_source.h"

#include <algorithm>
#include <utility>

#include "services/model/limits.h"

namespace klatch {

HomeSource::HomeSource(std::unique_ptr<TimelineSource> copies, std::vector<PulledFeed> feeds,
                       bool has_more, Bodies& stored, std::vector<Position> applied)
    : copies_(std::move(copies)),
      feeds_(std::move(feeds)),
      has_more_(has_more),
      stored_(stored),
      applied_(std::move(applied)) {}

Candidates HomeSource::InMemory() {
  in_memory_ = copies_->InMemory();
  return Candidates{.timeline = {}, .older_stored = true};
}

base::Task<absl::StatusOr<Candidates>> HomeSource::Copies() {
  if (!in_memory_.older_stored) {
    co_return in_memory_;
  }
  base::Task<absl::StatusOr<Candidates>> reading = copies_->All();
  absl::StatusOr<Candidates> all = co_await std::move(reading);
  co_return all;
}

base::Task<absl::StatusOr<Candidates>> HomeSource::All() {
  base::Task<absl::StatusOr<Candidates>> reading = Copies();
  absl::StatusOr<Candidates> found = co_await std::move(reading);
  if (!found.ok()) {
    co_return found.status();
  }
  found->timeline.is_cut |= has_more_;
  FeedMerge merge(*std::move(found));
  for (size_t first = 0; first < feeds_.size(); first += limits::kPulledFeedsPerRead) {
    const size_t count = std::min(limits::kPulledFeedsPerRead, feeds_.size() - first);
    std::vector<GroupId> groups;
    for (size_t i = first; i < first + count; ++i) {
      groups.push_back(feeds_[i].group);
    }
    auto asking = stored_.ReadFeeds(std::move(groups));
    const absl::StatusOr<std::vector<std::vector<UpdateId>>> feeds = co_await std::move(asking);
    if (!feeds.ok()) {
      co_return feeds.status();
    }
    for (size_t i = 0; i < count; ++i) {
      const PulledFeed& of = feeds_[first + i];
      merge.Add(DueOf((*feeds)[i], of, applied_[of.shard.value()]));
    }
  }
  co_return merge.Take();
}

bool HomeSources::IsQuiet(const Person& person) {
  // Relaxed, both: hints for the worker.
  person.seen_ns.store(
      std::chrono::duration_cast<std::chrono::nanoseconds>(clock_.Monotonic().time_since_epoch())
          .count(),
      std::memory_order_relaxed);
  // Acquire: 0 means that all that was left out is stored, which is asked for later.
  if (person.quiet_since.load(std::memory_order_acquire) == 0) {
    return false;
  }
  if (!person.is_woken.exchange(true, std::memory_order_relaxed)) {
    people_.Wake(person);
  }
  return true;
}

std::vector<PulledFeed> HomeSources::FeedsOf(const Person& person, bool of_all) const {
  std::vector<PulledFeed> feeds;
  const lockfree::EpochReclaimer::Guard guard(people_.epochs());
  const MembershipList* memberships = person.memberships.Load(guard);
  if (memberships == nullptr) {
    return feeds;
  }
  for (const Membership& membership : memberships->items()) {
    if (membership.stay.role != Role::kNone &&
        (of_all || !groups_.FeedMark(membership.group).is_zero()) &&
        feeds.size() <= limits::kPulledFeedsMax) {
      const GroupEntry& group = groups_.At(membership.group);
      feeds.push_back({group.id, group.shard, membership.stay.joined});
    }
  }
  return feeds;
}

std::unique_ptr<TimelineSource> HomeSources::Open(const PersonId& id,
                                                  const std::vector<Position>& applied) {
  const Person* person = people_.Find(id);
  if (person == nullptr) {
    return std::make_unique<EmptySource>();
  }
  std::vector<PulledFeed> feeds = FeedsOf(*person, IsQuiet(*person));
  auto copies = std::make_unique<RingSource>(*person->home, people_.ArenaOf(*person), redis_,
                                             keys_.Timeline(id));
  if (feeds.empty()) {
    return copies;
  }
  pulled_reads_.fetch_add(1, std::memory_order_relaxed);
  const bool has_more = feeds.size() > limits::kPulledFeedsMax;
  feeds.resize(std::min(feeds.size(), limits::kPulledFeedsMax));
  return std::make_unique<HomeSource>(std::move(copies), std::move(feeds), has_more, stored_,
                                      applied);
}

}  // namespace klatch
