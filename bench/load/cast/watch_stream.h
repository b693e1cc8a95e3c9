#pragma once
// One stream of watches that lasts the whole load: of one person, or a gateway's of many. When its
// connection breaks, be it dropped on purpose or with its node, it goes on from its last token.
//
// Threads: Run by a thread of its own; all else from any thread.
// Errors: an end that a retry cannot help, and a person who is refused for good, are faults in `violations`;
// the stream ends, and what it has not shown will be missing.

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "bench/load/calls/client.h"
#include "bench/load/oracle/violations.h"
#include "bench/load/oracle/watch_log.h"
#include "klatch/v1/feed_service.grpc.pb.h"

namespace klatch::load {

class WatchStream {
 public:
  enum class Kind { kOnePerson, kGateway };
  // Something may be missing since this id: read a page.
  using OnGap = std::function<void(std::span<const PersonNumber> persons, uint64_t since)>;

  struct Options {
    Client::Options client;
    Kind kind = Kind::kGateway;
    std::vector<PersonNumber> persons;  // one, or at least one
    std::string token;                  // a page's, or empty: from now on
    OnGap on_gap;
  };

  WatchStream(const Graph& graph, Options options, RunState& state, Violations& violations);

  // Until Stop, or the run must stop.
  void Run();
  void Stop();

  // Whether everybody is watched and there is a token to go on from, before `timeout`.
  bool AwaitBegun(std::chrono::milliseconds timeout);
  // Until a heartbeat comes: what was shown before has all come, and with a token behind it. False if
  // none does before `timeout`.
  bool AwaitHeartbeat(std::chrono::milliseconds timeout);
  // Breaks the connection, if there is one that has begun and a token to go on from.
  void Drop();

  // What a page behind a gap has shown; `trimmed`: it said that older ones are kept no longer.
  void AddPaged(PersonNumber person, const std::vector<uint64_t>& updates, bool trimmed);

  // A copy, so that it may be judged while the stream goes on.
  WatchLog log() const;
  const std::vector<PersonNumber>& persons() const { return options_.persons; }

 private:
  bool IsOver() const;
  grpc::Status Connect(grpc::ClientContext& context);
  grpc::Status WatchOne(grpc::ClientContext& context, const std::string& token);
  grpc::Status WatchMany(grpc::ClientContext& context, const std::string& token);
  void OnBroken();
  void Pause();

  template <typename Response>
  void Take(const Response& message);
  void NoteBegun(const klatch::v1::WatchHomeTimelineResponse& message);
  void NoteBegun(const klatch::v1::WatchHomeTimelinesResponse& message);
  void Begun();
  std::vector<PersonNumber> PersonsOf(const klatch::v1::WatchEvent& event) const;
  void TakeEvent(const klatch::v1::WatchEvent& event, std::span<const PersonNumber> persons);
  void TakeGap(const klatch::v1::Gap& gap, std::span<const PersonNumber> persons);
  void TakeMembership(const std::string& group, bool left, std::span<const PersonNumber> persons);
  void TakeUpdate(WatchNote note, const klatch::v1::Update& update,
                  std::span<const PersonNumber> persons);
  bool HasLeftAll(PersonNumber person, const klatch::v1::Update& update) const;

  const Graph& graph_;
  const Options options_;
  RunState& state_;
  Violations& violations_;
  const std::unique_ptr<klatch::v1::FeedService::Stub> feed_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  WatchLog log_;
  size_t committed_ = 0;  // notes with a token behind them
  std::string token_;
  uint64_t token_ms_ = 0;  // since 2024, of its coming
  uint64_t heartbeats_ = 0;
  bool begun_ = false;     // on this connection
  bool is_void_ = false;   // it has refused somebody for now: what it says counts for nothing
  bool resuming_ = false;  // the connection goes on from a token of an earlier one
  std::chrono::steady_clock::time_point broken_;  // the earlier one
  bool stopping_ = false;
  grpc::ClientContext* context_ = nullptr;
  // Groups that persons have been told to have left.
  std::set<std::pair<PersonNumber, std::string>> left_;
};

}  // namespace klatch::load
