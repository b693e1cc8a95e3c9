#include "bench/load/plan/texts.h"

#include <fmt/format.h>

#include <array>
#include <string_view>

#include "bench/load/plan/random.h"

namespace klatch::load {
namespace {

constexpr std::array<std::string_view, 24> kOpenings = {
    "Just got back from {}.",
    "Anyone up for {} on Sunday?",
    "First time at {} today, and not the last.",
    "Still thinking about {}.",
    "Can somebody recommend {}?",
    "We finally made it to {}!",
    "Rain all day, so {} instead.",
    "Small victory: {} before nine in the morning.",
    "Who left the umbrella at {}?",
    "Two hours of {}. Legs are gone.",
    "Pictures of {} tonight, promise.",
    "Looking for company for {}.",
    "My grandmother's opinion on {}: not enough butter.",
    "Missed the bus, found {}.",
    "Thank you all for {} yesterday.",
    "Somebody please stop me from buying another ticket for {}.",
    "Best part of the week: {}.",
    "Moved {} to Thursday, same place.",
    "Never again {} without a map.",
    "Half past six and already {}.",
    "Nobody told me that {} could be this quiet.",
    "The whole street smells of rain and {}.",
    "Bring a torch for {}.",
    "Day three of {} and I am not giving up."};

constexpr std::array<std::string_view, 32> kThings = {"the lake",
                                                      "the night market",
                                                      "choir practice",
                                                      "a very long walk",
                                                      "the north ridge",
                                                      "bread baking",
                                                      "the old tram depot",
                                                      "the record fair",
                                                      "a swim",
                                                      "breakfast in the park",
                                                      "the pottery kiln",
                                                      "the second-hand bookshop",
                                                      "the rooftop garden",
                                                      "a proper espresso",
                                                      "the coast path",
                                                      "table tennis",
                                                      "the planetarium",
                                                      "the allotment",
                                                      "that tiny cinema",
                                                      "the ferry",
                                                      "an open-air concert",
                                                      "the botanical garden",
                                                      "the bike repair café",
                                                      "the harbour steps",
                                                      "soup for twenty",
                                                      "the science museum",
                                                      "the hill behind school",
                                                      "the flea market",
                                                      "a game of go",
                                                      "the swing dance hall",
                                                      "the quiet carriage",
                                                      "the apple harvest"};

constexpr std::array<std::string_view, 20> kClosings = {"",
                                                        "",
                                                        "",
                                                        "Worth every minute.",
                                                        "See you there?",
                                                        "Next time with cake.",
                                                        "Photos later.",
                                                        "I owe somebody a coffee.",
                                                        "No regrets.",
                                                        "Do not tell my doctor.",
                                                        "The dog approves.",
                                                        "Bring friends.",
                                                        "Wish you had been there.",
                                                        "Weather permitting.",
                                                        "And now: sleep.",
                                                        "Same again next week?",
                                                        "We were eleven, somehow.",
                                                        "The kids want to go again.",
                                                        "It was cold, it was wonderful.",
                                                        "Ask me about the goat."};

}  // namespace

std::string StatusText(uint64_t seed, uint64_t number) {
  Random random(Mix(seed) ^ number);
  std::string text = fmt::format(fmt::runtime(kOpenings[random.Below(kOpenings.size())]),
                                 kThings[random.Below(kThings.size())]);
  std::string_view closing = kClosings[random.Below(kClosings.size())];
  if (!closing.empty()) {
    text.append(" ").append(closing);
  }
  return text;
}

}  // namespace klatch::load
