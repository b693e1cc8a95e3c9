#pragma once
// One connection's blocks, mutes and hidden updates. Every call may be repeated, and is, as Client
// does it; an undo is tried even when the run must stop.
//
// Thread safety: one thread at a time.

#include <cstdint>
#include <memory>
#include <string>

#include "bench/load/calls/client.h"
#include "common/base/status.h"
#include "klatch/v1/person_service.grpc.pb.h"

namespace klatch::load {

class PersonalClient {
 public:
  enum class Wish { kApply, kUndo };

  // `state` must outlive it.
  PersonalClient(Client::Options options, RunState& state);
  ~PersonalClient();

  grpc::Status Block(const std::string& actor, const std::string& person, Wish wish);
  grpc::Status MutePerson(const std::string& actor, const std::string& person, Wish wish);
  grpc::Status MuteGroup(const std::string& actor, const std::string& group, Wish wish);
  grpc::Status Hide(const std::string& actor, uint64_t update, Wish wish);

  // Takes back all that the person has blocked, muted and hidden. The first call that fails.
  absl::Status ForgetAll(const std::string& actor);

 private:
  template <typename Call>
  grpc::Status Try(const Call& call);
  absl::Status ForgetBlocks(const std::string& actor);
  absl::Status ForgetMutes(const std::string& actor);
  absl::Status ForgetHidden(const std::string& actor);

  const Client::Options options_;
  RunState& state_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<klatch::v1::PersonService::Stub> persons_;
};

}  // namespace klatch::load
