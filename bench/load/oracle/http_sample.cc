#include "bench/load/oracle/http_sample.h"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>
#include <httplib.h>

#include <map>

#include "bench/load/oracle/check_tasks.h"
#include "common/base/endpoint.h"
#include "klatch/v1/feed_service.pb.h"

namespace klatch::load {
namespace {

using google::protobuf::util::JsonStringToMessage;
using google::protobuf::util::MessageDifferencer;
using google::protobuf::util::MessageToJsonString;
using klatch::v1::ListHomeTimelineRequest;
using klatch::v1::ListHomeTimelineResponse;
using klatch::v1::Update;

constexpr char kPath[] = "/klatch.v1.FeedService/ListHomeTimeline";
constexpr int kPageSize = 50;
constexpr std::chrono::seconds kTimeout{10};

// Nothing if it does not answer as it should; `error` says how then.
std::optional<std::vector<Update>> ReadPage(httplib::Client& http, const std::string& actor,
                                            std::string& error) {
  ListHomeTimelineRequest request;
  request.set_actor(actor);
  request.set_page_size(kPageSize);
  std::string body;
  ListHomeTimelineResponse response;
  if (!MessageToJsonString(request, &body).ok()) {
    error = "the request is no JSON";
    return std::nullopt;
  }
  const httplib::Result result = http.Post(kPath, body, "application/json");
  if (!result) {
    error = httplib::to_string(result.error());
  } else if (result->status != 200) {
    error = fmt::format("{} {}", result->status, result->body);
  } else if (!JsonStringToMessage(result->body, &response).ok()) {
    error = "the answer is no page in JSON";
  } else {
    return std::vector<Update>(response.updates().begin(), response.updates().end());
  }
  return std::nullopt;
}

}  // namespace

void CompareHttpPage(PersonNumber person, const std::vector<Update>& expected,
                     const std::vector<Update>& shown, Violations& violations) {
  std::map<uint64_t, const Update*> wanted;
  for (const Update& update : expected) {
    wanted.emplace(update.id(), &update);
  }
  std::map<uint64_t, const Update*> seen;
  for (const Update& update : shown) {
    const auto found = wanted.find(update.id());
    if (!seen.emplace(update.id(), &update).second) {
      violations.Add(Violation::kDuplicated, Surface::kHttp, person, update.id());
    } else if (found == wanted.end()) {
      violations.Add(Violation::kLeaked, Surface::kHttp, person, update.id());
    } else if (!MessageDifferencer::Equals(*found->second, update)) {
      violations.AddOther(fmt::format("update {} over HTTP is not as over gRPC", update.id()));
    }
  }
  for (const auto& [id, update] : wanted) {
    if (!seen.contains(id)) {
      violations.Add(Violation::kLost, Surface::kHttp, person, id);
    }
  }
}

absl::StatusOr<uint64_t> CompareHttp(const Graph& graph, Client& client,
                                     const HttpSampleOptions& options, RunState& state,
                                     Violations& violations) {
  KLATCH_ASSIGN_OR_RETURN(const base::Endpoint endpoint, base::Endpoint::Parse(options.address));
  httplib::Client http(endpoint.host, endpoint.port);
  http.set_keep_alive(true);
  http.set_connection_timeout(kTimeout);
  http.set_read_timeout(kTimeout);
  uint64_t pages = 0;
  for (PersonNumber person : Choose(graph.person_count(), options.persons, options.seed)) {
    if (state.MustStop()) {
      break;
    }
    const std::string& name = graph.person(person);
    const TimelineRead read = client.ReadHome(name, {}, {.page_size = kPageSize, .pages_max = 1});
    std::string error = read.status.error_message();
    const auto shown = read.ok() ? ReadPage(http, name, error) : std::nullopt;
    if (!shown.has_value()) {
      violations.AddOther(
          fmt::format("home timeline of {} could not be read over HTTP: {}", name, error));
      continue;
    }
    CompareHttpPage(person, read.updates, *shown, violations);
    ++pages;
  }
  return pages;
}

}  // namespace klatch::load
