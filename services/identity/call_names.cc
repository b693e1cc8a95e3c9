#include "services/identity/call_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <vector>

#include "common/base/option_value.h"
#include "klatch/v1/admin_service.pb.h"
#include "klatch/v1/feed_service.pb.h"
#include "klatch/v1/group_service.pb.h"
#include "klatch/v1/import_service.pb.h"
#include "klatch/v1/person_service.pb.h"

namespace klatch {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FileDescriptor;

struct Call {
  CallName name;
  std::string service;
  const Descriptor* request = nullptr;
};

bool NamesItsActor(const Descriptor& request) {
  if (request.FindFieldByName("actor") != nullptr) {
    return true;
  }
  return &request == v1::BatchPublishUpdatesRequest::descriptor();
}

std::vector<Call> AllCalls() {
  // The files by a message of each, since what nobody refers to the linker leaves out.
  const FileDescriptor* const files[] = {
      v1::PublishUpdateRequest::descriptor()->file(), v1::CreateGroupRequest::descriptor()->file(),
      v1::BlockPersonRequest::descriptor()->file(), v1::ImportUpdatesRequest::descriptor()->file(),
      v1::GetStatusRequest::descriptor()->file()};
  std::vector<Call> calls;
  for (const FileDescriptor* file : files) {
    for (int i = 0; i < file->service_count(); ++i) {
      const auto& service = *file->service(i);
      for (int j = 0; j < service.method_count(); ++j) {
        const Descriptor& request = *service.method(j)->input_type();
        const std::string name = service.name() + "/" + service.method(j)->name();
        calls.push_back({{calls.size(), name, NamesItsActor(request)}, service.name(), &request});
      }
    }
  }
  assert(calls.size() <= kCallsMax);
  return calls;
}

const std::vector<Call>& Calls() {
  static const std::vector<Call> calls = AllCalls();
  return calls;
}

}  // namespace

const CallName& CallOf(const Descriptor& request) {
  const auto found = std::ranges::find(Calls(), &request, &Call::request);
  assert(found != Calls().end());
  return found->name;
}

absl::StatusOr<CallSet> CallsNamed(std::string_view name) {
  CallSet set;
  for (const Call& call : Calls()) {
    if (call.service == name || call.name.name == name) {
      set.set(call.name.index);
    }
  }
  if (set.none()) {
    return base::Error(absl::StatusCode::kInvalidArgument,
                       fmt::format("names no call {}; there are services, such as "
                                   "\"FeedService\", and their calls, such as "
                                   "\"FeedService/PublishUpdate\"",
                                   base::QuoteForMessage(name)));
  }
  return set;
}

std::string FirstForAnybody(const CallSet& calls) {
  for (const Call& call : Calls()) {
    if (calls.test(call.name.index) && !call.name.names_its_actor) {
      return call.name.name;
    }
  }
  return "";
}

}  // namespace klatch
