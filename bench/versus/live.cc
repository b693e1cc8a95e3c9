#include "bench/versus/live.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>
#include <sys/resource.h>

#include <atomic>
#include <thread>

#include "bench/load/calls/client.h"
#include "bench/versus/app.h"
#include "bench/versus/nats_peer.h"
#include "bench/versus/watches.h"
#include "common/base/hash.h"
#include "services/model/limits.h"

namespace klatch::versus {
namespace {

constexpr uint32_t kAudience = 1'000;
constexpr size_t kTextBytes = 100;
// With what the posters add while they look, 300 updates are under way. What one of two workers tells
// of them is 150,000 items, which fit between it and the live thread (limits::kWatchItemsMax).
constexpr uint64_t kUpdatesAhead = 240;
constexpr uint32_t kPosters = 3;
constexpr int kBatch = 20;
constexpr char kGroup[] = "audience";
constexpr std::chrono::seconds kBeginMax{60};
constexpr std::chrono::seconds kDrainMax{10};
constexpr std::chrono::seconds kCallMax{30};
constexpr std::chrono::microseconds kPause{500};

std::vector<std::string> Audience() {
  std::vector<std::string> persons;
  for (uint32_t i = 0; i < kAudience; ++i) {
    persons.push_back(fmt::format("watcher-{}", i));
  }
  return persons;
}

// Two thousand connections on both ends of them; what isn't permitted shows when one is refused.
void RaiseDescriptors() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// Posts to the group in batches as fast as the audience is told.
class Posters {
 public:
  Posters(const std::string& target, const Watches& watches)
      : watches_(watches), run_(fmt::format("live-{:016x}", base::RandomUint64())) {
    for (uint32_t i = 0; i < kPosters; ++i) {
      stubs_.push_back(klatch::v1::FeedService::NewStub(
          std::shared_ptr<grpc::ChannelInterface>(load::MakeChannel(target))));
    }
  }

  // Pairs of a person and an update per second, the last inside the clock.
  absl::StatusOr<double> Run(std::chrono::duration<double> time) {
    const auto start = std::chrono::steady_clock::now();
    const uint64_t told = watches_.told();
    const uint64_t due = due_;
    end_ = start + std::chrono::duration_cast<std::chrono::nanoseconds>(time);
    std::vector<std::thread> posting;
    for (const auto& stub : stubs_) {
      posting.emplace_back([this, &stub] { Post(*stub); });
    }
    for (std::thread& thread : posting) {
      thread.join();
    }
    while (Behind() > 0 && Good() && std::chrono::steady_clock::now() < end_ + kDrainMax) {
      std::this_thread::sleep_for(kPause);
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    if (!Good() || watches_.told() - told != due_ - due) {
      return base::Error(absl::StatusCode::kInternal,
                         fmt::format("of {} events {} came, {} gaps: {}", due_ - due,
                                     watches_.told() - told, watches_.gaps() - gaps_before_,
                                     watches_.failed() ? "a watch has ended" : failure_));
    }
    return static_cast<double>(watches_.told() - told) / seconds.count();
  }

 private:
  bool Good() const { return !failed_ && !watches_.failed() && watches_.gaps() == gaps_before_; }
  uint64_t Behind() const {
    const uint64_t due = due_;
    return due > watches_.told() ? due - watches_.told() : 0;
  }

  void Post(klatch::v1::FeedService::Stub& stub) {
    while (std::chrono::steady_clock::now() < end_ && Good()) {
      if (Behind() > kUpdatesAhead * kAudience) {
        std::this_thread::sleep_for(kPause);
      } else {
        PostBatch(stub);
      }
    }
  }
  void PostBatch(klatch::v1::FeedService::Stub& stub) {
    klatch::v1::BatchPublishUpdatesRequest batch;
    for (int i = 0; i < kBatch; ++i) {
      klatch::v1::PublishUpdateRequest& post = *batch.add_requests();
      post.set_actor("watcher-0");
      post.set_request_id(fmt::format("{}-{}", run_, next_++));
      post.mutable_update()->add_groups(kGroup);
      post.mutable_update()->set_text(std::string(kTextBytes, 'x'));
    }
    klatch::v1::BatchPublishUpdatesResponse response;
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kCallMax);
    const grpc::Status status = stub.BatchPublishUpdates(&context, batch, &response);
    // Refused under pressure: that many fewer are due.
    for (const klatch::v1::BatchPublishResult& result : response.results()) {
      due_ += result.has_published() ? kAudience : 0;
    }
    if (!status.ok() && status.error_code() != grpc::StatusCode::RESOURCE_EXHAUSTED &&
        !failed_.exchange(true)) {
      failure_ = status.error_message();
    }
  }

  const Watches& watches_;
  // A watch may begin with one, about what was posted before anything is due to it.
  const uint64_t gaps_before_ = watches_.gaps();
  const std::string run_;
  std::vector<std::unique_ptr<klatch::v1::FeedService::Stub>> stubs_;
  std::chrono::steady_clock::time_point end_;
  std::atomic<uint64_t> next_{0};
  std::atomic<uint64_t> due_{0};
  std::atomic<bool> failed_{false};
  std::string failure_;  // written once, by who sets failed_; read when all are joined
};

class Live {
 public:
  explicit Live(Lab& lab) : lab_(lab) {}

  absl::StatusOr<std::vector<Figure>> Measure() {
    RaiseDescriptors();
    KLATCH_ASSIGN_OR_RETURN(redis_, lab_.StartRedis("live-redis"));
    KLATCH_ASSIGN_OR_RETURN(node_,
                            lab_.StartNode("live-klatchd", *redis_, {"--listen", "127.0.0.1:0"}));
    App app(node_->target());
    KLATCH_RETURN_IF_ERROR(app.MakeGroup(kGroup, Audience()));
    KLATCH_RETURN_IF_ERROR(app.ReadHome("watcher-0", 1).status());
    std::vector<Figure> figures;
    if (lab_.options().Wants("live_gateway_ratio")) {
      KLATCH_ASSIGN_OR_RETURN(
          figures.emplace_back(),
          Compare("live_gateway_ratio", "recipients/s", "one WatchHomeTimelines of 1,000 persons",
                  WatchOnOneStream(node_->target(), Audience()),
                  "nats-server, 1,000 subscriptions on one connection", 1, kAudience));
    }
    if (lab_.options().Wants("live_streams_ratio")) {
      KLATCH_ASSIGN_OR_RETURN(
          figures.emplace_back(),
          Compare("live_streams_ratio", "events/s", "1,000 WatchHomeTimeline on 1,000 connections",
                  WatchOneByOne(node_->target(), Audience()), "nats-server, 1,000 connections",
                  kAudience, 1));
    }
    return figures;
  }

 private:
  absl::StatusOr<Figure> Compare(std::string_view key, std::string_view unit, std::string_view ours,
                                 std::unique_ptr<Watches> watches, std::string_view theirs,
                                 uint32_t connections, uint32_t subscriptions) {
    if (!watches->AwaitBegun(kBeginMax)) {
      return base::Error(absl::StatusCode::kInternal, "not all watches have begun");
    }
    KLATCH_ASSIGN_OR_RETURN(const auto nats, lab_.StartNats(fmt::format("nats-{}", connections)));
    KLATCH_ASSIGN_OR_RETURN(const auto peer,
                            NatsPeer::Connect(nats->port(), connections, subscriptions));
    Posters posters(node_->target(), *watches);
    std::vector<double> our_rates;
    std::vector<double> their_rates;
    for (uint32_t slice = 0; slice < lab_.options().SliceCount() && !lab_.interrupted(); ++slice) {
      KLATCH_ASSIGN_OR_RETURN(our_rates.emplace_back(), posters.Run(lab_.options().Slice()));
      KLATCH_ASSIGN_OR_RETURN(their_rates.emplace_back(),
                              peer->Run(lab_.options().Slice(), kTextBytes));
      SayProgress(fmt::format("{}: Klatch {:.3f} M/s, nats-server {:.3f} M/s", key,
                              our_rates.back() / 1e6, their_rates.back() / 1e6));
    }
    return RatioFigure(key, {std::string(ours), 0, std::string(unit)}, our_rates,
                       {std::string(theirs), 0, std::string(unit)}, their_rates,
                       lab_.options().Timed().count());
  }

  Lab& lab_;
  std::unique_ptr<RedisHost> redis_;
  std::unique_ptr<NodeHost> node_;
};

}  // namespace

absl::StatusOr<std::vector<Figure>> MeasureLive(Lab& lab) { return Live(lab).Measure(); }

}  // namespace klatch::versus
