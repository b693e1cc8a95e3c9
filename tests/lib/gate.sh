# shellcheck shell=bash
# The gate: steps that take hours together. Those of a round are done again and again, and rounds in a row are
# counted; the last ones judge the tests, and are done once. What has passed stands in a folder that is kept with the
# documents, a line each in its README.md, and what steps keep to go on by themselves beside it: a gate goes on where it was
# left, on this machine or another. A source that has changed begins anew. Sourced after deploy/lib/ui.sh and
# tests/lib/results.sh.

gate_steps=(worlds interleave fuzz faults asan-integration tsan-integration all)
gate_once=(mutants orders)

# gate_version ROOT: what the gate judges: all that is kept but what is only read.
gate_version() {
  (cd "$1" && git ls-files -z -- . ':!docs' ':!*.md' | xargs -0 sha1sum -- | sha1sum | cut -c1-12)
}

# gate_has FOLDER VERSION ROUND STEP: whether it has passed. ROUND is "once" for what is done once.
gate_has() {
  grep -q "^| $2 | $3 | $4 |" "$1/README.md"
}

# gate_note FOLDER VERSION ROUND STEP SECONDS: it has passed.
gate_note() {
  printf '| %s | %s | %s | %s | %s min |\n' "$2" "$3" "$4" "$(date -u +%F)" "$((($5 + 59) / 60))" >>"$1/README.md"
}

# gate_forget FOLDER PATTERN: what versions that match it have left; the pattern by Perl's rules, looking ahead.
gate_forget() {
  local kept file
  kept=$(grep -vP "^\| $2[0-9a-f]{12} \|" "$1/README.md")
  printf '%s\n' "$kept" >"$1/README.md"
  for file in "$1"/*.jsonl; do
    if grep -qP "^$2[0-9a-f]{12}-" <<<"${file##*/}"; then
      rm "$file"
    fi
  done
}

# green_rounds FOLDER VERSION: how many rounds in a row have passed.
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

# gate_round FOLDER VERSION RUN: goes on with the round that is not done, and with what is done once, calling RUN STEP
# RESULTS for each step that has not passed; RESULTS is a file that a step may keep lines in to go on by itself. `failed` tells
# whether it did. One that fails ends the round, and what was in a row: all begins anew.
gate_round() {
  local folder=$1 version=$2 round step
  gate_forget "$folder" "(?!$version)"
  round=$(($(green_rounds "$folder" "$version") + 1))
  for step in "${gate_steps[@]}"; do
    gate_step "$folder" "$version" "$3" "$round" "$step" || return 0
  done
  for step in "${gate_once[@]}"; do
    gate_step "$folder" "$version" "$3" once "$step" || return 0
  done
  say "✓ the gate: $(green_rounds "$folder" "$version") in a row"
}

# gate_step FOLDER VERSION RUN ROUND STEP: fails if the step does.
gate_step() {
  # shellcheck disable=SC2154  # results.sh has it.
  local begin=$SECONDS failed_before=$failed
  if gate_has "$1" "$2" "$4" "$5"; then
    say "✓ $5: passed before"
    return
  fi
  "$3" "$5" "$1/$2-$4-$5.jsonl"
  if ((failed > failed_before)); then
    gate_forget "$1" "(?=$2)"
    say "✗ $5 has failed: no round of this source counts any more"
    return 1
  fi
  gate_note "$1" "$2" "$4" "$5" "$((SECONDS - begin))"
}
