#pragma once
// Which field of a message that doesn't parse is at fault. Parsing alone says yes or no; a caller
// who sent a broken string is owed its name.
//
// Thread safety: a function without state. Bound: one pass over the bytes, nesting as deep as the
// descriptor's messages go, at most kWireNestingMax.

#include <optional>
#include <string>
#include <string_view>

#include "google/protobuf/descriptor.h"

namespace klatch {

constexpr int kWireNestingMax = 16;

// The path, such as "requests[3].update.text", of the first string field of a serialised `message`
// that is not UTF-8. Nothing if there is none, or the bytes are no protocol buffer up to there.
std::optional<std::string> FindInvalidUtf8(const google::protobuf::Descriptor& message,
                                           std::string_view bytes);

}  // namespace klatch
