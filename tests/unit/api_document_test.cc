// docs/API.md against the API's own descriptors.

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "klatch/v1/admin_service.pb.h"
#include "klatch/v1/feed_service.pb.h"
#include "klatch/v1/group_service.pb.h"
#include "klatch/v1/import_service.pb.h"
#include "klatch/v1/person_service.pb.h"

namespace klatch {
namespace {

using ::testing::IsEmpty;

TEST(ApiDocumentTest, NamesEveryCallByWhatAnAppWantsToDo) {
  std::ifstream file(KLATCH_DOCS "/API.md");
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const size_t begin = text.find("## What an app wants to do");
  ASSERT_NE(begin, std::string::npos);
  const std::string table = text.substr(begin, text.find("\n## ", begin) - begin);
  std::vector<std::string> missing;
  size_t services = 0;
  for (const google::protobuf::FileDescriptor* of :
       {v1::PublishUpdateRequest::descriptor()->file(),
        v1::CreateGroupRequest::descriptor()->file(), v1::BlockPersonRequest::descriptor()->file(),
        v1::ImportUpdatesRequest::descriptor()->file(),
        v1::GetStatusRequest::descriptor()->file()}) {
    for (int s = 0; s < of->service_count(); ++s, ++services) {
      for (int m = 0; m < of->service(s)->method_count(); ++m) {
        const std::string name = of->service(s)->method(m)->name();
        if (table.find("`" + name + "`") == std::string::npos) {
          missing.push_back(name);
        }
      }
    }
  }
  EXPECT_EQ(services, 5u);
  EXPECT_THAT(missing, IsEmpty());
}

}  // namespace
}  // namespace klatch
