// The hand-over between a worker and its flusher: batches one way, news of what was written the other.

#include <algorithm>
#include <iterator>
#include <memory>
#include <utility>

#include "services/deliver/worker.h"

namespace klatch {

std::optional<FlushBatch> Worker::TakeBatch(FlusherNews news, std::chrono::milliseconds wait) {
  std::unique_lock lock(mutex_);
  AddNews(std::move(news));
  if (answer_.has_value()) {
    // The answer to a call that gave up waiting. Asking again now would leave the flusher one batch
    // behind for good.
    std::optional<FlushBatch> late = std::exchange(answer_, std::nullopt);
    late->late = true;
    return late;
  }
  batch_wanted_ = true;
  AskWorker(lock);
  if (!answered_.wait_for(lock, wait, [this] { return answer_.has_value(); })) {
    return std::nullopt;
  }
  return std::exchange(answer_, std::nullopt);
}

bool Worker::Tell(FlusherNews news, std::chrono::milliseconds wait) {
  std::unique_lock lock(mutex_);
  AddNews(std::move(news));
  AskWorker(lock);
  return answered_.wait_for(lock, wait, [this] { return news_.empty(); });
}

void Worker::AskWorker(std::unique_lock<std::mutex>& lock) {
  asked_.store(true, std::memory_order_relaxed);
  if (answers_at_once_) {
    lock.unlock();
    AnswerFlusher();
    lock.lock();
  }
}

void Worker::AddNews(FlusherNews news) {
  std::ranges::move(news.rebuilt, std::back_inserter(news_.rebuilt));
  std::ranges::move(news.replaced, std::back_inserter(news_.replaced));
  std::ranges::move(news.removed, std::back_inserter(news_.removed));
}

void Worker::AnswerFlusher() {
  std::lock_guard lock(mutex_);
  asked_.store(false, std::memory_order_relaxed);
  TakeNews(std::exchange(news_, {}));
  for (const Mend& mend : std::exchange(mends_, {})) {
    CarryOut(mend);
  }
  if (batch_wanted_) {
    batch_wanted_ = false;
    ForgetSpilled();
    dirty_.applied = applied_;
    answer_ = std::exchange(dirty_, FlushBatch{});
    ++epoch_;
  }
  answered_.notify_one();
}

void Worker::TakeNews(FlusherNews news) {
  for (const RebuiltHole& rebuilt : news.rebuilt) {
    ClearRebuilt(rebuilt);
  }
  for (const uint32_t person : news.replaced) {
    // The oldest there is: all of the past may be missing.
    MarkHole(person, 1);
  }
  std::ranges::sort(news.removed, {}, &ViewChange::person);
  for (size_t begin = 0, end = 0; begin < news.removed.size(); begin = end) {
    while (end < news.removed.size() && news.removed[end].person == news.removed[begin].person) {
      ++end;
    }
    Prune(persons_.At(news.removed[begin].person),
          std::span(news.removed).subspan(begin, end - begin));
  }
}

void Worker::ClearRebuilt(const RebuiltHole& rebuilt) {
  Person& person = persons_.At(rebuilt.person);
  if (person.hole_generation.load(std::memory_order_relaxed) == rebuilt.generation) {
    holes_.fetch_sub(person.hole_since.exchange(0, std::memory_order_relaxed) == 0 ? 0 : 1,
                     std::memory_order_relaxed);
    if (!IsQuiet(rebuilt.person)) {
      // Release, partner of the acquire of who reads: what was missing is stored.
      person.quiet_since.store(0, std::memory_order_release);
    }
    dirty_.mended.push_back(rebuilt.person);
  }
}

void Worker::ForgetSpilled() {
  // The flusher asks for a batch only when it has written the one before.
  for (const uint32_t index : spilled_before_) {
    Person& person = persons_.At(index);
    if (person.spill_epoch != epoch_) {
      person.posts_hole_since.store(0, std::memory_order_relaxed);
    }
  }
  spilled_before_.clear();
  for (const SpilledEntry& spilled : dirty_.spilled) {
    spilled_before_.push_back(spilled.timeline.person());
  }
}

void Worker::Prune(Person& person, std::span<const ViewChange> removed) {
  const MembershipList* list = person.memberships.Own();
  if (list == nullptr) {
    return;
  }
  std::vector<Membership> kept(list->items().begin(), list->items().end());
  std::erase_if(kept, [&](const Membership& membership) {
    // While the log is replayed, the change itself may be still to come, and older ones before it.
    const uint32_t shard = membership.position.shard().value();
    const bool goes =
        membership.stay.role == Role::kNone && membership.position <= applied_[shard] &&
        std::ranges::any_of(removed, [&](const ViewChange& view) {
          return view.group == membership.group && view.position == membership.position;
        });
    if (goes) {
      forgotten_[shard] = std::max(forgotten_[shard], membership.position);
    }
    return goes;
  });
  if (kept.size() != list->items().size()) {
    person.memberships.Replace(std::make_unique<MembershipList>(std::move(kept)), d_.epochs);
  }
}

}  // namespace klatch
