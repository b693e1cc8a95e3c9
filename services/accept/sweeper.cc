#include "services/accept/sweeper.h"

#include <future>
#include <memory>
#include <utility>

#include "services/model/limits.h"

namespace klatch {
namespace {

constexpr std::chrono::milliseconds kPeriod{1'000};

// The promise is shared, since who waits for it may be gone before set_value has returned.
base::Task<void> Tell(base::Task<size_t> sweeping, std::shared_ptr<std::promise<size_t>> ended) {
  const size_t finished = co_await std::move(sweeping);
  ended->set_value(finished);
}

}  // namespace

Sweeper::Sweeper(uint32_t shard_count, Appender& appender, StoredFacts& stored,
                 const base::Clock& clock)
    : shard_count_(shard_count),
      appender_(appender),
      stored_(stored),
      clock_(clock),
      carrier_(appender),
      thread_("sweeper", kPeriod, [this] { DoWork(); }) {}

void Sweeper::DoWork() {
  const auto ended = std::make_shared<std::promise<size_t>>();
  std::future<size_t> finished = ended->get_future();
  base::Spawn(Tell(Sweep(), ended));
  finished_.fetch_add(finished.get(), std::memory_order_relaxed);
}

base::Task<size_t> Sweeper::Sweep() {
  size_t finished = 0;
  for (uint32_t shard = 0; shard < shard_count_ && !thread_.stopping(); ++shard) {
    auto taking =
        appender_.TakePending(ShardIndex(shard), limits::kPendingAge, limits::kSweptPerShard);
    absl::StatusOr<std::vector<PendingPost>> posts = co_await std::move(taking);
    if (!posts.ok()) {
      Note(posts.status());
      continue;
    }
    for (size_t i = 0; i < posts->size() && !thread_.stopping(); ++i) {
      auto finishing = Finish(std::move((*posts)[i]));
      const absl::Status done = co_await std::move(finishing);
      finished += done.ok() ? 1 : 0;
      Note(done);
    }
  }
  co_return finished;
}

void Sweeper::Note(const absl::Status& status) {
  if (status.ok()) {
    return;
  }
  if (const auto suppressed = error_lines_.Admit(clock_.Monotonic())) {
    obs::Log(obs::Level::kWarn, "sweeper", "can't finish posts to several groups; trying again",
             {{"error", base::MessageOf(status)}, {"suppressed", *suppressed}});
  }
}

base::Task<absl::Status> Sweeper::Finish(PendingPost post) {
  const UpdateId update = post.update;
  SettleCommand settling;
  settling.update = update;
  settling.request_id = post.request_id;
  auto reading = stored_.ReadBody(update);
  const absl::StatusOr<std::shared_ptr<const Body>> body = co_await std::move(reading);
  if (!body.ok()) {
    co_return body.status();
  }
  if (*body == nullptr) {
    // Deleted or expired meanwhile: only the note is left.
    auto settle = appender_.Settle(std::move(settling));
    const absl::StatusOr<Settled> settled = co_await std::move(settle);
    co_return settled.status();
  }
  // Without a request id it is not the post that waits, but a removal from some of its groups.
  const bool is_removal = post.request_id.empty();
  if (!is_removal) {
    settling.author = (*body)->header().author;
  }
  auto finishing = carrier_.Finish(
      update, (*body)->header(), std::move(settling),
      is_removal ? Carrier::Ask::kAlsoCarried : Carrier::Ask::kUndecided, AckClass::kLocal);
  const absl::StatusOr<std::vector<Carry>> carries = co_await std::move(finishing);
  co_return carries.status();
}

}  // namespace klatch
