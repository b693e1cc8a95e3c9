#include "bench/load/cast/open_loop.h"

#include <algorithm>
#include <atomic>
#include <thread>

#include "bench/load/cast/open_calls.h"

namespace klatch::load {
namespace {

// What is sent so long after its moment was held up by us.
constexpr std::chrono::milliseconds kLate{10};
// While every connection is full, and how often an interrupt is looked for.
constexpr std::chrono::milliseconds kPoll{1};
constexpr std::chrono::milliseconds kSleepMax{50};
// Few are quiet, or quarrel, or may leave: so many draws find nobody only where nobody is.
constexpr int kReaderDraws = 256;

}  // namespace

// One connection, and the thread that takes its answers.
class OpenLoop::Lane {
 public:
  Lane(const Stage& stage, const Client::Options& client)
      : stage_(stage),
        client_(client),
        feed_(klatch::v1::FeedService::NewStub(MakeChannel(client.target))),
        thread_([this] { TakeAnswers(); }) {}
  ~Lane() { Close(); }
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  Connection connection() { return {stage_, client_, *feed_, queue_, history_}; }

  uint32_t in_flight() const { return in_flight_.load(std::memory_order_acquire); }
  void Send(std::unique_ptr<OpenCall> call) {
    in_flight_.fetch_add(1, std::memory_order_relaxed);
    call.release()->Begin();  // TakeAnswers owns it from here on
  }

  // REQUIRES: nothing is under way, or never will be answered.
  void Close() {
    if (thread_.joinable()) {
      queue_.Shutdown();
      thread_.join();
    }
  }

  const History& history() const { return history_; }

 private:
  void TakeAnswers() {
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
      std::unique_ptr<OpenCall> call(static_cast<OpenCall*>(tag));
      if (call->Advance()) {
        // Released, so that whoever sees nothing under way sees what it has brought.
        in_flight_.fetch_sub(1, std::memory_order_release);
      } else {
        static_cast<void>(call.release());
      }
    }
  }

  const Stage& stage_;
  const Client::Options& client_;
  const std::unique_ptr<klatch::v1::FeedService::Stub> feed_;
  grpc::CompletionQueue queue_;
  std::atomic<uint32_t> in_flight_{0};
  History history_;  // the thread's, until it is joined
  std::thread thread_;
};

OpenLoop::OpenLoop(const Stage& stage, const Options& options)
    : stage_(stage), options_(options), random_(options.seed) {
  for (uint32_t i = 0; i < options_.connections; ++i) {
    lanes_.push_back(std::make_unique<Lane>(stage_, options_.client));
  }
}

OpenLoop::~OpenLoop() = default;

OpenLoop::Lane* OpenLoop::AwaitRoom(std::span<const Moment> due) {
  while (!stage_.state.MustStop()) {
    for (size_t look = 0; look < lanes_.size(); ++look) {
      Lane& lane = *lanes_[turn_++ % lanes_.size()];
      if (lane.in_flight() < options_.in_flight) {
        const Moment in_time = std::chrono::steady_clock::now() - kLate - options_.linger;
        const auto late =
            std::count_if(due.begin(), due.end(), [&](Moment moment) { return moment < in_time; });
        stage_.state.sent_late.fetch_add(static_cast<uint64_t>(late), std::memory_order_relaxed);
        return &lane;
      }
    }
    std::this_thread::sleep_for(kPoll);
  }
  return nullptr;
}

void OpenLoop::SendPosts() {
  if (posts_.empty()) {
    return;
  }
  if (Lane* lane = AwaitRoom(posts_due_); lane != nullptr) {
    groups_named_ = 0;
    lane->Send(MakePublishCall(lane->connection(), std::exchange(posts_, {}),
                               std::exchange(posts_due_, {})));
  }
}

void OpenLoop::AddPost(Moment due) {
  PlannedPost post = NextPost(stage_);
  const size_t named = GroupsNamed(post);
  if (groups_named_ + named > kGroupsPerBatchMax) {
    SendPosts();
  }
  groups_named_ += named;
  posts_.push_back(std::move(post));
  posts_due_.push_back(due);
  if (posts_.size() >= options_.batch) {
    SendPosts();
  }
}

void OpenLoop::SendRead(Operation operation, Moment due) {
  for (int draw = 0; draw < kReaderDraws; ++draw) {
    const auto reader = static_cast<PersonNumber>(random_.Below(stage_.graph.person_count()));
    const auto groups = stage_.graph.GroupsOf(reader);
    if (groups.empty() || stage_.quiet.Has(reader) || stage_.quarrels.Has(reader)) {
      continue;
    }
    const GroupNumber group = groups[random_.Below(groups.size())];
    const auto& members = stage_.graph.group(group).members;
    PageOf page{.operation = operation, .reader = reader, .subject = group};
    if (operation == Operation::kProfilePage) {
      page.subject = members[random_.Below(members.size())];
    }
    // Who may leave a group may be refused its page.
    if (operation == Operation::kGroupPage && stage_.plan.MayLeave(group, reader)) {
      continue;
    }
    if (Lane* lane = AwaitRoom(std::span(&due, 1)); lane != nullptr) {
      lane->Send(MakeReadCall(lane->connection(), page, due));
    }
    return;
  }
  stage_.violations.AddOther("a page was due, and nobody was found who reads one");
}

void OpenLoop::SleepUntil(Moment moment) {
  while (!stage_.state.MustStop()) {
    const Moment now = std::chrono::steady_clock::now();
    if (moment <= now) {
      // Posts that wait may take along what is due by now.
      return;
    }
    const Moment sending = posts_.empty() ? moment : posts_due_.front() + options_.linger;
    if (sending <= now) {
      SendPosts();
    } else {
      std::this_thread::sleep_until(std::min({moment, sending, now + kSleepMax}));
    }
  }
}

void OpenLoop::Run() {
  Arrivals arrivals(options_.arrivals, options_.seed);
  while (auto time = arrivals.Next()) {
    const Moment due = options_.start + *time;
    SleepUntil(due);
    if (stage_.state.MustStop()) {
      break;
    }
    stage_.state.offered.fetch_add(1, std::memory_order_relaxed);
    const Operation operation = options_.mix.Draw(random_);
    if (operation == Operation::kPost) {
      AddPost(due);
    } else {
      SendRead(operation, due);
    }
  }
  SendPosts();
  for (const auto& lane : lanes_) {
    while (lane->in_flight() != 0) {
      std::this_thread::sleep_for(kPoll);
    }
    lane->Close();
  }
}

void OpenLoop::ForEachHistory(const std::function<void(const History&)>& take) const {
  for (const auto& lane : lanes_) {
    take(lane->history());
  }
}

}  // namespace klatch::load
