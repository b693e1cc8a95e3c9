#include "common/redis/pipeline_loop.h"

#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <iterator>
#include <utility>

#include "common/redis/connection.h"

namespace klatch::redis {
namespace {

using base::MonotonicTime;
using std::chrono::milliseconds;

// Groups are turned into bytes only while less than this waits to be sent.
constexpr size_t kUnsentBytesMax = 1 << 20;
constexpr milliseconds kPauseMin{10};
constexpr milliseconds kPauseMax{1000};
constexpr milliseconds kOverloadRetryAfter{50};

MonotonicTime Now() { return std::chrono::steady_clock::now(); }

absl::Status NotSent(std::string_view why) {
  return base::WithReason(base::Error(absl::StatusCode::kUnavailable, why), kReasonNotSent);
}

absl::Status OutcomeUnknown(std::string_view why) {
  return base::WithReason(base::Error(absl::StatusCode::kUnavailable, why), kReasonOutcomeUnknown);
}

}  // namespace

SocketPipeline::Loop::Loop(Address address, Options options, std::atomic<bool>& connected)
    : address_(std::move(address)),
      options_(std::move(options)),
      connected_(connected),
      wake_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      pause_(kPauseMin),
      thread_([this] { Run(); }) {}

SocketPipeline::Loop::~Loop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  Wake();
  thread_.join();
  if (wake_fd_ >= 0) {
    close(wake_fd_);
  }
}

void SocketPipeline::Loop::Wake() const {
  const uint64_t one = 1;
  // The only failure, a full counter, means that the thread will wake anyway.
  [[maybe_unused]] ssize_t n = write(wake_fd_, &one, sizeof(one));
}

void SocketPipeline::Loop::Submit(uint64_t connection, std::vector<Command> commands,
                                  Callback done) {
  assert(done != nullptr);
  auto group = std::make_unique<Group>();
  for (const Command& command : commands) {
    group->bytes += command.bytes();
  }
  group->commands = std::move(commands);
  group->done = std::move(done);
  group->connection = connection;
  std::lock_guard lock(mutex_);
  const size_t count = group->commands.size();
  if (unanswered_commands_ + count > options_.queue_commands_max ||
      unanswered_bytes_ + group->bytes > options_.queue_bytes_max) {
    refusals_.push_back(
        {std::move(group->done),
         base::RetryLater(absl::StatusCode::kResourceExhausted,
                          fmt::format("too much unanswered towards Redis: {} commands, {} bytes",
                                      unanswered_commands_, unanswered_bytes_),
                          kOverloadRetryAfter)});
  } else {
    unanswered_commands_ += count;
    unanswered_bytes_ += group->bytes;
    // Taken under the lock, so that the queue is ordered by it.
    group->submitted = Now();
    queue_.push_back(std::move(group));
  }
  if (std::exchange(asleep_, false)) {
    // Under the lock: once it is free, `done` may have run and the pipeline may be gone.
    Wake();
  }
}

std::chrono::nanoseconds SocketPipeline::Loop::OldestAge() const {
  std::lock_guard lock(mutex_);
  MonotonicTime oldest = oldest_taken_;
  if (!queue_.empty()) {
    oldest = std::min(oldest, queue_.front()->submitted);
  }
  return oldest == MonotonicTime::max() ? std::chrono::nanoseconds(0) : Now() - oldest;
}

void SocketPipeline::Loop::Run() {
  pthread_setname_np(pthread_self(), options_.name.substr(0, 15).c_str());
  while (Sleep()) {
    HandleDeadlines();
    TakeQueue();
    if (state_ == State::kReady) {
      Fill();
      Write();
    }
    HandOutRefusals();
  }
  channel_.reset();
  connected_.store(false, std::memory_order_relaxed);  // A gauge; publishes nothing.
  // Callbacks may submit once more, so until nothing is left.
  while (true) {
    TakeQueue();
    HandOutRefusals();
    if (waiting_.empty() && under_way_.empty()) {
      break;
    }
    FailAll(
        base::Error(absl::StatusCode::kUnavailable, "the connection to Redis is shutting down"));
  }
}

// Waits for the socket, a submitter or a deadline, and handles the socket. False when it is time to
// end.
bool SocketPipeline::Loop::Sleep() {
  int timeout_ms = PollTimeoutMs();
  {
    std::lock_guard lock(mutex_);
    if (stopping_) {
      return false;
    }
    if (!queue_.empty() || !refusals_.empty()) {
      timeout_ms = 0;
    } else {
      asleep_ = true;
    }
  }
  // Once it is cut it stays readable, and is looked at no more.
  const int cutoff_fd = options_.cutoff != nullptr && !is_cut_off_ ? options_.cutoff->fd() : -1;
  pollfd descriptors[3] = {{wake_fd_, POLLIN, 0}, {-1, POLLIN, 0}, {cutoff_fd, POLLIN, 0}};
  if (channel_ != nullptr) {
    descriptors[1].fd = channel_->fd();
    const bool is_connecting = state_ == State::kConnecting && !authenticating_;
    descriptors[1].events = is_connecting ? channel_->connect_events() : channel_->events();
  }
  // EINTR and the like leave revents at zero: the next round tries again.
  static_cast<void>(poll(descriptors, 3, timeout_ms));
  {
    std::lock_guard lock(mutex_);
    asleep_ = false;
  }
  if (descriptors[0].revents != 0) {
    uint64_t count;
    [[maybe_unused]] ssize_t n = read(wake_fd_, &count, sizeof(count));
  }
  if (descriptors[2].revents != 0 && options_.cutoff->is_cut()) {
    is_cut_off_ = true;
    Break(base::Error(absl::StatusCode::kUnavailable, "given up"));
  } else if (descriptors[1].revents != 0) {
    HandleSocket(descriptors[1].revents);
  }
  return true;
}

int SocketPipeline::Loop::PollTimeoutMs() const {
  MonotonicTime deadline = MonotonicTime::max();
  if (state_ == State::kPausing || state_ == State::kConnecting) {
    deadline = state_deadline_;
  }
  if (!under_way_.empty()) {
    deadline = std::min(deadline, under_way_.front()->submitted + options_.call_timeout);
  } else if (!waiting_.empty()) {
    deadline = std::min(deadline, waiting_.front()->submitted + options_.call_timeout);
  }
  if (deadline == MonotonicTime::max()) {
    // Without the eventfd (no descriptors left at the start) nothing else would wake the thread.
    return wake_fd_ >= 0 ? -1 : static_cast<int>(kPauseMin.count());
  }
  const auto left = std::chrono::ceil<milliseconds>(deadline - Now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 60'000));
}

void SocketPipeline::Loop::HandleSocket(short events) {
  if (state_ == State::kConnecting && !authenticating_) {
    FinishConnect();
    return;
  }
  if (channel_->MayRead(events)) {
    ReadReplies();
  }
  if (channel_ != nullptr && channel_->unsent_bytes() > 0) {
    Write();
  }
}

void SocketPipeline::Loop::HandleDeadlines() {
  const MonotonicTime now = Now();
  if (state_ == State::kPausing && now >= state_deadline_) {
    if (is_cut_off_) {
      state_deadline_ = now + kPauseMax;
    } else {
      StartConnect();
    }
  } else if (state_ == State::kConnecting && now >= state_deadline_) {
    Break(
        base::Error(absl::StatusCode::kUnavailable,
                    fmt::format("cannot connect within {} ms", options_.connect_timeout.count())));
  }
  const Group* oldest = !under_way_.empty() ? under_way_.front().get()
                        : !waiting_.empty() ? waiting_.front().get()
                                            : nullptr;
  if (oldest != nullptr && now >= oldest->submitted + options_.call_timeout) {
    Break(base::Error(absl::StatusCode::kUnavailable,
                      fmt::format("no answer within {} ms", options_.call_timeout.count())));
  }
}

void SocketPipeline::Loop::HandOutRefusals() {
  std::deque<Refusal> refusals;
  {
    std::lock_guard lock(mutex_);
    refusals.swap(refusals_);
  }
  for (Refusal& refusal : refusals) {
    refusal.done(std::move(refusal.status));
  }
}

void SocketPipeline::Loop::StartConnect() {
  state_ = State::kConnecting;
  state_deadline_ = Now() + options_.connect_timeout;
  auto channel = Channel::StartConnect(address_);
  if (!channel.ok()) {
    Break(channel.status());
    return;
  }
  channel_ = *std::move(channel);
  ++connection_;
}

void SocketPipeline::Loop::FinishConnect() {
  const absl::StatusOr<bool> is_connected = channel_->GoOnConnecting();
  if (!is_connected.ok()) {
    Break(is_connected.status());
    return;
  }
  if (!*is_connected) {
    return;
  }
  if (address_.password.empty()) {
    state_ = State::kReady;
    connected_.store(true, std::memory_order_relaxed);  // A gauge; publishes nothing.
    return;
  }
  Authenticate();
}

void SocketPipeline::Loop::Authenticate() {
  Command auth{"AUTH"};
  if (!address_.user.empty()) {
    auth.args.push_back(address_.user);
  }
  auth.args.push_back(address_.password);
  channel_->Append(auth);
  authenticating_ = true;
  Write();
}

void SocketPipeline::Loop::ReadReplies() {
  absl::Status status = channel_->Read();
  if (!status.ok()) {
    Break(status);
    return;
  }
  while (channel_ != nullptr) {
    auto reply = channel_->Next();
    if (!reply.ok()) {
      Break(reply.status());
      return;
    }
    if (!reply->has_value()) {
      return;
    }
    TakeReply(*std::move(*reply));
  }
}

void SocketPipeline::Loop::TakeReply(Reply reply) {
  if (authenticating_) {
    authenticating_ = false;
    absl::Status status = ToStatus(reply.view());
    if (!status.ok()) {
      Break(status);
      return;
    }
    state_ = State::kReady;
    connected_.store(true, std::memory_order_relaxed);  // A gauge; publishes nothing.
    return;
  }
  if (slots_.empty()) {
    Break(
        base::Error(absl::StatusCode::kUnavailable, "the peer sent a reply that nobody asked for"));
    return;
  }
  const Slot slot = slots_.front();
  slots_.pop_front();
  Group& group = *slot.group;
  const Command& command = group.commands[slot.index];
  if (command.script != nullptr && slot.sent == Slot::Sent::kOnce && IsNoScript(reply.view())) {
    channel_->AppendEval(command);
    slots_.push_back({&group, slot.index, Slot::Sent::kAgain});
    return;
  }
  if (reply.is_error() && reply.text().starts_with("READONLY")) {
    // What is under way is still answered, by the same error; then the connection is given up.
    state_ = State::kRetiring;
  } else {
    // Only an answer shows that the connection is good for something.
    pause_ = kPauseMin;
  }
  group.replies[slot.index] = std::move(reply);
  if (--group.unanswered == 0) {
    Finish(group);
  }
  if (state_ == State::kRetiring && slots_.empty()) {
    Break(base::Error(absl::StatusCode::kUnavailable, "Redis is a replica now"));
  }
}

void SocketPipeline::Loop::Finish(Group& group) {
  Callback done = std::move(group.done);
  group.done = nullptr;
  std::vector<Reply> replies = std::move(group.replies);
  const size_t commands = group.commands.size();
  const size_t bytes = group.bytes;
  // `group` is gone after this if it was the oldest.
  while (!under_way_.empty() && under_way_.front()->done == nullptr) {
    under_way_.pop_front();
  }
  Discount(commands, bytes);
  done(std::move(replies));
}

void SocketPipeline::Loop::Discount(size_t commands, size_t bytes) {
  std::lock_guard lock(mutex_);
  unanswered_commands_ -= commands;
  unanswered_bytes_ -= bytes;
  oldest_taken_ = !under_way_.empty() ? under_way_.front()->submitted
                  : !waiting_.empty() ? waiting_.front()->submitted
                                      : MonotonicTime::max();
}

void SocketPipeline::Loop::TakeQueue() {
  {
    std::lock_guard lock(mutex_);
    if (!queue_.empty() && oldest_taken_ == MonotonicTime::max()) {
      oldest_taken_ = queue_.front()->submitted;
    }
    if (waiting_.empty()) {
      waiting_.swap(queue_);
    } else {
      std::move(queue_.begin(), queue_.end(), std::back_inserter(waiting_));
      queue_.clear();
    }
  }
  if (state_ == State::kPausing && !waiting_.empty()) {
    FailAll(base::Error(absl::StatusCode::kUnavailable, last_error_));
  }
}

void SocketPipeline::Loop::Fill() {
  while (!waiting_.empty() && channel_->unsent_bytes() < kUnsentBytesMax) {
    std::unique_ptr<Group> group = std::move(waiting_.front());
    waiting_.pop_front();
    if (group->connection != kAnyConnection && group->connection != connection_) {
      Discount(group->commands.size(), group->bytes);
      group->done(NotSent("the connection that this belongs to is gone"));
      continue;
    }
    group->position = channel_->queued_position();
    group->unanswered = group->commands.size();
    group->replies.resize(group->commands.size());
    for (size_t i = 0; i < group->commands.size(); ++i) {
      channel_->Append(group->commands[i]);
      slots_.push_back({group.get(), i, Slot::Sent::kOnce});
    }
    under_way_.push_back(std::move(group));
    if (under_way_.back()->unanswered == 0) {
      Finish(*under_way_.back());
    }
  }
}

void SocketPipeline::Loop::Write() {
  absl::Status status = channel_->Write();
  if (!status.ok()) {
    Break(status);
  }
}

// Gives the connection up: fails everything and begins the pause before the next attempt.
void SocketPipeline::Loop::Break(const absl::Status& why) {
  state_ = State::kPausing;
  state_deadline_ = Now() + pause_;
  pause_ = std::min(pause_ * 2, kPauseMax);
  authenticating_ = false;
  last_error_ = fmt::format("{}: {}", address_.ToString(), base::MessageOf(why));
  connected_.store(false, std::memory_order_relaxed);  // A gauge; publishes nothing.
  FailAll(base::Error(absl::StatusCode::kUnavailable, last_error_));
}

void SocketPipeline::Loop::FailAll(const absl::Status& why) {
  const uint64_t sent = channel_ == nullptr ? 0 : channel_->sent_position();
  channel_.reset();
  slots_.clear();
  std::deque<std::unique_ptr<Group>> under_way = std::exchange(under_way_, {});
  std::deque<std::unique_ptr<Group>> waiting = std::exchange(waiting_, {});
  {
    std::lock_guard lock(mutex_);
    oldest_taken_ = MonotonicTime::max();
    for (const auto* groups : {&under_way, &waiting}) {
      for (const std::unique_ptr<Group>& group : *groups) {
        if (group->done != nullptr) {
          unanswered_commands_ -= group->commands.size();
          unanswered_bytes_ -= group->bytes;
        }
      }
    }
  }
  const std::string message = base::MessageOf(why);
  for (const std::unique_ptr<Group>& group : under_way) {
    if (group->done != nullptr) {
      group->done(group->position < sent ? OutcomeUnknown(message) : NotSent(message));
    }
  }
  for (const std::unique_ptr<Group>& group : waiting) {
    group->done(NotSent(message));
  }
}

}  // namespace klatch::redis
