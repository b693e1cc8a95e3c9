#include "tests/integration/privacy_viewer.h"

#include <algorithm>

#include "tests/integration/klatchd_http_client.h"
#include "tests/integration/klatchd_watch_client.h"

namespace klatch::testing {
namespace {

using grpc::StatusCode;

// A page or, to who may see nothing of it, a refusal; anything else fails the test.
template <typename Page>
std::set<std::string> TextsOn(const Answer<Page>& page) {
  if (page.status.error_code() == StatusCode::PERMISSION_DENIED ||
      page.status.error_code() == StatusCode::NOT_FOUND) {
    return {};
  }
  const std::vector<std::string> texts = testing::TextsOf(*page);
  return {texts.begin(), texts.end()};
}

std::set<std::string> TextsIn(const Events& events) {
  std::set<std::string> texts;
  for (const v1::WatchEvent& event : events) {
    if (event.has_published()) {
      texts.insert(event.published().text());
    } else if (event.has_edited()) {
      texts.insert(event.edited().text());
    }
  }
  return texts;
}

bool Holds(const Events& events, const std::string& text) { return TextsIn(events).contains(text); }

// All up to the mark, and to the token behind it.
template <typename Watch>
std::set<std::string> TextsUpTo(Watch& watch, const std::string& mark) {
  EXPECT_TRUE(watch.Await([&](const Events& events) { return Holds(events, mark); })) << mark;
  EXPECT_TRUE(watch.AwaitToken(1));
  return TextsIn(watch.events());
}

std::set<std::string> TextsOverHttp(const std::string& address, const std::string& person,
                                    const std::string& token, const std::string& mark) {
  HttpPeer peer(address);
  peer.Send(Getting("/klatch.v1.FeedService/WatchHomeTimeline?heartbeatSeconds=1&actor=" + person,
                    "Accept: text/event-stream\r\nLast-Event-ID: " + token + "\r\n"));
  EXPECT_TRUE(peer.ReadHead().has_value());
  Events events;
  while (true) {
    const auto text = peer.ReadEvent();
    if (!text) {
      ADD_FAILURE() << "the stream ended in front of " << mark;
      return {};
    }
    const WatchMessage message = WatchMessageOf(*text);
    events.insert(events.end(), message.response.events().begin(), message.response.events().end());
    if (!message.id.empty() && Holds(events, mark)) {
      return TextsIn(events);
    }
  }
}

}  // namespace

void PrivacyViewer::BeginWatches(const Klatchd& klatchd) {
  Watcher watcher(klatchd.Channel(), person_);
  EXPECT_TRUE(watcher.AwaitAnyToken());
  cursors_.watch = watcher.token();
  Gateway gateway(klatchd.Channel());
  gateway.Watch({person_});
  EXPECT_TRUE(gateway.AwaitAnswers(1) && gateway.AwaitAnyToken());
  cursors_.gateway = gateway.token();
}

void PrivacyViewer::TurnPages(Client& client) {
  cursors_.home = client.Home(person_, {}, 1)->next_page_token();
  cursors_.group = client.GroupPage(person_, group_, {}, 1)->next_page_token();
  cursors_.profile = client.Profile(person_, author_, {}, 1)->next_page_token();
  EXPECT_FALSE(cursors_.group.empty() || cursors_.profile.empty());
}

std::set<std::string> PrivacyViewer::TextsOf(Path path, const Klatchd& klatchd, Client& client,
                                             const std::string& mark) const {
  switch (path) {
    case Path::kHome: {
      const auto page = client.Home(person_);
      EXPECT_THAT(page->next_page_token(), ::testing::IsEmpty()) << "a page does not hold it all";
      return TextsOn(page);
    }
    case Path::kHomeNextPage:
      return cursors_.home.empty() ? std::set<std::string>()
                                   : TextsOn(client.Home(person_, {}, 200, cursors_.home));
    case Path::kGroup:
      return TextsOn(client.GroupPage(person_, group_));
    case Path::kGroupNextPage:
      return TextsOn(client.GroupPage(person_, group_, {}, 200, cursors_.group));
    case Path::kProfile:
      return TextsOn(client.Profile(person_, author_));
    case Path::kProfileNextPage:
      return TextsOn(client.Profile(person_, author_, {}, 200, cursors_.profile));
    case Path::kHttpHome: {
      v1::ListHomeTimelineRequest request;
      request.set_actor(person_);
      request.set_page_size(200);
      const HttpAnswer answer =
          CallByHttp(klatchd.http_address(), "FeedService/ListHomeTimeline", request);
      EXPECT_EQ(answer.code, 200) << answer.body;
      const auto texts = testing::TextsOf(FromJson<v1::ListHomeTimelineResponse>(answer.body));
      return {texts.begin(), texts.end()};
    }
    case Path::kWatch: {
      Watcher watcher(klatchd.Channel(), person_, cursors_.watch);
      return TextsUpTo(watcher, mark);
    }
    case Path::kGateway: {
      Gateway gateway(klatchd.Channel());
      gateway.Watch({person_}, cursors_.gateway);
      return TextsUpTo(gateway, mark);
    }
    case Path::kHttpWatch:
      return TextsOverHttp(klatchd.http_address(), person_, cursors_.watch, mark);
    case Path::kSingle:
    case Path::kReply:
    case Path::kReshare:
      break;
  }
  ADD_FAILURE() << NameOf(path) << " has no texts";
  return {};
}

// What asks for one update by its id.
bool PrivacyViewer::Answers(Path path, Client& client, const Target& target) const {
  if (path == Path::kSingle) {
    const auto got = client.Get(person_, target.id);
    EXPECT_TRUE(got.ok() || got.status.error_code() == StatusCode::NOT_FOUND)
        << got.status.error_message();
    return got.ok() && got->update().text() == target.text;
  }
  v1::PublishUpdateRequest request = Client::Post(person_, desk_, "to " + target.text);
  if (path == Path::kReply) {
    request.mutable_update()->set_reply_to(target.id);
  } else {
    request.mutable_update()->set_reshare_of(target.id);
  }
  const auto posted = client.Publish(request);
  EXPECT_TRUE(posted.ok() || posted.status.error_code() == StatusCode::NOT_FOUND)
      << posted.status.error_message();
  return posted.ok();
}

std::map<std::string, uint32_t> PrivacyViewer::ShownByOthers(Client& client) const {
  const auto of_others = [this](const auto& page) {
    return static_cast<uint32_t>(std::ranges::count_if(
        page->updates(), [this](const v1::Update& update) { return update.author() != person_; }));
  };
  std::map<std::string, uint32_t> shown{{"", of_others(client.Home(person_))}};
  if (const auto page = client.GroupPage(person_, group_); page.ok()) {
    shown[group_] = of_others(page);
  }
  return shown;
}

std::map<std::string, uint32_t> PrivacyViewer::Counted(Client& client) const {
  v1::GetUnreadCountsRequest request;
  request.set_actor(person_);
  request.set_home(true);
  request.add_groups(group_);
  const auto unread = client.Persons(&v1::PersonService::Stub::GetUnreadCounts, request);
  EXPECT_TRUE(unread.ok()) << unread.status.error_message();
  std::map<std::string, uint32_t> counted;
  for (const v1::UnreadCount& one : unread->counts()) {
    counted[one.group()] = one.count();
  }
  return counted;
}

// The past of a group that was joined just now comes home when it is loaded, perhaps between a
// count and a page: a count is held against pages that were the same before and after it.
void PrivacyViewer::ExpectCounted(Client& client) const {
  constexpr int kTriesMax = 10;
  for (int i = 0; i < kTriesMax; ++i) {
    const auto before = ShownByOthers(client);
    const auto counted = Counted(client);
    const auto after = ShownByOthers(client);
    if (before == after) {
      EXPECT_EQ(counted, after) << person_;
      return;
    }
  }
  ADD_FAILURE() << "the pages of " << person_ << " don't come to rest";
}

std::map<Path, std::set<uint64_t>> PrivacyViewer::Look(const Klatchd& klatchd, Client& client,
                                                       const std::vector<Target>& targets,
                                                       const Target& own,
                                                       const std::string& mark) const {
  std::map<Path, std::set<uint64_t>> shown;
  for (const Path path : kPaths) {
    std::set<uint64_t>& ids = shown[path];
    if (IsAsked(path)) {
      if (Answers(path, client, own)) {
        ids.insert(own.id);
      }
      continue;
    }
    const std::set<std::string> texts = TextsOf(path, klatchd, client, mark);
    for (const Target& target : targets) {
      if (texts.contains(target.text)) {
        ids.insert(target.id);
      }
    }
  }
  return shown;
}

}  // namespace klatch::testing
