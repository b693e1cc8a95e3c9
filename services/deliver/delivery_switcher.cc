#include "services/deliver/delivery_switcher.h"

#include <pthread.h>

#include <future>
#include <memory>
#include <utility>

namespace klatch {
namespace {

constexpr std::chrono::milliseconds kPeriod{50};
constexpr std::chrono::milliseconds kRetryPause{1'000};
// Between two looks at groups that are copied again.
constexpr std::chrono::milliseconds kLookPeriod{10'000};

using Decided = absl::StatusOr<DeliveryDecided>;

// The promise is shared, since who waits for it may be gone before set_value has returned.
base::Task<void> Tell(base::Task<Decided> deciding, std::shared_ptr<std::promise<Decided>> ended) {
  Decided decided = co_await std::move(deciding);
  ended->set_value(std::move(decided));
}

}  // namespace

DeliverySwitcher::DeliverySwitcher(Appender& appender, GroupDirectory& groups, GroupSizes& sizes,
                                   const Progress& progress, const base::Clock& clock)
    : appender_(appender), groups_(groups), sizes_(sizes), progress_(progress), clock_(clock) {}

DeliverySwitcher::~DeliverySwitcher() { Stop(); }

void DeliverySwitcher::Start() {
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "switcher");
    Run();
  });
}

void DeliverySwitcher::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) {
    thread_.join();
  }
}

bool DeliverySwitcher::stopping() {
  std::lock_guard lock(mutex_);
  return stopping_;
}

void DeliverySwitcher::Run() {
  QueueMarked();
  std::chrono::milliseconds pause = kPeriod;
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, pause, [this] { return stopping_; })) {
    lock.unlock();
    pause = DoWork() ? kPeriod : kRetryPause;
    lock.lock();
  }
}

// The thresholds may be others than when the log decided last.
void DeliverySwitcher::QueueMarked() {
  for (uint32_t i = 0; i < groups_.size(); ++i) {
    if (!groups_.FeedMark(GroupIndex(i)).is_zero()) {
      due_.insert(GroupIndex(i));
    }
  }
}

bool DeliverySwitcher::DoWork() {
  due_.merge(sizes_.TakeCrossed());
  if (const base::MonotonicTime now = clock_.Monotonic(); now - looked_ > kLookPeriod) {
    looked_ = now;
    due_.insert(copied_again_.begin(), copied_again_.end());
  }
  // One whose keys hold something else must not keep others waiting.
  std::set<GroupIndex> failed;
  while (!due_.empty() && !stopping()) {
    const GroupIndex group = due_.extract(due_.begin()).value();
    if (!Decide(group)) {
      failed.insert(group);
    }
  }
  Forget();
  due_.merge(failed);
  return due_.empty();
}

bool DeliverySwitcher::Decide(GroupIndex group) {
  const auto ended = std::make_shared<std::promise<Decided>>();
  std::future<Decided> future = ended->get_future();
  base::Spawn(Tell(appender_.DecideDelivery(groups_.At(group).id, sizes_.thresholds()), ended));
  const Decided decided = future.get();
  if (!decided.ok()) {
    if (const auto suppressed = error_lines_.Admit(clock_.Monotonic())) {
      obs::Log(obs::Level::kWarn, "switcher", "can't decide how a group delivers; trying again",
               {{"error", base::MessageOf(decided.status())}, {"suppressed", *suppressed}});
    }
    return false;
  }
  copied_again_.erase(group);
  forgotten_.erase(group);
  if (decided->delivery == Delivery::kCopiedAgain) {
    copied_again_.insert(group);
  } else if (decided->delivery == Delivery::kCopied) {
    forgotten_[group] = decided->position;
  }
  return true;
}

void DeliverySwitcher::Forget() {
  for (auto next = forgotten_.begin(); next != forgotten_.end();) {
    const auto [group, position] = *next;
    // Until then a page may be asked for what stood there, and need the feed for it.
    if (progress_.Applied(groups_.At(group).shard) < position) {
      ++next;
      continue;
    }
    groups_.ForgetFeed(group, position);
    next = forgotten_.erase(next);
  }
}

}  // namespace klatch
