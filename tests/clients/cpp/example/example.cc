// Alice and Bob share a group: what klatch::client does for an app.
// Usage: example TARGET [TIMEOUT_SECONDS]

#include <cstdlib>
#include <iostream>
#include <string>

#include "klatch/client.h"

namespace {

using klatch::v1::FeedService;
using klatch::v1::GroupService;

// Ends the example with what went wrong.
template <typename Response>
Response Must(klatch::Result<Response> result) {
  if (!result.ok()) {
    std::cerr << result.error().text << "\n";
    std::exit(1);
  }
  return *result;
}

klatch::v1::PublishUpdateRequest Text(const std::string& group, const std::string& text) {
  klatch::v1::PublishUpdateRequest request;
  request.mutable_update()->add_groups(group);
  request.mutable_update()->set_text(text);
  return request;
}

template <typename Updates>
void PrintTexts(const Updates& updates, std::string separator) {
  for (const klatch::v1::Update& update : updates) {
    std::cout << separator << update.text();
    separator = ", ";
  }
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

uint64_t PostMoves(klatch::Person& alice) {
  uint64_t last = 0;
  for (int move = 1; move <= 5; ++move) {
    const auto text = Text("club", "Move " + std::to_string(move));
    last = Must(alice.Call(&FeedService::Stub::PublishUpdate, text)).update_id();
  }
  return last;
}

void ShowHome(klatch::Person& bob) {
  klatch::v1::ListHomeTimelineRequest request;
  request.set_page_size(2);
  std::string separator = "home: ";
  Must(bob.CallPages(&FeedService::Stub::ListHomeTimeline, request, [&](const auto& page) {
    PrintTexts(page.updates(), separator);
    separator = ", ";
    return true;
  }));
  std::cout << "\n";
}

void EditAndPostMore(klatch::Person& alice, uint64_t last_move) {
  klatch::v1::EditUpdateRequest edit;
  edit.set_update_id(last_move);
  edit.mutable_update()->set_text("Move 5, corrected");
  Must(alice.Call(&FeedService::Stub::EditUpdate, edit));

  klatch::v1::BatchPublishUpdatesRequest batch;
  *batch.add_requests() = Text("club", "Check");
  *batch.add_requests() = Text("chess", "Mate");
  const auto posted = Must(alice.Call(&FeedService::Stub::BatchPublishUpdates, batch));
  std::string separator = "batch: ";
  for (const auto& result : posted.results()) {
    std::cout << separator << (result.has_published() ? "published" : "error");
    separator = ", ";
  }
  std::cout << "\n";

  klatch::v1::ListGroupTimelineRequest list;
  list.set_group("club");
  list.set_page_size(2);
  PrintTexts(Must(alice.Call(&FeedService::Stub::ListGroupTimeline, list)).updates(), "group: ");
  std::cout << "\n";
}

void ShowRefusals(klatch::Person& alice, klatch::Person& bob) {
  klatch::v1::RemoveMembersRequest remove;
  remove.set_group("club");
  remove.add_persons("bob");
  Must(alice.Call(&GroupService::Stub::RemoveMembers, remove));
  klatch::v1::ListGroupTimelineRequest list;
  list.set_group("club");
  const auto refused = bob.Call(&FeedService::Stub::ListGroupTimeline, list);
  std::cout << "bob: " << refused.error().code_name() << "\n";
  const auto empty = alice.Call(&FeedService::Stub::PublishUpdate, Text("club", ""));
  for (const auto& [field, what] : empty.error().fields) {
    std::cout << empty.error().code_name() << ": " << field << " " << what << "\n";
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: example TARGET [TIMEOUT_SECONDS]\n";
    return 2;
  }
  klatch::ClientOptions options;
  if (argc > 2) {
    options.timeout = std::chrono::seconds(std::atoi(argv[2]));
  }
  const klatch::Client client(argv[1], options);
  klatch::Person alice(client, "alice");
  klatch::Person bob(client, "bob");
  MakeGroup(alice);
  const uint64_t last_move = PostMoves(alice);
  bob.See(alice.tokens());  // What Alice has written, Bob's next reads show.
  ShowHome(bob);
  EditAndPostMore(alice, last_move);
  ShowRefusals(alice, bob);
  return 0;
}
