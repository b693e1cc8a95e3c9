#pragma once
// Messages between JSON and their bytes, by protobuf's own JSON mapping and the descriptors that
// are compiled in: 64-bit numbers are strings, fields are named as in the proto files or in
// lowerCamelCase (written: the latter), unknown fields are refused.
//
// Thread safety: immutable after construction.
// Bounds: time and memory follow the input's size; nesting is at most 100 deep.
// Measured: a post 9 µs, a page of 20 updates 52 µs, on a core of a shared 2.5 GHz Xeon.

#include <memory>
#include <string>
#include <string_view>

#include "common/base/status.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/io/zero_copy_stream.h"
#include "google/protobuf/util/type_resolver.h"
#include "google/rpc/status.pb.h"

namespace klatch {

class Transcoder {
 public:
  Transcoder();

  // INVALID_ARGUMENT, with the field at fault where the mapping tells it.
  absl::StatusOr<std::string> ToBytes(const google::protobuf::Descriptor& message,
                                      std::string_view json) const;
  // INTERNAL if the bytes are no such message.
  absl::StatusOr<std::string> ToJson(const google::protobuf::Descriptor& message,
                                     google::protobuf::io::ZeroCopyInputStream& bytes) const;
  // Details of a kind that is not known here are left out.
  std::string ErrorJson(const google::rpc::Status& error) const;

 private:
  const std::unique_ptr<google::protobuf::util::TypeResolver> resolver_;
};

// What protobuf says of bad JSON, as the error of a call: "(update) txt: Cannot find field." names
// the field update.txt.
absl::Status JsonError(std::string_view message);

}  // namespace klatch
