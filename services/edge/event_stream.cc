#include "services/edge/event_stream.h"

#include <fmt/format.h>

#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/wire_format_lite.h"
#include "grpcpp/support/proto_buffer_reader.h"

namespace klatch {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;
using google::protobuf::io::CodedOutputStream;

constexpr std::string_view kEndsLine("\r\n\0", 3);

uint32_t TagOf(const FieldDescriptor& field) {
  return WireFormatLite::MakeTag(field.number(), WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
}

}  // namespace

std::string DataEvent(std::string_view id, std::string_view json) {
  std::string event;
  if (!id.empty() && id.find_first_of(kEndsLine) == std::string_view::npos) {
    event.append("id: ").append(id).append("\n");
  }
  event.append("data: ").append(json).append("\n\n");
  return event;
}

std::string ErrorEvent(std::string_view json) {
  return fmt::format("event: error\ndata: {}\n\n", json);
}

std::string Chunk(std::string_view bytes) {
  return fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes);
}

const FieldDescriptor* ResumeTokenOf(const google::protobuf::Descriptor& message) {
  const FieldDescriptor* field = message.FindFieldByName("resume_token");
  const bool is_one_string =
      field != nullptr && field->type() == FieldDescriptor::TYPE_STRING && !field->is_repeated();
  return is_one_string ? field : nullptr;
}

std::string ReadResumeToken(const FieldDescriptor& field, grpc::ByteBuffer& message) {
  grpc::ProtoBufferReader reader(&message);
  CodedInputStream in(&reader);
  std::string token;
  while (const uint32_t tag = in.ReadTag()) {
    uint32_t length = 0;
    if (tag != TagOf(field)) {
      if (!WireFormatLite::SkipField(&in, tag)) {
        return "";
      }
    } else if (!in.ReadVarint32(&length) || !in.ReadString(&token, static_cast<int>(length))) {
      return "";
    }
  }
  return token;
}

void AppendResumeToken(const FieldDescriptor& field, std::string_view token, std::string& request) {
  // The last of several values counts.
  google::protobuf::io::StringOutputStream stream(&request);
  CodedOutputStream out(&stream);
  out.WriteTag(TagOf(field));
  out.WriteVarint32(static_cast<uint32_t>(token.size()));
  out.WriteRaw(token.data(), static_cast<int>(token.size()));
}

}  // namespace klatch
