#pragma once
// The calls that are served over HTTP, found by their path: those of an allow-list of services,
// read from the descriptors that are compiled in. A service that is not listed does not exist here.
//
// Thread safety: immutable after construction. Lifetime: outlives what Find returns.

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "google/protobuf/descriptor.h"

namespace klatch {

struct ServedMethod {
  // Server streaming becomes server-sent events; of the other kinds of streams HTTP/1.1 has none.
  enum class Kind { kUnary, kServerStreaming, kClientStreaming };

  // "/klatch.v1.FeedService/PublishUpdate", the same as gRPC's.
  std::string path;
  const google::protobuf::MethodDescriptor* descriptor = nullptr;
  Kind kind = Kind::kUnary;
};

class ServedMethods {
 public:
  // REQUIRES: each name is that of a service whose descriptor is linked.
  explicit ServedMethods(const std::vector<std::string>& services);

  // Null if no listed service has it.
  const ServedMethod* Find(std::string_view path) const;

 private:
  std::unordered_map<std::string, ServedMethod> by_path_;
};

}  // namespace klatch
