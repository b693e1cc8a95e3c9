// What Redis answers, byte by byte: hiredis reads it, and what Klatch makes of it must hold whatever its shape.

#include <hiredis/hiredis.h>

#include <memory>

#include "common/redis/connection.h"
#include "common/redis/info.h"
#include "common/redis/reply.h"
#include "services/log/group_hash.h"
#include "services/log/log_end.h"
#include "services/log/outcome.h"
#include "services/log/redis_log_reader.h"
#include "tests/fuzz/fuzz_input.h"

namespace {

using klatch::redis::Reply;

// hiredis makes room for as many elements as a reply says that it has: whoever speaks for Redis can have it
// use up the memory, and is trusted not to.
bool TakesTooMuch(std::string_view bytes) {
  constexpr size_t kDigitsMax = 4;
  for (size_t at = bytes.find('*'); at != std::string_view::npos; at = bytes.find('*', at + 1)) {
    const size_t end = bytes.find_first_not_of("0123456789", at + 1);
    if (std::min(end, bytes.size()) - at > kDigitsMax + 1) {
      return true;
    }
  }
  return false;
}

// Nothing if it is no whole reply.
Reply Parse(std::string_view bytes) {
  if (TakesTooMuch(bytes)) {
    return Reply();
  }
  const std::unique_ptr<redisReader, decltype(&redisReaderFree)> reader(redisReaderCreate(),
                                                                        &redisReaderFree);
  void* reply = nullptr;
  if (redisReaderFeed(reader.get(), bytes.data(), bytes.size()) != REDIS_OK ||
      redisReaderGetReply(reader.get(), &reply) != REDIS_OK) {
    return Reply();
  }
  return Reply(static_cast<redisReply*>(reply));
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const klatch::fuzz::Input input(data, size);
  const Reply reply = Parse(input.rest());
  const klatch::ShardIndex shard(3);
  static_cast<void>(klatch::redis::ToStatus(reply.view()));
  static_cast<void>(klatch::group_hash::Decode(reply.view()));
  static_cast<void>(klatch::group_hash::DecodeRetention(reply[0], reply[1], reply[2]));
  static_cast<void>(klatch::redis::ConfigText(reply.view(), "appendonly"));
  static_cast<void>(klatch::redis::ReadReplication(reply.text()));
  if (const auto end = klatch::LogEnd::Decode(reply.view(), shard, "log"); end.ok()) {
    klatch::fuzz::Require(end->is_zero() || end->shard() == shard, "a log's end is of its shard");
  }
  if (const auto entry = klatch::DecodeLogEntry(reply.view(), shard, "log"); entry.ok()) {
    klatch::fuzz::Require(entry->position.shard() == shard, "an entry is of its shard");
  }
  return 0;
}
