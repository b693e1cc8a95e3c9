# shellcheck shell=bash
# The gate: steps that take hours together. Those of a round are done again and again, and rounds in a row are
# counted; the last ones judge the tests, and are done once. What has passed stands in a record, a line each, kept
# with the documents: a gate goes on where it was left, on this machine or another. A source that has changed begins
# anew. Sourced after deploy/lib/ui.sh and tests/lib/results.sh.

gate_steps=(worlds interleave fuzz faults asan-integration tsan-integration all)
gate_once=(mutants orders)

# gate_version ROOT: what the gate judges: all that is kept but what is only read.
gate_version() {
  (cd "$1" && git ls-files -z -- . ':!docs' ':!*.md' | xargs -0 sha1sum -- | sha1sum | cut -c1-12)
}

# gate_has RECORD VERSION ROUND STEP: whether it has passed. ROUND is "once" for what is done once.
gate_has() {
  grep -q "^| $2 | $3 | $4 |" "$1"
}

# gate_note RECORD VERSION ROUND STEP SECONDS: it has passed. What other versions had counts no more.
gate_note() {
  gate_forget "$1" "(?!$2)"
  printf '| %s | %s | %s | %s | %s min |\n' "$2" "$3" "$4" "$(date -u +%F)" "$((($5 + 59) / 60))" >>"$1"
}

# gate_forget RECORD PATTERN: the lines whose version matches it, by Perl's rules.
gate_forget() {
  local kept
  kept=$(grep -vP "^\| $2[0-9a-f]{12} \|" "$1")
  printf '%s\n' "$kept" >"$1"
}

# green_rounds RECORD VERSION: how many rounds in a row have passed.
green_rounds() {
  local round=1
  while gate_round_done "$1" "$2" "$round"; do
    round=$((round + 1))
  done
  echo "$((round - 1))"
}

gate_round_done() {
  local step
  for step in "${gate_steps[@]}"; do
    gate_has "$1" "$2" "$3" "$step" || return 1
  done
}

# gate_round RECORD VERSION FOLDER RUN: goes on with the round that is not done, and with what is done once, calling
# RUN STEP RESULTS for each step that has not passed; RESULTS is a file in FOLDER that a step may keep lines in to go
# on by itself. `failed` tells whether it did. One that fails ends the round, and what was in a row: all begins anew.
gate_round() {
  local record=$1 version=$2 folder=$3 round step
  round=$(($(green_rounds "$record" "$version") + 1))
  mkdir -p "$folder"
  for step in "${gate_steps[@]}"; do
    gate_step "$record" "$version" "$folder" "$4" "$round" "$step" || return 0
  done
  for step in "${gate_once[@]}"; do
    gate_step "$record" "$version" "$folder" "$4" once "$step" || return 0
  done
  say "✓ the gate: $(green_rounds "$record" "$version") in a row"
}

# gate_step RECORD VERSION FOLDER RUN ROUND STEP: fails if the step does.
gate_step() {
  # shellcheck disable=SC2154  # results.sh has it.
  local begin=$SECONDS failed_before=$failed
  if gate_has "$1" "$2" "$5" "$6"; then
    say "✓ $6: passed before"
    return
  fi
  "$4" "$6" "$3/$2-$5-$6.jsonl"
  if ((failed > failed_before)); then
    gate_forget "$1" "(?=$2)"
    rm -f "$3/$2-"*
    say "✗ $6 has failed: no round of this source counts any more"
    return 1
  fi
  gate_note "$1" "$2" "$5" "$6" "$((SECONDS - begin))"
}
