#pragma once
// A call of any kind by its path, with any bytes as its one message: for what no stub would send.
//
// Thread safety: functions without state. Bound: the context's deadline.

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

namespace klatch::testing {

struct AnyAnswer {
  grpc::Status status;
  std::string first;  // bytes of the first message that came back; empty if none did
};

// What is done when the first message has come.
enum class AfterFirst { kAwaitEnd, kCancel };

inline AnyAnswer CallAny(const std::shared_ptr<grpc::Channel>& channel, const std::string& path,
                         std::string_view bytes, grpc::ClientContext& context,
                         AfterFirst after = AfterFirst::kAwaitEnd) {
  grpc::GenericStub stub(channel);
  grpc::CompletionQueue queue;
  const auto call = stub.PrepareCall(&context, path, &queue);
  const auto done = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  call->StartCall(nullptr);
  done();
  grpc::Slice slice(bytes.data(), bytes.size());
  call->WriteLast(grpc::ByteBuffer(&slice, 1), {}, nullptr);
  done();
  // The status comes behind what is there to be read.
  AnyAnswer answer;
  grpc::ByteBuffer first;
  call->Read(&first, nullptr);
  grpc::Slice whole;
  if (done() && first.DumpToSingleSlice(&whole).ok()) {
    answer.first.assign(reinterpret_cast<const char*>(whole.begin()), whole.size());
  }
  if (after == AfterFirst::kCancel) {
    context.TryCancel();
  }
  call->Finish(&answer.status, nullptr);
  done();
  return answer;
}

// The same within a time of its own.
inline AnyAnswer CallAny(const std::shared_ptr<grpc::Channel>& channel, const std::string& path,
                         std::string_view bytes, std::chrono::seconds patience,
                         AfterFirst after = AfterFirst::kAwaitEnd) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + patience);
  return CallAny(channel, path, bytes, context, after);
}

}  // namespace klatch::testing
