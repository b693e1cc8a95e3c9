#include "common/redis/pipeline.h"

#include <utility>

#include "common/redis/pipeline_loop.h"

namespace klatch::redis {

SocketPipeline::SocketPipeline(Address address, Options options)
    : loop_(std::make_unique<Loop>(std::move(address), std::move(options), connected_)) {}

SocketPipeline::~SocketPipeline() = default;

void SocketPipeline::Submit(std::vector<Command> commands, Callback done) {
  loop_->Submit(Loop::kAnyConnection, std::move(commands), std::move(done));
}

uint64_t SocketPipeline::connection() const { return loop_->connection(); }

void SocketPipeline::SubmitOver(uint64_t connection, std::vector<Command> commands, Callback done) {
  loop_->Submit(connection, std::move(commands), std::move(done));
}

std::chrono::nanoseconds SocketPipeline::OldestAge() const { return loop_->OldestAge(); }

}  // namespace klatch::redis
