// Page and watch tokens, which clients give back as they like. The key is known here, so that inputs can be
// genuine: what is read must be what was made, and nothing else is read.

#include <optional>

#include "services/model/page_tokens.h"
#include "services/model/watch_tokens.h"
#include "tests/fuzz/fuzz_input.h"

namespace klatch {
namespace {

using fuzz::Require;

constexpr uint32_t kShards = 4;

void ReadPage(std::string_view text) {
  const PageTokens tokens("default", "key");
  const PageTokens::Scope scope{"home", "bob", ""};
  const absl::StatusOr<std::string> payload = tokens.Read(scope, text);
  if (payload.ok()) {
    Require(tokens.Make(scope, *payload) == text, "a page token is the one that was made");
  }
}

void MakePage(std::string_view payload) {
  const PageTokens tokens("default", "key", /*token_bytes_max=*/1 << 20);
  const PageTokens::Scope scope{"home", "bob", ""};
  const absl::StatusOr<std::string> read = tokens.Read(scope, tokens.Make(scope, payload));
  Require(read.ok() && *read == payload, "a page token holds its payload");
  Require(!tokens.Read({"home", "eve", ""}, tokens.Make(scope, payload)).ok(),
          "a page token is of one person");
}

void ReadWatch(std::string_view text) {
  Layout layout;
  layout.shard_count = kShards;
  const WatchTokens tokens(layout, "key");
  const PersonId bob("bob");
  if (const auto place = tokens.ReadForPerson(bob, text, "resume_token"); place.ok()) {
    Require(tokens.MakeForPerson(bob, *place) == text, "a watch token is the one that was made");
  }
  if (const auto place = tokens.ReadForStream(text, "resume_token"); place.ok()) {
    Require(tokens.MakeForStream(*place) == text, "a stream's token is the one that was made");
  }
}

void Unpack(std::string_view bytes) {
  if (const std::optional<WatchPlace> place = UnpackWatchPlace(bytes, kShards)) {
    Require(place->floor.size() == kShards, "a place has a position of each shard");
    const auto again = UnpackWatchPlace(PackWatchPlace(*place), kShards);
    Require(again.has_value() && *again == *place, "a place comes back as it was packed");
  }
}

}  // namespace
}  // namespace klatch

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  klatch::fuzz::Input input(data, size);
  const uint32_t which = input.Choose(4);
  if (input.rest().empty()) {
    return 0;
  }
  switch (which) {
    case 0:
      klatch::ReadPage(input.rest());
      break;
    case 1:
      klatch::MakePage(input.rest());
      break;
    case 2:
      klatch::ReadWatch(input.rest());
      break;
    default:
      klatch::Unpack(input.rest());
  }
  return 0;
}
