#include "common/redis/pipeline.h"

#include <utility>

#include "common/redis/pipeline_loop.h"

namespace klatch::redis {

Pipeline::Pipeline(Address address, Options options)
    : loop_(std::make_unique<Loop>(std::move(address), std::move(options), connected_)) {}

Pipeline::~Pipeline() = default;

void Pipeline::Submit(std::vector<Command> commands, Callback done) {
  loop_->Submit(Loop::kAnyConnection, std::move(commands), std::move(done));
}

uint64_t Pipeline::connection() const { return loop_->connection(); }

void Pipeline::SubmitOver(uint64_t connection, std::vector<Command> commands, Callback done) {
  loop_->Submit(connection, std::move(commands), std::move(done));
}

std::chrono::nanoseconds Pipeline::OldestAge() const { return loop_->OldestAge(); }

}  // namespace klatch::redis
