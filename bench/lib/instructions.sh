# shellcheck shell=bash
# Counts the instructions of the core's loops, and compares them with the figures that are kept. Sourced after
# deploy/lib/ui.sh.
#
# A file of figures has a line "compiler NAME" and, for each loop, "name instructions allowed": instructions per
# operation, and by how many percent they may differ either way. A figure that shrank is no fault, but one that
# is not recorded would hide as much growth later.

# By how many percent a loop may differ that has no figure yet.
readonly instructions_allowed=3

# count_instructions CORE_LOOPS FOLDER: "name instructions" of each loop; what callgrind writes goes to the folder.
# Fails, with what was said on stderr, if the program fails or what callgrind wrote doesn't match.
count_instructions() {
  local loop operations total part=0
  # The C library chooses functions by the processor; these are what every x86-64 has.
  GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX2,-AVX,-ERMS,-SSSE3,-SSE4_1,-SSE4_2,-BMI2 \
    valgrind --tool=callgrind --callgrind-out-file="$2/callgrind" --zero-before='klatch::RunLoop*' \
    --dump-before='klatch::TellLoop*' "$1" >"$2/loops" 2>"$2/log" || {
    tail -n 5 "$2/log" >&2
    return 1
  }
  while read -r loop operations; do
    part=$((part + 1))
    total=$(sed -nE 's/^totals: ([0-9]+)$/\1/p' "$2/callgrind.$part" 2>/dev/null)
    if [[ -z $total ]]; then
      say "callgrind counted nothing of $loop: was RunLoop or TellLoop in bench/micro/core_loops.cc inlined?"
      return 1
    fi
    awk -v loop="$loop" -v total="$total" -v operations="$operations" \
      'BEGIN { printf "%s %.1f\n", loop, total / operations }'
  done <"$2/loops"
}

# compiler_of FIGURES
compiler_of() {
  sed -nE 's/^compiler (.*)$/\1/p' "$1"
}

# compare_instructions FIGURES COUNTED: a line for each loop of which the two files don't say about the same;
# returns 1 if there is one.
compare_instructions() {
  awk '
    function complain(text) { print text; bad = 1 }
    /^#/ || /^compiler / || NF == 0 { next }
    FNR == NR { figure[$1] = $2; allowed[$1] = $3; next }
    !($1 in figure) { complain($1 ": " $2 " instructions per operation, and no figure is kept"); next }
    {
      change = figure[$1] > 0 ? ($2 / figure[$1] - 1) * 100 : 100
      size = change < 0 ? -change : change
      if (size > allowed[$1]) {
        complain(sprintf("%s %s from %s to %s instructions per operation (%.1f %%, allowed are %s %%)", $1,
                         change < 0 ? "shrank" : "grew", figure[$1], $2, size, allowed[$1]))
      }
      delete figure[$1]
    }
    END {
      for (loop in figure) complain(loop ": a figure is kept, and the loop was not counted")
      exit bad
    }
  ' "$1" "$2"
}

# record_instructions FIGURES COMPILER COUNTED: replaces the figures; what a loop is allowed stays.
record_instructions() {
  local fresh=$1.new
  {
    sed -n '/^#/p' "$1"
    echo "compiler $2"
    awk -v otherwise="$instructions_allowed" '
      /^#/ || /^compiler / || NF == 0 { next }
      FNR == NR { allowed[$1] = $3; next }
      { print $1, $2, $1 in allowed ? allowed[$1] : otherwise }
    ' "$1" "$3"
  } >"$fresh" && mv "$fresh" "$1"
}
