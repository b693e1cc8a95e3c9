#include "services/edge/served_methods.h"

#include <cassert>
#include <utility>

namespace klatch {
namespace {

ServedMethod::Kind KindOf(const google::protobuf::MethodDescriptor& method) {
  if (method.client_streaming()) {
    return ServedMethod::Kind::kClientStreaming;
  }
  return method.server_streaming() ? ServedMethod::Kind::kServerStreaming
                                   : ServedMethod::Kind::kUnary;
}

}  // namespace

ServedMethods::ServedMethods(const std::vector<std::string>& services) {
  const auto& pool = *google::protobuf::DescriptorPool::generated_pool();
  for (const std::string& name : services) {
    const google::protobuf::ServiceDescriptor* service = pool.FindServiceByName(name);
    assert(service != nullptr);
    for (int i = 0; service != nullptr && i < service->method_count(); ++i) {
      const google::protobuf::MethodDescriptor& method = *service->method(i);
      std::string path = "/" + name + "/" + method.name();
      by_path_.emplace(path, ServedMethod{path, &method, KindOf(method)});
    }
  }
}

const ServedMethod* ServedMethods::Find(std::string_view path) const {
  const auto found = by_path_.find(std::string(path));
  return found == by_path_.end() ? nullptr : &found->second;
}

}  // namespace klatch
