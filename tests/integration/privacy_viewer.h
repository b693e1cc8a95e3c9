#pragma once
// What one person is shown, by each path of the privacy matrix.
//
// Thread safety: one thread at a time; watches have their own.

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/integration/klatchd_client.h"
#include "tests/integration/klatchd_process.h"
#include "tests/integration/privacy_registry.h"

namespace klatch::testing {

// An update that is looked for.
struct Target {
  uint64_t id = 0;
  std::string text;
};

// What was given out before a reason came up, and is used behind it.
struct Cursors {
  std::string home;
  std::string group;
  std::string profile;
  std::string watch;
  std::string gateway;
};

class PrivacyViewer {
 public:
  // `desk` is a group of the viewer alone, for their own posts.
  PrivacyViewer(std::string person, std::string group, std::string author, std::string desk)
      : person_(std::move(person)),
        group_(std::move(group)),
        author_(std::move(author)),
        desk_(std::move(desk)) {}

  const std::string& person() const { return person_; }
  const std::string& desk() const { return desk_; }

  // Tokens of watches that begin now.
  void BeginWatches(const Klatchd& klatchd);
  // Page tokens behind the newest update.
  void TurnPages(Client& client);

  // The targets that each path shows now; what asks for one update asks for `own`. Watches are read up
  // to `mark`, an update of the lobby.
  std::map<Path, std::set<uint64_t>> Look(const Klatchd& klatchd, Client& client,
                                          const std::vector<Target>& targets, const Target& own,
                                          const std::string& mark) const;

  // That as many updates are unread, at home and in the group, as pages show of others.
  void ExpectCounted(Client& client) const;

 private:
  // Updates by others that pages show, by group, the empty one for home.
  std::map<std::string, uint32_t> ShownByOthers(Client& client) const;
  std::map<std::string, uint32_t> Counted(Client& client) const;
  std::set<std::string> TextsOf(Path path, const Klatchd& klatchd, Client& client,
                                const std::string& mark) const;
  bool Answers(Path path, Client& client, const Target& target) const;

  const std::string person_;
  const std::string group_;
  const std::string author_;
  const std::string desk_;
  Cursors cursors_;
};

}  // namespace klatch::testing
