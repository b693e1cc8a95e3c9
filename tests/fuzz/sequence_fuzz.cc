// The whole API in one process, with a redis-server behind it: histories of calls whose choices are the input's, each
// answer held against the model of what SEMANTICS.md promises (tests/integration/history_world.h); and messages of any
// bytes to any call, which must be answered in time and by no fault of ours.
//
// Worlds stay as long as their node, so that each input finds others' beside its own; a node is taken apart and started
// again now and then, and its Redis made anew more rarely.

#include <stdlib.h>

#include <cstdlib>
#include <filesystem>
#include <memory>

#include "services/identity/call_names.h"
#include "services/klatchd/access.h"
#include "services/klatchd/node.h"
#include "services/klatchd/redis_access.h"
#include "services/klatchd/server.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/integration/any_call.h"
#include "tests/integration/history_world.h"

namespace klatch {
namespace {

using fuzz::Require;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int kOperations = 15;
constexpr int kInputsPerNode = 200;
constexpr int kNodesPerRedis = 5;
constexpr seconds kPatience{30};

class ServingNode {
 public:
  explicit ServingNode(const std::string& folder) : folder_(folder) {
    options_.listen = "unix:" + folder + "/klatchd.sock";
    options_.data_dir = folder;
    options_.shards = 4;
    options_.partitions = 4;
    options_.workers = 2;
    options_.flush_interval = milliseconds(50);
    options_.timeline_memory_bytes = int64_t{256} << 20;
    options_.body_cache_bytes = int64_t{32} << 20;
    options_.persons_max = 100'000;
    options_.groups_max = 100'000;
    memory_ = std::make_unique<NodeMemory>(LayoutOf(options_));
    auto redis = RedisAccess::Open(
        options_, clock_, [] { return false; }, [](const auto&) {});
    Require(redis.ok(), "a redis-server starts");
    redis_ = *std::move(redis);
    Start();
  }
  ~ServingNode() {
    Stop();
    redis_->StopEmbedded(seconds(5));
    redis_.reset();
    std::filesystem::remove_all(folder_);
  }

  void Restart() {
    Stop();
    Start();
  }

  std::shared_ptr<grpc::Channel> Channel() const {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel(server_->address(), grpc::InsecureChannelCredentials(),
                                     arguments);
  }

 private:
  void Start() {
    node_ = std::make_unique<Node>(options_, redis_->address(), redis_->node_id(), clock_, *memory_,
                                   nullptr);
    const absl::Status started = node_->Start([] { return false; });
    Require(started.ok(), "a node starts: " + base::MessageOf(started));
    auto server = Server::Start(options_, access_, *node_);
    Require(server.ok(), "a server starts");
    server_ = *std::move(server);
  }
  void Stop() {
    const base::MonotonicTime now = clock_.Monotonic();
    const absl::Status drained = node_->Drain(now + seconds(1), now + kPatience);
    Require(drained.ok(), "a node is drained: " + base::MessageOf(drained));
    server_->Shutdown(clock_.Wall() + seconds(1));
    server_.reset();
    node_.reset();
  }

  const std::string folder_;
  const base::SystemClock clock_;
  KlatchdOptions options_;
  Access access_;  // anybody's, in plain text
  std::unique_ptr<NodeMemory> memory_;
  std::unique_ptr<RedisAccess> redis_;
  std::unique_ptr<Node> node_;
  std::unique_ptr<Server> server_;
};

std::string NewFolder() {
  std::string folder = "/tmp/klatch_fuzz_XXXXXX";
  Require(mkdtemp(folder.data()) != nullptr, "there is room for a folder");
  return folder;
}

std::unique_ptr<ServingNode>& NodeOfProcess() {
  static auto& node = *new std::unique_ptr<ServingNode>();
  return node;
}

// The fuzzer ends by exit(), which destroys what the node uses. What is registered last is called first: hence behind
// each input, since any may have made something that is destroyed.
void StopAtExit() {
  std::atexit([] { NodeOfProcess().reset(); });
}

// Of the process; a new one as often as said above.
ServingNode& NodeForAnInput(int number) {
  std::unique_ptr<ServingNode>& node = NodeOfProcess();
  if (node == nullptr || number % (kInputsPerNode * kNodesPerRedis) == 0) {
    node.reset();
    node = std::make_unique<ServingNode>(NewFolder());
  } else if (number % kInputsPerNode == 0) {
    node->Restart();
  }
  return *node;
}

void PlayHistory(ServingNode& node, int number, std::string choices) {
  testing::HistoryWorld world(node.Channel(), {.seed = 1,
                                               .number = number,
                                               .operations = kOperations,
                                               .fault = testing::Fault::kNone,
                                               .watches = 1,
                                               .choices = std::move(choices)});
  while (world.Step()) {
  }
  world.Finish();
  Require(world.mismatch().empty(), world.mismatch());
}

// One message to a call of any kind, whose first answer or end comes in time.
void SendBytes(ServingNode& node, const std::string& path, std::string_view bytes) {
  const grpc::Status status =
      testing::CallAny(node.Channel(), path, bytes, kPatience, testing::AfterFirst::kCancel).status;
  switch (status.error_code()) {
    case grpc::StatusCode::INTERNAL:
    case grpc::StatusCode::UNKNOWN:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::UNIMPLEMENTED:
    case grpc::StatusCode::DATA_LOSS:
      Require(false, path + ": " + status.error_message());
      break;
    default:
      break;
  }
}

}  // namespace
}  // namespace klatch

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static int count = 0;
  const std::vector<klatch::CallName>& calls = klatch::AllCalls();
  klatch::fuzz::Input input(data, size);
  const bool is_history = input.Choose(4) != 0;
  klatch::ServingNode& node = klatch::NodeForAnInput(count);
  if (is_history) {
    klatch::PlayHistory(node, count, std::string(input.rest()));
  } else {
    const uint32_t call = input.Choose(static_cast<uint32_t>(calls.size()));
    klatch::SendBytes(node, calls[call].path, input.rest());
  }
  ++count;
  klatch::StopAtExit();
  return 0;
}
