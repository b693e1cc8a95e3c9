#include "common/redis/info.h"

#include <algorithm>
#include <charconv>

namespace klatch::redis {
namespace {

// Of "ip=127.0.0.1,port=6380,state=online,offset=14,lag=0"; empty if it is not there.
std::string_view PartOf(std::string_view list, std::string_view name) {
  while (!list.empty()) {
    const std::string_view part = list.substr(0, list.find(','));
    list.remove_prefix(std::min(part.size() + 1, list.size()));
    if (part.size() > name.size() && part.starts_with(name) && part[name.size()] == '=') {
      return part.substr(name.size() + 1);
    }
  }
  return {};
}

// "slave0" and so on, which name replicas; "slave_read_only" and its like don't.
bool NamesReplica(std::string_view name) {
  constexpr std::string_view kReplica = "slave";
  return name.starts_with(kReplica) && name.size() > kReplica.size() &&
         std::ranges::all_of(name.substr(kReplica.size()),
                             [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

Info ParseInfo(std::string_view text) {
  Info info;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line.ends_with('\r')) {
      line.remove_suffix(1);
    }
    const size_t colon = line.find(':');
    if (colon != std::string_view::npos && !line.starts_with('#')) {
      info.emplace(line.substr(0, colon), line.substr(colon + 1));
    }
  }
  return info;
}

std::string_view InfoText(const Info& info, std::string_view name) {
  const auto it = info.find(name);
  return it == info.end() ? std::string_view() : it->second;
}

int64_t InfoNumber(std::string_view value) {
  int64_t number = 0;
  std::from_chars(value.data(), value.data() + value.size(), number);
  return number;
}

Replication ReadReplication(std::string_view text) {
  const Info info = ParseInfo(text);
  Replication replication{.is_master = InfoText(info, "role") == "master"};
  for (const auto& [name, value] : info) {
    if (NamesReplica(name) && PartOf(value, "state") == "online" &&
        InfoNumber(PartOf(value, "lag")) <= kReplicaLagMaxSeconds) {
      ++replication.in_sync;
    }
  }
  return replication;
}

std::string_view ConfigText(ReplyView config, std::string_view name) {
  for (size_t i = 0; !config.is_error() && i + 1 < config.size(); i += 2) {
    if (config[i].text() == name) {
      return config[i + 1].text();
    }
  }
  return {};
}

}  // namespace klatch::redis
