#pragma once
// What all parts of a history share: who is called what, calls that are repeated until their outcome
// is known, the tokens of what was written, and the first thing that was found to be wrong.
//
// Thread safety: one thread.

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/integration/history_model.h"
#include "tests/integration/klatchd_client.h"

namespace klatch::testing {

// The longest that a call is repeated while klatchd is away.
constexpr std::chrono::seconds kRepeatedFor{90};

class Random {
 public:
  // The first choices are those of `choices`, as long as its bytes last; then the seed's.
  explicit Random(uint64_t seed, std::string choices = "")
      : engine_(seed), choices_(std::move(choices)) {}

  uint64_t Below(uint64_t end) { return (has_choices() ? Chosen(end) : engine_()) % end; }
  bool has_choices() const { return next_ < choices_.size(); }
  bool Chance(uint64_t percent) { return Below(100) < percent; }
  template <typename Item>
  const Item& Pick(const std::vector<Item>& from) {
    return from[Below(from.size())];
  }

 private:
  // Of as many bytes as `end` needs.
  uint64_t Chosen(uint64_t end) {
    uint64_t chosen = 0;
    for (uint64_t rest = end - 1; rest > 0 && has_choices(); rest >>= 8) {
      chosen = chosen << 8 | static_cast<uint8_t>(choices_[next_++]);
    }
    return chosen;
  }

  std::mt19937_64 engine_;
  const std::string choices_;
  size_t next_ = 0;
};

// Ids as an app may choose them, of one world among many on the same klatchd.
class Names {
 public:
  explicit Names(int world) : world_(world) {}

  std::string Of(PersonNumber person) const {
    return fmt::format("{}:p{}}}", world_, IndexOf(person));
  }
  std::string Of(GroupNumber group) const {
    return fmt::format("{}:{{g%{}", world_, IndexOf(group));
  }

 private:
  const int world_;
};

// What has happened lately, and the first thing that was wrong. Whoever reports goes on as if nothing
// had happened; the history stops behind the operation.
class Findings {
 public:
  void Note(std::string line) {
    lines_.push_back(std::move(line));
    if (lines_.size() > kLinesMax) {
      lines_.pop_front();
    }
  }
  void Report(const std::string& what) {
    if (mismatch_.empty()) {
      mismatch_ = what + "\nafter:\n";
      for (const std::string& line : lines_) {
        mismatch_ += "  " + line + "\n";
      }
    }
  }
  // Empty if nothing was wrong.
  const std::string& mismatch() const { return mismatch_; }
  bool any() const { return !mismatch_.empty(); }

 private:
  static constexpr size_t kLinesMax = 120;

  std::deque<std::string> lines_;
  std::string mismatch_;
};

// Calls klatchd until the outcome is known, across its death.
class Caller {
 public:
  explicit Caller(std::shared_ptr<grpc::Channel> channel)
      : channel_(std::move(channel)),
        feed_(v1::FeedService::NewStub(channel_)),
        groups_(v1::GroupService::NewStub(channel_)),
        persons_(v1::PersonService::NewStub(channel_)) {}

  template <typename Stub, typename Request, typename Response>
  Answer<Response> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                     Response*),
                        const std::type_identity_t<Request>& request) {
    const auto end = std::chrono::steady_clock::now() + kRepeatedFor;
    for (tries_ = 1;; ++tries_) {
      ++calls_;
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + kCallDeadline);
      Answer<Response> answer;
      answer.status =
          (StubOf(static_cast<Stub*>(nullptr)).*method)(&context, request, &answer.response);
      if (!IsUndecided(answer.status) || std::chrono::steady_clock::now() > end) {
        return answer;
      }
      Pause(answer.status);
    }
  }

  // Whether the last call may have been done by an earlier try than the one that was answered.
  bool was_repeated() const { return tries_ > 1; }
  int tries() const { return tries_; }
  int64_t calls() const { return calls_; }
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }

  static bool IsUndecided(const grpc::Status& status) {
    return status.error_code() == grpc::StatusCode::UNAVAILABLE ||
           status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED ||
           status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED;
  }

 private:
  v1::FeedService::Stub& StubOf(v1::FeedService::Stub*) { return *feed_; }
  v1::GroupService::Stub& StubOf(v1::GroupService::Stub*) { return *groups_; }
  v1::PersonService::Stub& StubOf(v1::PersonService::Stub*) { return *persons_; }

  void Pause(const grpc::Status& status) {
    constexpr std::chrono::milliseconds kPause{5};
    channel_->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(1));
    std::this_thread::sleep_for(
        std::max<std::chrono::nanoseconds>(RetryDelay(status).value_or(kPause), kPause));
  }

  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::FeedService::Stub> feed_;
  const std::unique_ptr<v1::GroupService::Stub> groups_;
  const std::unique_ptr<v1::PersonService::Stub> persons_;
  int tries_ = 0;
  int64_t calls_ = 0;
};

// The last position per shard: a read that carries them sees all that was written.
class LastTokens {
 public:
  void Add(const Tokens& tokens) {
    for (const v1::Token& token : tokens) {
      uint64_t& last = last_[token.shard()];
      last = std::max<uint64_t>(last, token.position());
    }
  }
  Tokens Get() const {
    Tokens tokens;
    for (const auto& [shard, position] : last_) {
      v1::Token* token = tokens.Add();
      token->set_shard(shard);
      token->set_position(position);
    }
    return tokens;
  }

 private:
  std::map<uint32_t, uint64_t> last_;
};

// What the parts of one world work on.
struct HistoryDesk {
  Caller& caller;
  Model& model;
  const Names& names;
  Findings& findings;
  Random& random;
  LastTokens& tokens;
};

inline std::string CodeName(grpc::StatusCode code) {
  constexpr std::array kNames = {"OK",
                                 "CANCELLED",
                                 "UNKNOWN",
                                 "INVALID_ARGUMENT",
                                 "DEADLINE_EXCEEDED",
                                 "NOT_FOUND",
                                 "ALREADY_EXISTS",
                                 "PERMISSION_DENIED",
                                 "RESOURCE_EXHAUSTED",
                                 "FAILED_PRECONDITION",
                                 "ABORTED",
                                 "OUT_OF_RANGE",
                                 "UNIMPLEMENTED",
                                 "INTERNAL",
                                 "UNAVAILABLE",
                                 "DATA_LOSS",
                                 "UNAUTHENTICATED"};
  return static_cast<size_t>(code) < kNames.size() ? kNames[code] : "?";
}

}  // namespace klatch::testing
