// Bad input to AdminService over gRPC: the exact code, the field at fault, nothing changed in Redis,
// the server as it was.

#include <utility>

#include "services/model/limits.h"
#include "services/model/position.h"
#include "tests/integration/klatchd_bad_input.h"

namespace klatch::testing {
namespace {

using grpc::StatusCode;
using Stub = v1::AdminService::Stub;

class KlatchdBadAdminTest : public KlatchdBadInputTest {
 protected:
  // Calls add(method, request) for a good request to each method.
  template <typename Add>
  static void EachMethod(Add add) {
    add(&Stub::GetStatus, v1::GetStatusRequest());
    v1::RebuildTimelinesRequest rebuild;
    rebuild.add_persons("ann");
    add(&Stub::RebuildTimelines, rebuild);
    add(&Stub::ScrubTimelines, v1::ScrubTimelinesRequest());
    add(&Stub::ReadLog, v1::ReadLogRequest());
  }
  template <typename Change>
  std::function<grpc::Status()> ScrubWith(Change change) {
    v1::ScrubTimelinesRequest request;
    change(request);
    return Admin(&Stub::ScrubTimelines, request);
  }
  template <typename Change>
  std::function<grpc::Status()> ReadWith(Change change) {
    v1::ReadLogRequest request;
    change(request);
    return Admin(&Stub::ReadLog, request);
  }
  template <typename Change>
  std::function<grpc::Status()> RebuildWith(Change change) {
    v1::RebuildTimelinesRequest request;
    change(request);
    return Admin(&Stub::RebuildTimelines, request);
  }
};

TEST_F(KlatchdBadAdminTest, EveryMethodRefusesANamespaceThatIsNotServed) {
  std::vector<Row> rows;
  int methods = 0;
  EachMethod([&](auto method, auto request) {
    ++methods;
    for (const char* name : {"other", "Default", "{default}", "default:t0"}) {
      request.set_namespace_(name);
      rows.push_back({request.GetTypeName() + " of " + name, StatusCode::NOT_FOUND, "namespace",
                      Admin(method, request)});
    }
    request.set_namespace_("a\xff");
    rows.push_back({request.GetTypeName() + " of no UTF-8", StatusCode::INVALID_ARGUMENT,
                    "namespace", Admin(method, request)});
  });
  EXPECT_EQ(methods, v1::GetStatusRequest::descriptor()->file()->service(0)->method_count());
  Check(rows);
}

TEST_F(KlatchdBadAdminTest, PersonsAreChecked) {
  std::vector<Row> rows;
  const std::pair<std::string, std::string> bad_ids[] = {{"empty", ""},
                                                         {"129 bytes", std::string(129, 'x')},
                                                         {"NUL", std::string("a\0b", 3)},
                                                         {"CR LF", "a\r\nb"},
                                                         {"no UTF-8", "a\xff"}};
  for (const auto& [what, id] : bad_ids) {
    const auto add = [&id = id](auto& request) {
      request.add_persons("ann");
      request.add_persons(id);
    };
    rows.push_back(
        {"rebuild of " + what, StatusCode::INVALID_ARGUMENT, "persons[1]", RebuildWith(add)});
    rows.push_back(
        {"scrub of " + what, StatusCode::INVALID_ARGUMENT, "persons[1]", ScrubWith(add)});
  }
  const auto twice = [](auto& request) {
    request.add_persons("ann");
    request.add_persons("ann");
  };
  rows.push_back({"rebuild twice", StatusCode::INVALID_ARGUMENT, "persons[1]", RebuildWith(twice)});
  rows.push_back({"scrub twice", StatusCode::INVALID_ARGUMENT, "persons[1]", ScrubWith(twice)});
  const auto many = [](size_t count) {
    return [count](auto& request) {
      for (size_t i = 0; i < count; ++i) {
        request.add_persons("p" + std::to_string(i));
      }
    };
  };
  rows.push_back(
      {"rebuild of nobody", StatusCode::INVALID_ARGUMENT, "persons", RebuildWith(many(0))});
  rows.push_back({"rebuild of too many", StatusCode::INVALID_ARGUMENT, "persons",
                  RebuildWith(many(limits::kRebuildPersonsMax + 1))});
  rows.push_back({"scrub of too many", StatusCode::INVALID_ARGUMENT, "persons",
                  ScrubWith(many(limits::kScrubPersonsMax + 1))});
  rows.push_back({"scrub of who is not known", StatusCode::NOT_FOUND, "persons[1]",
                  ScrubWith([](auto& request) {
                    request.add_persons("ann");
                    request.add_persons("nobody at all");
                  })});
  Check(rows);
}

TEST_F(KlatchdBadAdminTest, PartitionsAndPageTokensAreChecked) {
  std::vector<Row> rows;
  for (const uint32_t partition : {4u, 256u, UINT32_MAX}) {
    rows.push_back({"partition " + std::to_string(partition), StatusCode::INVALID_ARGUMENT,
                    "partition",
                    ScrubWith([partition](auto& request) { request.set_partition(partition); })});
  }
  rows.push_back({"both", StatusCode::INVALID_ARGUMENT, "partition", ScrubWith([](auto& request) {
                    request.add_persons("ann");
                    request.set_partition(1);
                  })});
  for (const uint32_t shard : {1'024u, UINT32_MAX}) {
    rows.push_back({"shard " + std::to_string(shard), StatusCode::INVALID_ARGUMENT,
                    "members_of_shard",
                    ScrubWith([shard](auto& request) { request.set_members_of_shard(shard); })});
  }
  const std::vector<std::pair<std::string, std::function<void(v1::ScrubTimelinesRequest&)>>>
      beside = {{"persons", [](auto& request) { request.add_persons("ann"); }},
                {"partition", [](auto& request) { request.set_partition(1); }},
                {"own_lists", [](auto& request) { request.set_own_lists(true); }}};
  for (const auto& [name, add] : beside) {
    rows.push_back({"shard and " + name, StatusCode::INVALID_ARGUMENT, "members_of_shard",
                    ScrubWith([&add = add](auto& request) {
                      request.set_members_of_shard(0);
                      add(request);
                    })});
  }
  for (const std::string& token :
       {std::string("x"), std::string(40, 'A'), std::string(1 << 19, 'A'), std::string("?=/")}) {
    rows.push_back({"token of " + std::to_string(token.size()), StatusCode::INVALID_ARGUMENT,
                    "page_token",
                    ScrubWith([&token](auto& request) { request.set_page_token(token); })});
  }
  Check(rows);
}

TEST_F(KlatchdBadAdminTest, LogsArePlacedAndPaged) {
  std::vector<Row> rows;
  for (const uint32_t shard : {4u, 1023u, UINT32_MAX}) {
    rows.push_back({"shard " + std::to_string(shard), StatusCode::INVALID_ARGUMENT, "shard",
                    ReadWith([shard](auto& request) { request.set_shard(shard); })});
  }
  const uint64_t elsewhere = Position(1'000, ShardIndex(2), 0).value();
  for (const uint64_t after : {elsewhere, elsewhere | uint64_t{1} << 63, UINT64_MAX}) {
    rows.push_back({"after " + std::to_string(after), StatusCode::INVALID_ARGUMENT, "after",
                    ReadWith([after](auto& request) {
                      request.set_shard(1);
                      request.set_after(after);
                    })});
  }
  rows.push_back({"page size -1", StatusCode::INVALID_ARGUMENT, "page_size",
                  ReadWith([](auto& request) { request.set_page_size(-1); })});
  Check(rows);
}

}  // namespace
}  // namespace klatch::testing
