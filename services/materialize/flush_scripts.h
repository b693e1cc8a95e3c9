#pragma once
// Writes of one partition as scripts that compare the lease's nonce first: who has lost the lease
// writes nothing. A FlushScripts collects operations by partition and cuts them into scripts that
// stay well under a millisecond.
//
// Thread safety: one thread.
// Bound: kOperationsMax operations and about kBytesMax bytes a script.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "common/redis/command.h"
#include "common/redis/connection.h"
#include "services/model/keys.h"

namespace klatch {

class FlushScripts {
 public:
  static constexpr size_t kHashFieldsMax = 100;

  // `nonce_of` and what it refers to must outlive this.
  using NonceOf = std::function<const std::string&(PartitionIndex)>;
  FlushScripts(const Keys& keys, NonceOf nonce_of);

  // Replaces the whole string.
  void Set(PartitionIndex partition, std::string key, std::string value);
  // Overwrites from `offset` on; a string that does not reach that far is lengthened with zeros.
  void SetRange(PartitionIndex partition, std::string key, uint32_t offset, std::string value);
  // Field, value, field, value, …; at most kHashFieldsMax pairs.
  void HashSet(PartitionIndex partition, std::string key,
               std::vector<std::string> fields_and_values);
  void HashDelete(PartitionIndex partition, std::string key, std::string field);
  void SetAdd(PartitionIndex partition, std::string key, std::string member);

  bool empty() const { return ready_.empty() && open_.empty(); }
  size_t bytes() const { return bytes_; }

  // Sends everything and forgets it. OK when every operation was carried out. ABORTED, with the
  // partition in `lost`, if somebody else holds a lease; FAILED_PRECONDITION naming the key if one
  // holds a wrong type; else the connection's error. Some scripts may have been carried out in any
  // case: callers write the same again.
  absl::Status Run(redis::Connection& redis, std::vector<PartitionIndex>& lost);

 private:
  struct Call {
    PartitionIndex partition;
    std::vector<std::string> keys;
    std::vector<std::string> arguments;
    size_t bytes = 0;
  };
  Call& Open(PartitionIndex partition, size_t bytes);
  absl::Status Check(const redis::Reply& reply, const Call& call,
                     std::vector<PartitionIndex>& lost) const;

  const Keys& keys_;
  NonceOf nonce_of_;
  std::vector<Call> open_;   // at most one per partition, found by linear search from the back
  std::vector<Call> ready_;  // full
  size_t bytes_ = 0;
};

}  // namespace klatch
