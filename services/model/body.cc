#include "services/model/body.h"

#include "common/base/bytes.h"

namespace klatch {
namespace {

constexpr char kVersion = 1;
constexpr size_t kFixedBytes = 8;

}  // namespace

std::string EncodeBody(const BodyHeader& header, std::string_view update_bytes) {
  std::string out;
  const std::string& author = header.author.value();
  const std::string& group = header.group.value();
  out.reserve(kFixedBytes + author.size() + group.size() + update_bytes.size());
  out.push_back(kVersion);
  out.push_back(static_cast<char>(header.audience));
  base::AppendLittleEndian<uint32_t>(out, header.revision);
  out.push_back(static_cast<char>(author.size()));
  out.push_back(static_cast<char>(group.size()));
  out.append(author).append(group).append(update_bytes);
  return out;
}

std::optional<Body> Body::Decode(std::string stored) {
  if (stored.size() < kFixedBytes || stored[0] != kVersion) {
    return std::nullopt;
  }
  std::string_view view = stored;
  const size_t author_bytes = static_cast<uint8_t>(view[6]);
  const size_t group_bytes = static_cast<uint8_t>(view[7]);
  const uint8_t audience = static_cast<uint8_t>(view[1]);
  const size_t update_offset = kFixedBytes + author_bytes + group_bytes;
  if (view.size() < update_offset || audience > static_cast<uint8_t>(AudienceRule::kMembersNow)) {
    return std::nullopt;
  }
  BodyHeader header;
  header.audience = static_cast<AudienceRule>(audience);
  header.revision = base::LoadLittleEndian<uint32_t>(view, 2);
  header.author = PersonId(view.substr(kFixedBytes, author_bytes));
  header.group = GroupId(view.substr(kFixedBytes + author_bytes, group_bytes));
  return Body(std::move(header), std::move(stored), update_offset);
}

}  // namespace klatch
