#include "services/groups/sync_reactor.h"

#include <fmt/format.h>
#include <grpcpp/alarm.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>

#include "common/base/decimal.h"
#include "common/base/invalid_field.h"
#include "services/accept/call.h"
#include "services/accept/grpc_status.h"
#include "services/identity/audit.h"
#include "services/identity/caller.h"
#include "services/model/limits.h"

namespace klatch {
namespace {

using Reactor = grpc::ServerReadReactor<grpc::ByteBuffer>;

constexpr std::chrono::milliseconds kRetryWhenFull{1'000};

const CallName& SyncManyCall() {
  static const CallName& call = CallOf(*v1::SyncManyMembersRequest::descriptor());
  return call;
}

// One of the streams that a node takes at once. It is given back by whoever destroys it.
class Place {
 public:
  // Nothing if all are taken.
  static std::optional<Place> Take(std::atomic<size_t>& taken) {
    // relaxed, here and below: a counter.
    if (taken.fetch_add(1, std::memory_order_relaxed) >= limits::kSyncsMax) {
      taken.fetch_sub(1, std::memory_order_relaxed);
      return std::nullopt;
    }
    return Place(taken);
  }
  Place(Place&& other) noexcept : taken_(std::exchange(other.taken_, nullptr)) {}
  Place& operator=(Place&&) = delete;
  ~Place() {
    if (taken_ != nullptr) {
      taken_->fetch_sub(1, std::memory_order_relaxed);
    }
  }

 private:
  explicit Place(std::atomic<size_t>& taken) : taken_(&taken) {}

  std::atomic<size_t>* taken_;
};

// It deletes itself when gRPC is done with it; until then the call counts as under way.
class SyncReactor final : public Reactor {
 public:
  // `auditor`: whose call is written down; nobody's if nothing.
  SyncReactor(grpc::ByteBuffer* out, GroupCalls& groups, Place place, CallGate::Pass pass,
              base::MonotonicTime deadline, std::optional<Caller> auditor)
      : out_(out),
        groups_(groups),
        place_(std::move(place)),
        pass_(std::move(pass)),
        deadline_(deadline),
        auditor_(std::move(auditor)),
        reading_(std::make_shared<Reading>()) {}

  // Once it is constructed whole. `ends`: when the client has to have said everything.
  void Begin(base::WallTime ends) {
    alarm_.Set(ends, [this, reading = reading_](bool is_late) {
      // The reactor is there as long as it reads: nothing else may finish it meanwhile.
      std::lock_guard lock(reading->mutex);
      if (is_late && std::exchange(reading->goes_on, false)) {
        FinishWith(base::Error(absl::StatusCode::kDeadlineExceeded,
                               "the deadline came before the end of the stream"));
      }
    });
    ReadNext();
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      End();
      return;
    }
    v1::SyncManyMembersRequest part;
    const size_t bytes = in_.Length();
    absl::Status status = upload_.InWhole(ParseRequest(in_, part));
    if (status.ok()) {
      status = upload_.Add(std::move(part), bytes);
    }
    if (status.ok()) {
      ReadNext();
    } else if (EndReading()) {
      FinishWith(status);
    }
  }

  void OnDone() override {
    // Last: who drains may take the calls apart when the gate is empty.
    const CallGate::Pass held = std::move(pass_);
    delete this;
  }

 private:
  // Shared with the alarm, which may be under way when the reactor goes.
  struct Reading {
    std::mutex mutex;
    bool goes_on = true;  // guarded by mutex
  };

  // Under the mutex: nothing may be started once the stream is finished.
  void ReadNext() {
    std::lock_guard lock(reading_->mutex);
    if (reading_->goes_on) {
      StartRead(&in_);
    }
  }

  // Whether it is the caller's to finish the stream.
  bool EndReading() {
    std::lock_guard lock(reading_->mutex);
    return std::exchange(reading_->goes_on, false);
  }

  // All has been read, or the connection broke, which looks the same.
  void End() {
    if (!EndReading()) {
      return;
    }
    absl::StatusOr<v1::SyncMembersRequest> request = upload_.Take();
    if (!request.ok()) {
      FinishWith(request.status());
      return;
    }
    base::Spawn(Run(*std::move(request)));
  }

  base::Task<void> Run(v1::SyncMembersRequest request) {
    const AuditLine audit = auditor_ ? AuditLine(*auditor_, SyncManyCall(), request) : AuditLine();
    auto syncing = groups_.SyncManyMembers(std::move(request), deadline_);
    const absl::StatusOr<v1::SyncManyMembersResponse> response = co_await std::move(syncing);
    const absl::Status status =
        audit.End(response.status()).ok() ? SerializeResponse(*response, *out_) : response.status();
    FinishWith(status);
  }

  // By whoever ended the reading. The reactor may be gone afterwards.
  void FinishWith(const absl::Status& status) {
    // Before the answer: whoever has it may come with the next list at once.
    place_.reset();
    Finish(ToGrpcStatus(status));
  }

  grpc::ByteBuffer* const out_;
  GroupCalls& groups_;
  std::optional<Place> place_;
  CallGate::Pass pass_;
  const base::MonotonicTime deadline_;
  const std::optional<Caller> auditor_;
  const std::shared_ptr<Reading> reading_;
  grpc::ByteBuffer in_;
  MembersUpload upload_;
  grpc::Alarm alarm_;
};

// A call that is not let in.
class RefusedReactor final : public Reactor {
 public:
  explicit RefusedReactor(const absl::Status& status) { Finish(ToGrpcStatus(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

absl::Status MembersUpload::Add(v1::SyncManyMembersRequest part, size_t bytes) {
  if (!has_begun_) {
    has_begun_ = true;
    member_count_ = part.member_count();
    request_.set_namespace_(part.namespace_());
    request_.set_group(part.group());
    request_.set_version(part.version());
    if (member_count_ == 0 || member_count_ > limits::kSyncMembersMax) {
      return base::InvalidField(
          "member_count",
          fmt::format("is {}; 1 to {} are allowed", member_count_, limits::kSyncMembersMax));
    }
  } else if (!part.namespace_().empty()) {
    return base::InvalidField("namespace", "goes with the first message only");
  } else if (!part.group().empty()) {
    return base::InvalidField("group", "goes with the first message only");
  } else if (part.version() != 0) {
    return base::InvalidField("version", "goes with the first message only");
  } else if (part.member_count() != 0) {
    return base::InvalidField("member_count", "goes with the first message only");
  }
  bytes_ += bytes;
  if (bytes_ > limits::kSyncBytesMax) {
    return base::FieldError(absl::StatusCode::kResourceExhausted, "members",
                            fmt::format("has more than {} bytes", limits::kSyncBytesMax));
  }
  const auto members = static_cast<size_t>(request_.members_size() + part.members_size());
  if (members > member_count_) {
    return base::InvalidField("member_count",
                              fmt::format("is {}, and more have come", member_count_));
  }
  for (v1::Member& member : *part.mutable_members()) {
    *request_.add_members() = std::move(member);
  }
  return absl::OkStatus();
}

absl::Status MembersUpload::InWhole(const absl::Status& status) const {
  constexpr std::string_view kList = "members[";
  const auto violation = base::FieldViolationOf(status);
  if (!violation || !violation->field.starts_with(kList)) {
    return status;
  }
  const std::string_view rest = std::string_view(violation->field).substr(kList.size());
  const size_t digits = std::min(rest.find(']'), rest.size());
  const auto index = base::ParseDecimal(rest.substr(0, digits));
  if (!index) {
    return status;
  }
  const uint64_t before = static_cast<uint64_t>(request_.members_size());
  return base::InvalidField(fmt::format("{}{}{}", kList, before + *index, rest.substr(digits)),
                            violation->description);
}

absl::StatusOr<v1::SyncMembersRequest> MembersUpload::Take() {
  if (!has_begun_) {
    return base::InvalidField("group", "is missing: the stream has no message");
  }
  if (static_cast<uint32_t>(request_.members_size()) != member_count_) {
    return base::InvalidField(
        "member_count", fmt::format("is {}, and {} have come: nothing was changed", member_count_,
                                    request_.members_size()));
  }
  return std::move(request_);
}

grpc::ServerReadReactor<grpc::ByteBuffer>* SyncCalls::SyncMany(grpc::CallbackServerContext* context,
                                                               grpc::ByteBuffer* out) {
  CallGate::Pass pass = gate_.Enter();
  if (!pass.granted()) {
    return new RefusedReactor(RefusalStatus(pass.refusal()));
  }
  Caller caller;
  if (door_ != nullptr) {
    // It names no actor: who may call it acts for anybody.
    absl::StatusOr<Caller> entered = door_->Enter(CredentialsOf(*context), SyncManyCall());
    if (!entered.ok()) {
      return new RefusedReactor(entered.status());
    }
    caller = *std::move(entered);
  }
  std::optional<Place> place = Place::Take(under_way_);
  if (!place.has_value()) {
    return new RefusedReactor(base::RetryLater(absl::StatusCode::kResourceExhausted,
                                               "other lists of members are under way",
                                               kRetryWhenFull));
  }
  const base::MonotonicTime deadline = DeadlineOf(*context, clock_);
  auto* reactor =
      new SyncReactor(out, groups_, *std::move(place), std::move(pass), deadline,
                      audits_ ? std::optional<Caller>(std::move(caller)) : std::nullopt);
  reactor->Begin(clock_.Wall() + std::chrono::duration_cast<base::WallTime::duration>(
                                     deadline - clock_.Monotonic()));
  return reactor;
}

}  // namespace klatch
