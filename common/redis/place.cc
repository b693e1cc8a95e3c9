#include "common/redis/place.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <utility>

#include "common/redis/connection.h"

namespace klatch::redis {
namespace {

constexpr std::string_view kScheme = "sentinel://";
constexpr std::string_view kTlsScheme = "rediss-sentinel://";
constexpr int kSentinelPort = 26379;

absl::Status InvalidSentinels(std::string_view what) {
  return base::Error(
      absl::StatusCode::kInvalidArgument,
      fmt::format("{}; expected sentinel://[[user]:password@]host[:port][,host[:port]…]/name",
                  what));
}

bool IsName(std::string_view name) {
  // What Sentinel itself allows.
  return !name.empty() && name.find_first_not_of(
                              "abcdefghijklmnopqrstuvwxyz"
                              "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") == std::string_view::npos;
}

// That of Sentinels, or empty.
std::string_view SchemeOf(std::string_view uri) {
  for (const std::string_view scheme : {kScheme, kTlsScheme}) {
    if (uri.starts_with(scheme)) {
      return scheme;
    }
  }
  return {};
}

// Each is an address of its own to Address, with the credentials before it.
absl::Status AddSentinel(std::string_view credentials, std::string_view host_and_port,
                         Place& place) {
  if (host_and_port.empty()) {
    return InvalidSentinels("a Sentinel's host is empty");
  }
  auto address = Address::Parse(
      fmt::format("{}://{}{}", place.is_by_tls() ? "rediss" : "redis", credentials, host_and_port));
  if (!address.ok()) {
    return InvalidSentinels(
        base::MessageOf(address.status()).substr(0, base::MessageOf(address.status()).find(';')));
  }
  const bool has_port = host_and_port.ends_with(fmt::format(":{}", address->port));
  place.address.user = std::exchange(address->user, "");
  place.address.password = std::exchange(address->password, "");
  address->port = has_port ? address->port : kSentinelPort;
  place.sentinels.push_back(*std::move(address));
  return absl::OkStatus();
}

// The value that follows `name` in a list of names and values.
std::string_view ValueOf(ReplyView list, std::string_view name) {
  for (size_t i = 0; i + 1 < list.size(); i += 2) {
    if (list[i].text() == name) {
      return list[i + 1].text();
    }
  }
  return {};
}

template <typename Number>
std::optional<Number> NumberOf(std::string_view text) {
  Number number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  return parsed.ec == std::errc() && parsed.ptr == text.data() + text.size()
             ? std::optional<Number>(number)
             : std::nullopt;
}

absl::StatusOr<Master> AskOne(const Address& sentinel, const Place& place,
                              std::chrono::milliseconds timeout) {
  KLATCH_ASSIGN_OR_RETURN(
      auto connection,
      Connection::Connect(sentinel, {.connect_timeout = timeout, .call_timeout = timeout}));
  const Command ask{"SENTINEL", "MASTER", place.name};
  KLATCH_ASSIGN_OR_RETURN(const std::vector<Reply> replies, connection->CallAll({&ask, 1}));
  const ReplyView answer = replies.front().view();
  if (answer.is_error()) {
    return base::Error(absl::StatusCode::kFailedPrecondition,
                       fmt::format("{}: {}", sentinel.ToString(), answer.text()));
  }
  Master master{.address = place.address};
  master.address.host = ValueOf(answer, "ip");
  const auto port = NumberOf<int>(ValueOf(answer, "port"));
  const auto epoch = NumberOf<uint64_t>(ValueOf(answer, "config-epoch"));
  if (master.address.host.empty() || !port || !epoch) {
    return base::Error(absl::StatusCode::kFailedPrecondition,
                       fmt::format("{}: does not answer like a Sentinel", sentinel.ToString()));
  }
  master.address.port = *port;
  master.epoch = *epoch;
  return master;
}

}  // namespace

absl::StatusOr<Place> Place::Parse(std::string_view uri) {
  Place place;
  const std::string_view scheme = SchemeOf(uri);
  if (scheme.empty()) {
    KLATCH_ASSIGN_OR_RETURN(place.address, Address::Parse(uri));
    return place;
  }
  if (scheme == kTlsScheme) {
    place.address.tls.emplace();
  }
  uri.remove_prefix(scheme.size());
  const size_t at = uri.rfind('@');
  const std::string_view credentials =
      at == std::string_view::npos ? std::string_view() : uri.substr(0, at + 1);
  uri.remove_prefix(credentials.size());
  const size_t slash = uri.find('/');
  if (slash == std::string_view::npos || !IsName(uri.substr(slash + 1))) {
    return InvalidSentinels("the name of the group is missing, or is none");
  }
  place.name = uri.substr(slash + 1);
  uri = uri.substr(0, slash);
  bool is_last = false;
  while (!is_last) {
    const size_t comma = uri.find(',');
    is_last = comma == std::string_view::npos;
    KLATCH_RETURN_IF_ERROR(AddSentinel(credentials, uri.substr(0, comma), place));
    if (place.sentinels.size() > kSentinelsMax) {
      return InvalidSentinels(fmt::format("more than {} Sentinels", kSentinelsMax));
    }
    uri.remove_prefix(is_last ? uri.size() : comma + 1);
  }
  return place;
}

void Place::UseTls(const TlsOptions& options) {
  address.tls = options;
  for (Address& sentinel : sentinels) {
    sentinel.tls = options;
  }
}

std::string Place::Redacted(std::string_view uri) {
  const std::string_view scheme = SchemeOf(uri);
  if (scheme.empty()) {
    return Address::Redacted(uri);
  }
  const auto place = Parse(uri);
  if (!place.ok()) {
    return "***";
  }
  const size_t at = uri.rfind('@');
  return at == std::string_view::npos ? std::string(uri)
                                      : fmt::format("{}***:***{}", scheme, uri.substr(at));
}

std::string Place::ToString() const {
  if (!has_sentinels()) {
    return address.ToString();
  }
  std::string text(is_by_tls() ? kTlsScheme : kScheme);
  for (const Address& sentinel : sentinels) {
    const std::string shown = sentinel.ToString();
    text += fmt::format("{}{}", &sentinel == &sentinels.front() ? "" : ",",
                        shown.substr(shown.find("://") + 3));
  }
  return text + "/" + name;
}

absl::StatusOr<Master> FindMaster(const Place& place, std::chrono::milliseconds timeout) {
  if (!place.has_sentinels()) {
    return Master{.address = place.address};
  }
  std::optional<Master> latest;
  std::optional<absl::Status> failure;
  for (const Address& sentinel : place.sentinels) {
    absl::StatusOr<Master> answer = AskOne(sentinel, place, timeout);
    if (answer.ok() && (!latest || answer->epoch > latest->epoch)) {
      latest = *std::move(answer);
    } else if (!answer.ok() && (!failure || absl::IsUnavailable(answer.status()))) {
      // One that may come back later is waited for, whatever the others say.
      failure = answer.status();
    }
  }
  if (latest) {
    return *std::move(latest);
  }
  return base::Annotate(*failure, fmt::format("no master of \"{}\" is known", place.name));
}

}  // namespace klatch::redis
