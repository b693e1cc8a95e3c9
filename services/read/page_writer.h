#pragma once
// Writes a page as bytes for the wire without serialising its updates again: what is stored of an
// update is sent as it is stored, and only what its id and header tell is put before it.
//
//   +---------------------+------------------+--- … ---+----------------------------------+
//   | tag 1, length, head | stored update    |         | tag 2, next_page_token           |
//   | (id, create_time,   | (slice that keeps|  next   | tag 3, completeness              |
//   |  audience, revision,|  the body alive) | update  | tag 4, watch_token (home)        |
//   |  groups if several) |                  |         |                                  |
//   +---------------------+------------------+--- … ---+----------------------------------+
//
// The three page messages (home, group, profile) have the same fields, but for the watch_token of
// home, so one writer serves them.
// Stored updates below kCopiedBytesMax are copied into the run of small pieces around them: copying
// them costs less than a reference count and one more piece for the socket.
//
// Thread safety: pure. The slices' bodies are released on whatever thread gRPC drops them.

#include <grpcpp/support/byte_buffer.h>

#include <span>
#include <string>
#include <string_view>

#include "klatch/v1/resources.pb.h"
#include "services/read/page.h"

namespace klatch {

constexpr size_t kCopiedBytesMax = 512;

// At least the bytes that the entry takes on a page.
size_t BytesOnPage(const PageEntry& entry);

grpc::ByteBuffer WritePage(std::span<const PageEntry> entries, std::string_view next_page_token,
                           const klatch::v1::Completeness& completeness,
                           std::string_view watch_token = {});

// Appends a field of bytes, text or a message to a message that is written by hand.
void AppendField(std::string& out, int field_number, std::string_view bytes);
// The same with the update as a message, copied as it is stored.
void AppendUpdate(std::string& out, int field_number, const PageEntry& entry);

// Sets `update` to the update as a message, for answers that hold one. False if the stored bytes
// don't parse.
bool ToUpdate(const PageEntry& entry, klatch::v1::Update& update);

}  // namespace klatch
