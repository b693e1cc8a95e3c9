#pragma once
// The answer to an add of a gateway's stream, in parts that each fit into a message: who is refused
// comes with a whole status, and an add may name as many persons as a stream may watch.
//
// Thread safety: one thread, the live thread.
// Bound: limits::kWatchAnswerPartBytesMax for a part; one part if nobody is refused.

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "common/base/status.h"
#include "klatch/v1/feed_service.pb.h"
#include "services/accept/grpc_status.h"
#include "services/model/limits.h"

namespace klatch {

class AddAnswer {
 public:
  struct Part {
    v1::WatchAdded added;
    // About what it takes while it waits.
    size_t bytes = sizeof(v1::WatchAdded);
  };

  AddAnswer() : parts_(1), bytes_(parts_.front().bytes) {}

  void Refuse(const std::string& person, const absl::Status& why) {
    v1::WatchRefused refused;
    refused.set_person(person);
    *refused.mutable_error() = ToRpcStatus(why);
    // Its tag and its length come on top; they are small against the bound of a message.
    const size_t bytes = refused.ByteSizeLong();
    if (parts_.back().bytes + bytes > limits::kWatchAnswerPartBytesMax) {
      bytes_ += parts_.emplace_back().bytes;
    }
    *parts_.back().added.add_refused() = std::move(refused);
    parts_.back().bytes += bytes;
    bytes_ += bytes;
  }

  // Of all parts.
  size_t bytes() const { return bytes_; }

  // `persons` are watched, which the last part says.
  std::vector<Part> Finish(uint32_t persons) && {
    for (size_t i = 0; i + 1 < parts_.size(); ++i) {
      parts_[i].added.set_more(true);
    }
    parts_.back().added.set_persons(persons);
    return std::move(parts_);
  }

 private:
  std::vector<Part> parts_;
  size_t bytes_;
};

}  // namespace klatch
