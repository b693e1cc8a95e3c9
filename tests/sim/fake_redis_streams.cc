#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <iterator>
#include <limits>
#include <string>

#include "tests/sim/fake_redis_commands.h"

namespace klatch::sim::commands {
namespace {

constexpr uint64_t kNumberMax = std::numeric_limits<uint64_t>::max();
constexpr std::string_view kBadIdError =
    "ERR Invalid stream ID specified as stream command argument";

// As Redis reads the numbers of ids: zeros in front are all right.
std::optional<uint64_t> ParseIdNumber(std::string_view text) {
  if (const auto number = ParseInteger(text)) {
    return *number < 0 ? std::nullopt : std::optional(static_cast<uint64_t>(*number));
  }
  const std::string digits(text);
  char* end = nullptr;
  errno = 0;
  const uint64_t number = std::strtoull(digits.c_str(), &end, 10);
  return errno == 0 && !digits.empty() && *end == '\0' ? std::optional(number) : std::nullopt;
}

// "7-3", or "7" with `sequence` behind it.
std::optional<StreamId> ParseId(std::string_view text, uint64_t sequence) {
  const size_t dash = text.find('-');
  const std::optional<uint64_t> ms = ParseIdNumber(text.substr(0, dash));
  const std::optional<uint64_t> given =
      dash == std::string_view::npos ? sequence : ParseIdNumber(text.substr(dash + 1));
  return ms && given ? std::optional(StreamId{*ms, *given}) : std::nullopt;
}

std::optional<StreamId> ReadId(Call& call, size_t i, uint64_t sequence = 0) {
  const std::optional<StreamId> id = ParseId(call.arg(i), sequence);
  if (!id) {
    call.out.Error(kBadIdError);
  }
  return id;
}

std::optional<StreamId> Next(StreamId id) {
  if (id.sequence < kNumberMax) {
    return StreamId{id.ms, id.sequence + 1};
  }
  return id.ms < kNumberMax ? std::optional(StreamId{id.ms + 1, 0}) : std::nullopt;
}

std::optional<StreamId> Previous(StreamId id) {
  if (id.sequence > 0) {
    return StreamId{id.ms, id.sequence - 1};
  }
  return id.ms > 0 ? std::optional(StreamId{id.ms - 1, kNumberMax}) : std::nullopt;
}

// The end of a range: "-", "+", an id, or "(" and an id.
std::optional<StreamId> ReadBound(Call& call, size_t i, bool is_first) {
  const std::string_view text = call.arg(i);
  if (text == "-") {
    return StreamId{0, 0};
  }
  if (text == "+") {
    return StreamId{kNumberMax, kNumberMax};
  }
  const bool is_exclusive = text.size() > 1 && text.front() == '(';
  const std::optional<StreamId> id =
      ParseId(text.substr(is_exclusive ? 1 : 0), is_first ? 0 : kNumberMax);
  if (!id) {
    call.out.Error(kBadIdError);
    return std::nullopt;
  }
  if (!is_exclusive) {
    return id;
  }
  const std::optional<StreamId> beside = is_first ? Next(*id) : Previous(*id);
  if (!beside) {
    call.out.Error(is_first ? "ERR invalid start ID for the interval"
                            : "ERR invalid end ID for the interval");
  }
  return beside;
}

void AnswerEntry(StreamId id, const Stream::Fields& fields, RespWriter& out) {
  out.Array(2);
  out.Bulk(id.ToString());
  out.Array(fields.size());
  for (const std::string& field : fields) {
    out.Bulk(field);
  }
}

// `begin` to `end` by their order, at most `count` of them; 0: all.
template <typename Iterator>
void AnswerEntries(Iterator begin, Iterator end, size_t count, RespWriter& out) {
  size_t size = 0;
  Iterator stop = begin;
  while (stop != end && (count == 0 || size < count)) {
    ++stop;
    ++size;
  }
  out.Array(size);
  for (; begin != stop; ++begin) {
    AnswerEntry(begin->first, begin->second, out);
  }
}

void AnswerRange(Call& call, bool is_reverse) {
  const std::optional<StreamId> first = ReadBound(call, is_reverse ? 3 : 2, true);
  const std::optional<StreamId> last =
      first ? ReadBound(call, is_reverse ? 2 : 3, false) : std::nullopt;
  if (!last) {
    return;
  }
  std::optional<int64_t> count;
  for (size_t i = 4; i < call.args.size(); i += 2) {
    if (!call.Is(i, "COUNT") || i + 1 == call.args.size()) {
      call.out.Error(kSyntaxError);
      return;
    }
    count = call.Integer(i + 1);
    if (!count) {
      return;
    }
  }
  const auto found = call.Find<Stream>(call.key());
  if (!found.is_right) {
    return;
  }
  if (found.value == nullptr) {
    call.out.Array(0);
  } else if (count && *count <= 0) {
    call.out.NilArray();
  } else {
    auto& entries = found.value->entries;
    const auto begin = entries.lower_bound(*first);
    const auto end = *first <= *last ? entries.upper_bound(*last) : begin;
    const auto size = static_cast<size_t>(count.value_or(0));
    if (is_reverse) {
      AnswerEntries(std::make_reverse_iterator(end), std::make_reverse_iterator(begin), size,
                    call.out);
    } else {
      AnswerEntries(begin, end, size, call.out);
    }
  }
}

// Which id XADD asks for.
struct NewId {
  bool is_whole = false;
  bool has_ms = false;
  StreamId id;
};

std::optional<NewId> ReadNewId(Call& call) {
  const std::string& text = call.arg(2);
  if (text == "*") {
    return NewId{};
  }
  if (text.ends_with("-*")) {
    const auto ms = ParseIdNumber(std::string_view(text).substr(0, text.size() - 2));
    if (!ms) {
      call.out.Error(kBadIdError);
      return std::nullopt;
    }
    return NewId{.has_ms = true, .id = {*ms, 0}};
  }
  const std::optional<StreamId> id = ReadId(call, 2);
  if (!id) {
    return std::nullopt;
  }
  return NewId{.is_whole = true, .has_ms = true, .id = *id};
}

// Nothing: there is none behind the last one.
std::optional<StreamId> Resolve(const NewId& asked, StreamId last, uint64_t now_ms) {
  StreamId id = asked.id;
  if (!asked.has_ms) {
    const std::optional<StreamId> next = Next(last);
    return now_ms > last.ms ? StreamId{now_ms, 0} : next;
  }
  if (!asked.is_whole && id.ms == last.ms) {
    if (last.sequence == kNumberMax) {
      return std::nullopt;
    }
    id.sequence = last.sequence + 1;
  }
  return id > last ? std::optional(id) : std::nullopt;
}

size_t Trim(Stream& stream, Stream::Fields::size_type length_max, StreamId least) {
  size_t removed = 0;
  while (!stream.entries.empty() &&
         (stream.entries.size() > length_max || stream.entries.begin()->first < least)) {
    stream.entries.erase(stream.entries.begin());
    ++removed;
  }
  return removed;
}

struct ReadRequest {
  size_t count = 0;
  size_t first_key = 0;
  size_t streams = 0;
};

std::optional<ReadRequest> ReadReadRequest(Call& call) {
  ReadRequest request;
  for (size_t i = 1; i < call.args.size(); ++i) {
    if (call.Is(i, "STREAMS") && i + 1 < call.args.size()) {
      request.first_key = i + 1;
      break;
    }
    const bool is_block = call.Is(i, "BLOCK");
    if ((!is_block && !call.Is(i, "COUNT")) || i + 1 == call.args.size()) {
      call.out.Error(kSyntaxError);
      return std::nullopt;
    }
    if (is_block && call.is_in_script) {
      call.out.Error("ERR " + call.arg(0) +
                     " command is not allowed with BLOCK option from scripts");
      return std::nullopt;
    }
    const std::optional<int64_t> number = call.Integer(
        ++i, is_block ? "ERR timeout is not an integer or out of range" : kNoIntegerError);
    if (!number) {
      return std::nullopt;
    }
    if (is_block && *number < 0) {
      call.out.Error("ERR timeout is negative");
      return std::nullopt;
    }
    if (!is_block) {
      request.count = *number < 0 ? 0 : static_cast<size_t>(*number);
    }
  }
  const size_t words = call.args.size() - request.first_key;
  if (request.first_key == 0) {
    call.out.Error(kSyntaxError);
    return std::nullopt;
  }
  if (words % 2 != 0) {
    call.out.Error(
        "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be "
        "specified.");
    return std::nullopt;
  }
  request.streams = words / 2;
  return request;
}

}  // namespace

void XAdd(Call& call) {
  const std::optional<NewId> asked = ReadNewId(call);
  if (!asked) {
    return;
  }
  if (call.args.size() % 2 == 0) {
    call.out.Error("ERR wrong number of arguments for 'xadd' command");
    return;
  }
  if (asked->is_whole && asked->id == StreamId()) {
    call.out.Error("ERR The ID specified in XADD must be greater than 0-0");
    return;
  }
  const auto found = call.Find<Stream>(call.key());
  if (!found.is_right) {
    return;
  }
  const StreamId last = found.value != nullptr ? found.value->last_id : StreamId();
  const std::optional<StreamId> id =
      Resolve(*asked, last, static_cast<uint64_t>(call.keys.now_ms()));
  if (!id && last == StreamId{kNumberMax, kNumberMax}) {
    call.out.Error("ERR The stream has exhausted the last possible ID, unable to add more items");
    return;
  }
  if (!id) {
    call.out.Error(
        "ERR The ID specified in XADD is equal or smaller than the target stream top item");
    return;
  }
  Stream& stream = call.Make(found);
  stream.entries.emplace_hint(stream.entries.end(), *id,
                              Stream::Fields(call.args.begin() + 3, call.args.end()));
  stream.last_id = *id;
  ++stream.entries_added;
  call.keys.Touch(call.key());
  call.out.Bulk(id->ToString());
}

void XDel(Call& call) {
  const auto found = call.Find<Stream>(call.key());
  if (!found.is_right) {
    return;
  }
  if (found.value == nullptr) {
    call.out.Integer(0);
    return;
  }
  std::vector<StreamId> ids;
  for (size_t i = 2; i < call.args.size(); ++i) {
    const std::optional<StreamId> id = ReadId(call, i);
    if (!id) {
      return;
    }
    ids.push_back(*id);
  }
  int64_t removed = 0;
  for (const StreamId& id : ids) {
    if (found.value->entries.erase(id) > 0) {
      ++removed;
      found.value->max_deleted_id = std::max(found.value->max_deleted_id, id);
    }
  }
  if (removed > 0) {
    call.keys.Touch(call.key());
  }
  call.out.Integer(removed);
}

void XTrim(Call& call) {
  const bool by_length = call.Is(2, "MAXLEN");
  const bool has_sign = call.args.size() > 4 && (call.arg(3) == "~" || call.arg(3) == "=");
  const size_t at = has_sign ? 4 : 3;
  if (!by_length && !call.Is(2, "MINID")) {
    call.out.Error(kSyntaxError);
    return;
  }
  size_t length_max = std::numeric_limits<size_t>::max();
  StreamId least;
  if (by_length) {
    const std::optional<int64_t> length = call.Integer(at);
    if (!length) {
      return;
    }
    if (*length < 0) {
      call.out.Error("ERR The MAXLEN argument must be >= 0.");
      return;
    }
    length_max = static_cast<size_t>(*length);
  } else {
    const std::optional<StreamId> id = ReadId(call, at);
    if (!id) {
      return;
    }
    least = *id;
  }
  if (call.args.size() > at + 1) {
    call.out.Error(kSyntaxError);
    return;
  }
  const auto found = call.Find<Stream>(call.key());
  if (!found.is_right) {
    return;
  }
  const size_t removed = found.value != nullptr ? Trim(*found.value, length_max, least) : 0;
  if (removed > 0) {
    call.keys.Touch(call.key());
  }
  call.out.Integer(static_cast<int64_t>(removed));
}

void XLen(Call& call) {
  const auto found = call.Find<Stream>(call.key());
  if (found.is_right) {
    call.out.Integer(found.value != nullptr ? static_cast<int64_t>(found.value->entries.size())
                                            : 0);
  }
}

void XRange(Call& call) { AnswerRange(call, false); }

void XRevRange(Call& call) { AnswerRange(call, true); }

void XRead(Call& call) {
  const std::optional<ReadRequest> request = ReadReadRequest(call);
  if (!request) {
    return;
  }
  RespWriter streams;
  size_t answered = 0;
  for (size_t i = 0; i < request->streams; ++i) {
    const std::string& key = call.arg(request->first_key + i);
    const size_t id_at = request->first_key + request->streams + i;
    const auto found = call.Find<Stream>(key);
    if (!found.is_right) {
      return;
    }
    std::optional<StreamId> after = StreamId{kNumberMax, kNumberMax};
    if (call.arg(id_at) != "$") {
      after = ReadId(call, id_at);
    }
    if (!after) {
      return;
    }
    if (found.value == nullptr) {
      continue;
    }
    const auto begin = found.value->entries.upper_bound(*after);
    if (begin != found.value->entries.end()) {
      ++answered;
      streams.Array(2);
      streams.Bulk(key);
      AnswerEntries(begin, found.value->entries.end(), request->count, streams);
    }
  }
  if (answered == 0) {
    call.out.NilArray();
    return;
  }
  call.out.Array(answered);
  call.out.Append(streams);
}

void XInfoStream(Call& call) {
  const auto found = call.Find<Stream>(call.arg(2));
  if (found.value == nullptr) {
    if (found.is_right) {
      call.out.Error("ERR no such key");
    }
    return;
  }
  if (call.args.size() > 3) {
    call.out.Error(
        fmt::format("ERR unknown subcommand or wrong number of arguments for '{}'. Try XINFO HELP.",
                    call.arg(1)));
    return;
  }
  const Stream& stream = *found.value;
  const bool is_empty = stream.entries.empty();
  const auto number = [&call](std::string_view name, size_t value) {
    call.out.Bulk(name);
    call.out.Integer(static_cast<int64_t>(value));
  };
  const auto id = [&call](std::string_view name, StreamId value) {
    call.out.Bulk(name);
    call.out.Bulk(value.ToString());
  };
  const auto entry = [&](std::string_view name, auto it) {
    call.out.Bulk(name);
    if (is_empty) {
      call.out.Nil();
    } else {
      AnswerEntry(it->first, it->second, call.out);
    }
  };
  call.out.Array(20);
  number("length", stream.entries.size());
  number("radix-tree-keys", is_empty ? 0 : 1);
  number("radix-tree-nodes", is_empty ? 1 : 2);
  id("last-generated-id", stream.last_id);
  id("max-deleted-entry-id", stream.max_deleted_id);
  number("entries-added", stream.entries_added);
  id("recorded-first-entry-id", is_empty ? StreamId() : stream.entries.begin()->first);
  number("groups", 0);
  entry("first-entry", stream.entries.begin());
  entry("last-entry", stream.entries.rbegin());
}

}  // namespace klatch::sim::commands
