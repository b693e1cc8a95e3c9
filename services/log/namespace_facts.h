#pragma once
// What is fixed when a namespace is made and kept in Redis: its counts of shards and partitions,
// the version of the stored formats, and the key that signs cursors.

#include <string>

#include "common/base/status.h"
#include "common/redis/connection.h"
#include "services/model/layout.h"

namespace klatch {

struct NamespaceFacts {
  std::string cursor_key;  // 32 random bytes
};

// Makes the namespace if it is new, atomically; otherwise checks that `layout` is the one it was
// made with. Two nodes that start at once get the same facts. Errors: FAILED_PRECONDITION "shards
// is 64 in Redis but 32 is configured; …", or the key holds something else, or a newer version's
// formats; those of `connection`.
absl::StatusOr<NamespaceFacts> OpenNamespace(redis::Connection& connection, const Layout& layout);

}  // namespace klatch
