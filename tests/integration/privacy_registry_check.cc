// Run by the build: whether every method of the API whose answer can hold an update is in the registry
// of the privacy matrix, and nothing else. Exit codes: 0 it is so, 1 it is not.

#include <fmt/format.h>
#include <google/protobuf/descriptor.h>

#include <cstdio>
#include <filesystem>
#include <set>
#include <string>

#include "klatch/v1/admin_service.pb.h"
#include "klatch/v1/feed_service.pb.h"
#include "klatch/v1/group_service.pb.h"
#include "klatch/v1/import_service.pb.h"
#include "klatch/v1/person_service.pb.h"
#include "tests/integration/privacy_registry.h"

namespace {

using google::protobuf::Descriptor;
using google::protobuf::FileDescriptor;

bool CanHold(const Descriptor& message, const Descriptor& what,
             std::set<const Descriptor*>& looked_at) {
  if (&message == &what) {
    return true;
  }
  if (!looked_at.insert(&message).second) {
    return false;
  }
  for (int i = 0; i < message.field_count(); ++i) {
    const Descriptor* inner = message.field(i)->message_type();
    if (inner != nullptr && CanHold(*inner, what, looked_at)) {
      return true;
    }
  }
  return false;
}

}  // namespace

// The paths of all service files of the API are its arguments, so that none is forgotten here.
int main(int argc, char** argv) {
  const Descriptor& update = *klatch::v1::Update::descriptor();
  std::set<std::string> due;
  std::set<std::string> files;
  for (const FileDescriptor* file : {klatch::v1::GetStatusRequest::descriptor()->file(),
                                     klatch::v1::GetUpdateRequest::descriptor()->file(),
                                     klatch::v1::GetGroupRequest::descriptor()->file(),
                                     klatch::v1::ImportUpdatesRequest::descriptor()->file(),
                                     klatch::v1::GetProfileRequest::descriptor()->file()}) {
    files.insert(std::filesystem::path(file->name()).filename());
    for (int i = 0; i < file->service_count(); ++i) {
      for (int j = 0; j < file->service(i)->method_count(); ++j) {
        const auto& method = *file->service(i)->method(j);
        std::set<const Descriptor*> looked_at;
        if (CanHold(*method.output_type(), update, looked_at)) {
          due.insert(method.full_name());
        }
      }
    }
  }
  for (int i = 1; i < argc; ++i) {
    if (!files.contains(std::filesystem::path(argv[i]).filename())) {
      fmt::print(stderr, "privacy_registry_check.cc: does not look at {}\n", argv[i]);
      return 1;
    }
  }
  std::set<std::string> registered;
  for (const klatch::testing::Method& method : klatch::testing::kMethods) {
    registered.emplace(method.name);
  }
  if (due == registered) {
    return 0;
  }
  fmt::print(stderr,
             "privacy_registry.h: kMethods says\n  {}\nand those that can show updates are\n  {}\n",
             fmt::join(registered, "\n  "), fmt::join(due, "\n  "));
  return 1;
}
