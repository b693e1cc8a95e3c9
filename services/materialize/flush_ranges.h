#pragma once
// Writes of ids into the slots of stored rings, which is most of what a flusher sends, and of checkpoints, as plain
// commands: in a script each would cost Redis twice as much (docs/PERFORMANCE.md). What a script
// compares first is compared here between a WATCH of the lease and the transaction that it guards:
//
//   WATCH leases, HMGET lease nonce fence … ─▶ as they must be? ─▶ MULTI, SETRANGE …, EXEC
//
// Whoever takes the lease or sets another fence changes it, and EXEC does nothing then. So nothing
// slips in late: what a broken connection still delivers is a transaction whose WATCH was there before
// the new fence, or a WATCH whose answer nobody reads. A renewal of the lease stops a transaction
// too; it is tried again. The next one's WATCH leaves with each transaction: one round trip for each,
// so it takes several partitions. (On a cluster, where a transaction keeps to one slot, it could not.)
//
// Thread safety: one thread.
// Bounds: kWritesMax writes, about kBytesMax bytes and kPartitionsMax leases a transaction, so that none
// takes Redis a millisecond; kTriesMax tries of each.

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <vector>

#include "common/redis/command.h"
#include "common/redis/connection.h"
#include "services/materialize/flush_scripts.h"
#include "services/model/keys.h"

namespace klatch {

class FlushRanges {
 public:
  // `nonce_of` and what it refers to must outlive this, as must `scripts`, whose fence this carries.
  FlushRanges(const Keys& keys, FlushScripts::NonceOf nonce_of, FlushScripts& scripts);

  // Overwrites from `offset` on; a string that does not reach that far is lengthened with zeros.
  void SetRange(PartitionIndex partition, std::string key, uint32_t offset, std::string value);
  // Replaces the key, whatever it was.
  void Set(PartitionIndex partition, std::string key, std::string value);

  bool empty() const { return transactions_.empty(); }
  // Forgets what was collected and not sent.
  void Clear() { transactions_.clear(); }

  // Sends everything and forgets it. As FlushScripts::Run; ABORTED also if a lease has changed at
  // each of kTriesMax tries. REQUIRES: the scripts are fenced.
  absl::Status Run(redis::Connection& redis, FlushScripts::Findings& findings);

 private:
  static constexpr size_t kWritesMax = 200;
  static constexpr size_t kBytesMax = 256 << 10;
  static constexpr size_t kPartitionsMax = 32;
  static constexpr int kTriesMax = 5;

  struct Transaction {
    std::vector<PartitionIndex> partitions;  // each once
    std::vector<redis::Command> commands;    // MULTI and the writes
    std::vector<PartitionIndex> places;      // of each of the commands
    size_t bytes = 0;
    int tries = 0;
  };

  void Add(PartitionIndex partition, std::vector<std::string> write);
  bool HasRoom(const Transaction& transaction, PartitionIndex partition) const;
  // WATCH, and a question for each lease.
  void AppendWatch(const Transaction& transaction, std::vector<redis::Command>& commands) const;
  // `answers`: to those questions.
  absl::Status CheckLeases(const Transaction& transaction, std::span<const redis::Reply> answers,
                           FlushScripts::Findings& findings);
  // What EXEC has answered, or why something could not be queued for it; false if the lease has
  // changed. `answers`: to MULTI, the writes and EXEC.
  static absl::StatusOr<bool> ReadAnswers(const Transaction& transaction,
                                          std::span<const redis::Reply> answers,
                                          FlushScripts::Findings& findings);

  const Keys& keys_;
  FlushScripts::NonceOf nonce_of_;
  FlushScripts& scripts_;
  std::deque<Transaction> transactions_;
};

}  // namespace klatch
