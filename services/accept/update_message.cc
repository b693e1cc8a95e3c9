#include "services/accept/update_message.h"

#include <fmt/format.h>

#include "common/base/hash.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/wire_format_lite.h"
#include "services/model/time.h"

namespace klatch {
namespace {

using google::protobuf::internal::WireFormatLite;

// Equal messages give equal bytes within one build of the program; retries across a release that
// changes the schema are told apart at worst.
std::string DeterministicBytes(const google::protobuf::Message& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    message.SerializeToCodedStream(&coded);
  }
  return bytes;
}

}  // namespace

std::string UpdateBytes(const v1::Update& content, const PersonId& author) {
  v1::Update stored;
  stored.set_author(author.value());
  *stored.mutable_groups() = content.groups();
  stored.set_text(content.text());
  *stored.mutable_attachments() = content.attachments();
  if (content.has_place()) {
    *stored.mutable_place() = content.place();
  }
  stored.set_reply_to(content.reply_to());
  stored.set_reshare_of(content.reshare_of());
  if (content.has_original_time()) {
    *stored.mutable_original_time() = content.original_time();
  }
  if (content.has_expire_time()) {
    *stored.mutable_expire_time() = content.expire_time();
  }
  stored.DiscardUnknownFields();
  return stored.SerializeAsString();
}

PublishCommand CommandToOne(std::string_view method, PersonId author, std::string key,
                            const v1::Update& payload) {
  PublishCommand command;
  command.actor = std::move(author);
  command.group = GroupId(payload.groups(0));
  command.request_id = std::move(key);
  command.payload_digest = RequestDigest(method, payload);
  BodyHeader header;
  header.audience = static_cast<AudienceRule>(payload.audience());
  header.author = command.actor;
  header.group = command.group;
  command.body = EncodeBody(header, UpdateBytes(payload, command.actor));
  command.expire_unix_ms = ExpireUnixMs(payload);
  return command;
}

int64_t ExpireUnixMs(const v1::Update& update) {
  return update.has_expire_time() ? UnixMsOf(update.expire_time()) : kNeverUnixMs;
}

absl::StatusOr<v1::Update> UpdateMessage(UpdateId id, const Body& body) {
  constexpr int64_t kMsPerSecond = 1'000;
  constexpr int64_t kNsPerMs = 1'000'000;
  v1::Update update;
  const std::string_view bytes = body.update_bytes();
  if (!update.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return base::Error(absl::StatusCode::kDataLoss,
                       fmt::format("update {} has a body that is no update", id.value()));
  }
  update.set_id(id.value());
  update.mutable_create_time()->set_seconds(id.unix_ms() / kMsPerSecond);
  update.mutable_create_time()->set_nanos(
      static_cast<int32_t>(id.unix_ms() % kMsPerSecond * kNsPerMs));
  update.set_audience(static_cast<v1::Audience>(body.header().audience));
  update.set_revision(body.header().revision);
  return update;
}

bool IsImported(const Body& body) {
  const std::string_view bytes = body.update_bytes();
  google::protobuf::io::CodedInputStream in(reinterpret_cast<const uint8_t*>(bytes.data()),
                                            static_cast<int>(bytes.size()));
  while (const uint32_t tag = in.ReadTag()) {
    if (WireFormatLite::GetTagFieldNumber(tag) == v1::Update::kOriginalTimeFieldNumber) {
      return true;
    }
    if (!WireFormatLite::SkipField(&in, tag)) {
      return false;
    }
  }
  return false;
}

std::string RequestDigest(std::string_view method, const google::protobuf::Message& payload) {
  std::string bytes(method);
  bytes.push_back('\0');
  bytes.append(DeterministicBytes(payload));
  return base::PayloadDigest(bytes);
}

v1::Update PublishPayload(const v1::Update& update) {
  v1::Update payload = update;
  payload.clear_id();
  payload.clear_create_time();
  payload.clear_author();
  payload.clear_revision();
  payload.clear_original_time();
  payload.DiscardUnknownFields();
  return payload;
}

}  // namespace klatch
