#pragma once
// Writes of one partition as scripts that compare two words of the lease first: its nonce, so that
// who has lost the lease writes nothing, and its fence, so that what a broken connection still
// delivers writes nothing either. A FlushScripts collects operations by partition and cuts them
// into scripts that stay well under a millisecond.
//
//   connection 1   fence a ─▶ writes (a) ─▶ timeout …………………▶ writes (a) arrive: refused
//   connection 2                            fence b ─▶ writes (b)
//
// A fence is drawn at random for each connection and set once, before the first write that carries
// it, so it never comes back: whatever arrives late, be it writes or another fence, can stop the
// writes of the newest connection (which then sets a new fence), never slip in among them.
//
// When memory is full, only the growth of timelines is refused: memberships, holes and checkpoints
// are small and must go on, or removals would not get through.
//
// Thread safety: one thread.
// Bound: kOperationsMax operations and about kBytesMax bytes a script, kScriptsPerTrip scripts sent together;
// a HashReplace may be larger.

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

  struct WrongType {
    PartitionIndex partition;
    std::string key;
  };
  // What a run met besides its status.
  struct Findings {
    std::vector<PartitionIndex> lost;
    // Keys that hold another type; what was to be done to them is not done, everything else is.
    std::vector<WrongType> wrong_type;
  };

  // ABORTED: somebody else holds the lease, which goes into `findings`.
  static absl::Status Lost(PartitionIndex partition, Findings& findings);
  // ABORTED: the fence is another's now, so it is forgotten.
  absl::Status FencedByAnother(PartitionIndex partition);

  // `nonce_of` and what it refers to must outlive this.
  using NonceOf = std::function<const std::string&(PartitionIndex)>;
  FlushScripts(const Keys& keys, NonceOf nonce_of);

  // Replaces the whole string of a stored ring.
  void Set(PartitionIndex partition, std::string key, std::string value);
  // Lengthens the string with zeros to so many bytes, into an allocation of that size; nothing if it is
  // as long already.
  void Grow(PartitionIndex partition, std::string key, uint32_t bytes);
  void SetCheckpoint(PartitionIndex partition, std::string value);
  // Field, value, field, value, …; at most kHashFieldsMax pairs.
  void HashSet(PartitionIndex partition, std::string key,
               std::vector<std::string> fields_and_values);
  void HashDelete(PartitionIndex partition, std::string key, std::string field);
  void SetAdd(PartitionIndex partition, std::string key, std::string member);
  // The key holds these fields, or these members, and nothing else afterwards, whatever it was; one
  // step, so that nobody finds half of it.
  void HashReplace(PartitionIndex partition, std::string key,
                   std::vector<std::string> fields_and_values);
  void SetReplace(PartitionIndex partition, std::string key, std::vector<std::string> members);

  bool empty() const { return ready_.empty() && open_.empty(); }
  size_t bytes() const { return bytes_; }

  // Forgets what was collected and not sent.
  void Clear();

  // Sets a new fence in each of `partitions`: what any connection sent there before is refused from
  // now on. To be done before the first Run on a connection; see fenced(). ABORTED with
  // `findings.lost` as below.
  absl::Status Fence(redis::Connection& redis, const std::vector<PartitionIndex>& partitions,
                     Findings& findings);
  bool fenced() const { return !fence_.empty(); }
  const std::string& fence() const { return fence_; }
  void ForgetFence() { fence_.clear(); }

  // Sends everything and forgets it. OK when every operation was carried out, those on
  // `findings.wrong_type` excepted. ABORTED, with the partition in `findings.lost`, if somebody
  // else holds a lease, or with fenced() false if the fence is another; else the error of Redis,
  // naming the key, or of the connection. Some scripts may have been carried out in any case:
  // callers write the same again. REQUIRES: fenced().
  absl::Status Run(redis::Connection& redis, Findings& findings);

 private:
  // Whether a script is to be refused when Redis has no memory left.
  enum class Memory { kIfAny, kInAnyCase };

  struct Call {
    PartitionIndex partition;
    std::vector<std::string> keys;
    std::vector<std::string> arguments;
    size_t bytes = 0;
  };
  Call& Open(PartitionIndex partition, size_t bytes, Memory memory);
  void AddMany(const char* operation, PartitionIndex partition, std::string key,
               std::vector<std::string> texts);
  absl::Status Check(const redis::Reply& reply, const Call& call, Findings& findings);

  const Keys& keys_;
  NonceOf nonce_of_;
  std::string fence_;        // of the present connection; empty: none set yet
  std::vector<Call> open_;   // at most one per partition, found by linear search from the back
  std::vector<Call> ready_;  // full
  size_t bytes_ = 0;
};

}  // namespace klatch
