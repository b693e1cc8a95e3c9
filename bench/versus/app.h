#pragma once
// What an app says to a node before something is measured: groups with their members, posts.
//
// Thread safety: one thread at a time. Errors: the call's status, with what was asked before it.

#include <memory>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "klatch/v1/feed_service.grpc.pb.h"
#include "klatch/v1/group_service.grpc.pb.h"

namespace klatch::versus {

class App {
 public:
  explicit App(const std::string& target);

  // A group of these; the first is its owner and may be the only one.
  absl::Status MakeGroup(const std::string& group, const std::vector<std::string>& members);
  // Posts the same text so often, one call after the other, and waits until members see it.
  absl::Status Post(const std::string& group, const std::string& author, const std::string& text,
                    int count);
  struct GroupAndAuthor {
    std::string group;
    std::string author;
  };
  // Posts the text once to each, at most limits::kBatchUpdatesMax; again what was refused for now.
  absl::Status PostToEach(const std::vector<GroupAndAuthor>& groups, const std::string& text);
  absl::StatusOr<klatch::v1::ListHomeTimelineResponse> ReadHome(const std::string& person,
                                                                int page_size);

 private:
  std::string NextRequestId();

  std::unique_ptr<klatch::v1::FeedService::Stub> feed_;
  std::unique_ptr<klatch::v1::GroupService::Stub> groups_;
  const std::string run_;
  uint64_t requests_ = 0;
  std::vector<klatch::v1::Token> tokens_;  // of the last write
};

// gRPC's status as ours, with `context` before it.
absl::Status StatusOf(const grpc::Status& status, std::string_view context);

}  // namespace klatch::versus
