#include "services/groups/member_pages.h"

#include <algorithm>
#include <utility>

#include "common/base/bytes.h"

namespace klatch {
namespace {

constexpr size_t kEndOffset = 8;
constexpr size_t kCountOffset = 16;
constexpr size_t kAfterOffset = 20;

// By id, each once.
void Sort(std::vector<StoredMember>& members) {
  std::sort(members.begin(), members.end(),
            [](const StoredMember& a, const StoredMember& b) { return a.person < b.person; });
  const auto end = std::unique(
      members.begin(), members.end(),
      [](const StoredMember& a, const StoredMember& b) { return a.person == b.person; });
  members.erase(end, members.end());
}

// Moves the batch's members behind cursor.after to the page until that has `size`. Returns where
// the page after it begins.
MemberCursor Take(MemberScan batch, const MemberCursor& cursor, size_t count, size_t size,
                  std::vector<StoredMember>& page) {
  Sort(batch.members);
  const bool goes_on = !cursor.after.empty() && batch.next_cursor == cursor.end;
  for (StoredMember& member : batch.members) {
    if (goes_on && member.person.value() <= cursor.after) {
      continue;
    }
    if (page.size() == size) {
      return {cursor.scan, batch.next_cursor, static_cast<uint32_t>(count),
              page.back().person.value()};
    }
    page.push_back(std::move(member));
  }
  return {.scan = batch.next_cursor};
}

}  // namespace

std::string EncodeMemberCursor(const MemberCursor& cursor) {
  std::string bytes;
  base::AppendLittleEndian<uint64_t>(bytes, cursor.scan);
  base::AppendLittleEndian<uint64_t>(bytes, cursor.end);
  base::AppendLittleEndian<uint32_t>(bytes, cursor.count);
  return bytes + cursor.after;
}

std::optional<MemberCursor> DecodeMemberCursor(std::string_view bytes) {
  if (bytes.size() < kAfterOffset) {
    return std::nullopt;
  }
  return MemberCursor{base::LoadLittleEndian<uint64_t>(bytes, 0),
                      base::LoadLittleEndian<uint64_t>(bytes, kEndOffset),
                      base::LoadLittleEndian<uint32_t>(bytes, kCountOffset),
                      std::string(bytes.substr(kAfterOffset))};
}

base::Task<absl::StatusOr<MemberPage>> ReadMemberPage(GroupReader& reader, GroupId group,
                                                      MemberCursor cursor, size_t size) {
  MemberPage page;
  for (int scans = 0; scans < kMemberScansMax && page.members.size() < size; ++scans) {
    const size_t count = cursor.after.empty() ? size - page.members.size() : cursor.count;
    auto scanning = reader.ScanMembers(group, cursor.scan, count);
    absl::StatusOr<MemberScan> batch = co_await std::move(scanning);
    if (!batch.ok()) {
      co_return batch.status();
    }
    cursor = Take(*std::move(batch), cursor, count, size, page.members);
    if (cursor == MemberCursor()) {
      co_return page;
    }
  }
  page.next = std::move(cursor);
  co_return page;
}

}  // namespace klatch
