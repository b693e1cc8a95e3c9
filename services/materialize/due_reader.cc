#include "services/materialize/due_reader.h"

#include <algorithm>
#include <functional>
#include <map>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "services/materialize/due.h"
#include "services/materialize/stored_ring.h"
#include "services/model/body.h"
#include "services/model/limits.h"

namespace klatch {
namespace {

// How much of the past that is open to a joiner is looked at, newest first: twice what a timeline
// holds, since an update's audience may exclude who came later.
constexpr size_t kPastExaminedMax = 2 * limits::kTimelineCap;
// Of one person, before what would not stay goes; a feed more is added.
constexpr size_t kCollectedMax = 8 * limits::kTimelineCap;
constexpr size_t kHeadersPerRead = 4'096;

// The audience in a stored body's header (services/model/body.h). REQUIRES: there is a header.
AudienceRule AudienceOf(std::string_view header) { return static_cast<AudienceRule>(header[1]); }

// Whether the member sees what stands there in the group: posted while they were in it, or for
// whoever is a member now in a past that is open to them.
bool Sees(const Stay& stay, const Carry& carry) {
  return carry.position >= stay.joined ||
         (carry.audience == AudienceRule::kMembersNow && carry.position >= stay.visible_from);
}

bool IsWrongType(const absl::Status& status) { return absl::IsFailedPrecondition(status); }

// Calls `take` with the place of each key, in order, and the reply, until that is an error.
template <typename Key, typename CommandOf, typename Take>
absl::Status CallForEach(redis::Connection& redis, std::span<const Key> keys, size_t at_once,
                         const CommandOf& command_of, const Take& take) {
  for (size_t begin = 0; begin < keys.size(); begin += at_once) {
    const std::span<const Key> some = keys.subspan(begin, std::min(at_once, keys.size() - begin));
    std::vector<redis::Command> commands;
    commands.reserve(some.size());
    for (const Key& key : some) {
      commands.push_back(command_of(key));
    }
    KLATCH_ASSIGN_OR_RETURN(const std::vector<redis::Reply> replies, redis.CallAll(commands));
    for (size_t i = 0; i < some.size(); ++i) {
      KLATCH_RETURN_IF_ERROR(take(begin + i, replies[i]));
    }
  }
  return absl::OkStatus();
}

}  // namespace

struct DueReader::Collected {
  std::vector<uint64_t> ids;
  std::vector<PastUpdate> past;  // perhaps due
  absl::Status status;

  // What would not stay goes.
  void Trim();
};

struct DueReader::Member {
  GroupIndex group;
  size_t place = 0;  // of the person among those asked for
  Stay stay;
};

class DueReader::Carries {
 public:
  using Key = std::pair<uint64_t, GroupIndex>;  // of updates that several groups have

  void AddHeader(uint64_t id, std::string_view header) {
    if (header.size() >= 2) {
      headers_.emplace(id, Header{AudienceOf(header), IsOfSeveral(header)});
    }
  }
  void AddCarry(const Key& key, std::string_view packed) {
    if (const std::optional<Carry> carry = DecodeCarry(packed); carry && carry->is_carried()) {
      carries_.emplace(key, *carry);
    }
  }
  bool IsInSeveral(uint64_t id) const {
    const auto header = headers_.find(id);
    return header != headers_.end() && header->second.is_of_several;
  }
  // Nothing if the group doesn't have it.
  std::optional<Carry> Find(uint64_t id, GroupIndex group) const;

 private:
  struct Header {
    AudienceRule audience;
    bool is_of_several;
  };

  std::unordered_map<uint64_t, Header> headers_;  // by update
  std::map<Key, Carry> carries_;
};

void DueReader::Collected::Trim() {
  KeepNewest(ids, limits::kTimelineCap);
  if (ids.size() == limits::kTimelineCap) {
    std::erase_if(past, [oldest = ids.back()](const PastUpdate& one) { return one.id < oldest; });
  }
  std::ranges::sort(past, std::ranges::greater(), &PastUpdate::id);
  past.resize(std::min(past.size(), kPastExaminedMax));
}

std::optional<Carry> DueReader::Carries::Find(uint64_t id, GroupIndex group) const {
  const auto header = headers_.find(id);
  if (header == headers_.end()) {
    return std::nullopt;
  }
  if (!header->second.is_of_several) {
    return Carry{Position(id), header->second.audience, CarryRefusal::kNone};
  }
  const auto found = carries_.find({id, group});
  if (found == carries_.end()) {
    return std::nullopt;
  }
  Carry carry = found->second;
  if (header->second.audience != AudienceRule::kGroupDefault) {
    carry.audience = header->second.audience;
  }
  return carry;
}

absl::StatusOr<std::vector<DueReader::Timeline>> DueReader::Read(
    redis::Connection& redis, std::span<const Asked> asked,
    const std::vector<Position>& written) const {
  std::vector<Collected> collected(asked.size());
  KLATCH_RETURN_IF_ERROR(ReadStored(redis, asked, collected));
  KLATCH_RETURN_IF_ERROR(ReadFeeds(redis, asked, written, collected));
  KLATCH_ASSIGN_OR_RETURN(const Carries carries, ReadCarries(redis, collected));
  std::vector<Timeline> due;
  due.reserve(collected.size());
  for (Collected& one : collected) {
    if (!one.status.ok()) {
      due.emplace_back(std::move(one.status));
      continue;
    }
    // What is for others would only take room.
    for (const PastUpdate& update : one.past) {
      const std::optional<Carry> carry = carries.Find(update.id, update.group);
      if (carry && Sees(update.stay, *carry)) {
        one.ids.push_back(update.id);
      }
    }
    KeepNewest(one.ids, limits::kTimelineCap);
    due.emplace_back(std::move(one.ids));
  }
  return due;
}

absl::Status DueReader::ReadStored(redis::Connection& redis, std::span<const Asked> asked,
                                   std::vector<Collected>& collected) const {
  return CallForEach(
      redis, asked, limits::kPulledFeedsPerRead,
      [this](const Asked& one) {
        return redis::Command{"GET", keys_.Timeline(one.person)};
      },
      [&collected](size_t place, const redis::Reply& stored) {
        absl::Status status = redis::ToStatus(stored.view());
        if (status.ok()) {
          collected[place].ids = UnpackIds(stored.text());
        }
        // One that is no string is about to be replaced.
        return IsWrongType(status) ? absl::OkStatus() : status;
      });
}

absl::Status DueReader::ReadFeeds(redis::Connection& redis, std::span<const Asked> asked,
                                  const std::vector<Position>& written,
                                  std::vector<Collected>& collected) const {
  std::vector<Member> members;
  for (size_t place = 0; place < asked.size(); ++place) {
    for (const MemberGroup& of : asked[place].groups) {
      members.push_back({of.group, place, of.stay});
    }
  }
  std::ranges::sort(members, {}, &Member::group);
  std::vector<std::span<const Member>> by_group;
  for (std::span<const Member> rest = members; !rest.empty();) {
    const auto end = std::ranges::find_if_not(
        rest, [group = rest[0].group](const Member& member) { return member.group == group; });
    by_group.push_back(rest.first(static_cast<size_t>(end - rest.begin())));
    rest = rest.subspan(by_group.back().size());
  }
  const auto get_feed = [this](std::span<const Member> of) {
    return redis::Command{"GET", keys_.Feed(groups_.At(of[0].group).id)};
  };
  const auto add_due = [&](size_t place, const redis::Reply& reply) {
    const absl::Status status = redis::ToStatus(reply.view());
    const std::vector<uint64_t> feed =
        status.ok() ? UnpackIds(reply.text()) : std::vector<uint64_t>();
    for (const Member& member : by_group[place]) {
      Collected& one = collected[member.place];
      if (!status.ok()) {
        one.status = base::Annotate(status, keys_.Feed(groups_.At(member.group).id));
      }
      AddDue(feed, member, written, one);
    }
    return absl::OkStatus();
  };
  KLATCH_RETURN_IF_ERROR(CallForEach(redis, std::span<const std::span<const Member>>(by_group),
                                     limits::kPulledFeedsPerRead, get_feed, add_due));
  for (Collected& one : collected) {
    one.Trim();
  }
  return absl::OkStatus();
}

// Adds what a feed holds for a member: what is certainly due, and what may be.
void DueReader::AddDue(std::span<const uint64_t> feed, const Member& member,
                       const std::vector<Position>& written, Collected& collected) {
  for (const uint64_t id : feed) {
    const Due due = IsDue(UpdateId(id), member.stay, written);
    if (due == Due::kYes) {
      collected.ids.push_back(id);
    } else if (due == Due::kPerhaps) {
      collected.past.push_back({id, member.group, member.stay});
    }
  }
  if (collected.ids.size() + collected.past.size() > kCollectedMax) {
    collected.Trim();
  }
}

absl::StatusOr<DueReader::Carries> DueReader::ReadCarries(
    redis::Connection& redis, const std::vector<Collected>& collected) const {
  std::vector<Carries::Key> keys;
  for (const Collected& one : collected) {
    for (const PastUpdate& update : one.past) {
      keys.emplace_back(update.id, update.group);
    }
  }
  std::ranges::sort(keys);
  const auto [keys_end, keys_last] = std::ranges::unique(keys);
  keys.erase(keys_end, keys_last);
  std::vector<uint64_t> ids;
  for (const Carries::Key& key : keys) {
    if (ids.empty() || ids.back() != key.first) {
      ids.push_back(key.first);
    }
  }
  Carries carries;
  KLATCH_RETURN_IF_ERROR(CallForEach(
      redis, std::span<const uint64_t>(ids), kHeadersPerRead,
      [this](uint64_t id) {
        return redis::Command{"GETRANGE", keys_.Update(UpdateId(id)), "0", "1"};
      },
      [&](size_t place, const redis::Reply& header) {
        absl::Status status = redis::ToStatus(header.view());
        if (status.ok()) {
          carries.AddHeader(ids[place], header.text());
        }
        // What is no body is for nobody.
        return IsWrongType(status) ? absl::OkStatus() : status;
      }));
  std::erase_if(keys, [&](const Carries::Key& key) { return !carries.IsInSeveral(key.first); });
  KLATCH_RETURN_IF_ERROR(CallForEach(
      redis, std::span<const Carries::Key>(keys), kHeadersPerRead,
      [this](const Carries::Key& key) {
        return redis::Command{"GET", keys_.Carry(groups_.At(key.second).id, UpdateId(key.first))};
      },
      [&](size_t place, const redis::Reply& carry) {
        absl::Status status = redis::ToStatus(carry.view());
        if (status.ok()) {
          carries.AddCarry(keys[place], carry.text());
        }
        return IsWrongType(status) ? absl::OkStatus() : status;
      }));
  return carries;
}

}  // namespace klatch
