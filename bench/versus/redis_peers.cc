#include "bench/versus/redis_peers.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "bench/load/plan/generated_graph.h"
#include "bench/load/result/report.h"
#include "bench/versus/arithmetic.h"
#include "bench/versus/peer_streams.h"
#include "bench/versus/stored_bytes.h"

namespace klatch::versus {
namespace {

constexpr uint32_t kGroupSize = 400;
constexpr uint32_t kCap = 800;
// Of random groups some people get fewer posts than others: with a fifth more than the cap on average,
// all have as many as the cap.
constexpr double kFillFactor = 1.2;
constexpr uint64_t kMiB = uint64_t{1} << 20;
// What a person takes in Klatch's rings, a list, a sorted set (130 bytes an entry) and Misskey's list.
constexpr uint64_t kBytesPerPerson = 100 << 10;
constexpr uint64_t kBytesBesides = 1024 * kMiB;
// By how much one post per call is slower, about: how many posts the first slice has is guessed.
constexpr double kUnaryGuess = 3;
// The rule of the lab: what was delivered is in Redis within a second. A flusher's pass takes part of it,
// and posts are held back when one takes longer.
constexpr double kAgeMax = 1;
constexpr std::string_view kEntryAge = "klatch_flushed_entry_age_seconds";
const std::vector<std::string> kPasses = {"--flush-interval", "250ms", "--admission-flush-age",
                                          "600ms"};

std::string Millions(double per_second) { return fmt::format("{:.3f} M/s", per_second / 1e6); }

// Klatch with full timelines.
class KlatchSide {
 public:
  explicit KlatchSide(Lab& lab) : lab_(lab) {}

  absl::Status Fill() {
    KLATCH_ASSIGN_OR_RETURN(redis_, lab_.StartRedis("klatch-redis"));
    KLATCH_ASSIGN_OR_RETURN(node_, lab_.StartNode("klatchd", *redis_, kPasses));
    KLATCH_ASSIGN_OR_RETURN(
        const PlayResult filled,
        Play(static_cast<uint64_t>(kFillFactor * kCap * lab_.options().PersonCount()), kBatched));
    batched_rate_ = filled.per_second();
    // Of what is timed only: until something is written, the node says what it said last.
    KLATCH_ASSIGN_OR_RETURN(age_before_, node_->Metric(kEntryAge));
    age_max_ = 0;
    return CheckFull(*redis_, lab_.options().PersonCount(), kCap);
  }

  // Deliveries per second of one slice.
  absl::StatusOr<double> RunBatched() { return Run(kBatched, batched_rate_); }
  absl::StatusOr<double> RunUnary() {
    if (unary_rate_ == 0) {
      unary_rate_ = batched_rate_ / kUnaryGuess;
    }
    return Run(kUnary, unary_rate_);
  }

  std::vector<std::string> Notes() const {
    return {fmt::format("{:.2f} % of the deliveries were written to Redis as ids",
                        100 * written_ / std::max(1.0, delivered_)),
            fmt::format(
                "what came into Redis was {:.2f} s old at most, looked at four times a second{}",
                age_max_, age_max_ > kAgeMax ? ": more than the second of the rule" : "")};
  }
  const RedisHost& redis() const { return *redis_; }

 private:
  // Reading everybody's pages would take longer than the load; of Redis's rings all are compared.
  static constexpr char kChecked[] = "1000";
  static inline const std::vector<std::string> kBatched = {"--batch", "100"};
  static inline const std::vector<std::string> kUnary = {"--batch", "16", "--one-per-call"};

  absl::StatusOr<double> Run(const std::vector<std::string>& how, double& rate) {
    KLATCH_ASSIGN_OR_RETURN(const double delivered, node_->Metric("klatch_deliveries_total"));
    KLATCH_ASSIGN_OR_RETURN(const double written, node_->Metric("klatch_flushed_entries_total"));
    const double wanted = rate * lab_.options().Slice().count();
    KLATCH_ASSIGN_OR_RETURN(
        const PlayResult played,
        Play(std::max<uint64_t>(kGroupSize, static_cast<uint64_t>(wanted)), how));
    KLATCH_ASSIGN_OR_RETURN(const double delivered_then, node_->Metric("klatch_deliveries_total"));
    KLATCH_ASSIGN_OR_RETURN(const double written_then,
                            node_->Metric("klatch_flushed_entries_total"));
    delivered_ += delivered_then - delivered;
    written_ += written_then - written;
    rate = played.per_second();
    return rate;
  }

  absl::StatusOr<PlayResult> Play(uint64_t deliveries, const std::vector<std::string>& how) {
    std::vector<std::string> arguments = {"--persons",
                                          std::to_string(lab_.options().PersonCount()),
                                          "--group-size",
                                          std::to_string(kGroupSize),
                                          "--cap",
                                          std::to_string(kCap),
                                          "--deliveries",
                                          std::to_string(deliveries),
                                          "--check-timelines",
                                          kChecked};
    arguments.insert(arguments.end(), how.begin(), how.end());
    return lab_.Play(*node_, *redis_, arguments, [this] {
      if (const auto age = node_->Metric(kEntryAge); age.ok() && *age != age_before_) {
        age_max_ = std::max(age_max_, *age);
      }
    });
  }

  Lab& lab_;
  std::unique_ptr<RedisHost> redis_;
  std::unique_ptr<NodeHost> node_;
  double batched_rate_ = 0;
  double unary_rate_ = 0;
  double delivered_ = 0;
  double written_ = 0;
  double age_before_ = 0;
  double age_max_ = 0;
};

// One peer with full timelines, and what it did in each slice.
struct Peer {
  std::string_view name;
  std::unique_ptr<PeerDriver> driver;
  std::vector<double> rates;
};

class RedisPeers {
 public:
  explicit RedisPeers(Lab& lab) : lab_(lab), klatch_(lab) {}

  absl::StatusOr<std::vector<Figure>> Measure() {
    KLATCH_RETURN_IF_ERROR(CheckMemory());
    KLATCH_RETURN_IF_ERROR(Group());
    SayProgress(fmt::format("filling {} timelines of Klatch to {} entries",
                            lab_.options().PersonCount(), kCap));
    KLATCH_RETURN_IF_ERROR(klatch_.Fill());
    KLATCH_RETURN_IF_ERROR(FillPeers());
    for (uint32_t slice = 0; slice < lab_.options().SliceCount() && WantsRates(); ++slice) {
      KLATCH_RETURN_IF_ERROR(RunSlice(slice));
    }
    std::vector<Figure> figures = Ratios();
    if (lab_.options().Wants("redis_bytes_per_entry")) {
      KLATCH_ASSIGN_OR_RETURN(
          figures.emplace_back(),
          StoredBytesPerEntry(klatch_.redis(), uint64_t{kCap} * lab_.options().PersonCount()));
    }
    return figures;
  }

 private:
  bool Wants(std::string_view key) const { return lab_.options().Wants(key); }
  bool WantsUnary() const { return Wants("list_ratio_unary"); }
  bool WantsBatched() const {
    return Wants("list_ratio") || Wants("zset_ratio") || Wants("mastodon_ratio") ||
           Wants("misskey_ratio");
  }
  bool WantsRates() const { return WantsBatched() || WantsUnary(); }

  absl::Status CheckMemory() const {
    const uint64_t needed = kBytesBesides + kBytesPerPerson * lab_.options().PersonCount();
    return AvailableMemoryBytes() >= needed
               ? absl::OkStatus()
               : base::Error(absl::StatusCode::kResourceExhausted,
                             fmt::format("needs {} MiB of memory, {} are free: see --persons",
                                         needed / kMiB, AvailableMemoryBytes() / kMiB));
  }

  absl::Status Group() {
    KLATCH_ASSIGN_OR_RETURN(graph_, load::GenerateUniform({.persons = lab_.options().PersonCount(),
                                                           .group_size = kGroupSize},
                                                          lab_.options().seed));
    for (uint32_t group = 0; group < graph_->group_count(); ++group) {
      groups_.emplace_back(graph_->group(group).members);
    }
    return absl::OkStatus();
  }

  absl::Status FillPeers() {
    const uint32_t persons = lab_.options().PersonCount();
    if (Wants("list_ratio") || WantsUnary()) {
      KLATCH_RETURN_IF_ERROR(StartPeer(list_, "LPUSH + LTRIM", "list", MakeListStream(persons)));
    }
    if (Wants("zset_ratio") || Wants("mastodon_ratio")) {
      KLATCH_RETURN_IF_ERROR(
          StartPeer(sorted_set_, "ZADD + ZREMRANGEBYRANK", "zset", MakeSortedSetStream(persons)));
    }
    if (Wants("mastodon_ratio")) {
      // On the same timelines: memory for two such sets is not everywhere.
      KLATCH_RETURN_IF_ERROR(
          Drive(mastodon_, "Mastodon's commands", *redises_.back(), MakeMastodonStream(persons)));
    }
    if (Wants("misskey_ratio")) {
      KLATCH_RETURN_IF_ERROR(StartPeer(misskey_, "Misskey's commands", "misskey",
                                       MakeMisskeyStream(persons, lab_.options().seed)));
    }
    return absl::OkStatus();
  }

  absl::Status StartPeer(Peer& peer, std::string_view name, const std::string& redis,
                         std::unique_ptr<PeerStream> stream) {
    SayProgress(fmt::format("filling the timelines of {}", name));
    KLATCH_ASSIGN_OR_RETURN(redises_.emplace_back(), lab_.StartRedis(redis));
    KLATCH_RETURN_IF_ERROR(Drive(peer, name, *redises_.back(), std::move(stream)));
    return peer.driver->Fill(lab_.options().PersonCount());
  }
  absl::Status Drive(Peer& peer, std::string_view name, const RedisHost& redis,
                     std::unique_ptr<PeerStream> stream) {
    peer.name = name;
    KLATCH_ASSIGN_OR_RETURN(auto pipeline, PeerPipeline::Connect(redis.address().socket_path));
    peer.driver = std::make_unique<PeerDriver>(std::move(pipeline), std::move(stream), groups_,
                                               lab_.options().seed);
    return absl::OkStatus();
  }

  absl::Status RunSlice(uint32_t slice) {
    std::string said = fmt::format("slice {}:", slice + 1);
    if (WantsBatched()) {
      KLATCH_ASSIGN_OR_RETURN(batched_.emplace_back(), klatch_.RunBatched());
      said += fmt::format(" Klatch {};", Millions(batched_.back()));
    }
    if (WantsUnary()) {
      KLATCH_ASSIGN_OR_RETURN(unary_.emplace_back(), klatch_.RunUnary());
      said += fmt::format(" one post per call {};", Millions(unary_.back()));
    }
    for (Peer* peer : {&list_, &sorted_set_, &mastodon_, &misskey_}) {
      if (lab_.interrupted()) {
        return base::Error(absl::StatusCode::kCancelled, "interrupted");
      }
      if (peer->driver != nullptr) {
        KLATCH_ASSIGN_OR_RETURN(peer->rates.emplace_back(),
                                peer->driver->Run(lab_.options().Slice()));
        said += fmt::format(" {} {};", peer->name, Millions(peer->rates.back()));
      }
    }
    said.pop_back();
    SayProgress(said);
    return absl::OkStatus();
  }

  std::vector<Figure> Ratios() const {
    std::vector<Figure> figures;
    const auto add = [&](std::string_view key, std::string_view what,
                         const std::vector<double>& rates, const Peer& peer) {
      if (Wants(key)) {
        figures.push_back(RatioFigure(key, {std::string(what), 0, "deliveries/s"}, rates,
                                      {std::string(peer.name), 0, "deliveries/s"}, peer.rates,
                                      lab_.options().Timed().count()));
        figures.back().notes = klatch_.Notes();
      }
    };
    add("list_ratio", "Klatch, batches of 100", batched_, list_);
    add("list_ratio_unary", "Klatch, 64 calls of one post at once", unary_, list_);
    add("zset_ratio", "Klatch, batches of 100", batched_, sorted_set_);
    add("mastodon_ratio", "Klatch, batches of 100", batched_, mastodon_);
    add("misskey_ratio", "Klatch, batches of 100", batched_, misskey_);
    return figures;
  }

  Lab& lab_;
  KlatchSide klatch_;
  std::unique_ptr<const load::Graph> graph_;
  // Views into graph_.
  std::vector<std::span<const uint32_t>> groups_;
  std::vector<std::unique_ptr<RedisHost>> redises_;
  Peer list_;
  Peer sorted_set_;
  Peer mastodon_;
  Peer misskey_;
  std::vector<double> batched_;
  std::vector<double> unary_;
};

}  // namespace

absl::StatusOr<std::vector<Figure>> MeasureRedisPeers(Lab& lab) {
  return RedisPeers(lab).Measure();
}

}  // namespace klatch::versus
