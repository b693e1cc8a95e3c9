#include "services/identity/call_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>

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

bool NamesItsActor(const Descriptor& request) {
  if (request.FindFieldByName("actor") != nullptr) {
    return true;
  }
  return &request == v1::BatchPublishUpdatesRequest::descriptor();
}

std::vector<CallName> ReadCalls() {
  // The files by a message of each, since what nobody refers to the linker leaves out.
  const FileDescriptor* const files[] = {
      v1::PublishUpdateRequest::descriptor()->file(), v1::CreateGroupRequest::descriptor()->file(),
      v1::BlockPersonRequest::descriptor()->file(), v1::ImportUpdatesRequest::descriptor()->file(),
      v1::GetStatusRequest::descriptor()->file()};
  std::vector<CallName> calls;
  for (const FileDescriptor* file : files) {
    for (int i = 0; i < file->service_count(); ++i) {
      const auto& service = *file->service(i);
      for (int j = 0; j < service.method_count(); ++j) {
        const Descriptor& request = *service.method(j)->input_type();
        calls.push_back(
            {.index = calls.size(),
             .name = fmt::format("{}/{}", service.name(), service.method(j)->name()),
             .path = fmt::format("/{}/{}", service.full_name(), service.method(j)->name()),
             .request = &request,
             .names_its_actor = NamesItsActor(request)});
      }
    }
  }
  assert(calls.size() <= kCallsMax);
  return calls;
}

bool IsOf(const CallName& call, std::string_view service) {
  return call.name.starts_with(service) && call.name.find('/') == service.size();
}

}  // namespace

const std::vector<CallName>& AllCalls() {
  static const std::vector<CallName> calls = ReadCalls();
  return calls;
}

const CallName& CallOf(const Descriptor& request) {
  const auto found = std::ranges::find(AllCalls(), &request, &CallName::request);
  assert(found != AllCalls().end());
  return *found;
}

absl::StatusOr<CallSet> CallsNamed(std::string_view name) {
  CallSet set;
  for (const CallName& call : AllCalls()) {
    if (IsOf(call, name) || call.name == name) {
      set.set(call.index);
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
  for (const CallName& call : AllCalls()) {
    if (calls.test(call.index) && !call.names_its_actor) {
      return call.name;
    }
  }
  return "";
}

}  // namespace klatch
