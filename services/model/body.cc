#include "services/model/body.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <algorithm>

#include "common/base/bytes.h"
#include "klatch/v1/resources.pb.h"
#include "services/model/time.h"

namespace klatch {
namespace {

constexpr char kBodyVersion = 1;
constexpr char kBodyVersionSeveral = 2;
constexpr size_t kFixedBytes = 8;

// Reads the table of targets behind the author; `offset` moves on to its end. False if it is cut
// short, or no table.
bool DecodeTargets(std::string_view stored, size_t count, size_t& offset,
                   std::vector<Target>& targets) {
  targets.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    if (offset >= stored.size()) {
      return false;
    }
    const size_t group_bytes = static_cast<uint8_t>(stored[offset++]);
    if (stored.size() - offset < group_bytes + kCarryBytes) {
      return false;
    }
    const std::string_view group = stored.substr(offset, group_bytes);
    const std::optional<Carry> carry =
        DecodeCarry(stored.substr(offset + group_bytes, kCarryBytes));
    if (!carry) {
      return false;
    }
    targets.push_back({GroupId(group), *carry});
    offset += group_bytes + kCarryBytes;
  }
  return count > 0;
}

// Finds the one field among the serialised ones; the rest is passed over, not parsed. What is no
// message never expires: whoever reads it will say so.
int64_t ExpireUnixMsOf(std::string_view update_bytes) {
  using google::protobuf::internal::WireFormatLite;
  constexpr uint32_t kExpireTimeTag = WireFormatLite::MakeTag(
      klatch::v1::Update::kExpireTimeFieldNumber, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
  google::protobuf::io::CodedInputStream in(reinterpret_cast<const uint8_t*>(update_bytes.data()),
                                            static_cast<int>(update_bytes.size()));
  int64_t expire_unix_ms = kNeverUnixMs;
  while (const uint32_t tag = in.ReadTag()) {
    if (tag != kExpireTimeTag) {
      if (!WireFormatLite::SkipField(&in, tag)) {
        return kNeverUnixMs;
      }
      continue;
    }
    std::string bytes;
    google::protobuf::Timestamp time;
    if (!WireFormatLite::ReadBytes(&in, &bytes) || !time.ParseFromString(bytes) ||
        !IsValidTime(time)) {
      return kNeverUnixMs;
    }
    expire_unix_ms = UnixMsOf(time);
  }
  return expire_unix_ms;
}

}  // namespace

std::string EncodeBody(const BodyHeader& header, std::string_view update_bytes) {
  std::string out;
  const std::string& author = header.author.value();
  const std::string& group = header.group.value();
  out.reserve(kFixedBytes + author.size() + group.size() + update_bytes.size());
  out.push_back(header.is_of_several() ? kBodyVersionSeveral : kBodyVersion);
  out.push_back(static_cast<char>(header.audience));
  base::AppendLittleEndian<uint32_t>(out, header.revision);
  out.push_back(static_cast<char>(author.size()));
  out.push_back(static_cast<char>(header.is_of_several() ? header.targets.size() : group.size()));
  out.append(author).append(group);
  for (const Target& target : header.targets) {
    out.push_back(static_cast<char>(target.group.value().size()));
    out.append(target.group.value()).append(EncodeCarry(target.carry));
  }
  out.append(update_bytes);
  return out;
}

bool IsOfSeveral(std::string_view stored) {
  return !stored.empty() && stored[0] == kBodyVersionSeveral;
}

std::optional<Body> Body::Decode(std::string stored) {
  if (stored.size() < kFixedBytes ||
      (stored[0] != kBodyVersion && stored[0] != kBodyVersionSeveral)) {
    return std::nullopt;
  }
  std::string_view view = stored;
  const size_t author_bytes = static_cast<uint8_t>(view[6]);
  const size_t group_bytes_or_targets = static_cast<uint8_t>(view[7]);
  const uint8_t audience = static_cast<uint8_t>(view[1]);
  size_t offset = kFixedBytes + author_bytes;
  if (view.size() < offset || audience > static_cast<uint8_t>(AudienceRule::kMembersNow)) {
    return std::nullopt;
  }
  BodyHeader header;
  header.audience = static_cast<AudienceRule>(audience);
  header.revision = base::LoadLittleEndian<uint32_t>(view, 2);
  header.author = PersonId(view.substr(kFixedBytes, author_bytes));
  if (stored[0] == kBodyVersionSeveral) {
    if (!DecodeTargets(view, group_bytes_or_targets, offset, header.targets)) {
      return std::nullopt;
    }
  } else {
    if (view.size() < offset + group_bytes_or_targets) {
      return std::nullopt;
    }
    header.group = GroupId(view.substr(offset, group_bytes_or_targets));
    offset += group_bytes_or_targets;
  }
  header.expire_unix_ms = ExpireUnixMsOf(view.substr(offset));
  return Body(std::move(header), std::move(stored), offset);
}

bool Body::is_decided() const {
  return std::ranges::all_of(header_.targets,
                             [](const Target& target) { return target.carry.is_decided(); });
}

Body Body::WithCarries(std::span<const Carry> carries) const {
  BodyHeader header = header_;
  for (size_t i = 0; i < header.targets.size(); ++i) {
    header.targets[i].carry = carries[i];
  }
  std::string stored = EncodeBody(header, update_bytes());
  Body body(std::move(header), std::move(stored), update_offset_);
  body.is_provisional_ = true;
  return body;
}

}  // namespace klatch
