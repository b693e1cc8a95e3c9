// What befalls a world: its processes, its Redis, its clocks and its logs.
#include <fmt/format.h>

#include <algorithm>

#include "common/base/bytes.h"
#include "tests/sim/world.h"

namespace klatch::sim {

using std::chrono::milliseconds;
using std::chrono::seconds;

void World::RunChaos() {
  while (!scheduler_.finishing()) {
    scheduler_.SleepFor(milliseconds(scheduler_.random().Between(50, 3'000)));
    if (is_calm_) {
      return;
    }
    ++verdict_.faults;
    Befall();
  }
}

void World::Befall() {
  Random& random = scheduler_.random();
  Process& process =
      *processes_[processes_.size() - 1 - random.Below(std::min<size_t>(2, processes_.size()))];
  switch (random.Below(15)) {
    case 0:
      Replace(process);
      break;
    case 1:
      if (!process.is_dead && !process.is_frozen) {
        SetFrozen(process, true);
        scheduler_.SleepFor(milliseconds(random.Between(500, 7'000)));
        if (!process.is_dead) {
          SetFrozen(process, false);
        }
      }
      break;
    case 2:
      redis_.BreakConnections();
      break;
    case 3:
      redis_.Pause(milliseconds(random.Between(50, 6'000)));
      break;
    case 4:
      if (promises_.restarts) {
        redis_.Restart(milliseconds(random.Between(10, 1'500)));
      }
      break;
    case 5:
      if (promises_.fails_over) {
        redis_.FailOver(
            milliseconds(random.Between(10, 1'500)),
            random.OneIn(2) ? milliseconds(random.Between(100, 4'000)) : milliseconds(0));
      }
      break;
    case 6:
      redis_.set_replica_linked(false);
      scheduler_.SleepFor(milliseconds(random.Between(100, 2'500)));
      if (promises_.fails_over && random.OneIn(2)) {
        redis_.FailOver(milliseconds(random.Between(10, 500)), milliseconds(0));
      }
      redis_.set_replica_linked(true);
      break;
    case 7:
      redis_.Skew(seconds(random.Between(-3'600, 3'600)));
      break;
    case 8:
      redis_.CutOff(process.name, milliseconds(random.Between(2'500, 7'000)));
      break;
    case 9:
      // The one that the other waits for.
      for (const auto& each : processes_) {
        if (each->serving && !each->is_dead) {
          redis_.CutOff(each->name, milliseconds(random.Between(2'500, 7'000)));
        }
      }
      break;
    case 10:
    case 11:
      if (trims_ == Trims::kCuts) {
        if (random.OneIn(2)) {
          redis_.AfterWrites(random.Between(1, 40), [this] { CutLogs(); });
        } else {
          CutLogsOfStopped();
        }
      }
      break;
    case 12:
    case 13:
      // In the midst of a batch: between what it writes first and what last.
      redis_.AfterWrites(random.Between(1, 40), [this] {
        for (size_t i = 0; i < processes_.size(); ++i) {
          if (processes_[i]->serving) {
            Replace(*processes_[i]);
          }
        }
      });
      break;
    default:
      scheduler_.clock().Skew(seconds(random.Between(-3'600, 3'600)));
  }
}

// Down to their newest records, whoever has read them.
void World::CutLogs() {
  for (uint32_t i = 0; i < layout_.shard_count; ++i) {
    // Who comes anew and finds no checkpoint takes what the log begins with for its beginning.
    const ShardIndex shard(i);
    bool is_passed = true;
    for (uint32_t partition = 0; partition < layout_.partition_count; ++partition) {
      is_passed =
          is_passed && !PassedBy(redis_.fake().data(), PartitionIndex(partition), shard).is_zero();
    }
    if (is_passed) {
      redis_.CutLog(keys_.Log(shard));
    }
  }
  has_cut_logs_ = true;
}

// Beyond what the one who serves has read or written, which may stand still, or die of it.
void World::CutLogsOfStopped() {
  Random& random = scheduler_.random();
  const std::shared_ptr<Core> core = Serving();
  const auto serving = std::ranges::find_if(
      processes_, [&](const auto& process) { return core && process->serving == core; });
  if (serving == processes_.end()) {
    return;
  }
  Process& process = **serving;
  SetFrozen(process, true);
  scheduler_.SleepFor(milliseconds(random.Between(10, 5'000)));
  CutLogs();
  if (!process.is_dead) {
    SetFrozen(process, false);
    if (random.OneIn(2)) {
      Replace(process);
    }
  }
}

Position World::PassedBy(const Data& data, PartitionIndex partition, ShardIndex shard) const {
  const auto found = data.find(keys_.Checkpoint(partition));
  const std::string* bytes =
      found == data.end() ? nullptr : std::get_if<std::string>(&found->second.value);
  const size_t at = shard.value() * sizeof(uint64_t);
  return bytes != nullptr && bytes->size() >= at + sizeof(uint64_t)
             ? Position(base::LoadLittleEndian<uint64_t>(*bytes, at))
             : Position();
}

// Who follows the logs from a checkpoint finds all that stands behind it.
void World::CheckTrim(const Data& data, const std::string& log, StreamId last) {
  uint32_t shard = 0;
  while (shard < layout_.shard_count && keys_.Log(ShardIndex(shard)) != log) {
    ++shard;
  }
  const auto trimmed = Position::FromStreamId(last.ToString(), ShardIndex(shard));
  for (uint32_t i = 0; i < layout_.partition_count; ++i) {
    if (!trimmed || PassedBy(data, PartitionIndex(i), ShardIndex(shard)) < *trimmed) {
      Violate(fmt::format("{} was trimmed up to {}, which partition {} has not passed", log,
                          last.ToString(), i));
    }
  }
}

}  // namespace klatch::sim
