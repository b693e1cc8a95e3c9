#include "services/log/publish_queue.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/base/failpoint.h"
#include "common/redis/channel.h"
#include "services/log/outcome.h"

namespace klatch {
namespace {

constexpr std::chrono::milliseconds kOverloadRetryAfter{50};
// As many of the last updates say how fast it goes.
constexpr double kPaceUpdates = 512;
constexpr double kPaceOutlier = 8;

base::MonotonicTime Now() { return std::chrono::steady_clock::now(); }

size_t BytesOf(const std::vector<PublishCommand>& commands) {
  size_t bytes = 0;
  for (const PublishCommand& command : commands) {
    bytes += command.body.size();
  }
  return bytes;
}

absl::Status NotSent(std::string_view why) {
  return base::WithReason(base::Error(absl::StatusCode::kUnavailable, why), redis::kReasonNotSent);
}

// How requests call what a refusal is about.
RequestFields FieldsOf(UpdateOrigin origin) {
  RequestFields fields{.group = "update.groups"};
  if (origin == UpdateOrigin::kImport) {
    fields.actor = "author";
    fields.request_id = "source_id";
  }
  return fields;
}

}  // namespace

PublishQueue::PublishQueue(redis::Pipeline& pipeline, const PublishWords& words,
                           uint32_t shard_count, std::chrono::milliseconds wait_max,
                           std::function<double()> open_share)
    : pipeline_(pipeline),
      words_(words),
      shard_count_(shard_count),
      wait_max_(wait_max),
      open_share_(std::move(open_share)),
      lanes_(2 * shard_count_) {}

std::chrono::nanoseconds PublishQueue::OldestAge() const {
  std::lock_guard lock(mutex_);
  return ready_.empty() ? std::chrono::nanoseconds(0)
                        : Now() - lanes_[ready_.front()].front()->submitted;
}

std::chrono::nanoseconds PublishQueue::ExpectedWait() const {
  std::lock_guard lock(mutex_);
  const double rounds = std::max(static_cast<double>(waiting_) / static_cast<double>(per_round_),
                                 static_cast<double>(waiting_bytes_) / double{kBytesPerRoundMax});
  return std::chrono::nanoseconds(static_cast<int64_t>(1e9 * rounds * pace_.RoundSeconds()));
}

void PublishQueue::Pace::Add(size_t updates, std::chrono::nanoseconds took) {
  const auto count = static_cast<double>(updates);
  double seconds = std::chrono::duration<double>(took).count();
  if (updates_ > kPaceUpdates / 2) {
    seconds = std::min(seconds, kPaceOutlier * RoundSeconds());
  }
  updates_ += count;
  seconds_ += count * seconds;
  if (updates_ > kPaceUpdates) {
    const double kept = kPaceUpdates / updates_;
    updates_ *= kept;
    seconds_ *= kept;
  }
}

double PublishQueue::Pace::RoundSeconds() const { return updates_ == 0 ? 0 : seconds_ / updates_; }

bool PublishQueue::Submit(Call& call) {
  const size_t count = call.commands.size();
  const size_t bytes = BytesOf(call.commands);
  call.results.resize(count);
  {
    std::lock_guard lock(mutex_);
    if (waiting_ + count > kWaitingMax || waiting_bytes_ + bytes > kWaitingBytesMax) {
      const absl::Status full = base::RetryLater(
          absl::StatusCode::kResourceExhausted,
          fmt::format("too much waits for Redis: {} updates, {} bytes", waiting_, waiting_bytes_),
          kOverloadRetryAfter);
      call.results.assign(count, full);
      return false;
    }
    call.submitted = Now();
    waiting_ += count;
    waiting_bytes_ += bytes;
    std::deque<Call*>& lane = lanes_[call.lane];
    if (lane.empty()) {
      ready_.push_back(call.lane);
    }
    lane.push_back(&call);
    if (std::exchange(is_under_way_, true)) {
      return true;
    }
  }
  // The call may be over, and gone, when this returns.
  StartRound(/*goes_on=*/false);
  return true;
}

std::vector<PublishQueue::Post> PublishQueue::Take(std::vector<Call*>& late) {
  const double open = open_share_() * double{kPerRoundMax};
  const size_t count_max = std::clamp(static_cast<size_t>(open), kPerRoundMin, kPerRoundMax);
  per_round_ = count_max;
  const base::MonotonicTime earliest = Now() - wait_max_;
  std::vector<Post> posts;
  size_t bytes = 0;
  bool is_full = false;
  while (!is_full && !ready_.empty()) {
    const size_t index = ready_.front();
    ready_.pop_front();
    std::deque<Call*>& lane = lanes_[index];
    const size_t lane_end = std::min(count_max, posts.size() + kPerLaneMax);
    while (!lane.empty()) {
      Call& call = *lane.front();
      if (call.submitted < earliest) {
        if (GiveUp(call)) {
          late.push_back(&call);
        }
      } else if (!TakeFrom(call, lane_end, posts, bytes)) {
        // Of updates, or of bytes before.
        is_full = posts.size() == count_max || posts.size() < lane_end;
        break;
      }
      lane.pop_front();
    }
    if (!lane.empty()) {
      ready_.push_back(index);
    }
  }
  waiting_ -= posts.size();
  waiting_bytes_ -= bytes;
  return posts;
}

bool PublishQueue::TakeFrom(Call& call, size_t count_max, std::vector<Post>& posts, size_t& bytes) {
  for (; call.taken < call.commands.size(); ++call.taken) {
    const size_t size = call.commands[call.taken].body.size();
    if (posts.size() == count_max || (!posts.empty() && bytes + size > kBytesPerRoundMax)) {
      return false;
    }
    bytes += size;
    posts.push_back({&call, call.taken});
  }
  return true;
}

bool PublishQueue::GiveUp(Call& call) {
  const absl::Status status =
      NotSent(fmt::format("not sent to Redis within {} ms", wait_max_.count()));
  for (; call.taken < call.commands.size(); ++call.taken) {
    call.results[call.taken] = status;
    ++call.answered;
    --waiting_;
    waiting_bytes_ -= call.commands[call.taken].body.size();
  }
  return call.answered == call.commands.size();
}

void PublishQueue::StartRound(bool goes_on) {
  std::vector<Call*> late;
  std::vector<Post> posts;
  bool has_something = true;
  {
    std::lock_guard lock(mutex_);
    const base::MonotonicTime now = Now();
    if (goes_on) {
      pace_.Add(round_took_, now - round_begun_);
    }
    posts = Take(late);
    round_begun_ = now;
    round_took_ = posts.size();
    has_something = !posts.empty() || planned_ != nullptr || !scripts_.empty();
    is_under_way_ = has_something;
  }
  if (has_something) {
    Send(std::move(posts));
  }
  for (Call* call : late) {
    call->handle.resume();
  }
}

void PublishQueue::Send(std::vector<Post> posts) {
  auto round = std::make_shared<Round>();
  std::vector<redis::Command> commands;
  if (planned_ != nullptr) {
    planned_->transaction.AppendWrites(commands);
  } else if (is_watching_) {
    commands.push_back({"UNWATCH"});
  }
  is_watching_ = false;
  round->writing = std::move(planned_);
  round->writes = commands.size();
  if (!posts.empty() && script_rounds_ > 0) {
    --script_rounds_;
    LeaveToScripts(posts);
    posts.clear();
  }
  round->scripts = std::exchange(scripts_, {});
  for (const Script& script : round->scripts) {
    std::vector<const PublishCommand*> of_script;
    for (const Post& post : script.posts) {
      of_script.push_back(&post.command());
    }
    commands.push_back(words_.Script(script.posts.front().call->origin, of_script));
  }
  if (!posts.empty()) {
    round->asking = std::make_unique<Batch>(words_, std::move(posts));
    for (const Post& post : round->asking->posts) {
      round->asking->transaction.Add(post.call->origin, post.command());
    }
    round->asking->transaction.AppendQuestions(commands);
    is_watching_ = true;
  }
  auto end = [this, round](const redis::Pipeline::Replies& replies) { EndRound(*round, replies); };
  if (round->writing != nullptr) {
    pipeline_.SubmitOver(connection_, std::move(commands), std::move(end));
  } else {
    pipeline_.Submit(std::move(commands), std::move(end));
  }
  KLATCH_FAILPOINT("round-sent");
}

void PublishQueue::EndRound(Round& round, const redis::Pipeline::Replies& replies) {
  if (!replies.ok()) {
    ReadFailure(round, replies.status());
  } else {
    const std::span answers(*replies);
    const bool is_written =
        round.writing == nullptr || ReadTransaction(*round.writing, answers.first(round.writes));
    size_t next = round.writes;
    for (const Script& script : round.scripts) {
      ReadScript(script.posts, answers[next++].view());
    }
    if (round.asking != nullptr) {
      connection_ = pipeline_.connection();
      if (is_written) {
        Plan(std::move(round.asking), answers.subspan(next));
      } else {
        LeaveToScripts(round.asking->posts);
      }
    }
  }
  KLATCH_FAILPOINT("round-answered");
  const std::vector<Call*> done = std::exchange(done_, {});
  // Redis has something to do before the callers have.
  StartRound(/*goes_on=*/true);
  for (Call* call : done) {
    call->handle.resume();
  }
}

bool PublishQueue::ReadTransaction(Batch& batch, std::span<const redis::Reply> answers) {
  const bool is_written = batch.transaction.Read(answers);
  std::vector<Post> taken;
  for (size_t i = 0; i < batch.posts.size(); ++i) {
    if (batch.transaction.takes(i)) {
      taken.push_back(batch.posts[i]);
      if (is_written) {
        Answer(batch.posts[i], batch.transaction.ResultOf(i));
      }
    }
  }
  if (is_written) {
    by_transaction_.fetch_add(taken.size(), std::memory_order_relaxed);
    script_rounds_next_ /= 2;
  } else {
    stopped_.fetch_add(1, std::memory_order_relaxed);
    LeaveToScripts(taken);
    script_rounds_next_ = std::min(2 * script_rounds_next_ + 1, kScriptRoundsMax);
    script_rounds_ = script_rounds_next_;
  }
  return is_written;
}

void PublishQueue::ReadScript(std::span<const Post> script, redis::ReplyView answer) {
  for (size_t i = 0; i < script.size(); ++i) {
    // An error is the whole script's; nothing of it happened then.
    const absl::StatusOr<Outcome> outcome =
        ReadOutcome(answer.is_error() ? answer : answer[i], FieldsOf(script[i].call->origin));
    if (outcome.ok()) {
      by_script_.fetch_add(outcome->replayed ? 0 : 1, std::memory_order_relaxed);
      Answer(script[i], Appended{outcome->position, outcome->replayed, outcome->audience});
    } else {
      Answer(script[i], outcome.status());
    }
  }
}

void PublishQueue::ReadFailure(Round& round, const absl::Status& status) {
  is_watching_ = true;  // perhaps
  std::vector<Post> written;
  if (round.writing != nullptr) {
    for (size_t i = 0; i < round.writing->posts.size(); ++i) {
      if (round.writing->transaction.takes(i)) {
        written.push_back(round.writing->posts[i]);
      }
    }
  }
  for (const Script& script : round.scripts) {
    written.insert(written.end(), script.posts.begin(), script.posts.end());
  }
  const bool is_sent = base::ReasonOf(status) != redis::kReasonNotSent;
  if (round.writing != nullptr && !is_sent) {
    // Perhaps only the connection that was watching is gone.
    LeaveToScripts(written);
    if (round.asking != nullptr) {
      LeaveToScripts(round.asking->posts);
    }
    return;
  }
  for (const Post& post : written) {
    Answer(post, status);
  }
  if (round.asking != nullptr) {
    const absl::Status only_asked = base::ReasonOf(status) == redis::kReasonOutcomeUnknown
                                        ? NotSent(base::MessageOf(status))
                                        : status;
    for (const Post& post : round.asking->posts) {
      Answer(post, only_asked);
    }
  }
}

void PublishQueue::Plan(std::unique_ptr<Batch> batch, std::span<const redis::Reply> answers) {
  batch->transaction.Plan(answers);
  std::vector<Post> left;
  for (size_t i = 0; i < batch->posts.size(); ++i) {
    if (!batch->transaction.takes(i)) {
      left.push_back(batch->posts[i]);
    }
  }
  LeaveToScripts(left);
  if (!batch->transaction.empty()) {
    planned_ = std::move(batch);
  }
}

void PublishQueue::LeaveToScripts(std::span<const Post> posts) {
  for (const Post& post : posts) {
    const size_t size = post.command().body.size();
    if (scripts_.empty() || scripts_.back().posts.front().call->lane != post.call->lane ||
        scripts_.back().posts.size() == kPerScriptMax ||
        scripts_.back().bytes + size > kBytesPerScriptMax) {
      scripts_.emplace_back();
    }
    scripts_.back().bytes += size;
    scripts_.back().posts.push_back(post);
  }
}

void PublishQueue::Answer(const Post& post, absl::StatusOr<Appended> result) {
  Call& call = *post.call;
  call.results[post.place] = std::move(result);
  if (++call.answered == call.commands.size()) {
    done_.push_back(&call);
  }
}

}  // namespace klatch
