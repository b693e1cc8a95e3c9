#pragma once
// Tokens of watches: up to where a home timeline was shown. Signed like page tokens, good only for
// the person, or for gateways' streams of the namespace, that they were made for.
//
//   payload:  shards, varint
//             newest, varint: the greatest milliseconds of all positions
//             per shard: newest - milliseconds, varint; sequence, varint
//             ids shown above the floor: count, varint; 8 bytes each
//
// Deltas, because shards of groups that are watched are ticked: most differ by a second or less.
//
// Thread safety: const after construction.
// Bound: limits::kWatchTokenBytesMax characters; limits::kWatchTokenShownMax ids.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "services/model/ids.h"
#include "services/model/layout.h"
#include "services/model/page_tokens.h"
#include "services/model/position.h"

namespace klatch {

// Where a watch goes on.
struct WatchPlace {
  // By shard: everything up to there was shown.
  std::vector<Position> floor;
  // Above the floor, and shown already.
  std::vector<UpdateId> shown;

  bool operator==(const WatchPlace&) const = default;
};

std::string PackWatchPlace(const WatchPlace& place);
// Nothing unless Pack made `bytes`, for as many shards.
std::optional<WatchPlace> UnpackWatchPlace(std::string_view bytes, uint32_t shard_count);

class WatchTokens {
 public:
  WatchTokens(const Layout& layout, std::string key);

  std::string MakeForPerson(const PersonId& person, const WatchPlace& place) const;
  // For streams of many persons.
  std::string MakeForStream(const WatchPlace& place) const;
  // The same for what PackWatchPlace has made: of one place for many streams.
  std::string SignForPerson(const PersonId& person, std::string_view packed) const;
  std::string SignForStream(std::string_view packed) const;

  // INVALID_ARGUMENT (`field`) for anything that the Make of the same name did not return.
  // REQUIRES: token is not empty.
  absl::StatusOr<WatchPlace> ReadForPerson(const PersonId& person, std::string_view token,
                                           std::string_view field) const;
  absl::StatusOr<WatchPlace> ReadForStream(std::string_view token, std::string_view field) const;

 private:
  absl::StatusOr<WatchPlace> Read(const PageTokens::Scope& scope, std::string_view token,
                                  std::string_view field) const;

  const uint32_t shard_count_;
  const PageTokens tokens_;
};

}  // namespace klatch
