#include "services/read/page_writer.h"

#include <grpcpp/support/slice.h>

#include <algorithm>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "klatch/v1/feed_service.pb.h"
#include "services/read/completeness.h"

namespace klatch {
namespace {

constexpr int kUpdatesField = klatch::v1::ListHomeTimelineResponse::kUpdatesFieldNumber;
constexpr int kNextPageTokenField = klatch::v1::ListHomeTimelineResponse::kNextPageTokenFieldNumber;
constexpr int kCompletenessField = klatch::v1::ListHomeTimelineResponse::kCompletenessFieldNumber;

template <typename Response>
constexpr bool kHasTheSameFields =
    int{Response::kUpdatesFieldNumber} ==
    kUpdatesField&& int{Response::kNextPageTokenFieldNumber} ==
    kNextPageTokenField&& int{Response::kCompletenessFieldNumber} == kCompletenessField;
static_assert(kHasTheSameFields<klatch::v1::ListGroupTimelineResponse>);
static_assert(kHasTheSameFields<klatch::v1::ListProfileTimelineResponse>);

// A tag and length of up to 6 bytes; then an id of 9, a time of 14, an audience of 2, a revision of 6.
constexpr size_t kHeadBytesMax = 40;
// Tag and length of a group's id; the length of a head with many takes more bytes, too.
constexpr size_t kGroupPrefixBytesMax = 4;

void AppendVarint(std::string& out, uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

// A field of wire type 2: tag and length; the bytes follow.
void AppendLengthPrefix(std::string& out, int field_number, size_t bytes) {
  AppendVarint(out, static_cast<uint64_t>(field_number) << 3 | 2);
  AppendVarint(out, bytes);
}

// Of several groups: the one that they have in common, as far as the viewer sees the update through
// them.
AudienceRule AudienceOf(const PageEntry& entry) {
  const BodyHeader& header = entry.body->header();
  if (entry.through.empty()) {
    return header.audience;
  }
  const AudienceRule first = header.AudienceIn(header.targets[entry.through.front()]);
  const bool differ = std::ranges::any_of(entry.through, [&](uint8_t index) {
    return header.AudienceIn(header.targets[index]) != first;
  });
  return differ ? AudienceRule::kGroupDefault : first;
}

// The fields that are not among the stored bytes: output-only ones, and of an update of several
// groups those through which the viewer sees it. AppendHead writes the same.
void SetHead(const PageEntry& entry, klatch::v1::Update& head) {
  head.set_id(entry.id.value());
  *head.mutable_create_time() = TimeOf(entry.id);
  head.set_audience(static_cast<klatch::v1::Audience>(AudienceOf(entry)));
  head.set_revision(entry.body->header().revision);
  for (const uint8_t index : entry.through) {
    head.add_groups(entry.body->header().targets[index].group.value());
  }
}

// A field of wire type 0, left out if it is 0.
void AppendNumber(std::string& out, int field_number, uint64_t value) {
  if (value != 0) {
    AppendVarint(out, static_cast<uint64_t>(field_number) << 3);
    AppendVarint(out, value);
  }
}

// By hand: messages for 20 updates took 4 % of a read.
void AppendHead(const PageEntry& entry, std::string& out) {
  using klatch::v1::Update;
  AppendVarint(out, uint64_t{Update::kIdFieldNumber} << 3 | 1);
  base::AppendLittleEndian<uint64_t>(out, entry.id.value());
  const google::protobuf::Timestamp time = TimeOf(entry.id);
  const size_t length_at = out.size() + 1;
  AppendLengthPrefix(out, Update::kCreateTimeFieldNumber, 0);
  AppendNumber(out, google::protobuf::Timestamp::kSecondsFieldNumber,
               static_cast<uint64_t>(time.seconds()));
  AppendNumber(out, google::protobuf::Timestamp::kNanosFieldNumber,
               static_cast<uint64_t>(time.nanos()));
  out[length_at] = static_cast<char>(out.size() - length_at - 1);
  for (const uint8_t index : entry.through) {
    AppendField(out, Update::kGroupsFieldNumber, entry.body->header().targets[index].group.value());
  }
  AppendNumber(out, Update::kAudienceFieldNumber, static_cast<uint64_t>(AudienceOf(entry)));
  AppendNumber(out, Update::kRevisionFieldNumber, entry.body->header().revision);
}

void ReleaseBody(void* body) { delete static_cast<std::shared_ptr<const Body>*>(body); }

// Collects small pieces in one run and sends large ones by reference.
class SliceWriter {
 public:
  std::string& run() { return run_; }

  void AppendStored(const std::shared_ptr<const Body>& body) {
    const std::string_view bytes = body->update_bytes();
    if (bytes.size() < kCopiedBytesMax) {
      run_.append(bytes);
      return;
    }
    EndRun();
    // gRPC wants a mutable pointer but never writes to it. The copy of the shared_ptr keeps the
    // body until the last reference to the slice is gone.
    slices_.emplace_back(const_cast<char*>(bytes.data()), bytes.size(), ReleaseBody,
                         new std::shared_ptr<const Body>(body));
  }

  grpc::ByteBuffer Finish() {
    EndRun();
    return grpc::ByteBuffer(slices_.data(), slices_.size());
  }

 private:
  void EndRun() {
    if (!run_.empty()) {
      slices_.emplace_back(run_);
      run_.clear();
    }
  }

  std::string run_;
  std::vector<grpc::Slice> slices_;
};

}  // namespace

size_t BytesOnPage(const PageEntry& entry) {
  size_t groups = 0;
  for (const uint8_t index : entry.through) {
    groups += kGroupPrefixBytesMax + entry.body->header().targets[index].group.value().size();
  }
  return kHeadBytesMax + groups + entry.body->update_bytes().size();
}

grpc::ByteBuffer WritePage(std::span<const PageEntry> entries, std::string_view next_page_token,
                           const klatch::v1::Completeness& completeness,
                           std::string_view watch_token) {
  SliceWriter writer;
  std::string head;
  for (const PageEntry& entry : entries) {
    head.clear();
    AppendHead(entry, head);
    AppendLengthPrefix(writer.run(), kUpdatesField,
                       head.size() + entry.body->update_bytes().size());
    writer.run() += head;
    writer.AppendStored(entry.body);
  }
  if (!next_page_token.empty()) {
    AppendField(writer.run(), kNextPageTokenField, next_page_token);
  }
  AppendField(writer.run(), kCompletenessField, completeness.SerializeAsString());
  if (!watch_token.empty()) {
    AppendField(writer.run(), klatch::v1::ListHomeTimelineResponse::kWatchTokenFieldNumber,
                watch_token);
  }
  return writer.Finish();
}

void AppendField(std::string& out, int field_number, std::string_view bytes) {
  AppendLengthPrefix(out, field_number, bytes.size());
  out += bytes;
}

void AppendUpdate(std::string& out, int field_number, const PageEntry& entry) {
  std::string head;
  AppendHead(entry, head);
  const std::string_view stored = entry.body->update_bytes();
  AppendLengthPrefix(out, field_number, head.size() + stored.size());
  out.append(head).append(stored);
}

bool ToUpdate(const PageEntry& entry, klatch::v1::Update& update) {
  const std::string_view bytes = entry.body->update_bytes();
  if (!update.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return false;
  }
  SetHead(entry, update);
  return true;
}

}  // namespace klatch
