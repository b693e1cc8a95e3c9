#pragma once
// A small world to read in: persons with real rings, groups, bodies and progress, all set by hand,
// and a clock that stands still. Tests that need stored rings give it a Redis; others get an
// address where nobody listens, so that whoever asks Redis without need fails.

#include <atomic>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/executor.h"
#include "common/lockfree/epoch.h"
#include "common/lockfree/timeline_ring.h"
#include "common/redis/pipeline.h"
#include "manual_clock.h"
#include "services/deliver/progress.h"
#include "services/log/body_store.h"
#include "services/personal/personal_store.h"
#include "services/persons/group_directory.h"
#include "services/persons/ownership.h"
#include "services/persons/people.h"
#include "services/read/feed_reads.h"

namespace klatch {

template <typename T>
base::Task<void> FulfilWith(base::Task<T> task, std::promise<T>* promise) {
  T value = co_await std::move(task);
  promise->set_value(std::move(value));
}

// Runs a task to its end, wherever it continues.
template <typename T>
T RunToEnd(base::Task<T> task) {
  std::promise<T> promise;
  std::future<T> future = promise.get_future();
  base::Spawn(FulfilWith(std::move(task), &promise));
  return future.get();
}

// The same, while workers go on applying records: deadlines of waits are looked at when workers
// notify.
template <typename T>
T RunToEndAmongWorkers(base::Task<T> task, Progress& progress) {
  std::promise<T> promise;
  std::future<T> future = promise.get_future();
  base::Spawn(FulfilWith(std::move(task), &promise));
  while (future.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
    progress.Notify();
  }
  return future.get();
}

class FakeOwnership final : public Ownership {
 public:
  bool Holds(PartitionIndex, base::MonotonicTime) const override { return calls_left_-- > 0; }
  // Says yes that often, then no.
  void HoldFor(int calls) { calls_left_ = calls; }

 private:
  mutable std::atomic<int> calls_left_{1'000'000};
};

class FakePeople final : public People {
 public:
  FakePeople() : arena_(16 << 20) {}

  const Person* Find(const PersonId& person) const override {
    Look();
    auto found = persons_.find(person.value());
    return found == persons_.end() ? nullptr : found->second.get();
  }
  lockfree::EpochReclaimer& epochs() override {
    Look();
    return epochs_;
  }
  void Wake(const Person& person) override { woken_.push_back(person.id.value()); }
  const lockfree::RingArena& ArenaOf(const Person&) const override { return arena_; }

  Person& Add(const std::string& id) {
    std::unique_ptr<Person>& person = persons_[id];
    if (person == nullptr) {
      person = std::make_unique<Person>();
      person->id = PersonId(id);
      for (lockfree::TimelineRing** ring : {&person->home, &person->posts}) {
        rings_.push_back(std::make_unique<lockfree::TimelineRing>());
        *ring = rings_.back().get();
      }
    }
    return *person;
  }
  lockfree::RingArena& arena() { return arena_; }
  // Who was reported to be back.
  const std::vector<std::string>& woken() const { return woken_; }

 private:
  friend class ReadWorld;

  void Look() const {
    ++looks_;
    if (before_look_ != nullptr && looks_ == fire_at_) {
      before_look_();
    }
  }

  std::vector<std::string> woken_;
  lockfree::RingArena arena_;
  lockfree::EpochReclaimer epochs_;
  std::vector<std::unique_ptr<lockfree::TimelineRing>> rings_;
  std::map<std::string, std::unique_ptr<Person>> persons_;
  mutable int looks_ = 0;
  int fire_at_ = 0;
  std::function<void()> before_look_;
};

class ReadWorld {
 public:
  explicit ReadWorld(redis::Address address = Nowhere())
      : groups(layout, 1'000),
        bodies(64 << 20),
        executor(2, "test"),
        progress(layout.shard_count, 1, executor, clock),
        pipeline(std::move(address), redis::Pipeline::Options()),
        reads(FeedReads::Dependencies{.layout = layout,
                                      .people = people,
                                      .personal = personal,
                                      .groups = groups,
                                      .bodies = bodies,
                                      .progress = progress,
                                      .ownership = ownership,
                                      .redis = pipeline,
                                      .executor = executor,
                                      .clock = clock,
                                      .cursor_key = "0123456789abcdef0123456789abcdef"}) {
    progress.NoteHeard(clock.Monotonic());
  }
  ~ReadWorld() {
    progress.Stop();
    executor.Stop();
  }

  static redis::Address Nowhere() {
    redis::Address address;
    address.socket_path = "/nonexistent/klatch-test.sock";
    return address;
  }

  // The id of the group's update at `ms`.
  UpdateId IdAt(uint64_t ms, const std::string& group, uint32_t sequence = 0) const {
    return UpdateId(ms, layout.ShardOf(GroupId(group)), sequence);
  }

  // Makes the person a member from `joined_ms` on, or a tombstone with Role::kNone.
  void SetMember(const std::string& person, const std::string& group, uint64_t joined_ms,
                 Role role = Role::kMember, uint64_t visible_from_ms = UINT64_MAX) {
    const GroupIndex index = *groups.FindOrAdd(GroupId(group));
    Membership membership;
    membership.group = index;
    membership.stay.role = role;
    membership.stay.joined = IdAt(joined_ms, group);
    membership.stay.visible_from =
        IdAt(visible_from_ms == UINT64_MAX ? joined_ms : visible_from_ms, group);
    membership.position = membership.stay.joined;
    std::map<GroupIndex, Membership> items;
    Person& entry = people.Add(person);
    const MembershipList* old = entry.memberships.Own();
    if (old != nullptr) {
      for (const Membership& item : old->items()) {
        items[item.group] = item;
      }
    }
    items[index] = membership;
    std::vector<Membership> list;
    for (auto& [group_index, item] : items) {
      list.push_back(item);
    }
    entry.memberships.Replace(std::make_unique<MembershipList>(std::move(list)), people.epochs());
  }

  static std::string StoredBody(const std::string& author, const std::string& group,
                                AudienceRule audience = AudienceRule::kMembersAtPosting,
                                const std::string& text = "hi") {
    klatch::v1::Update update;
    update.set_author(author);
    update.add_groups(group);
    update.set_text(text);
    BodyHeader header;
    header.audience = audience;
    header.author = PersonId(author);
    header.group = GroupId(group);
    return EncodeBody(header, update.SerializeAsString());
  }

  void PutBody(UpdateId id, const std::string& author, const std::string& group,
               AudienceRule audience = AudienceRule::kMembersAtPosting,
               const std::string& text = "hi") {
    auto body =
        std::make_shared<const Body>(*Body::Decode(StoredBody(author, group, audience, text)));
    bodies.Put(id, std::move(body), bodies.Generation(id.shard()));
  }

  void Deliver(const std::string& person, UpdateId id) { Append(*people.Add(person).home, id); }
  void DeliverPost(const std::string& person, UpdateId id) {
    Append(*people.Add(person).posts, id);
  }

  void ApplyAll(uint64_t ms) {
    for (uint32_t shard = 0; shard < layout.shard_count; ++shard) {
      progress.Advance(0, ShardIndex(shard), Position(ms, ShardIndex(shard), 0));
    }
    progress.Notify();
  }

  // Runs `action` when somebody looks for a person, or at what is known of one, for the nth time from
  // now: before anything of it is loaded.
  void AtLook(int nth, std::function<void()> action) {
    people.looks_ = 0;
    people.fire_at_ = nth;
    people.before_look_ = std::move(action);
  }

  base::MonotonicTime Deadline() const { return clock.Monotonic() + std::chrono::seconds(10); }

  template <typename Response>
  static absl::StatusOr<Response> Parse(absl::StatusOr<grpc::ByteBuffer> bytes) {
    if (!bytes.ok()) {
      return bytes.status();
    }
    Response response;
    if (!response.ParseFromString(Flatten(*bytes))) {
      return absl::InternalError("the page does not parse");
    }
    return response;
  }
  static std::string Flatten(const grpc::ByteBuffer& bytes) {
    std::vector<grpc::Slice> slices;
    std::string flat;
    if (bytes.Dump(&slices).ok()) {
      for (const grpc::Slice& slice : slices) {
        flat.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
      }
    }
    return flat;
  }

  absl::StatusOr<klatch::v1::ListHomeTimelineResponse> Home(const std::string& actor, int page_size,
                                                            const std::string& page_token = "") {
    klatch::v1::ListHomeTimelineRequest request;
    request.set_actor(actor);
    request.set_page_size(page_size);
    request.set_page_token(page_token);
    return Parse<klatch::v1::ListHomeTimelineResponse>(
        RunToEnd(reads.ListHome(std::move(request), Deadline())));
  }
  absl::StatusOr<klatch::v1::ListGroupTimelineResponse> GroupPage(
      const std::string& actor, const std::string& group, int page_size,
      const std::string& page_token = "") {
    klatch::v1::ListGroupTimelineRequest request;
    request.set_actor(actor);
    request.set_group(group);
    request.set_page_size(page_size);
    request.set_page_token(page_token);
    return Parse<klatch::v1::ListGroupTimelineResponse>(
        RunToEnd(reads.ListGroup(std::move(request), Deadline())));
  }
  absl::StatusOr<klatch::v1::ListProfileTimelineResponse> Profile(
      const std::string& actor, const std::string& person, int page_size,
      const std::string& page_token = "") {
    klatch::v1::ListProfileTimelineRequest request;
    request.set_actor(actor);
    request.set_person(person);
    request.set_page_size(page_size);
    request.set_page_token(page_token);
    return Parse<klatch::v1::ListProfileTimelineResponse>(
        RunToEnd(reads.ListProfile(std::move(request), Deadline())));
  }
  absl::StatusOr<klatch::v1::GetUpdateResponse> Get(const std::string& actor, UpdateId id) {
    klatch::v1::GetUpdateRequest request;
    request.set_actor(actor);
    request.set_update_id(id.value());
    return RunToEnd(reads.GetUpdate(std::move(request), Deadline()));
  }

  Layout layout;
  ManualClock clock;
  FakePeople people;
  PersonalStore personal{1'000, people.epochs()};
  FakeOwnership ownership;
  GroupDirectory groups;
  BodyStore bodies;
  base::Executor executor;
  Progress progress;
  redis::SocketPipeline pipeline;
  FeedReads reads;

 private:
  void Append(lockfree::TimelineRing& ring, UpdateId id) {
    ring.Append(people.arena(), lockfree::TimelineEntry{id.value(), 0, 0});
    // Tests write more than a ring holds; without a flusher, what is written counts as flushed.
    ring.MarkFlushed(ring.head());
  }
};

template <typename Response>
std::vector<uint64_t> IdsOf(const Response& response) {
  std::vector<uint64_t> ids;
  for (const klatch::v1::Update& update : response.updates()) {
    ids.push_back(update.id());
  }
  return ids;
}

}  // namespace klatch
