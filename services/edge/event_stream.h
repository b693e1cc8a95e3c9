#pragma once
// Server-sent events: how messages of a stream are framed, and where a stream goes on.
//
// Thread safety: functions without state.

#include <string>
#include <string_view>

#include "google/protobuf/descriptor.h"
#include "grpcpp/support/byte_buffer.h"

namespace klatch {

// "id: …\ndata: …\n\n"; no id if there is none, or it has bytes that would end its line.
// REQUIRES: `json` is one line.
std::string DataEvent(std::string_view id, std::string_view json);
// "event: error\ndata: …\n\n".
std::string ErrorEvent(std::string_view json);

// As a chunk of HTTP/1.1. REQUIRES: not empty, since an empty one ends the body.
std::string Chunk(std::string_view bytes);

// The field resume_token of requests and responses of watches; null if `message` has none.
const google::protobuf::FieldDescriptor* ResumeTokenOf(const google::protobuf::Descriptor& message);
// Its value in serialised bytes; empty if it is not set, or the bytes are no message.
std::string ReadResumeToken(const google::protobuf::FieldDescriptor& field,
                            grpc::ByteBuffer& message);
// Sets it in a serialised request, whatever was there.
void AppendResumeToken(const google::protobuf::FieldDescriptor& field, std::string_view token,
                       std::string& request);

}  // namespace klatch
