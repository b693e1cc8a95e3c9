#include "bench/versus/calls.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>

#include "bench/versus/app.h"
#include "bench/versus/call_load.h"
#include "bench/versus/peer_server.h"
#include "common/base/hash.h"

namespace klatch::versus {
namespace {

using klatch::v1::ListHomeTimelineRequest;
using klatch::v1::ListHomeTimelineResponse;
using klatch::v1::PublishUpdateRequest;
using klatch::v1::PublishUpdateResponse;

constexpr uint32_t kLoners = 1'000;  // each a group of their own
constexpr uint32_t kReaders = 1'000;
constexpr uint32_t kCircleSize = 100;
constexpr int kPageUpdates = 20;
constexpr size_t kTextBytes = 200;

using PublishLoad = CallLoad<PublishUpdateRequest, PublishUpdateResponse>;
using ReadLoad = CallLoad<ListHomeTimelineRequest, ListHomeTimelineResponse>;

std::string Loner(uint64_t number) { return fmt::format("loner-{}", number % kLoners); }
std::string Reader(uint64_t number) { return fmt::format("reader-{}", number % kReaders); }

absl::Status Check(const CallResult& result, std::string_view what) {
  // A post may be refused under pressure; what comes to more than one in a hundred spoils the figure.
  return result.failed * 100 <= result.calls
             ? absl::OkStatus()
             : base::Error(absl::StatusCode::kInternal,
                           fmt::format("{} of {} calls of {} failed: {}", result.failed,
                                       result.failed + result.calls, what, result.first_failure));
}

class Calls {
 public:
  explicit Calls(Lab& lab) : lab_(lab) {}

  absl::StatusOr<std::vector<Figure>> Measure() {
    KLATCH_ASSIGN_OR_RETURN(redis_, lab_.StartRedis("calls-redis"));
    KLATCH_ASSIGN_OR_RETURN(node_, lab_.StartNode("calls-klatchd", *redis_));
    std::vector<Figure> figures;
    if (lab_.options().Wants("publish_cpu_ratio")) {
      KLATCH_ASSIGN_OR_RETURN(figures.emplace_back(), PublishCpu());
    }
    if (lab_.options().Wants("read_ratio")) {
      KLATCH_ASSIGN_OR_RETURN(figures.emplace_back(), Read());
    }
    return figures;
  }

 private:
  absl::StatusOr<Figure> PublishCpu();
  absl::StatusOr<Figure> Read();
  absl::StatusOr<std::string> MakePage();

  PublishLoad PublishTo(const std::string& target, bool with_posts) const;
  ReadLoad ReadFrom(const std::string& target) const;
  // Microseconds of the process's CPU per call; notes the rate.
  template <typename Load>
  absl::StatusOr<double> CpuPerCall(Load& load, pid_t pid, std::string_view what);

  Lab& lab_;
  std::unique_ptr<RedisHost> redis_;
  std::unique_ptr<NodeHost> node_;
};

PublishLoad Calls::PublishTo(const std::string& target, bool with_posts) const {
  const std::string run = fmt::format("cpu-{:016x}", base::RandomUint64());
  const std::string text(kTextBytes, 'x');
  return PublishLoad({.target = target,
                      .make =
                          [run, text, with_posts](uint64_t number, PublishUpdateRequest& request) {
                            if (with_posts) {
                              request.set_actor(Loner(number));
                              request.set_request_id(fmt::format("{}-{}", run, number));
                              request.mutable_update()->add_groups("alone-" + Loner(number));
                              request.mutable_update()->set_text(text);
                            }
                          },
                      .call =
                          [](PublishLoad::Stub& stub, grpc::ClientContext* context,
                             const PublishUpdateRequest* request, PublishUpdateResponse* response,
                             std::function<void(grpc::Status)> done) {
                            stub.async()->PublishUpdate(context, request, response,
                                                        std::move(done));
                          },
                      .check =
                          [with_posts](const PublishUpdateResponse& response) {
                            return !with_posts || response.update_id() != 0;
                          }});
}

ReadLoad Calls::ReadFrom(const std::string& target) const {
  return ReadLoad(
      {.target = target,
       .make =
           [](uint64_t number, ListHomeTimelineRequest& request) {
             request.set_actor(Reader(number));
             request.set_page_size(kPageUpdates);
           },
       .call =
           [](ReadLoad::Stub& stub, grpc::ClientContext* context,
              const ListHomeTimelineRequest* request, ListHomeTimelineResponse* response,
              std::function<void(grpc::Status)> done) {
             stub.async()->ListHomeTimeline(context, request, response, std::move(done));
           },
       .check =
           [](const ListHomeTimelineResponse& response) {
             return response.updates_size() == kPageUpdates &&
                    response.updates(0).text().size() == kTextBytes;
           }});
}

template <typename Load>
absl::StatusOr<double> Calls::CpuPerCall(Load& load, pid_t pid, std::string_view what) {
  const double before = CpuSecondsOf(pid);
  const CallResult result = load.Run(lab_.options().Slice());
  KLATCH_RETURN_IF_ERROR(Check(result, what));
  if (pid == node_->pid()) {
    // What a post costs ends when it is in Redis.
    KLATCH_RETURN_IF_ERROR(node_->AwaitFlushed());
  }
  const double spent = CpuSecondsOf(pid) - before;
  SayProgress(fmt::format("{}: {:.1f} µs of CPU, {:.0f} calls/s", what,
                          1e6 * spent / static_cast<double>(result.calls), result.per_second()));
  return 1e6 * spent / static_cast<double>(result.calls);
}

absl::StatusOr<Figure> Calls::PublishCpu() {
  App app(node_->target());
  for (uint32_t i = 0; i < kLoners; ++i) {
    KLATCH_RETURN_IF_ERROR(app.MakeGroup("alone-" + Loner(i), {Loner(i)}));
  }
  std::string listen;
  KLATCH_ASSIGN_OR_RETURN(const auto peer, lab_.StartPeer("empty", kServeEmpty, &listen));
  PublishLoad posts = PublishTo(node_->target(), true);
  PublishLoad empty = PublishTo(listen, false);
  std::vector<double> post_costs;
  std::vector<double> empty_costs;
  for (uint32_t slice = 0; slice < lab_.options().SliceCount() && !lab_.interrupted(); ++slice) {
    KLATCH_ASSIGN_OR_RETURN(post_costs.emplace_back(),
                            CpuPerCall(posts, node_->pid(), "PublishUpdate"));
    KLATCH_ASSIGN_OR_RETURN(empty_costs.emplace_back(),
                            CpuPerCall(empty, peer->pid(), "an empty call"));
  }
  return RatioFigure("publish_cpu_ratio", {"klatchd, a post to a group of one", 0, "µs of CPU"},
                     post_costs, {"a server of empty calls", 0, "µs of CPU"}, empty_costs,
                     lab_.options().Timed().count());
}

// Everybody has a full page; one of them goes into a file, for the peer.
absl::StatusOr<std::string> Calls::MakePage() {
  App app(node_->target());
  for (uint32_t begin = 0; begin < kReaders; begin += kCircleSize) {
    std::vector<std::string> circle;
    for (uint32_t i = begin; i < begin + kCircleSize; ++i) {
      circle.push_back(Reader(i));
    }
    const std::string group = "circle-" + circle.front();
    KLATCH_RETURN_IF_ERROR(app.MakeGroup(group, circle));
    KLATCH_RETURN_IF_ERROR(
        app.Post(group, circle.front(), std::string(kTextBytes, 'x'), kPageUpdates));
  }
  KLATCH_ASSIGN_OR_RETURN(const ListHomeTimelineResponse page,
                          app.ReadHome(Reader(0), kPageUpdates));
  const std::filesystem::path path = lab_.folder() / "page";
  std::ofstream file(path, std::ios::binary);
  if (page.updates_size() != kPageUpdates || !page.SerializeToOstream(&file)) {
    return base::Error(absl::StatusCode::kInternal, "the page to measure could not be made");
  }
  return path.string();
}

absl::StatusOr<Figure> Calls::Read() {
  KLATCH_ASSIGN_OR_RETURN(const std::string page, MakePage());
  std::string listen;
  KLATCH_ASSIGN_OR_RETURN(const auto peer, lab_.StartPeer("page", kServePage + page, &listen));
  ReadLoad klatch = ReadFrom(node_->target());
  ReadLoad ready = ReadFrom(listen);
  std::vector<double> rates;
  std::vector<double> ready_rates;
  for (uint32_t slice = 0; slice < lab_.options().SliceCount() && !lab_.interrupted(); ++slice) {
    const CallResult read = klatch.Run(lab_.options().Slice());
    KLATCH_RETURN_IF_ERROR(Check(read, "ListHomeTimeline"));
    const CallResult answered = ready.Run(lab_.options().Slice());
    KLATCH_RETURN_IF_ERROR(Check(answered, "the ready page"));
    rates.push_back(read.per_second());
    ready_rates.push_back(answered.per_second());
    SayProgress(
        fmt::format("pages: Klatch {:.0f}/s, ready {:.0f}/s", rates.back(), ready_rates.back()));
  }
  Figure figure = RatioFigure("read_ratio", {"ListHomeTimeline", 0, "calls/s"}, rates,
                              {"the same page, ready", 0, "calls/s"}, ready_rates,
                              lab_.options().Timed().count());
  figure.notes.push_back(fmt::format("a page is {} bytes", std::filesystem::file_size(page)));
  return figure;
}

}  // namespace

absl::StatusOr<std::vector<Figure>> MeasureCalls(Lab& lab) { return Calls(lab).Measure(); }

}  // namespace klatch::versus
