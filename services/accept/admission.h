#pragma once
// Whether more work may come in now: posts slow down before timelines get holes (DESIGN: accept).
//
// Looks at how long a post would wait for its turn, since by the time that the oldest is late many
// more have come; at how long the oldest append has waited for Redis, which may stand still; at the
// age of the oldest entry that is not flushed yet, and at whether memory for timelines is short.
// Removals, edits and deletions are never refused here: a leak is worse than a late delivery.
//
// Thread safety: any thread; gauges are read racily, which is fine for a valve.

#include <chrono>
#include <optional>
#include <span>
#include <string_view>

#include "common/base/status.h"
#include "services/log/appender.h"

namespace klatch {

// How far delivery and materialize are behind; they implement it.
class Pressure {
 public:
  virtual ~Pressure() = default;
  // Of the entries that Redis doesn't have yet, the age of the oldest; 0 if there are none.
  virtual std::chrono::milliseconds OldestUnflushedAge() const = 0;
  // Whether little is left of the memory for timelines or of the budget for dirty entries.
  virtual bool TimelinesTight() const = 0;
  // Whether this node holds as many groups as it may.
  virtual bool GroupsFull() const { return false; }
  // Whether it may hold those of `persons` too that it does not know yet.
  virtual bool TakesPersons(std::span<const std::string_view> /*persons*/) const { return true; }
  // The first of `persons` who is in as many groups as one may be; nothing if all may join one more.
  virtual std::optional<std::string_view> InTooManyGroups(
      std::span<const std::string_view> /*persons*/) const {
    return std::nullopt;
  }
};

class Admission {
 public:
  struct Bounds {
    std::chrono::milliseconds queue_time_max{500};
    std::chrono::milliseconds unflushed_age_max{3'000};
  };

  Admission(const Appender& appender, const Pressure& pressure, Bounds bounds)
      : appender_(appender), pressure_(pressure), bounds_(bounds) {}

  // RESOURCE_EXHAUSTED with the time after which a retry may pass: longer, the further we are
  // behind.
  absl::Status Admit() const;
  // How wide the way into the log should be, from 0 to 1: narrower, the closer the oldest unflushed entry
  // comes to its bound, so that posts slow down before they are refused.
  double OpenShare() const;
  // The same for a new group. RESOURCE_EXHAUSTED ("group.id") without a time: an operator must
  // raise --groups-max.
  absl::Status AdmitGroup() const;
  // The same for persons whom a call names; `field` names them. RESOURCE_EXHAUSTED (`field`)
  // without a time: an operator must raise --persons-max.
  absl::Status AdmitPersons(std::span<const std::string_view> persons,
                            std::string_view field) const;
  // The same for persons who become members: who is in as many groups as one may be
  // (--person-groups-max) is named.
  absl::Status AdmitMembers(std::span<const std::string_view> persons,
                            std::string_view field) const;

 private:
  const Appender& appender_;
  const Pressure& pressure_;
  const Bounds bounds_;
};

}  // namespace klatch
