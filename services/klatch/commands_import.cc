#include "services/klatch/commands_import.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/status.h"
#include "services/klatch/text.h"
#include "services/model/limits.h"

namespace klatch::cli {
namespace {

using Groups = v1::GroupService::Stub;

constexpr size_t kFailuresShownMax = 10;

// Several threads take one group after the other from a shared iterator.
class Importer {
 public:
  Importer(const Session& session, const ImportGroups& groups, const ImportOptions& options,
           const std::atomic<bool>& interrupted)
      : session_(session),
        options_(options),
        interrupted_(interrupted),
        all_(groups.size()),
        next_(groups.begin()),
        end_(groups.end()) {}

  ImportSummary Run() {
    std::vector<std::thread> threads;
    for (int i = 0; i < options_.parallel; ++i) {
      threads.emplace_back([this] { Work(); });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
    summary_.left = static_cast<uint64_t>(std::distance(next_, end_));
    return summary_;
  }

 private:
  struct GroupResult {
    absl::Status status;
    bool created = false;
    uint64_t added = 0;
    uint64_t unchanged = 0;
  };

  void Work() {
    while (true) {
      ImportGroups::const_iterator group;
      {
        std::lock_guard lock(mutex_);
        // relaxed: a flag on its own, nothing is published with it.
        if (next_ == end_ || summary_.unreachable || interrupted_.load(std::memory_order_relaxed)) {
          return;
        }
        group = next_++;
      }
      const GroupResult result = ImportOne(group->first, group->second);
      std::lock_guard lock(mutex_);
      Count(group->first, result);
    }
  }

  GroupResult ImportOne(const std::string& id, const ImportGroup& group) {
    GroupResult result;
    v1::CreateGroupRequest create;
    create.set_namespace_(session_.name_space);
    create.set_actor(group.owner);
    create.set_request_id(NewRequestId());
    create.mutable_group()->set_id(id);
    auto created = session_.client.Call(session_.client.groups(), &Groups::CreateGroup, create);
    result.created = created.ok();
    result.status = created.status();
    if (result.status.code() == absl::StatusCode::kAlreadyExists) {
      result.status = absl::OkStatus();
    }
    auto member = group.members.begin();
    while (result.status.ok() && member != group.members.end()) {
      result.status = AddSome(id, group, member, result);
    }
    return result;
  }

  // Adds members from `member` on, as many as one call takes, and moves it past them.
  absl::Status AddSome(const std::string& id, const ImportGroup& group,
                       std::map<std::string, v1::Role>::const_iterator& member,
                       GroupResult& result) {
    v1::AddMembersRequest add;
    add.set_namespace_(session_.name_space);
    add.set_actor(group.owner);
    add.set_request_id(NewRequestId());
    add.set_group(id);
    for (; member != group.members.end() &&
           static_cast<size_t>(add.members_size()) < limits::kMembersPerCallMax;
         ++member) {
      if (member->first != group.owner) {
        v1::Member* added = add.add_members();
        added->set_person(member->first);
        added->set_role(member->second);
      }
    }
    if (add.members_size() == 0) {
      return absl::OkStatus();
    }
    auto response = session_.client.Call(session_.client.groups(), &Groups::AddMembers, add);
    if (response.ok()) {
      result.added += response->added_count();
      result.unchanged += response->unchanged_count();
    }
    return response.status();
  }

  // REQUIRES: mutex_ held.
  void Count(const std::string& id, const GroupResult& result) {
    ++summary_.groups;
    summary_.added += result.added;
    summary_.unchanged += result.unchanged;
    if (!result.status.ok()) {
      ++summary_.failed;
      summary_.unreachable = summary_.unreachable || IsUnreachable(result.status);
      if (summary_.failures.size() < kFailuresShownMax) {
        summary_.failures.push_back(
            fmt::format("{}: {}", CleanLine(id), DescribeError(result.status)));
      }
    } else if (result.created) {
      ++summary_.created;
    } else {
      ++summary_.existed;
    }
    if (options_.progress) {
      options_.progress(summary_.groups, all_);
    }
  }

  // Immutable after construction.
  const Session& session_;
  const ImportOptions& options_;
  const std::atomic<bool>& interrupted_;
  const size_t all_;

  // Guarded by mutex_.
  std::mutex mutex_;
  ImportGroups::const_iterator next_;
  const ImportGroups::const_iterator end_;
  ImportSummary summary_;
};

}  // namespace

ImportSummary Import(const Session& session, const ImportGroups& groups,
                     const ImportOptions& options, const std::atomic<bool>& interrupted) {
  return Importer(session, groups, options, interrupted).Run();
}

std::string PrintImport(const Session& session, const ImportSummary& summary) {
  if (session.format == Format::kJson) {
    return fmt::format(
        R"({{"groups":{},"created":{},"existed":{},"added":{},"unchanged":{},"failed":{},"left":{}}})"
        "\n",
        summary.groups, summary.created, summary.existed, summary.added, summary.unchanged,
        summary.failed, summary.left);
  }
  std::string text =
      fmt::format("Imported {}: {} new, {} there before; {} added, {} there before.\n",
                  Counted(summary.groups - summary.failed, "group", "groups"),
                  WithThousands(summary.created), WithThousands(summary.existed),
                  Counted(summary.added, "member", "members"), WithThousands(summary.unchanged));
  if (summary.left > 0) {
    text += fmt::format("Not tried: {}. Run it again to go on.\n",
                        Counted(summary.left, "group", "groups"));
  }
  return text;
}

}  // namespace klatch::cli
