# shellcheck shell=bash
# The gate: steps that take hours together, each once in a round, rounds in a row. What was done is kept in a
# folder named after what it was done with, so that a gate that was interrupted goes on, and one whose source
# has changed begins anew. Sourced after deploy/lib/ui.sh and tests/lib/results.sh.

gate_steps=(all tsan-integration asan-integration worlds interleave fuzz faults mutants orders)

# gate_version ROOT: what the gate judges: all that is kept but what is only read.
gate_version() {
  (cd "$1" && git ls-files -z -- . ':!docs' ':!*.md' | xargs -0 sha1sum -- | sha1sum | cut -c1-12)
}

# green_rounds FOLDER: how many rounds in a row have passed. A round that has failed leaves no folder.
green_rounds() {
  local round=1
  while gate_round_done "$1/$round"; do
    round=$((round + 1))
  done
  echo "$((round - 1))"
}

gate_round_done() {
  local step
  for step in "${gate_steps[@]}"; do
    [[ -e $1/$step ]] || return 1
  done
}

# gate_round FOLDER RUN: goes on with the round that is not done, calling RUN STEP RESULTS for each step that
# is not; RESULTS is a file that a step may keep lines in to go on by itself. `failed` tells whether it did. One
# that fails ends the round, and what was in a row: all begins anew.
gate_round() {
  # shellcheck disable=SC2154  # results.sh has it.
  local folder=$1 run=$2 round step failed_before=$failed
  round=$(($(green_rounds "$folder") + 1))
  mkdir -p "$folder/$round"
  for step in "${gate_steps[@]}"; do
    if [[ -e $folder/$round/$step ]]; then
      say "✓ $step: passed in this round before"
      continue
    fi
    "$run" "$step" "$folder/$round/$step.jsonl"
    if ((failed > failed_before)); then
      mv "$folder" "$folder.failed.$(date +%s)"
      say "✗ $step has failed: no round of this version counts any more"
      return
    fi
    touch "$folder/$round/$step"
  done
  say "✓ the gate: $(green_rounds "$folder") in a row"
}
