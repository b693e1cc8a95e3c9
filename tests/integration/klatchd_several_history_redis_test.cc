// A seeded random history of posts to one and several groups, joins, leaves, edits, removals and
// deletions, against a model of who sees what through which group, on every kind of page.

#include <algorithm>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>

#include "tests/integration/klatchd_client.h"
#include "tests/integration/klatchd_process.h"

namespace klatch::testing {
namespace {

constexpr int kSteps = 300;
constexpr int kStepsBetweenChecks = 25;
// Of so many updates that somebody may not see one is asked for by its id.
constexpr int kHiddenPerGet = 8;

using Shown = std::map<uint64_t, std::set<std::string>>;

// Through which groups a person sees which update, as a page says. Each update once.
template <typename Page>
Shown ShownOn(const Page& page) {
  Shown shown;
  for (const v1::Update& update : page.updates()) {
    const bool is_new =
        shown.try_emplace(update.id(), update.groups().begin(), update.groups().end()).second;
    EXPECT_TRUE(is_new) << update.id() << " twice";
  }
  return shown;
}

// How groups deliver, and to whom.
struct Deliveries {
  const char* name;
  std::vector<std::string> arguments;
};

class KlatchdSeveralHistoryTest : public ::testing::TestWithParam<Deliveries> {
 protected:
  struct Posted {
    std::string author;
    std::string text;
    // By group: who was a member when the group took it, and since which join.
    std::map<std::string, std::map<std::string, int>> audiences;
  };

  KlatchdSeveralHistoryTest() : random_(seed_) { std::cout << "seed " << seed_ << "\n"; }

  std::string Pick(const std::vector<std::string>& from) { return from[random_() % from.size()]; }
  bool IsMember(const std::string& person, const std::string& group) {
    return members_[group].contains(person);
  }

  void JoinOrLeave() {
    const std::string person = Pick(persons_);
    const std::string group = Pick(groups_);
    if (IsMember(person, group)) {
      const auto left = client_->Remove(random_() % 2 ? "owner" : person, group, {person});
      ASSERT_THAT(left, Succeeds());
      members_[group].erase(person);
      return;
    }
    const auto joined = client_->Add("owner", group, {person});
    ASSERT_THAT(joined, Succeeds());
    tokens_.MergeFrom(joined->tokens());
    members_[group][person] = ++joins_;
  }

  void Post() {
    const std::string author = Pick(persons_);
    v1::PublishUpdateRequest request =
        Client::Post(author, "", "text " + std::to_string(random_()));
    request.mutable_update()->clear_groups();
    std::vector<std::string> groups = groups_;
    std::ranges::shuffle(groups, random_);
    groups.resize(1 + random_() % groups.size());
    for (const std::string& group : groups) {
      request.mutable_update()->add_groups(group);
    }
    Posted posted{author, request.update().text(), {}};
    for (const std::string& group : groups) {
      if (IsMember(author, group)) {
        posted.audiences[group] = members_[group];
      }
    }
    const auto answer = client_->Publish(request);
    ASSERT_EQ(answer.ok(), !posted.audiences.empty()) << answer.status.error_message();
    if (!answer.ok()) {
      EXPECT_THAT(answer, Refuses(grpc::StatusCode::PERMISSION_DENIED, "actor"));
      return;
    }
    for (const v1::GroupResult& result : answer->groups()) {
      EXPECT_EQ(result.has_error(), !posted.audiences.contains(result.group()));
    }
    tokens_.MergeFrom(answer->tokens());
    if (random_() % 4 == 0) {
      EXPECT_EQ(client_->Publish(request)->update_id(), answer->update_id());
    }
    posted_[answer->update_id()] = std::move(posted);
  }

  // One of those that are there; nothing if there are none.
  std::optional<uint64_t> PickPosted() {
    if (posted_.empty()) {
      return std::nullopt;
    }
    return std::next(posted_.begin(), static_cast<ptrdiff_t>(random_() % posted_.size()))->first;
  }

  void Edit() {
    const auto id = PickPosted();
    if (!id) {
      return;
    }
    Posted& posted = posted_[*id];
    const bool may = std::ranges::any_of(posted.audiences, [&](const auto& audience) {
      return IsMember(posted.author, audience.first);
    });
    const std::string text = "edited " + std::to_string(random_());
    const auto edited = client_->Edit(posted.author, *id, text);
    ASSERT_EQ(edited.ok(), may) << edited.status.error_message();
    if (may) {
      posted.text = text;
    }
  }

  // By the author, or by the moderator of some of the groups.
  void Delete() {
    const auto id = PickPosted();
    if (!id) {
      return;
    }
    Posted& posted = posted_[*id];
    if (random_() % 2) {
      ASSERT_THAT(client_->Delete(posted.author, *id), Succeeds());
      posted_.erase(*id);
      return;
    }
    const size_t erased = std::erase_if(
        posted.audiences, [](const auto& audience) { return kModerated.contains(audience.first); });
    const auto removed = client_->Delete("mod", *id);
    ASSERT_EQ(removed.ok(), erased > 0) << removed.status.error_message();
    if (posted.audiences.empty()) {
      posted_.erase(*id);
    }
  }

  std::set<std::string> ThroughWhich(const std::string& person, const Posted& posted) {
    std::set<std::string> through;
    for (const auto& [group, audience] : posted.audiences) {
      const auto then = audience.find(person);
      const auto now = members_[group].find(person);
      if (then != audience.end() && now != members_[group].end() && then->second == now->second) {
        through.insert(group);
      }
    }
    return through;
  }

  void Check() {
    for (const std::string& person : persons_) {
      SCOPED_TRACE(person);
      Shown home;
      std::map<std::string, Shown> of_groups;
      std::map<std::string, Shown> profiles;
      for (const auto& [id, posted] : posted_) {
        const std::set<std::string> through = ThroughWhich(person, posted);
        if (through.empty()) {
          if (random_() % kHiddenPerGet == 0) {
            EXPECT_THAT(client_->Get(person, id), RefusesWith(grpc::StatusCode::NOT_FOUND));
          }
          continue;
        }
        home[id] = through;
        profiles[posted.author][id] = through;
        for (const std::string& group : through) {
          of_groups[group][id] = through;
        }
      }
      // Who was back just before a kill is made up for just after it, and their pages say so.
      Answer<v1::ListHomeTimelineResponse> page;
      ASSERT_TRUE(Eventually([&] {
        page = client_->Home(person, LastTokens());
        return page->completeness().hole_since() == 0;
      }));
      EXPECT_EQ(ShownOn(*page), home);
      for (const v1::Update& update : page->updates()) {
        EXPECT_EQ(update.text(), posted_[update.id()].text);
      }
      for (const std::string& author : persons_) {
        EXPECT_EQ(ShownOn(*client_->Profile(person, author, LastTokens())), profiles[author]);
      }
      for (const std::string& group : groups_) {
        if (IsMember(person, group)) {
          EXPECT_EQ(ShownOn(*client_->GroupPage(person, group, LastTokens())), of_groups[group]);
        }
      }
    }
  }

  // One per shard, the last.
  Tokens LastTokens() {
    std::map<uint32_t, v1::Token> last;
    for (const v1::Token& token : tokens_) {
      v1::Token& known = last[token.shard()];
      if (token.position() > known.position()) {
        known = token;
      }
    }
    tokens_.Clear();
    for (const auto& [shard, token] : last) {
      *tokens_.Add() = token;
    }
    return tokens_;
  }

  static inline const std::set<std::string> kModerated = {"g0", "g1"};

  const uint64_t seed_ = std::random_device()();
  std::mt19937_64 random_;
  static std::vector<std::string> Arguments() {
    std::vector<std::string> arguments = {"--shards", "3", "--partitions", "4", "--workers", "2"};
    const std::vector<std::string>& more = GetParam().arguments;
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  Klatchd klatchd_{{.arguments = Arguments()}};
  std::unique_ptr<Client> client_ = std::make_unique<Client>(klatchd_.Channel());
  const std::vector<std::string> persons_ = {"ann", "bob", "cat", "dan"};
  const std::vector<std::string> groups_ = {"g0", "g1", "g2", "g3", "g4"};
  // By group: since which join.
  std::map<std::string, std::map<std::string, int>> members_;
  std::map<uint64_t, Posted> posted_;
  Tokens tokens_;
  int joins_ = 0;
};

TEST_P(KlatchdSeveralHistoryTest, EveryPageIsAsTheModelSays) {
  for (const std::string& group : groups_) {
    ASSERT_THAT(client_->CreateGroup("owner", group), Succeeds());
    if (kModerated.contains(group)) {
      ASSERT_THAT(client_->Add("owner", group, {"mod"}, v1::ROLE_MODERATOR), Succeeds());
    }
  }
  for (int step = 1; step <= kSteps && !HasFailure(); ++step) {
    const uint64_t dice = random_() % 20;
    if (dice < 7) {
      JoinOrLeave();
    } else if (dice < 15) {
      Post();
    } else if (dice < 17) {
      Edit();
    } else {
      Delete();
    }
    if (step == kSteps / 2) {
      // What is stored says the same.
      klatchd_.Kill();
      klatchd_.Start();
      client_ = std::make_unique<Client>(klatchd_.Channel());
    }
    if (step % kStepsBetweenChecks == 0) {
      Check();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Deliveries, KlatchdSeveralHistoryTest,
    ::testing::Values(Deliveries{"Copied", {}}, Deliveries{"PulledByTurns", {"--pull-above", "3"}},
                      Deliveries{"Quiet", {"--quiet-after", "20ms"}},
                      Deliveries{"PulledAndQuiet", {"--pull-above", "3", "--quiet-after", "20ms"}}),
    [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace klatch::testing
