#include "services/model/watch_tokens.h"

#include <algorithm>
#include <utility>

#include "common/base/bytes.h"
#include "services/model/limits.h"

namespace klatch {
namespace {

void AppendVarint(std::string& out, uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

// Takes a varint off the front of `bytes`; nothing if there is none.
std::optional<uint64_t> TakeVarint(std::string_view& bytes) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(bytes.front());
    bytes.remove_prefix(1);
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) {
      return value;
    }
  }
  return std::nullopt;
}

constexpr uint64_t kMsEnd = uint64_t{1} << 41;

std::optional<Position> TakePosition(std::string_view& bytes, ShardIndex shard, uint64_t newest) {
  const auto delta = TakeVarint(bytes);
  const auto sequence = TakeVarint(bytes);
  if (!delta || !sequence || *delta > newest || *sequence >> kSequenceBits != 0) {
    return std::nullopt;
  }
  const uint64_t ms = newest - *delta;
  // A shard without a record stands at 0, which names no shard.
  return ms == 0 && *sequence == 0 ? Position()
                                   : Position(ms, shard, static_cast<uint32_t>(*sequence));
}

PageTokens::Scope ScopeOf(const PersonId& person) { return {"watch", person.value()}; }
PageTokens::Scope ScopeOfStreams() { return {"watches"}; }

}  // namespace

std::string PackWatchPlace(const WatchPlace& place) {
  uint64_t newest = 0;
  for (const Position position : place.floor) {
    newest = std::max(newest, position.ms());
  }
  std::string bytes;
  AppendVarint(bytes, place.floor.size());
  AppendVarint(bytes, newest);
  for (const Position position : place.floor) {
    AppendVarint(bytes, newest - position.ms());
    AppendVarint(bytes, position.sequence());
  }
  AppendVarint(bytes, place.shown.size());
  for (const UpdateId id : place.shown) {
    base::AppendLittleEndian<uint64_t>(bytes, id.value());
  }
  return bytes;
}

std::optional<WatchPlace> UnpackWatchPlace(std::string_view bytes, uint32_t shard_count) {
  const auto shards = TakeVarint(bytes);
  const auto newest = TakeVarint(bytes);
  if (!shards || *shards != shard_count || !newest || *newest >= kMsEnd) {
    return std::nullopt;
  }
  WatchPlace place;
  for (uint32_t shard = 0; shard < shard_count; ++shard) {
    const auto position = TakePosition(bytes, ShardIndex(shard), *newest);
    if (!position) {
      return std::nullopt;
    }
    place.floor.push_back(*position);
  }
  const auto shown = TakeVarint(bytes);
  if (!shown || *shown > limits::kWatchTokenShownMax || bytes.size() != *shown * sizeof(uint64_t)) {
    return std::nullopt;
  }
  for (size_t i = 0; i < bytes.size(); i += sizeof(uint64_t)) {
    place.shown.emplace_back(base::LoadLittleEndian<uint64_t>(bytes, i));
  }
  return place;
}

WatchTokens::WatchTokens(const Layout& layout, std::string key)
    : shard_count_(layout.shard_count),
      tokens_(layout.name, std::move(key), limits::kWatchTokenBytesMax) {}

std::string WatchTokens::MakeForPerson(const PersonId& person, const WatchPlace& place) const {
  return SignForPerson(person, PackWatchPlace(place));
}

std::string WatchTokens::MakeForStream(const WatchPlace& place) const {
  return SignForStream(PackWatchPlace(place));
}

std::string WatchTokens::SignForPerson(const PersonId& person, std::string_view packed) const {
  return tokens_.Make(ScopeOf(person), packed);
}

std::string WatchTokens::SignForStream(std::string_view packed) const {
  return tokens_.Make(ScopeOfStreams(), packed);
}

absl::StatusOr<WatchPlace> WatchTokens::ReadForPerson(const PersonId& person,
                                                      std::string_view token,
                                                      std::string_view field) const {
  return Read(ScopeOf(person), token, field);
}

absl::StatusOr<WatchPlace> WatchTokens::ReadForStream(std::string_view token,
                                                      std::string_view field) const {
  return Read(ScopeOfStreams(), token, field);
}

absl::StatusOr<WatchPlace> WatchTokens::Read(const PageTokens::Scope& scope, std::string_view token,
                                             std::string_view field) const {
  const absl::StatusOr<std::string> payload = tokens_.Read(scope, token);
  if (payload.ok()) {
    if (auto place = UnpackWatchPlace(*payload, shard_count_)) {
      return *std::move(place);
    }
  }
  return base::FieldError(absl::StatusCode::kInvalidArgument, field,
                          "is not from a page or a watch of this");
}

}  // namespace klatch
