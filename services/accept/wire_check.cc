#include "services/accept/wire_check.h"

#include <fmt/format.h>

#include <cstdint>
#include <map>

#include "common/base/utf8.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/wire_format_lite.h"

namespace klatch {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

// "<prefix>.<field>", with the index of a repeated field's element behind it. A map's entries have no
// order that a caller would know, so the map itself is named.
std::string PathOf(std::string_view prefix, const FieldDescriptor& field, int index) {
  std::string path = prefix.empty() ? field.name() : fmt::format("{}.{}", prefix, field.name());
  if (field.is_repeated() && !field.is_map()) {
    path += fmt::format("[{}]", index);
  }
  return path;
}

std::optional<std::string> Find(const Descriptor& message, std::string_view bytes,
                                std::string_view prefix, int depth) {
  if (depth > kWireNestingMax) {
    return std::nullopt;
  }
  CodedInputStream in(reinterpret_cast<const uint8_t*>(bytes.data()),
                      static_cast<int>(bytes.size()));
  std::map<int, int> seen;
  while (const uint32_t tag = in.ReadTag()) {
    const int number = WireFormatLite::GetTagFieldNumber(tag);
    const FieldDescriptor* field = message.FindFieldByNumber(number);
    if (field == nullptr ||
        WireFormatLite::GetTagWireType(tag) != WireFormatLite::WIRETYPE_LENGTH_DELIMITED) {
      if (!WireFormatLite::SkipField(&in, tag)) {
        return std::nullopt;
      }
      continue;
    }
    uint32_t length = 0;
    if (!in.ReadVarint32(&length) || length > bytes.size()) {
      return std::nullopt;
    }
    const auto offset = static_cast<size_t>(in.CurrentPosition());
    if (!in.Skip(static_cast<int>(length))) {
      return std::nullopt;
    }
    const std::string_view value = bytes.substr(offset, length);
    const int index = seen[number]++;
    if (field->type() == FieldDescriptor::TYPE_STRING && !base::IsValidUtf8(value)) {
      return PathOf(prefix, *field, index);
    }
    if (field->type() == FieldDescriptor::TYPE_MESSAGE) {
      auto found = Find(*field->message_type(), value, PathOf(prefix, *field, index), depth + 1);
      if (found) {
        return field->is_map() ? PathOf(prefix, *field, index) : found;
      }
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> FindInvalidUtf8(const Descriptor& message, std::string_view bytes) {
  return Find(message, bytes, "", 0);
}

}  // namespace klatch
