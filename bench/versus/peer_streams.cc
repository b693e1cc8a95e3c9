#include "bench/versus/peer_streams.h"

#include <fmt/format.h>

#include <array>
#include <deque>

#include "bench/load/plan/random.h"

namespace klatch::versus {
namespace {

using load::Mix;

// Ids as wide as those that services give: eighteen digits.
constexpr uint64_t kFirstId = 110'000'000'000'000'000;
constexpr uint64_t kIdStep = 1 << 16;

constexpr uint32_t kListCap = 800;
constexpr uint32_t kSortedSetCap = 400;
constexpr uint32_t kReblogFalloff = 40;
constexpr uint32_t kMisskeyCap = 300;
// How many timelines are filled before their answers are read.
constexpr uint32_t kFillAhead = 64;

std::string EncodeNumber(uint64_t number) { return EncodeWord(std::to_string(number)); }

// Keys of one kind, encoded once: what a client spends on text is not to be measured.
std::vector<std::string> EncodeKeys(uint32_t persons, std::string_view before,
                                    std::string_view behind = "") {
  std::vector<std::string> keys;
  keys.reserve(persons);
  for (uint32_t person = 0; person < persons; ++person) {
    keys.push_back(EncodeWord(fmt::format("{}{}{}", before, 100'000 + person, behind)));
  }
  return keys;
}

class ListStream final : public PeerStream {
 public:
  explicit ListStream(uint32_t persons) : keys_(EncodeKeys(persons, "timeline:")) {}

  size_t Fill(uint32_t person, uint64_t next_id, PeerPipeline& out) override {
    std::vector<std::string> ids;
    for (uint32_t i = kListCap; i > 0; --i) {
      ids.push_back(EncodeNumber(next_id - i * kIdStep));
    }
    std::vector<std::string_view> words = {lpush_, keys_[person]};
    words.insert(words.end(), ids.begin(), ids.end());
    out.Append(words);
    return 1;
  }
  size_t Post(std::span<const uint32_t> members, uint64_t id, PeerPipeline& out) override {
    const std::string word = EncodeNumber(id);
    for (const uint32_t person : members) {
      out.Append(std::array<std::string_view, 3>{lpush_, keys_[person], word});
      out.Append(std::array<std::string_view, 4>{ltrim_, keys_[person], first_, last_});
    }
    return 2 * members.size();
  }

 private:
  const std::string lpush_ = EncodeWord("LPUSH");
  const std::string ltrim_ = EncodeWord("LTRIM");
  const std::string first_ = EncodeWord("0");
  const std::string last_ = EncodeWord(std::to_string(kListCap - 1));
  const std::vector<std::string> keys_;
};

class SortedSetStream : public PeerStream {
 public:
  explicit SortedSetStream(uint32_t persons) : keys_(EncodeKeys(persons, "feed:home:")) {}

  size_t Fill(uint32_t person, uint64_t next_id, PeerPipeline& out) override {
    std::vector<std::string> ids;
    for (uint32_t i = kSortedSetCap; i > 0; --i) {
      ids.push_back(EncodeNumber(next_id - i * kIdStep));
    }
    std::vector<std::string_view> words = {zadd_, keys_[person]};
    for (const std::string& id : ids) {
      words.insert(words.end(), {id, id});
    }
    out.Append(words);
    return 1;
  }
  size_t Post(std::span<const uint32_t> members, uint64_t id, PeerPipeline& out) override {
    const std::string word = EncodeNumber(id);
    for (const uint32_t person : members) {
      AppendAdd(keys_[person], word, out);
    }
    return 2 * members.size();
  }

 protected:
  void AppendAdd(std::string_view key, std::string_view id, PeerPipeline& out) const {
    out.Append(std::array<std::string_view, 4>{zadd_, key, id, id});
    out.Append(std::array<std::string_view, 4>{trim_, key, first_, last_});
  }
  std::string_view key(uint32_t person) const { return keys_[person]; }
  std::string_view first() const { return first_; }

 private:
  const std::string zadd_ = EncodeWord("ZADD");
  const std::string trim_ = EncodeWord("ZREMRANGEBYRANK");
  const std::string first_ = EncodeWord("0");
  const std::string last_ = EncodeWord(fmt::format("-{}", kSortedSetCap + 1));
  const std::vector<std::string> keys_;
};

// For each follower: whether a reshare of it is there, the entry, the trim, from which score on
// reshares are tracked no more, whether somebody streams; then the tracked reshares below that score.
// No post here is a reshare, so nothing is tracked: the cheapest case.
class MastodonStream final : public SortedSetStream {
 public:
  explicit MastodonStream(uint32_t persons)
      : SortedSetStream(persons),
        reblogs_(EncodeKeys(persons, "feed:home:", ":reblogs")),
        subscribed_(EncodeKeys(persons, "subscribed:timeline:")) {}

  size_t Post(std::span<const uint32_t> members, uint64_t id, PeerPipeline& out) override {
    const std::string word = EncodeNumber(id);
    for (const uint32_t person : members) {
      out.Append(std::array<std::string_view, 3>{zscore_, reblogs_[person], word});
      AppendAdd(key(person), word, out);
      out.Append(std::array<std::string_view, 5>{zrevrange_, key(person), falloff_, falloff_,
                                                 with_scores_});
      out.Append(std::array<std::string_view, 2>{exists_, subscribed_[person]});
    }
    return kAnswersPerMember * members.size();
  }

  absl::StatusOr<size_t> Follow(std::span<const uint32_t> members, size_t answers,
                                PeerPipeline& pipeline) override {
    std::vector<std::string> scores(members.size());
    KLATCH_RETURN_IF_ERROR(pipeline.Take(answers, [&scores](size_t i, redis::ReplyView reply) {
      if (i % kAnswersPerMember == kFalloffAnswer) {
        scores[i / kAnswersPerMember] = EncodeWord(reply[1].text());
      }
    }));
    for (size_t i = 0; i < members.size(); ++i) {
      pipeline.Append(
          std::array<std::string_view, 4>{by_score_, reblogs_[members[i]], first(), scores[i]});
    }
    return members.size();
  }

 private:
  static constexpr size_t kAnswersPerMember = 5;
  static constexpr size_t kFalloffAnswer = 3;

  const std::string zscore_ = EncodeWord("ZSCORE");
  const std::string zrevrange_ = EncodeWord("ZREVRANGE");
  const std::string falloff_ = EncodeWord(std::to_string(kReblogFalloff));
  const std::string with_scores_ = EncodeWord("WITHSCORES");
  const std::string exists_ = EncodeWord("EXISTS");
  const std::string by_score_ = EncodeWord("ZRANGEBYSCORE");
  const std::vector<std::string> reblogs_;
  const std::vector<std::string> subscribed_;
};

// Ids of sixteen letters and digits; one push in ten also trims.
class MisskeyStream final : public PeerStream {
 public:
  MisskeyStream(uint32_t persons, uint64_t seed)
      : keys_(EncodeKeys(persons, "list:homeTimeline:9abcdefg")), random_(seed) {}

  size_t Fill(uint32_t person, uint64_t next_id, PeerPipeline& out) override {
    std::vector<std::string> ids;
    for (uint32_t i = kMisskeyCap; i > 0; --i) {
      ids.push_back(NoteId(next_id - i * kIdStep));
    }
    std::vector<std::string_view> words = {lpush_, keys_[person]};
    words.insert(words.end(), ids.begin(), ids.end());
    out.Append(words);
    return 1;
  }
  size_t Post(std::span<const uint32_t> members, uint64_t id, PeerPipeline& out) override {
    const std::string word = NoteId(id);
    size_t answers = members.size();
    for (const uint32_t person : members) {
      out.Append(std::array<std::string_view, 3>{lpush_, keys_[person], word});
      if (random_.Below(kPushesPerTrim) == 0) {
        out.Append(std::array<std::string_view, 4>{ltrim_, keys_[person], first_, last_});
        ++answers;
      }
    }
    return answers;
  }

 private:
  static constexpr uint64_t kPushesPerTrim = 10;

  static std::string NoteId(uint64_t id) { return EncodeWord(fmt::format("a{:015x}", id >> 4)); }

  const std::string lpush_ = EncodeWord("LPUSH");
  const std::string ltrim_ = EncodeWord("LTRIM");
  const std::string first_ = EncodeWord("0");
  const std::string last_ = EncodeWord(std::to_string(kMisskeyCap - 1));
  const std::vector<std::string> keys_;
  load::Random random_;
};

}  // namespace

std::string EncodeWord(std::string_view word) {
  return fmt::format("${}\r\n{}\r\n", word.size(), word);
}

absl::StatusOr<std::unique_ptr<PeerPipeline>> PeerPipeline::Connect(
    const std::string& socket_path) {
  std::unique_ptr<PeerPipeline> pipeline(new PeerPipeline(redisConnectUnix(socket_path.c_str())));
  if (pipeline->context_ == nullptr || pipeline->context_->err != 0) {
    return base::Error(absl::StatusCode::kUnavailable,
                       fmt::format("cannot connect to {}", socket_path));
  }
  return pipeline;
}

void PeerPipeline::Append(std::span<const std::string_view> encoded_words) {
  buffer_.clear();
  fmt::format_to(std::back_inserter(buffer_), "*{}\r\n", encoded_words.size());
  for (const std::string_view word : encoded_words) {
    buffer_.append(word);
  }
  redisAppendFormattedCommand(context_.get(), buffer_.data(), buffer_.size());
}

absl::Status PeerPipeline::Send() {
  for (int done = 0; done == 0;) {
    if (redisBufferWrite(context_.get(), &done) != REDIS_OK) {
      return base::Error(absl::StatusCode::kUnavailable, context_->errstr);
    }
  }
  return absl::OkStatus();
}

absl::Status PeerPipeline::Take(size_t count,
                                const std::function<void(size_t, redis::ReplyView)>& take) {
  for (size_t i = 0; i < count; ++i) {
    void* raw = nullptr;
    if (redisGetReply(context_.get(), &raw) != REDIS_OK) {
      return base::Error(absl::StatusCode::kUnavailable, context_->errstr);
    }
    const redis::Reply reply(static_cast<redisReply*>(raw));
    if (reply.is_error()) {
      return base::Error(absl::StatusCode::kInternal, reply.text());
    }
    take(i, reply.view());
  }
  return absl::OkStatus();
}

absl::StatusOr<size_t> PeerStream::Follow(std::span<const uint32_t>, size_t answers,
                                          PeerPipeline& pipeline) {
  KLATCH_RETURN_IF_ERROR(pipeline.Take(answers, [](size_t, redis::ReplyView) {}));
  return 0;
}

std::unique_ptr<PeerStream> MakeListStream(uint32_t persons) {
  return std::make_unique<ListStream>(persons);
}
std::unique_ptr<PeerStream> MakeSortedSetStream(uint32_t persons) {
  return std::make_unique<SortedSetStream>(persons);
}
std::unique_ptr<PeerStream> MakeMastodonStream(uint32_t persons) {
  return std::make_unique<MastodonStream>(persons);
}
std::unique_ptr<PeerStream> MakeMisskeyStream(uint32_t persons, uint64_t seed) {
  return std::make_unique<MisskeyStream>(persons, seed);
}

struct PeerDriver::UnderWay {
  std::span<const uint32_t> members;
  size_t answers = 0;
  // Nothing follows from its answers.
  bool is_follow_up = false;
};

PeerDriver::PeerDriver(std::unique_ptr<PeerPipeline> pipeline, std::unique_ptr<PeerStream> stream,
                       std::span<const std::span<const uint32_t>> groups, uint64_t seed)
    : pipeline_(std::move(pipeline)),
      stream_(std::move(stream)),
      groups_(groups),
      random_(seed),
      next_id_(kFirstId) {}

absl::Status PeerDriver::Fill(uint32_t persons) {
  size_t answers = 0;
  const auto ignore = [](size_t, redis::ReplyView) {};
  for (uint32_t person = 0; person < persons; ++person) {
    answers += stream_->Fill(person, next_id_, *pipeline_);
    if (answers >= kFillAhead) {
      KLATCH_RETURN_IF_ERROR(pipeline_->Send());
      KLATCH_RETURN_IF_ERROR(pipeline_->Take(answers, ignore));
      answers = 0;
    }
  }
  KLATCH_RETURN_IF_ERROR(pipeline_->Send());
  return pipeline_->Take(answers, ignore);
}

absl::Status PeerDriver::FinishOldest(std::deque<UnderWay>& under_way) {
  const UnderWay post = under_way.front();
  under_way.pop_front();
  if (post.is_follow_up) {
    return pipeline_->Take(post.answers, [](size_t, redis::ReplyView) {});
  }
  KLATCH_ASSIGN_OR_RETURN(const size_t answers,
                          stream_->Follow(post.members, post.answers, *pipeline_));
  if (answers != 0) {
    under_way.push_back({post.members, answers, true});
  }
  return absl::OkStatus();
}

absl::StatusOr<double> PeerDriver::Run(std::chrono::duration<double> time) {
  const auto start = std::chrono::steady_clock::now();
  const auto elapsed = [start] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start);
  };
  std::deque<UnderWay> under_way;
  uint64_t deliveries = 0;
  while (elapsed() < time) {
    const auto members = groups_[Mix(random_++) % groups_.size()];
    under_way.push_back({members, stream_->Post(members, next_id_ += kIdStep, *pipeline_)});
    deliveries += members.size();
    KLATCH_RETURN_IF_ERROR(pipeline_->Send());
    while (under_way.size() > kPostsAhead) {
      KLATCH_RETURN_IF_ERROR(FinishOldest(under_way));
    }
  }
  while (!under_way.empty()) {
    KLATCH_RETURN_IF_ERROR(FinishOldest(under_way));
  }
  return static_cast<double>(deliveries) / elapsed().count();
}

}  // namespace klatch::versus
