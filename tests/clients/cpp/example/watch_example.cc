// Bob watches what Alice posts. Usage: watch_example TARGET COUNT [HEARTBEAT_SECONDS]

#include <cstdlib>
#include <iostream>
#include <string>
#include <thread>

#include "klatch/watch.h"

namespace {

using klatch::v1::FeedService;
using klatch::v1::GroupService;

// Ends the example with what went wrong.
template <typename Response>
Response Must(klatch::Result<Response> result) {
  if (!result.ok()) {
    std::cerr << result.error().text << "\n";
    std::_Exit(1);
  }
  return *result;
}

void MakeGroup(klatch::Person& alice) {
  klatch::v1::CreateGroupRequest create;
  create.mutable_group()->set_id("club");
  Must(alice.Call(&GroupService::Stub::CreateGroup, create));
  klatch::v1::AddMembersRequest add;
  add.set_group("club");
  add.add_members()->set_person("bob");
  Must(alice.Call(&GroupService::Stub::AddMembers, add));
}

void Post(klatch::Person& alice, int count) {
  for (int number = 1; number <= count; ++number) {
    klatch::v1::PublishUpdateRequest request;
    request.mutable_update()->add_groups("club");
    request.mutable_update()->set_text("Move " + std::to_string(number));
    Must(alice.Call(&FeedService::Stub::PublishUpdate, request, std::chrono::seconds(60)));
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: watch_example TARGET COUNT [HEARTBEAT_SECONDS]\n";
    return 2;
  }
  const int count = std::atoi(argv[2]);
  const klatch::Client client(argv[1]);
  klatch::Person alice(client, "alice");
  klatch::Person bob(client, "bob");
  MakeGroup(alice);
  bob.See(alice.tokens());
  // A watch that begins where a page ends shows all that comes after it.
  const auto page =
      Must(bob.Call(&FeedService::Stub::ListHomeTimeline, klatch::v1::ListHomeTimelineRequest()));
  std::thread posting(Post, std::ref(alice), count);
  klatch::Watch::Options options;
  if (argc > 3) {
    options.heartbeat_seconds = std::atoi(argv[3]);
  }
  klatch::Watch watch(bob, page.watch_token(), options);
  bool seen_all = false;
  while (!seen_all && watch.Next()) {
    if (watch.event().has_published()) {
      std::cout << watch.event().published().text() << std::endl;
      seen_all = watch.event().published().text() == "Move " + std::to_string(count);
    }
  }
  posting.join();
  if (!seen_all) {
    std::cerr << watch.error().text << "\n";
  }
  return seen_all ? 0 : 1;
}
