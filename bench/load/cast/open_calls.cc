#include "bench/load/cast/open_calls.h"

#include <fmt/format.h>

#include <algorithm>

#include "bench/load/calls/publish_batch.h"

namespace klatch::load {
namespace {

using klatch::v1::Update;
using Updates = google::protobuf::RepeatedPtrField<Update>;

constexpr int kPageSize = 20;

class PublishCall : public OpenCall {
 public:
  PublishCall(const Connection& connection, std::vector<PlannedPost> posts, std::vector<Moment> due)
      : OpenCall(connection),
        posts_(std::move(posts)),
        due_(std::move(due)),
        batch_(Requests(connection.stage, posts_)) {}

 private:
  static std::vector<klatch::v1::PublishUpdateRequest> Requests(
      const Stage& stage, const std::vector<PlannedPost>& posts) {
    std::vector<klatch::v1::PublishUpdateRequest> requests;
    for (const PlannedPost& post : posts) {
      requests.push_back(MakeRequest(stage, post));
    }
    return requests;
  }

  void Send(grpc::ClientContext* context, grpc::Status* status) override {
    if (batch_.IsSingle()) {
      one_ = connection_.feed.AsyncPublishUpdate(context, batch_.single(), &connection_.queue);
      Await(*one_, batch_.single_answer(), status);
    } else {
      many_ = connection_.feed.AsyncBatchPublishUpdates(context, batch_.NextRequest(),
                                                        &connection_.queue);
      Await(*many_, batch_.answer(), status);
    }
  }

  grpc::Status Answered(const grpc::Status& status) override {
    return batch_.Take(status, connection_.stage.state);
  }

  void End(const grpc::Status&) override {
    const Moment now = std::chrono::steady_clock::now();
    for (size_t i = 0; i < posts_.size(); ++i) {
      const PublishOutcome& outcome = batch_.outcomes()[i];
      if (connection_.client.sheds && outcome.certainty == Certainty::kRefused &&
          IsOverload(outcome.status)) {
        TakeDownShed(due_[i]);
        continue;
      }
      if (outcome.certainty == Certainty::kDone) {
        connection_.stage.latencies.publish.Record(now - due_[i]);
        connection_.stage.state.answered.fetch_add(1, std::memory_order_relaxed);
      }
      Record(connection_.stage, posts_[i], outcome, due_[i], connection_.history);
    }
  }

  const std::vector<PlannedPost> posts_;
  const std::vector<Moment> due_;
  PublishBatch batch_;
  std::unique_ptr<grpc::ClientAsyncResponseReader<klatch::v1::PublishUpdateResponse>> one_;
  std::unique_ptr<grpc::ClientAsyncResponseReader<klatch::v1::BatchPublishUpdatesResponse>> many_;
};

// Whether the reader is in one of its groups, as far as the graph knows them. Groups that are none
// of the graph's are not judged.
bool MayBeTheirs(const Graph& graph, PersonNumber reader, const Update& update) {
  const auto groups = graph.GroupsOf(reader);
  return std::any_of(update.groups().begin(), update.groups().end(), [&](const std::string& id) {
    const auto group = graph.FindGroup(id);
    return !group.has_value() || std::binary_search(groups.begin(), groups.end(), *group);
  });
}

template <typename Request, typename Response>
class ReadCall : public OpenCall {
 public:
  // No pointer to a member: GCC's check of alignment takes the method's address for its object's.
  using Method = std::unique_ptr<grpc::ClientAsyncResponseReader<Response>> (*)(
      klatch::v1::FeedService::Stub&, grpc::ClientContext*, const Request&, grpc::CompletionQueue*);

  ReadCall(const Connection& connection, Method method, const PageOf& page, Moment due,
           Request request)
      : OpenCall(connection),
        method_(method),
        page_(page),
        due_(due),
        request_(std::move(request)) {
    request_.set_actor(connection.stage.graph.person(page.reader));
    request_.set_page_size(kPageSize);
  }

 private:
  void Send(grpc::ClientContext* context, grpc::Status* status) override {
    response_.Clear();
    reader_ = method_(connection_.feed, context, request_, &connection_.queue);
    Await(*reader_, &response_, status);
  }

  grpc::Status Answered(const grpc::Status& status) override { return status; }

  void End(const grpc::Status& last) override {
    const Stage& stage = connection_.stage;
    if (last.ok()) {
      stage.latencies.PagesOf(page_.operation).Record(std::chrono::steady_clock::now() - due_);
      stage.state.answered.fetch_add(1, std::memory_order_relaxed);
      LookAt(response_.updates());
    } else if (connection_.client.sheds && IsOverload(last)) {
      TakeDownShed(due_);
    } else if (!stage.state.MustStop()) {
      stage.violations.AddOther(fmt::format("a page of {} could not be read: {}",
                                            stage.graph.person(page_.reader),
                                            last.error_message()));
    }
  }

  void LookAt(const Updates& updates) {
    const Stage& stage = connection_.stage;
    const Surface surface = page_.operation == Operation::kHomePage      ? Surface::kHome
                            : page_.operation == Operation::kProfilePage ? Surface::kProfile
                                                                         : Surface::kGroup;
    uint64_t above = UINT64_MAX;
    for (const Update& update : updates) {
      if (update.id() == above) {
        stage.violations.Add(Violation::kDuplicated, surface, page_.reader, update.id(),
                             "twice in one page under load");
      } else if (update.id() > above) {
        stage.violations.AddOther(fmt::format("a page of {} is not in order: {} stands below {}",
                                              stage.graph.person(page_.reader), update.id(),
                                              above));
      }
      above = update.id();
      if (!MayBeTheirs(stage.graph, page_.reader, update)) {
        stage.violations.Add(Violation::kLeaked, surface, page_.reader, update.id(),
                             "read under load by somebody of other groups");
      }
    }
  }

  const Method method_;
  const PageOf page_;
  const Moment due_;
  Request request_;
  Response response_;
  std::unique_ptr<grpc::ClientAsyncResponseReader<Response>> reader_;
};

}  // namespace

void OpenCall::Begin() {
  pausing_ = false;
  context_ = std::make_unique<grpc::ClientContext>();
  context_->set_deadline(std::chrono::system_clock::now() + connection_.client.call_deadline);
  Send(context_.get(), &status_);
}

bool OpenCall::Advance() {
  handed_over_.load(std::memory_order_acquire);
  if (pausing_) {
    Begin();
    return false;
  }
  const grpc::Status left = Answered(status_);
  const auto pause = retry_.PauseAfter(left);
  if (!pause.has_value()) {
    End(left);
    return true;
  }
  pausing_ = true;
  pause_.Set(&connection_.queue, std::chrono::system_clock::now() + *pause, this);
  return false;
}

void OpenCall::TakeDownShed(Moment due) const {
  connection_.stage.latencies.refused.Record(std::chrono::steady_clock::now() - due);
  connection_.stage.state.shed.fetch_add(1, std::memory_order_relaxed);
}

std::unique_ptr<OpenCall> MakePublishCall(const Connection& connection,
                                          std::vector<PlannedPost> posts,
                                          std::vector<OpenCall::Moment> due) {
  return std::make_unique<PublishCall>(connection, std::move(posts), std::move(due));
}

std::unique_ptr<OpenCall> MakeReadCall(const Connection& connection, const PageOf& page,
                                       OpenCall::Moment due) {
  using Stub = klatch::v1::FeedService::Stub;
  if (page.operation == Operation::kProfilePage) {
    klatch::v1::ListProfileTimelineRequest request;
    request.set_person(connection.stage.graph.person(page.subject));
    return std::make_unique<
        ReadCall<klatch::v1::ListProfileTimelineRequest, klatch::v1::ListProfileTimelineResponse>>(
        connection,
        [](Stub& feed, auto* context, const auto& asked, auto* queue) {
          return feed.AsyncListProfileTimeline(context, asked, queue);
        },
        page, due, std::move(request));
  }
  if (page.operation == Operation::kGroupPage) {
    klatch::v1::ListGroupTimelineRequest request;
    request.set_group(connection.stage.graph.group(page.subject).id);
    return std::make_unique<
        ReadCall<klatch::v1::ListGroupTimelineRequest, klatch::v1::ListGroupTimelineResponse>>(
        connection,
        [](Stub& feed, auto* context, const auto& asked, auto* queue) {
          return feed.AsyncListGroupTimeline(context, asked, queue);
        },
        page, due, std::move(request));
  }
  return std::make_unique<
      ReadCall<klatch::v1::ListHomeTimelineRequest, klatch::v1::ListHomeTimelineResponse>>(
      connection,
      [](Stub& feed, auto* context, const auto& asked, auto* queue) {
        return feed.AsyncListHomeTimeline(context, asked, queue);
      },
      page, due, klatch::v1::ListHomeTimelineRequest());
}

}  // namespace klatch::load
