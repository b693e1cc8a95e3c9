// The values that Redis keeps: bodies, carries, stays, rings. Somebody may have written others there.

#include <algorithm>
#include <set>

#include "services/materialize/flush_plan.h"
#include "services/materialize/stored_ring.h"
#include "services/model/body.h"
#include "services/model/carry.h"
#include "services/model/limits.h"
#include "services/model/membership.h"
#include "tests/fuzz/fuzz_input.h"

namespace klatch {
namespace {

using fuzz::Require;

void DecodeBody(std::string_view bytes) {
  const std::optional<Body> body = Body::Decode(std::string(bytes));
  if (!body) {
    return;
  }
  Require(body->stored() == bytes, "a body keeps its bytes");
  Require(body->header().is_of_several() == IsOfSeveral(bytes),
          "both tell whether it is of several");
  const std::optional<Body> again = Body::Decode(EncodeBody(body->header(), body->update_bytes()));
  Require(again.has_value(), "what is encoded can be decoded");
  Require(again->update_bytes() == body->update_bytes() &&
              again->header().author == body->header().author &&
              again->header().group == body->header().group &&
              again->header().audience == body->header().audience &&
              again->header().revision == body->header().revision &&
              again->header().targets.size() == body->header().targets.size(),
          "a body comes back as it was encoded");
  static_cast<void>(body->is_decided());
  const std::vector<Carry> carries(body->header().targets.size());
  static_cast<void>(body->WithCarries(carries));
}

void DecodeSmall(std::string_view bytes) {
  if (const std::optional<Carry> carry = DecodeCarry(bytes)) {
    Require(DecodeCarry(EncodeCarry(*carry)) == carry, "a carry comes back as it was encoded");
  }
  if (const std::optional<Stay> stay = DecodeStay(bytes)) {
    Require(EncodeStay(*stay) == bytes.substr(0, kStayBytes), "a stay comes back as it was read");
  }
}

void DecodeRing(std::string_view bytes) {
  std::vector<uint64_t> ids = UnpackIds(bytes);
  const std::set<uint64_t> before(ids.begin(), ids.end());
  const RingPlan plan = PlanRewrite(ids);
  Require(plan.writes.size() == 1 && plan.after.known, "a rewrite is one whole ring");
  std::vector<uint64_t> after = UnpackIds(plan.writes[0].value);
  Require(after.size() == std::min<size_t>(before.size(), limits::kTimelineCap),
          "a rewrite keeps all, each once, up to the cap");
  Require(std::ranges::all_of(after, [&](uint64_t id) { return before.contains(id); }),
          "a rewrite adds nothing");
}

}  // namespace
}  // namespace klatch

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  klatch::fuzz::Input input(data, size);
  switch (input.Choose(3)) {
    case 0:
      klatch::DecodeBody(input.rest());
      break;
    case 1:
      klatch::DecodeSmall(input.rest());
      break;
    default:
      klatch::DecodeRing(input.rest());
  }
  return 0;
}
