#include "bench/load/cast/watchers.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "bench/load/cast/watch_latency.h"
#include "bench/load/oracle/check_tasks.h"

namespace klatch::load {
namespace {

constexpr size_t kOnTheirOwnMax = 4;
// Behind the drain: as often it is looked again whether everything has come.
constexpr int kLooksMax = 8;
// A page that has told of a hole is read again after so long.
constexpr std::chrono::milliseconds kPageAgain{200};
constexpr uint64_t kGroupSalt = 0x67726f757073ULL;

}  // namespace

std::vector<PersonNumber> Watchers::Choose(const Stage& stage, const Options& options) {
  std::vector<PersonNumber> persons;
  std::set<PersonNumber> chosen;
  auto add = [&](PersonNumber person) {
    if (!stage.quiet.Has(person) && chosen.insert(person).second) {
      persons.push_back(person);
    }
  };
  for (uint32_t group :
       load::Choose(stage.graph.group_count(), options.groups, Mix(options.seed ^ kGroupSalt))) {
    const auto& members = stage.graph.group(group).members;
    std::for_each(members.begin(), members.end(), add);
  }
  const size_t wanted = persons.size() + options.persons;
  auto add_wanted = [&](PersonNumber person) {
    if (persons.size() < wanted) {
      add(person);
    }
  };
  for (const Quarrel& quarrel : stage.quarrels.all()) {
    add_wanted(quarrel.person);
  }
  const std::vector<PersonNumber> others =
      load::Choose(stage.graph.person_count(), wanted, Mix(options.seed));
  std::for_each(others.begin(), others.end(), add_wanted);
  return persons;
}

Watchers::Watchers(const Stage& stage, const Options& options)
    : stage_(stage), options_(options), client_(options.client, stage.state) {
  const std::vector<PersonNumber> persons = Choose(stage, options);
  const size_t alone = std::min(kOnTheirOwnMax, persons.size() / 2);
  for (size_t i = 0; i < alone; ++i) {
    AddStream(WatchStream::Kind::kOnePerson, {persons[i]});
  }
  const size_t rest = persons.size() - alone;
  const size_t gateways = std::min<size_t>(options.gateways, (rest + 1) / 2);
  for (size_t i = 0; i < gateways; ++i) {
    std::vector<PersonNumber> share;
    for (size_t at = alone + i; at < persons.size(); at += gateways) {
      share.push_back(persons[at]);
    }
    AddStream(WatchStream::Kind::kGateway, std::move(share));
  }
}

Watchers::~Watchers() { Stop(); }

void Watchers::AddStream(WatchStream::Kind kind, std::vector<PersonNumber> persons) {
  std::string token;
  if (kind == WatchStream::Kind::kOnePerson) {
    // As an app does it: a page first, and what comes behind it.
    token =
        client_.ReadHome(stage_.graph.person(persons.front()), {}, {.page_size = 1, .pages_max = 1})
            .watch_token;
  }
  const size_t index = streams_.size();
  auto on_gap = [this, index](std::span<const PersonNumber> whom, uint64_t since) {
    std::lock_guard lock(mutex_);
    for (PersonNumber person : whom) {
      pages_.push_back({streams_[index].get(), person, since});
    }
    changed_.notify_all();
  };
  streams_.push_back(std::make_unique<WatchStream>(stage_.graph,
                                                   WatchStream::Options{
                                                       .client = options_.client,
                                                       .kind = kind,
                                                       .persons = std::move(persons),
                                                       .token = std::move(token),
                                                       .on_gap = std::move(on_gap),
                                                   },
                                                   stage_.state, stage_.violations));
  if (index % 2 == 1) {
    dropped_.push_back(streams_.back().get());
  }
}

absl::Status Watchers::Begin(std::chrono::milliseconds timeout) {
  for (const auto& stream : streams_) {
    threads_.emplace_back([&stream] { stream->Run(); });
  }
  threads_.emplace_back([this] { ReadPages(); });
  const auto end = std::chrono::steady_clock::now() + timeout;
  for (const auto& stream : streams_) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    if (!stream->AwaitBegun(std::max(left, std::chrono::milliseconds(1)))) {
      return base::Error(
          absl::StatusCode::kDeadlineExceeded,
          fmt::format("a watch of {} persons did not begin", stream->persons().size()));
    }
  }
  return absl::OkStatus();
}

void Watchers::Drop(Pace& pace) {
  for (uint64_t drop = 0; drop < pace.tasks() && AwaitTurn(stage_, pace, drop); ++drop) {
    dropped_[drop % dropped_.size()]->Drop();
    pace.Done();
  }
}

void Watchers::DropAll() {
  for (const auto& stream : streams_) {
    stream->Drop();
  }
}

void Watchers::ReadPages() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !pages_.empty(); });
    if (stopping_) {
      return;
    }
    PageToRead page = pages_.front();
    if (changed_.wait_until(lock, page.due, [this] { return stopping_; })) {
      return;
    }
    pages_.pop_front();
    reading_ = true;
    lock.unlock();
    const bool is_whole = ReadPage(page);
    lock.lock();
    reading_ = false;
    if (!is_whole) {
      page.due = std::chrono::steady_clock::now() + kPageAgain;
      pages_.push_back(page);
    }
    changed_.notify_all();
  }
}

bool Watchers::ReadPage(const PageToRead& page) {
  TimelineRead read =
      client_.ReadHome(stage_.graph.person(page.person), {}, {.down_to = page.since});
  if (!read.ok() || read.hole_since != 0) {
    return false;
  }
  std::vector<uint64_t> ids;
  for (const auto& update : read.updates) {
    ids.push_back(update.id());
  }
  page.stream->AddPaged(page.person, ids, read.trimmed);
  return true;
}

bool Watchers::AwaitPages(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, timeout, [this] { return pages_.empty() && !reading_; });
}

std::vector<WatchLog> Watchers::Logs() const {
  std::vector<WatchLog> logs;
  for (const auto& stream : streams_) {
    logs.push_back(stream->log());
  }
  return logs;
}

WatchResult Watchers::Judge(const Model& model, std::chrono::milliseconds timeout) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  const WatchJudge judge(stage_.graph, stage_.plan, stage_.quarrels, model);
  for (int look = 0; look < kLooksMax && std::chrono::steady_clock::now() < end; ++look) {
    for (const auto& stream : streams_) {
      stream->AwaitHeartbeat(timeout);
    }
    AwaitPages(timeout);
    if (judge.CountMissing(Logs()) == 0) {
      break;
    }
  }
  const std::vector<WatchLog> logs = Logs();
  MeasureWatches(stage_.graph, model, logs, stage_.latencies);
  return judge.Judge(logs, stage_.violations);
}

void Watchers::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  for (const auto& stream : streams_) {
    stream->Stop();
  }
  for (std::thread& thread : threads_) {
    thread.join();
  }
  threads_.clear();
}

}  // namespace klatch::load
