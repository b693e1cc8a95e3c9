#include "bench/load/sampler.h"

#include <sys/resource.h>

#include <algorithm>
#include <charconv>
#include <map>

namespace klatch::load {
namespace {

using std::chrono_literals::operator""s;

constexpr double kMillisecondsPerSecond = 1'000;

double OwnCpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

// A field of INFO.
std::optional<double> InfoValue(std::string_view info, std::string_view name) {
  const size_t line = info.find(name);
  if (line == std::string_view::npos || info.substr(line + name.size(), 1) != ":") {
    return std::nullopt;
  }
  const std::string_view text = info.substr(line + name.size() + 1);
  double value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  return parsed.ec == std::errc() ? std::optional(value) : std::nullopt;
}

std::optional<double> Difference(std::optional<double> before, std::optional<double> after) {
  // A node that was started again counts from 0.
  if (!before.has_value() || !after.has_value() || *after < *before) {
    return std::nullopt;
  }
  return *after - *before;
}

void Add(std::optional<double> part, std::optional<double>& sum) {
  if (part.has_value()) {
    sum = sum.value_or(0) + *part;
  }
}

std::optional<double> Scaled(std::optional<double> value, double factor) {
  return value.has_value() ? std::optional(*value * factor) : std::nullopt;
}

}  // namespace

// The counts of a histogram at one moment.
class Sampler::Distribution {
 public:
  Distribution() = default;
  explicit Distribution(const obs::LatencyHistogram& histogram) {
    histogram.ForEachBucket(
        [this](uint64_t value_max, uint64_t count) { counts_[value_max] = count; });
  }

  // Of what came since `before`: the value at or below which this part of it lies.
  std::optional<double> Since(const Distribution& before, double part) const {
    std::map<uint64_t, uint64_t> since = counts_;
    uint64_t total = 0;
    for (auto& [value_max, count] : since) {
      const auto earlier = before.counts_.find(value_max);
      count -= earlier == before.counts_.end() ? 0 : earlier->second;
      total += count;
    }
    const auto rank = static_cast<uint64_t>(part * static_cast<double>(total));
    uint64_t passed = 0;
    for (const auto& [value_max, count] : since) {
      passed += count;
      if (passed > rank || (passed == total && total != 0)) {
        return static_cast<double>(value_max);
      }
    }
    return std::nullopt;
  }

 private:
  std::map<uint64_t, uint64_t> counts_;
};

struct Sampler::Look {
  std::chrono::steady_clock::time_point moment;
  uint64_t answered = 0;
  uint64_t shed = 0;
  uint64_t published = 0;
  uint64_t due = 0;
  double own_cpu = 0;
  // The node's, unless it does not answer.
  std::optional<double> deliveries = {};
  std::optional<double> flushed = {};
  std::optional<double> watch_events = {};
  std::optional<double> unflushed = {};
  std::optional<double> append_queue = {};
  std::optional<double> checkpoint_lag = {};
  std::optional<double> cpu_klatchd = {};
  std::optional<double> memory_klatchd = {};
  // Redis's.
  std::optional<double> cpu_redis = {};
  std::optional<double> memory_redis = {};
  Distribution publish;
  Distribution refused;
  Distribution visible;
  Distribution home_page;
  Distribution profile_page;
};

Sampler::Sampler(const Options& options, const RunState& state, const Latencies& latencies)
    : options_(options), state_(state), latencies_(latencies) {
  if (options_.arrivals.kind != ArrivalKind::kClosedLoop) {
    arrivals_.emplace(options_.arrivals, options_.seed);
    next_arrival_ = arrivals_->Next();
  }
  if (!options_.metrics.empty()) {
    if (auto scraper = Scraper::Make(options_.metrics); scraper.ok()) {
      scraper_ = std::move(*scraper);
    }
  }
  if (options_.redis.empty()) {
    return;
  }
  if (const auto address = redis::Address::Parse(options_.redis); address.ok()) {
    if (auto connection = redis::Connection::Connect(*address, {}); connection.ok()) {
      connection_ = std::move(*connection);
    }
  }
}

Sampler::~Sampler() { Stop(); }

void Sampler::Start() {
  thread_ = std::thread([this] { Run(); });
}

void Sampler::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) {
    thread_.join();
  }
}

void Sampler::AskNode(Look& look) {
  const auto page = scraper_ == nullptr ? std::nullopt : scraper_->Scrape();
  if (!page.has_value()) {
    return;
  }
  look.deliveries = MetricValue(*page, "klatch_deliveries_total");
  look.flushed = MetricValue(*page, "klatch_flushed_entries_total");
  look.watch_events = MetricValue(*page, "klatch_watch_events_total");
  look.unflushed = MetricValue(*page, "klatch_unflushed_entries");
  look.append_queue = MetricValue(*page, "klatch_append_queue_seconds");
  look.checkpoint_lag = MetricValue(*page, "klatch_checkpoint_lag_seconds");
  look.cpu_klatchd = MetricValue(*page, "process_cpu_seconds_total");
  look.memory_klatchd = MetricValue(*page, "process_resident_memory_bytes");
}

void Sampler::AskRedis(Look& look) {
  if (connection_ == nullptr || (!connection_->connected() && !connection_->Reconnect().ok())) {
    return;
  }
  const auto reply = connection_->Call({"INFO"});
  if (!reply.ok()) {
    return;
  }
  const std::string_view info = reply->text();
  const auto user = InfoValue(info, "used_cpu_user");
  const auto system = InfoValue(info, "used_cpu_sys");
  if (user.has_value() && system.has_value()) {
    look.cpu_redis = *user + *system;
  }
  look.memory_redis = InfoValue(info, "used_memory");
}

Sampler::Look Sampler::TakeLook() {
  Look look{.moment = std::chrono::steady_clock::now(),
            .answered = state_.answered.load(std::memory_order_relaxed),
            .shed = state_.shed.load(std::memory_order_relaxed),
            .published = state_.published.load(std::memory_order_relaxed),
            .due = state_.deliveries_expected.load(std::memory_order_relaxed),
            .own_cpu = OwnCpuSeconds(),
            .publish = Distribution(latencies_.publish),
            .refused = Distribution(latencies_.refused),
            .visible = Distribution(latencies_.visible),
            .home_page = Distribution(latencies_.home_page),
            .profile_page = Distribution(latencies_.profile_page)};
  AskNode(look);
  AskRedis(look);
  return look;
}

double Sampler::OfferedIn(size_t second) {
  double offered = 0;
  while (next_arrival_.has_value() && *next_arrival_ < (second + 1) * 1s) {
    ++offered;
    next_arrival_ = arrivals_->Next();
  }
  return offered;
}

void Sampler::PutPoint(std::string_view name, std::string_view panel, std::string_view unit,
                       size_t second, std::optional<double> value) {
  auto series = std::find_if(series_.begin(), series_.end(),
                             [&](const Series& known) { return known.name == name; });
  if (series == series_.end()) {
    series_.push_back({std::string(name), std::string(panel), std::string(unit), {}});
    series = series_.end() - 1;
  }
  series->points.resize(second);
  series->points.push_back(value);
}

void Sampler::PutLatencies(size_t second, const Look& before, const Look& after) {
  constexpr double kMedian = 0.5;
  constexpr double kTail = 0.99;
  const auto put = [&](const std::string& name, const Distribution& from, const Distribution& to) {
    PutPoint(name + "_p50", "latency", "µs", second, to.Since(from, kMedian));
    PutPoint(name + "_p99", "latency", "µs", second, to.Since(from, kTail));
  };
  put("publish", before.publish, after.publish);
  put("refused", before.refused, after.refused);
  put("visible", before.visible, after.visible);
  put("home_page", before.home_page, after.home_page);
  put("profile_page", before.profile_page, after.profile_page);
}

void Sampler::Put(size_t second, const Look& before, const Look& after) {
  const double per_second = 1 / std::chrono::duration<double>(after.moment - before.moment).count();
  const auto rate = [&](std::string_view name, std::string_view panel, std::string_view unit,
                        std::optional<double> from, std::optional<double> to) {
    PutPoint(name, panel, unit, second, Scaled(Difference(from, to), per_second));
  };
  const auto count = [](uint64_t value) { return std::optional(static_cast<double>(value)); };
  std::lock_guard lock(mutex_);
  if (arrivals_.has_value()) {
    PutPoint("offered", "rate", "1/s", second, OfferedIn(second));
  }
  rate("answered", "rate", "1/s", count(before.answered), count(after.answered));
  rate("shed", "rate", "1/s", count(before.shed), count(after.shed));
  rate("published", "rate", "1/s", count(before.published), count(after.published));
  rate("deliveries_due", "deliveries", "1/s", count(before.due), count(after.due));
  rate("deliveries_memory", "deliveries", "1/s", before.deliveries, after.deliveries);
  rate("deliveries_redis", "deliveries", "1/s", before.flushed, after.flushed);
  rate("watch_events", "deliveries", "1/s", before.watch_events, after.watch_events);
  PutPoint("unflushed", "backlog", "entries", second, after.unflushed);
  PutPoint("lag_append", "lag", "ms", second, Scaled(after.append_queue, kMillisecondsPerSecond));
  PutPoint("lag_checkpoint", "lag", "ms", second,
           Scaled(after.checkpoint_lag, kMillisecondsPerSecond));
  PutLatencies(second, before, after);
  rate("cpu_klatchd", "cpu", "cores", before.cpu_klatchd, after.cpu_klatchd);
  rate("cpu_redis", "cpu", "cores", before.cpu_redis, after.cpu_redis);
  rate("cpu_load", "cpu", "cores", before.own_cpu, after.own_cpu);
  PutPoint("memory_klatchd", "memory", "bytes", second, after.memory_klatchd);
  PutPoint("memory_redis", "memory", "bytes", second, after.memory_redis);
}

void Sampler::Run() {
  Look before = TakeLook();
  bool stopped = false;
  for (size_t second = 0; !stopped && second < Result::kSeriesSecondsMax; ++second) {
    {
      std::unique_lock lock(mutex_);
      stopped =
          wake_.wait_until(lock, state_.start + (second + 1) * 1s, [this] { return stopping_; });
    }
    Look after = TakeLook();
    Add(Difference(before.cpu_klatchd, after.cpu_klatchd), cpu_.klatchd);
    Add(Difference(before.cpu_redis, after.cpu_redis), cpu_.redis);
    if (!stopped) {
      Put(second, before, after);
    }
    before = std::move(after);
  }
}

std::optional<double> Sampler::now(std::string_view name) const {
  const auto last = recent(name, 1);
  return last.empty() ? std::nullopt : last.front();
}

std::vector<std::optional<double>> Sampler::recent(std::string_view name, size_t seconds) const {
  std::lock_guard lock(mutex_);
  for (const Series& series : series_) {
    if (series.name == name) {
      const auto count = static_cast<ptrdiff_t>(std::min(seconds, series.points.size()));
      return {series.points.end() - count, series.points.end()};
    }
  }
  return {};
}

std::vector<Series> Sampler::TakeSeries() {
  std::vector<Series> told;
  for (Series& series : series_) {
    if (std::any_of(series.points.begin(), series.points.end(),
                    [](const auto& point) { return point.has_value(); })) {
      told.push_back(std::move(series));
    }
  }
  series_.clear();
  return told;
}

}  // namespace klatch::load
