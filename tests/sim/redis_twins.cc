#include "tests/sim/redis_twins.h"

#include <absl/strings/ascii.h>
#include <absl/strings/escaping.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <map>
#include <span>
#include <utility>

#include "common/base/decimal.h"
#include "common/redis/info.h"

namespace klatch::testing {
namespace {

using redis::ReplyView;
using Args = RedisTwins::Args;
using Views = std::vector<ReplyView>;

// Milliseconds since 2024 have as many, or more.
constexpr size_t kTimeDigits = 11;

int64_t NowUs() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

[[noreturn]] void Die(const redisContext& context) {
  std::fprintf(stderr, "the real Redis: %s\n", context.errstr);
  std::abort();
}

bool IsCloseTime(int64_t a, int64_t b) { return std::abs(a - b) <= kSlackMs; }

bool IsSameText(std::string_view a, std::string_view b) {
  if (a == b) {
    return true;
  }
  const auto a_number = base::ParseDecimal(a);
  const auto b_number = base::ParseDecimal(b);
  return a.size() >= kTimeDigits && b.size() >= kTimeDigits && a_number && b_number &&
         IsCloseTime(static_cast<int64_t>(*a_number), static_cast<int64_t>(*b_number));
}

bool IsSameType(ReplyView a, ReplyView b) {
  return a.is_nil() == b.is_nil() && a.is_error() == b.is_error() &&
         a.is_string() == b.is_string() && a.is_status() == b.is_status() &&
         a.is_integer() == b.is_integer() && a.is_array() == b.is_array();
}

bool IsSame(ReplyView a, ReplyView b) {
  if (!IsSameType(a, b) || !IsSameText(a.text(), b.text()) || a.size() != b.size()) {
    return false;
  }
  if (a.integer() != b.integer() &&
      (std::abs(a.integer()) < kSlackMs || !IsCloseTime(a.integer(), b.integer()))) {
    return false;
  }
  for (size_t i = 0; i < a.size(); ++i) {
    if (!IsSame(a[i], b[i])) {
      return false;
    }
  }
  return true;
}

// The array's elements in groups of `step`, in the order of their first ones.
std::vector<Views> Sorted(ReplyView array, size_t step) {
  std::vector<Views> groups;
  for (size_t i = 0; i + step <= array.size(); i += step) {
    Views& group = groups.emplace_back();
    for (size_t k = 0; k < step; ++k) {
      group.push_back(array[i + k]);
    }
  }
  std::ranges::sort(
      groups, [](const Views& a, const Views& b) { return a.front().text() < b.front().text(); });
  return groups;
}

bool IsSameSet(ReplyView a, ReplyView b, size_t step) {
  if (!a.is_array() || !b.is_array()) {
    return IsSame(a, b);
  }
  return a.size() == b.size() &&
         std::ranges::equal(Sorted(a, step), Sorted(b, step), [](const Views& x, const Views& y) {
           return std::ranges::equal(x, y, IsSame);
         });
}

bool IsSameStream(ReplyView a, ReplyView b) {
  if (!a.is_array() || !b.is_array()) {
    return IsSame(a, b);
  }
  for (size_t i = 0; i + 1 < a.size(); i += 2) {
    if (!IsSame(a[i], b[i]) ||
        (!a[i].text().starts_with("radix-") && !IsSame(a[i + 1], b[i + 1]))) {
      return false;
    }
  }
  return a.size() == b.size();
}

bool Matches(Comparison how, ReplyView real, ReplyView fake) {
  switch (how) {
    case Comparison::kExact:
      return IsSame(real, fake);
    case Comparison::kAsSet:
      return IsSameSet(real, fake, 1);
    case Comparison::kAsPairs:
      return IsSameSet(real, fake, 2);
    case Comparison::kTypes:
      return IsSameType(real, fake) && (!real.is_error() || real.text() == fake.text());
    case Comparison::kStreamFacts:
      return IsSameStream(real, fake);
  }
  return false;
}

Comparison ComparisonOf(const Args& args) {
  static const std::map<std::string, Comparison, std::less<>> kComparisons = {
      {"TIME", Comparison::kTypes},        {"INFO", Comparison::kTypes},
      {"MEMORY", Comparison::kTypes},      {"SSCAN", Comparison::kTypes},
      {"HSCAN", Comparison::kTypes},       {"KEYS", Comparison::kAsSet},
      {"SMEMBERS", Comparison::kAsSet},    {"HKEYS", Comparison::kAsSet},
      {"HGETALL", Comparison::kAsPairs},   {"CONFIG", Comparison::kAsPairs},
      {"XINFO", Comparison::kStreamFacts},
  };
  const auto found = kComparisons.find(args.empty() ? "" : absl::AsciiStrToUpper(args[0]));
  return found != kComparisons.end() ? found->second : Comparison::kExact;
}

}  // namespace

std::string Shown(ReplyView reply) {
  if (reply.is_array()) {
    std::string text = "[";
    for (size_t i = 0; i < reply.size(); ++i) {
      text += (i == 0 ? "" : ", ") + Shown(reply[i]);
    }
    return text + "]";
  }
  if (reply.is_integer()) {
    return std::to_string(reply.integer());
  }
  if (reply.is_nil()) {
    return "nil";
  }
  const char* const type = reply.is_error() ? "-" : reply.is_status() ? "+" : "";
  return fmt::format("{}'{}'", type, absl::CHexEscape(std::string(reply.text())));
}

std::string Shown(const std::vector<std::string>& args) {
  std::string text;
  for (const std::string& arg : args) {
    text += fmt::format("{}'{}'", text.empty() ? "" : " ", absl::CHexEscape(arg));
  }
  return text;
}

RedisTwins::Link::Link(const redis::Address& address)
    : context_(redisConnectUnix(address.socket_path.c_str())) {
  if (context_->err != 0) {
    Die(*context_);
  }
}

RedisTwins::RedisTwins(redis::Address address) : address_(std::move(address)) {}

bool RedisTwins::is_comparable() {
  const redis::Reply info = CallReal(*Connect(), {"INFO", "server"});
  return redis::InfoText(redis::ParseInfo(info.text()), "redis_version").starts_with("7.0.");
}

redis::Reply RedisTwins::CallReal(Link& link, const Args& args) {
  std::vector<const char*> words;
  std::vector<size_t> sizes;
  for (const std::string& arg : args) {
    words.push_back(arg.data());
    sizes.push_back(arg.size());
  }
  void* const reply =
      redisCommandArgv(link.context_, static_cast<int>(args.size()), words.data(), sizes.data());
  if (reply == nullptr) {
    Die(*link.context_);
  }
  return redis::Reply(static_cast<redisReply*>(reply));
}

redis::Reply RedisTwins::CallFake(Link& link, const Args& args) {
  return fake_.Execute(link.session_, args);
}

redis::Reply RedisTwins::Call(Link& link, const Args& args) {
  ++calls_;
  const Comparison how = ComparisonOf(args);
  fake_.now_us = NowUs();
  redis::Reply real = CallReal(link, args);
  const redis::Reply fake = CallFake(link, args);
  const bool is_exec = !args.empty() && absl::AsciiStrToUpper(args[0]) == "EXEC";
  const std::vector<Comparison> queued =
      link.session_.is_in_transaction() ? link.queued_ : std::exchange(link.queued_, {});
  if (is_exec && real.size() == queued.size() && fake.size() == queued.size()) {
    for (size_t i = 0; i < queued.size(); ++i) {
      Compare(queued[i], real[i], fake[i], args);
    }
  } else if (real.text() == "QUEUED") {
    link.queued_.push_back(how);
    Compare(Comparison::kExact, real.view(), fake.view(), args);
  } else {
    Compare(how, real.view(), fake.view(), args);
  }
  return real;
}

void RedisTwins::Compare(Comparison how, ReplyView real, ReplyView fake, const Args& args) {
  if (!Matches(how, real, fake)) {
    differences_.push_back(fmt::format("call {}: {}\n  real {}\n  fake {}", calls_, Shown(args),
                                       Shown(real), Shown(fake)));
  }
}

void RedisTwins::CompareContents(Link& link) {
  static const std::map<std::string_view, Args> kReadings = {
      {"string", {"GET", ""}},
      {"hash", {"HGETALL", ""}},
      {"set", {"SMEMBERS", ""}},
      {"zset", {"ZRANGEBYSCORE", "", "-inf", "+inf", "WITHSCORES"}},
      {"stream", {"XRANGE", "", "-", "+"}},
  };
  const redis::Reply keys = Call(link, {"KEYS", "*"});
  for (size_t i = 0; i < keys.size(); ++i) {
    const std::string key(keys[i].text());
    const redis::Reply type = Call(link, {"TYPE", key});
    Call(link, {"PTTL", key});
    const auto reading = kReadings.find(type.text());
    if (reading == kReadings.end()) {
      continue;
    }
    Args args = reading->second;
    args[1] = key;
    Call(link, args);
    if (type.text() == "stream") {
      Call(link, {"XINFO", "STREAM", key});
    } else if (type.text() == "set") {
      CompareScans(link, "SSCAN", key);
    } else if (type.text() == "hash") {
      CompareScans(link, "HSCAN", key);
    }
  }
}

// Whole scans find the same, the fake one's page by page.
void RedisTwins::CompareScans(Link& link, const std::string& command, const std::string& key) {
  const auto scan = [&](auto call) {
    std::vector<std::string> found;
    std::string cursor = "0";
    do {
      const redis::Reply page = (this->*call)(link, {command, key, cursor, "COUNT", "3"});
      cursor = page[0].text();
      for (size_t i = 0; i < page[1].size(); i += command == "HSCAN" ? 2 : 1) {
        found.emplace_back(page[1][i].text());
      }
    } while (!cursor.empty() && cursor != "0");
    std::ranges::sort(found);
    return found;
  };
  const std::vector<std::string> real = scan(&RedisTwins::CallReal);
  const std::vector<std::string> fake = scan(&RedisTwins::CallFake);
  if (real != fake) {
    differences_.push_back(
        fmt::format("{} {}\n  real {}\n  fake {}", command, key, Shown(real), Shown(fake)));
  }
}

}  // namespace klatch::testing
