// Questions about the server.

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <string>
#include <utility>
#include <variant>

#include "tests/sim/fake_redis_commands.h"

namespace klatch::sim::commands {
namespace {

// Roughly what Redis takes for an element beside its bytes.
constexpr size_t kElementBytes = 32;
constexpr size_t kKeyBytes = 64;

size_t BytesOf(const std::string& value) { return value.size(); }

size_t BytesOf(const Hash& hash) {
  size_t bytes = 0;
  for (const auto& [field, value] : hash) {
    bytes += field.size() + value.size() + kElementBytes;
  }
  return bytes;
}

size_t BytesOf(const MemberSet& set) {
  size_t bytes = 0;
  for (const std::string& member : set) {
    bytes += member.size() + kElementBytes;
  }
  return bytes;
}

size_t BytesOf(const SortedSet& set) {
  size_t bytes = 0;
  for (const auto& [score, member] : set.by_score()) {
    bytes += member.size() + 2 * kElementBytes;
  }
  return bytes;
}

size_t BytesOf(const Stream& stream) {
  size_t bytes = 0;
  for (const auto& [id, fields] : stream.entries) {
    for (const std::string& field : fields) {
      bytes += field.size();
    }
    bytes += kElementBytes;
  }
  return bytes;
}

size_t BytesOf(const std::string& key, const Entry& entry) {
  return kKeyBytes + key.size() +
         std::visit([](const auto& value) { return BytesOf(value); }, entry.value);
}

bool IsMaster(const Call& call) { return call.facts.role == FakeRedis::Role::kMaster; }

std::string ServerSection(const Call& call) {
  return fmt::format(
      "# Server\r\nredis_version:{}\r\nredis_mode:standalone\r\nprocess_id:1\r\nrun_id:{}\r\n"
      "server_time_usec:{}\r\n",
      call.facts.version, call.facts.run_id, call.now_us);
}

std::string MemorySection(const Call& call) {
  size_t used = 0;
  for (const auto& [key, entry] : call.keys.data()) {
    used += BytesOf(key, entry);
  }
  if (call.facts.is_out_of_memory) {
    used = std::max<size_t>(used, call.facts.maxmemory_bytes + 1);
  }
  return fmt::format("# Memory\r\nused_memory:{}\r\nmaxmemory:{}\r\nmaxmemory_policy:{}\r\n", used,
                     call.facts.maxmemory_bytes, call.facts.maxmemory_policy);
}

std::string PersistenceSection(const Call& call) {
  return fmt::format("# Persistence\r\nloading:{}\r\naof_enabled:{}\r\n{}",
                     call.facts.is_loading ? 1 : 0, call.facts.is_append_only ? 1 : 0,
                     call.facts.is_loading ? "loading_loaded_perc:50.00\r\n" : "");
}

std::string ReplicationSection(const Call& call) {
  const uint64_t offset = call.keys.changes();
  std::string text = "# Replication\r\n";
  if (IsMaster(call)) {
    text += fmt::format("role:master\r\nconnected_slaves:{}\r\n", call.facts.in_sync_replicas);
    for (uint32_t i = 0; i < call.facts.in_sync_replicas; ++i) {
      text += fmt::format("slave{}:ip=127.0.0.1,port={},state=online,offset={},lag=0\r\n", i,
                          7'000 + i, offset);
    }
  } else {
    text += fmt::format(
        "role:slave\r\nmaster_host:{}\r\nmaster_port:{}\r\nmaster_link_status:up\r\n"
        "slave_read_only:1\r\nconnected_slaves:0\r\n",
        call.facts.master_host, call.facts.master_port);
  }
  return text + fmt::format("master_repl_offset:{}\r\n", offset);
}

}  // namespace

void Ping(Call& call) {
  if (call.args.size() > 2) {
    call.out.Error("ERR wrong number of arguments for 'ping' command");
  } else if (call.args.size() == 2) {
    call.out.Bulk(call.arg(1));
  } else {
    call.out.Status("PONG");
  }
}

void Time(Call& call) {
  call.out.Array(2);
  call.out.Bulk(std::to_string(call.now_us / 1'000'000));
  call.out.Bulk(std::to_string(call.now_us % 1'000'000));
}

// Sections that it doesn't have are left out, as Redis does.
void Info(Call& call) {
  const std::array<std::pair<std::string_view, std::string (*)(const Call&)>, 4> sections = {{
      {"SERVER", ServerSection},
      {"MEMORY", MemorySection},
      {"PERSISTENCE", PersistenceSection},
      {"REPLICATION", ReplicationSection},
  }};
  std::string text;
  for (const auto& [name, section] : sections) {
    bool is_wanted = call.args.size() == 1;
    for (size_t i = 1; i < call.args.size(); ++i) {
      is_wanted = is_wanted || call.Is(i, name) || call.Is(i, "ALL") || call.Is(i, "DEFAULT") ||
                  call.Is(i, "EVERYTHING");
    }
    if (is_wanted) {
      text += (text.empty() ? "" : "\r\n") + section(call);
    }
  }
  call.out.Bulk(text);
}

void ConfigGet(Call& call) {
  const std::array<std::pair<const char*, std::string>, 6> parameters = {{
      {"appendfsync", call.facts.append_fsync},
      {"appendonly", call.facts.is_append_only ? "yes" : "no"},
      {"dir", call.facts.directory},
      {"maxmemory", std::to_string(call.facts.maxmemory_bytes)},
      {"maxmemory-policy", call.facts.maxmemory_policy},
      {"save", ""},
  }};
  std::vector<std::string> answer;
  for (const auto& [name, value] : parameters) {
    bool is_wanted = false;
    for (size_t i = 2; i < call.args.size(); ++i) {
      is_wanted = is_wanted || ::fnmatch(call.arg(i).c_str(), name, FNM_CASEFOLD) == 0;
    }
    if (is_wanted) {
      answer.emplace_back(name);
      answer.push_back(value);
    }
  }
  call.out.Array(answer.size());
  for (const std::string& text : answer) {
    call.out.Bulk(text);
  }
}

void Wait(Call& call) {
  if (!IsMaster(call)) {
    call.out.Error(
        "ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if "
        "a replica is configured to be writable (which is not the default) writes to replicas are "
        "just local and are not propagated.");
    return;
  }
  if (!call.Integer(1)) {
    return;
  }
  const auto timeout = call.Integer(2, "ERR timeout is not an integer or out of range");
  if (timeout && *timeout < 0) {
    call.out.Error("ERR timeout is negative");
  } else if (timeout) {
    call.out.Integer(call.facts.in_sync_replicas);
  }
}

void MemoryUsage(Call& call) {
  for (size_t i = 3; i < call.args.size(); i += 2) {
    if (!call.Is(i, "SAMPLES") || i + 1 == call.args.size()) {
      call.out.Error(kSyntaxError);
      return;
    }
  }
  const Entry* const entry = call.keys.Find(call.arg(2));
  if (entry == nullptr) {
    call.out.Nil();
  } else {
    call.out.Integer(static_cast<int64_t>(BytesOf(call.arg(2), *entry)));
  }
}

}  // namespace klatch::sim::commands
