#pragma once
// Reads of a history: pages, single updates, counts and lists, each held against what the model says.
//
//   HistoryReads reads(desk);
//   reads.One();              // after each operation: one reader, one path, one page
//   reads.Everything(person); // each path of one reader, to its end
//
// What may differ: at home, what the page itself calls incomplete (`hole_since`), and what was opened
// to a past that had been open before (Sight::is_due). Everything waits for the former to go.
//
// Thread safety: one thread. Bound: 40 cursors are kept.

#include "tests/integration/history_calls.h"
#include "tests/integration/klatchd_process.h"

namespace klatch::testing {

class HistoryReads {
 public:
  explicit HistoryReads(const HistoryDesk& desk) : desk_(desk) {}

  // One random read. Without tokens it sees what is applied: enough behind a removal.
  enum class With { kTokens, kNothing };
  void One(With with);
  void Everything(PersonNumber viewer);

  int64_t pages() const { return pages_; }
  int64_t cursors() const { return cursors_used_; }
  int64_t incomplete() const { return incomplete_; }

 private:
  enum class Kind { kHome, kGroup, kProfile };

  // Which timeline, and whose eyes.
  struct Path {
    Kind kind = Kind::kHome;
    PersonNumber viewer{};
    GroupNumber group{};
    PersonNumber author{};
  };

  // What an answer of any of the three calls holds.
  struct Page {
    grpc::Status status;
    std::vector<v1::Update> updates;
    std::string next;
    v1::Completeness completeness;
  };

  // Where an earlier page ended.
  struct Cursor {
    Path path;
    std::string token;
    // Its last update.
    uint64_t below = 0;
    // What was due next then, from where on the next page begins at the latest. Between the two are
    // ids that the page may have looked at: what was not visible then may or may not be shown.
    uint64_t surely_from = 0;
  };

  HistoryDesk desk_;
  std::vector<Cursor> kept_;
  int64_t pages_ = 0;
  int64_t cursors_used_ = 0;
  int64_t incomplete_ = 0;

  Page Ask(const Path& path, int size, const std::string& token, const Tokens& tokens);
  template <typename Response>
  static Page PageOf(Answer<Response> answer);
  Path RandomPath();
  std::string Describe(const Path& path) const;
  std::vector<Sight> Expected(const Path& path, Extent extent) const;
  grpc::StatusCode WhyNot(const Path& path) const;
  bool CheckStatus(const Path& path, const grpc::Status& status);

  void FirstPage(const Path& path, const Tokens& tokens);
  void NextPage(const Tokens& tokens);
  void Keep(const Path& path, const Page& page);
  // `page` against what is below an id; all of it is due that is not newer than `surely_from`.
  void Compare(const Path& path, const Page& page, int size, uint64_t below, uint64_t surely_from);
  void CompareUpdate(const std::string& where, const v1::Update& shown, const Sight& sight);

  void OneUpdate(PersonNumber viewer, uint64_t id, const Tokens& tokens);
  void Counts(PersonNumber viewer, const Tokens& tokens);
  void CompareCount(PersonNumber viewer, const v1::UnreadCount& count,
                    const std::vector<Sight>& sights, uint64_t marker);
  void Markers(PersonNumber viewer);
  void GroupsOf(PersonNumber viewer, const Tokens& tokens);
  void OneGroup(PersonNumber viewer, GroupNumber group);
  void MembersOf(PersonNumber viewer, GroupNumber group);
  void ProfileOf(PersonNumber viewer, PersonNumber person);
  void Decisions(PersonNumber viewer);
  void Whole(const Path& path);
};

}  // namespace klatch::testing
