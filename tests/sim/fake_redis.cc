#include "tests/sim/fake_redis.h"

#include <fmt/format.h>
#include <hiredis/hiredis.h>

#include <optional>
#include <set>
#include <utility>

#include "tests/sim/fake_redis_commands.h"
#include "tests/sim/fake_redis_keyspace.h"
#include "tests/sim/fake_redis_lua.h"
#include "tests/sim/fake_redis_wire.h"

namespace klatch::sim {
namespace {

using Kind = CommandSpec::Kind;

constexpr std::string_view kNoScriptError = "NOSCRIPT No matching script. Please use EVAL.";
constexpr size_t kSha1HexBytes = 40;

redis::Reply Parse(const std::string& bytes) {
  const std::unique_ptr<redisReader, decltype(&redisReaderFree)> reader(redisReaderCreate(),
                                                                        redisReaderFree);
  void* reply = nullptr;
  if (redisReaderFeed(reader.get(), bytes.data(), bytes.size()) != REDIS_OK ||
      redisReaderGetReply(reader.get(), &reply) != REDIS_OK) {
    // Arrays within arrays, deeper than hiredis reads.
    return Parse(fmt::format("-ERR unreadable reply: {}\r\n", reader->errstr));
  }
  return redis::Reply(static_cast<redisReply*>(reply));
}

bool IsQueued(Kind kind) {
  return kind != Kind::kExec && kind != Kind::kDiscard && kind != Kind::kMulti &&
         kind != Kind::kWatch;
}

std::string WithoutCode(std::string_view error) {
  constexpr std::string_view kPlainCode = "ERR ";
  return std::string(error.starts_with(kPlainCode) ? error.substr(kPlainCode.size()) : error);
}

}  // namespace

FakeRedis::FakeRedis()
    : keyspace_(std::make_unique<Keyspace>()),
      scripts_(std::make_unique<LuaScripts>(
          [this](const Args& args, bool& has_written, RespWriter& out) {
            RunInScript(args, has_written, out);
          })) {}

FakeRedis::~FakeRedis() = default;

redis::Reply FakeRedis::Execute(Session& session, const redis::Command& command) {
  if (command.script == nullptr || scripts_->Knows(command.script->sha1_hex())) {
    return Execute(session, command.args);
  }
  Args args = command.args;
  args[0] = "EVAL";
  args[1] = command.script->source();
  return Execute(session, args);
}

redis::Reply FakeRedis::Execute(Session& session, const Args& args) {
  return Parse(ExecuteToWire(session, args));
}

std::string FakeRedis::ExecuteToWire(Session& session, const Args& args) {
  keyspace_->Begin(now_us / 1'000, facts.role == Role::kMaster);
  RespWriter out;
  Run(session, args, out);
  ReportChanges();
  return out.TakeBytes();
}

const Data& FakeRedis::data() const { return keyspace_->data(); }

void FakeRedis::Restore(Data data) { keyspace_->Restore(std::move(data)); }

void FakeRedis::Restart(std::string run_id) {
  facts.run_id = std::move(run_id);
  scripts_->Forget();
}

uint64_t FakeRedis::changes() const { return keyspace_->changes(); }

void FakeRedis::ReportChanges() {
  const std::set<std::string> changed = keyspace_->TakeChanged();
  if (on_change) {
    for (const std::string& key : changed) {
      on_change(key);
    }
  }
}

void FakeRedis::Run(Session& session, const Args& args, RespWriter& out) {
  const CommandSpec* const spec = FindCommand(args);
  std::string refusal;
  if (spec == nullptr) {
    refusal = UnknownCommandError(args);
  } else if (!HasRightArity(*spec, args.size())) {
    refusal = WrongArityError(*spec);
  } else {
    refusal = Refusal(session, *spec);
  }
  if (refusal.empty() && session.is_in_transaction_ && IsQueued(spec->kind)) {
    // What will not run anyhow is not kept, and its flags do not count.
    if (!session.must_abort_ && (session.watched_ == nullptr || !session.watched_->is_dirty)) {
      session.queue_.push_back(args);
    }
    out.Status("QUEUED");
  } else if (refusal.empty()) {
    RunNow(session, *spec, args, out);
  } else if (spec != nullptr && spec->kind == Kind::kExec) {
    session = Session();
    out.Error("EXECABORT Transaction discarded because of: " + WithoutCode(refusal));
  } else {
    session.must_abort_ = session.is_in_transaction_;
    out.Error(refusal);
  }
}

std::string FakeRedis::Refusal(const Session& session, const CommandSpec& spec) const {
  unsigned flags = spec.flags;
  if (spec.kind == Kind::kExec) {
    for (const Args& args : session.queue_) {
      const unsigned queued = FindCommand(args)->flags;
      flags |= queued & (kWrite | kMayTakeMemory);
      flags &= queued | ~static_cast<unsigned>(kWhileLoading);
    }
  }
  // A queue takes memory, too.
  const bool may_take_memory =
      (flags & kMayTakeMemory) != 0 ||
      (session.is_in_transaction_ && spec.kind != Kind::kExec && spec.kind != Kind::kDiscard);
  const bool is_master = facts.role == Role::kMaster;
  if (facts.is_out_of_memory && may_take_memory && is_master && !facts.is_loading) {
    return std::string(kOutOfMemoryError);
  }
  if (!is_master && (flags & kWrite) != 0) {
    return std::string(kReadOnlyError);
  }
  if (facts.is_loading && (flags & kWhileLoading) == 0) {
    return std::string(kLoadingError);
  }
  return {};
}

void FakeRedis::RunNow(Session& session, const CommandSpec& spec, const Args& args,
                       RespWriter& out) {
  switch (spec.kind) {
    case Kind::kData: {
      Call call{args, facts, now_us, *keyspace_, out};
      spec.run(call);
      break;
    }
    case Kind::kMulti:
      Multi(session, out);
      break;
    case Kind::kExec:
      Exec(session, out);
      break;
    case Kind::kDiscard:
      if (session.is_in_transaction_) {
        session = Session();
        out.Status("OK");
      } else {
        out.Error("ERR DISCARD without MULTI");
      }
      break;
    case Kind::kWatch:
      Watch(session, args, out);
      break;
    case Kind::kUnwatch:
      session.watched_.reset();
      out.Status("OK");
      break;
    default:
      RunOfScripts(spec, args, out);
  }
}

void FakeRedis::RunOfScripts(const CommandSpec& spec, const Args& args, RespWriter& out) {
  switch (spec.kind) {
    case Kind::kScriptFlush:
      if (args.size() > 3 ||
          (args.size() == 3 && InUpperCase(args[2]) != "SYNC" && InUpperCase(args[2]) != "ASYNC")) {
        out.Error("ERR SCRIPT FLUSH only support SYNC|ASYNC option");
        break;
      }
      scripts_->Forget();
      out.Status("OK");
      break;
    case Kind::kScriptLoad:
      if (const auto sha1_hex = scripts_->Load(args[2], out)) {
        out.Bulk(*sha1_hex);
      }
      break;
    case Kind::kScriptExists:
      out.Array(args.size() - 2);
      for (size_t i = 2; i < args.size(); ++i) {
        out.Integer(scripts_->Knows(args[i]) ? 1 : 0);
      }
      break;
    default:
      Evaluate(spec, args, out);
  }
}

void FakeRedis::Evaluate(const CommandSpec& spec, const Args& args, RespWriter& out) {
  const bool is_named = spec.kind == Kind::kEvalSha;
  if (is_named && args[1].size() != kSha1HexBytes) {
    out.Error(kNoScriptError);
    return;
  }
  const std::optional<int64_t> keys = ParseInteger(args[2]);
  if (!keys) {
    out.Error(kNoIntegerError);
    return;
  }
  if (*keys > static_cast<int64_t>(args.size()) - 3) {
    out.Error("ERR Number of keys can't be greater than number of args");
    return;
  }
  if (*keys < 0) {
    out.Error("ERR Number of keys can't be negative");
    return;
  }
  if (is_named && !scripts_->Knows(args[1])) {
    out.Error(kNoScriptError);
    return;
  }
  const std::optional<std::string> sha1_hex = is_named ? args[1] : scripts_->Load(args[1], out);
  if (sha1_hex) {
    const auto first_argument = args.begin() + 3 + *keys;
    scripts_->Run(*sha1_hex, Args(args.begin() + 3, first_argument),
                  Args(first_argument, args.end()), out);
  }
}

// Memory is looked at before a script's first write only: after it, half of the script would be
// missing.
void FakeRedis::RunInScript(const Args& args, bool& has_written, RespWriter& out) {
  const CommandSpec* const spec = FindCommand(args);
  const bool is_master = facts.role == Role::kMaster;
  if (spec == nullptr) {
    out.Error("ERR Unknown Redis command called from script");
  } else if (!HasRightArity(*spec, args.size())) {
    out.Error("ERR Wrong number of args calling Redis command from script");
  } else if ((spec->flags & kNotInScripts) != 0) {
    out.Error("ERR This Redis command is not allowed from script");
  } else if (!is_master && (spec->flags & kWrite) != 0) {
    out.Error(kReadOnlyError);
  } else if (facts.is_out_of_memory && is_master && !has_written &&
             (spec->flags & kMayTakeMemory) != 0) {
    out.Error(kOutOfMemoryError);
  } else {
    has_written = has_written || (spec->flags & kWrite) != 0;
    Call call{args, facts, now_us, *keyspace_, out, true};
    spec->run(call);
  }
}

void FakeRedis::Multi(Session& session, RespWriter& out) {
  if (session.is_in_transaction_) {
    out.Error("ERR MULTI calls can not be nested");
    return;
  }
  session.is_in_transaction_ = true;
  out.Status("OK");
}

void FakeRedis::Watch(Session& session, const Args& args, RespWriter& out) {
  if (session.is_in_transaction_) {
    out.Error("ERR WATCH inside MULTI is not allowed");
    return;
  }
  if (session.watched_ == nullptr) {
    session.watched_ = std::make_shared<WatchedKeys>();
  }
  for (size_t i = 1; i < args.size(); ++i) {
    keyspace_->Watch(session.watched_, args[i]);
  }
  out.Status("OK");
}

void FakeRedis::Exec(Session& session, RespWriter& out) {
  if (!session.is_in_transaction_) {
    out.Error("ERR EXEC without MULTI");
    return;
  }
  const Session transaction = std::exchange(session, Session());
  if (transaction.must_abort_) {
    out.Error("EXECABORT Transaction discarded because of previous errors.");
    return;
  }
  if (transaction.watched_ != nullptr && keyspace_->HaveChanged(*transaction.watched_)) {
    out.NilArray();
    return;
  }
  out.Array(transaction.queue_.size());
  for (const Args& args : transaction.queue_) {
    RunNow(session, *FindCommand(args), args, out);
  }
}

}  // namespace klatch::sim
