#pragma once
// What a node reads of personal state before it serves: of each partition the persons who have any,
// and their blocks, mutes and hidden updates. Persons without cost nothing.
//
// Thread safety: one thread, before anybody else writes to the store.
// Errors: UNAVAILABLE when Redis can't be reached; FAILED_PRECONDITION and DATA_LOSS naming the key
// that holds something else; RESOURCE_EXHAUSTED when there are more persons than the store takes.

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "common/redis/connection.h"
#include "services/model/keys.h"
#include "services/personal/personal_scripts.h"
#include "services/personal/personal_store.h"

namespace klatch {

class PersonalLoader {
 public:
  PersonalLoader(const Layout& layout, redis::Connection& redis, PersonalStore& store)
      : layout_(layout), keys_(layout), redis_(redis), store_(store) {}

  // CANCELLED when interrupted.
  absl::Status LoadAll(const std::function<bool()>& interrupted);

 private:
  // A set that is being read, and from where on.
  struct Scan {
    std::string key;
    std::string cursor = "0";
    // Whose it is; of the set of persons the partition's number as text.
    std::string owner;
    personal::SetKey kind = personal::SetKey::kBlocks;
  };

  // Reads the next part of each of `scans`, hands every member on, and leaves those that have more.
  template <typename Take>
  absl::Status ReadOn(std::vector<Scan>& scans, const Take& take);
  absl::Status LoadPersons(const std::vector<std::string>& persons);

  const Layout layout_;
  const Keys keys_;
  redis::Connection& redis_;
  PersonalStore& store_;
};

}  // namespace klatch
