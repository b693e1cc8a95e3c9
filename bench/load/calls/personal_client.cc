#include "bench/load/calls/personal_client.h"

#include <grpcpp/grpcpp.h>

#include "bench/load/calls/retry.h"

namespace klatch::load {
namespace {

namespace v1 = klatch::v1;

// A page of a list is asked for anew while what it named is taken back; so often at most.
constexpr int kPagesMax = 64;

absl::Status ToStatus(const grpc::Status& status) {
  return status.ok() ? absl::OkStatus()
                     : base::Error(static_cast<absl::StatusCode>(status.error_code()),
                                   status.error_message());
}

}  // namespace

PersonalClient::PersonalClient(Client::Options options, RunState& state)
    : options_(std::move(options)),
      state_(state),
      channel_(MakeChannel(options_.target)),
      persons_(v1::PersonService::NewStub(channel_)) {}

PersonalClient::~PersonalClient() = default;

template <typename Call>
grpc::Status PersonalClient::Try(const Call& call) {
  Retry retry(options_, state_);
  grpc::Status status;
  do {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + options_.call_deadline);
    status = call(&context);
  } while (retry.Again(status, [this](auto pause) { PauseOn(*channel_, pause); }));
  return status;
}

grpc::Status PersonalClient::Block(const std::string& actor, const std::string& person, Wish wish) {
  return Try([&](grpc::ClientContext* context) {
    if (wish == Wish::kApply) {
      v1::BlockPersonRequest request;
      request.set_actor(actor);
      request.set_person(person);
      v1::BlockPersonResponse response;
      return persons_->BlockPerson(context, request, &response);
    }
    v1::UnblockPersonRequest request;
    request.set_actor(actor);
    request.set_person(person);
    v1::UnblockPersonResponse response;
    return persons_->UnblockPerson(context, request, &response);
  });
}

grpc::Status PersonalClient::MutePerson(const std::string& actor, const std::string& person,
                                        Wish wish) {
  return Try([&](grpc::ClientContext* context) {
    if (wish == Wish::kApply) {
      v1::MutePersonRequest request;
      request.set_actor(actor);
      request.set_person(person);
      v1::MutePersonResponse response;
      return persons_->MutePerson(context, request, &response);
    }
    v1::UnmutePersonRequest request;
    request.set_actor(actor);
    request.set_person(person);
    v1::UnmutePersonResponse response;
    return persons_->UnmutePerson(context, request, &response);
  });
}

grpc::Status PersonalClient::MuteGroup(const std::string& actor, const std::string& group,
                                       Wish wish) {
  return Try([&](grpc::ClientContext* context) {
    if (wish == Wish::kApply) {
      v1::MuteGroupRequest request;
      request.set_actor(actor);
      request.set_group(group);
      v1::MuteGroupResponse response;
      return persons_->MuteGroup(context, request, &response);
    }
    v1::UnmuteGroupRequest request;
    request.set_actor(actor);
    request.set_group(group);
    v1::UnmuteGroupResponse response;
    return persons_->UnmuteGroup(context, request, &response);
  });
}

grpc::Status PersonalClient::Hide(const std::string& actor, uint64_t update, Wish wish) {
  return Try([&](grpc::ClientContext* context) {
    if (wish == Wish::kApply) {
      v1::HideUpdateRequest request;
      request.set_actor(actor);
      request.set_update_id(update);
      v1::HideUpdateResponse response;
      return persons_->HideUpdate(context, request, &response);
    }
    v1::UnhideUpdateRequest request;
    request.set_actor(actor);
    request.set_update_id(update);
    v1::UnhideUpdateResponse response;
    return persons_->UnhideUpdate(context, request, &response);
  });
}

absl::Status PersonalClient::ForgetBlocks(const std::string& actor) {
  for (int page = 0; page < kPagesMax; ++page) {
    v1::ListBlocksRequest request;
    request.set_actor(actor);
    v1::ListBlocksResponse response;
    KLATCH_RETURN_IF_ERROR(ToStatus(Try([&](grpc::ClientContext* context) {
      return persons_->ListBlocks(context, request, &response);
    })));
    for (const std::string& person : response.persons()) {
      KLATCH_RETURN_IF_ERROR(ToStatus(Block(actor, person, Wish::kUndo)));
    }
    if (response.persons().empty()) {
      break;
    }
  }
  return absl::OkStatus();
}

absl::Status PersonalClient::ForgetMutes(const std::string& actor) {
  v1::ListMutesRequest request;
  request.set_actor(actor);
  v1::ListMutesResponse response;
  KLATCH_RETURN_IF_ERROR(ToStatus(Try([&](grpc::ClientContext* context) {
    return persons_->ListMutes(context, request, &response);
  })));
  for (const std::string& person : response.persons()) {
    KLATCH_RETURN_IF_ERROR(ToStatus(MutePerson(actor, person, Wish::kUndo)));
  }
  for (const std::string& group : response.groups()) {
    KLATCH_RETURN_IF_ERROR(ToStatus(MuteGroup(actor, group, Wish::kUndo)));
  }
  return absl::OkStatus();
}

absl::Status PersonalClient::ForgetHidden(const std::string& actor) {
  for (int page = 0; page < kPagesMax; ++page) {
    v1::ListHiddenRequest request;
    request.set_actor(actor);
    v1::ListHiddenResponse response;
    KLATCH_RETURN_IF_ERROR(ToStatus(Try([&](grpc::ClientContext* context) {
      return persons_->ListHidden(context, request, &response);
    })));
    for (uint64_t update : response.update_ids()) {
      KLATCH_RETURN_IF_ERROR(ToStatus(Hide(actor, update, Wish::kUndo)));
    }
    if (response.update_ids().empty()) {
      break;
    }
  }
  return absl::OkStatus();
}

absl::Status PersonalClient::ForgetAll(const std::string& actor) {
  KLATCH_RETURN_IF_ERROR(ForgetBlocks(actor));
  KLATCH_RETURN_IF_ERROR(ForgetMutes(actor));
  return ForgetHidden(actor);
}

}  // namespace klatch::load
