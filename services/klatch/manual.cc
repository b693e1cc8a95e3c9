#include "services/klatch/manual.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/base/manual.h"

namespace klatch::cli {
namespace {

using base::Roff;

std::string ValueOf(const OptionDoc& option) {
  std::string choices;
  for (const std::string& choice : option.choices) {
    choices += (choices.empty() ? "" : "|") + choice;
  }
  return choices.empty() ? option.placeholder : choices;
}

// ".TP", the option in bold, its value in italics, then what it is.
std::string Entry(const OptionDoc& option, bool is_positional) {
  std::string term;
  for (const std::string& name : option.names) {
    term += fmt::format("{}\\fB{}\\fR", term.empty() ? "" : ", ", Roff(name));
  }
  const std::string value = ValueOf(option);
  if (is_positional) {
    term = fmt::format("\\fI{}\\fR", Roff(value.empty() ? option.names.front() : value));
  } else if (!value.empty()) {
    term += fmt::format(" \\fI{}\\fR", Roff(value));
  }
  std::string text = option.description;
  if (option.is_required) {
    text += "; required";
  }
  if (!option.default_text.empty()) {
    text += fmt::format("; {} if not given", option.default_text);
  }
  return fmt::format(".TP\n{}\n{}.\n", term, Roff(text));
}

std::string Literal(const std::string& text) {
  return text.empty() ? "" : fmt::format(".PP\n.nf\n{}\n.fi\n", Roff(text));
}

bool IsCommon(const OptionDoc& option, const CommandDoc& program) {
  return std::ranges::any_of(program.options,
                             [&](const OptionDoc& other) { return other.names == option.names; });
}

std::string Command(const CommandDoc& command, const std::string& words,
                    const CommandDoc& program) {
  std::string text;
  if (command.commands.empty()) {
    std::string usage = fmt::format("\\fB{}\\fR", Roff(words));
    for (const OptionDoc& positional : command.positionals) {
      const std::string value = ValueOf(positional);
      usage += fmt::format(" \\fI{}\\fR", Roff(value.empty() ? positional.names.front() : value));
    }
    text += fmt::format(".SS {}\n{}\n.PP\n{}.\n", Roff(words), usage, Roff(command.description));
    for (const OptionDoc& positional : command.positionals) {
      text += Entry(positional, true);
    }
    for (const OptionDoc& option : command.options) {
      text += IsCommon(option, program) ? "" : Entry(option, false);
    }
    text += Literal(command.footer);
  }
  for (const CommandDoc& one : command.commands) {
    text += Command(one, words + " " + one.name, program);
  }
  return text;
}

}  // namespace

std::string Manual(const CommandDoc& program, const std::string& version) {
  std::string text = base::ManualHeader(program.name, 1, version, program.description);
  text += fmt::format(".SH SYNOPSIS\n\\fB{}\\fR \\fICOMMAND\\fR [\\fIOPTION\\fR]...\n",
                      Roff(program.name));
  text += ".SH OPTIONS\nOf all commands.\n";
  for (const OptionDoc& option : program.options) {
    text += Entry(option, false);
  }
  text += ".SH COMMANDS\n";
  for (const CommandDoc& command : program.commands) {
    text += Command(command, program.name + " " + command.name, program);
  }
  text += ".SH NOTES" + std::string("\n") + Literal(program.footer);
  return text;
}

}  // namespace klatch::cli
