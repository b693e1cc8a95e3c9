#pragma once
// Calls of a klatchd over HTTP for tests, with messages of protobuf on this side.
//
// Thread safety: functions without state.

#include <gtest/gtest.h>

#include <string>

#include "google/protobuf/util/json_util.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "tests/integration/http_peer.h"
#include "tests/integration/klatchd_client.h"

namespace klatch::testing {

inline std::string JsonOf(const google::protobuf::Message& message) {
  std::string json;
  EXPECT_TRUE(google::protobuf::util::MessageToJsonString(message, &json).ok());
  return json;
}

template <typename Message>
Message FromJson(const std::string& json) {
  Message message;
  EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(json, &message).ok()) << json;
  return message;
}

// "FeedService/PublishUpdate" with a request.
inline HttpAnswer CallByHttp(const std::string& address, const std::string& call,
                             const google::protobuf::Message& request) {
  return AnswerTo(address, Posting("/klatch.v1." + call, JsonOf(request)));
}

// What an answer's body says of its error.
inline google::rpc::Status ErrorIn(const HttpAnswer& answer) {
  return FromJson<google::rpc::Status>(answer.body);
}

// An event of a stream, whose lines are "id: …" and "data: …".
struct WatchMessage {
  std::string id;
  v1::WatchHomeTimelineResponse response;
};
inline WatchMessage WatchMessageOf(std::string_view event) {
  WatchMessage message;
  if (event.starts_with("id: ")) {
    const size_t end = event.find('\n');
    message.id = event.substr(4, end - 4);
    event.remove_prefix(end + 1);
  }
  EXPECT_TRUE(event.starts_with("data: ")) << event;
  message.response = FromJson<v1::WatchHomeTimelineResponse>(
      std::string(event.substr(std::min<size_t>(6, event.size()))));
  return message;
}

}  // namespace klatch::testing
