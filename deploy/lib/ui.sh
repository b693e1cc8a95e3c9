# shellcheck shell=bash
# What the scripts say, and how they end. Sourced; the sourcing script sets `program`.
# Progress goes to stderr, so that stdout holds results only.

# Exit codes of every command of Klatch.
# shellcheck disable=SC2034  # Used by the scripts that source this.
readonly exit_missed=1 exit_usage=2 exit_prerequisite=3 exit_unreachable=4

# The command of the phase that runs, for whoever cleans up; empty between phases.
phase_pid=""

say() {
  printf '%s\n' "$*" >&2
}

# die CODE MESSAGE…: one line that says what to do, and the end.
die() {
  local code=$1
  shift
  say "${program:?}: $*"
  exit "$code"
}

# usage_error MESSAGE…: the same for a call that is not as --help says.
usage_error() {
  die "$exit_usage" "$*; ${program:?} --help explains"
}

# need_value OPTION WORD…: ends if the word behind the option is not its value.
need_value() {
  if (($# < 2)) || [[ -z $2 || $2 == --* ]]; then
    usage_error "$1 needs a value"
  fi
}

# print_help: what the script's `usage` says, and the end. A reader that went away has seen enough.
print_help() {
  local code=0
  usage 2>/dev/null || code=$?
  if ((code != 0 && code != 141)); then
    die "$exit_missed" "can't write the help to stdout"
  fi
  exit 0
}

# may_be_folder PATH: whether it is a folder that may be written to, or can become one.
may_be_folder() {
  local path=$1
  while [[ ! -e $path && ! -L $path ]]; do
    path=$(dirname "$path")
  done
  [[ -d $path && -w $path ]]
}

# is_graph FOLDER: whether there are edges for klatch-load to read.
is_graph() {
  [[ -f $1/facebook_combined.txt && -r $1/facebook_combined.txt && -s $1/facebook_combined.txt ]]
}

# nearest WORD CANDIDATE…: the candidate most like the word, or nothing if none is alike. One that the word
# begins is alike; another one if no more than about a third of it differs.
nearest() {
  local word=$1 candidate best="" distance least=$((${#1} + 3))
  shift
  for candidate in "$@"; do
    if ((${#word} >= 2)) && [[ $candidate == "$word"* ]]; then
      distance=0
    else
      distance=$(($(edit_distance "$word" "$candidate") * 3))
    fi
    if ((distance < least)); then
      best=$candidate least=$distance
    fi
  done
  if [[ -n $best ]]; then
    echo "$best"
  fi
}

# edit_distance A B: the least number of characters to add, take away or change that makes B of A.
edit_distance() {
  local a=${1:0:64} b=${2:0:64} i j cost best above previous=() row=()
  for ((j = 0; j <= ${#b}; ++j)); do
    previous[j]=$j
  done
  for ((i = 1; i <= ${#a}; ++i)); do
    row=("$i")
    for ((j = 1; j <= ${#b}; ++j)); do
      cost=1
      [[ ${a:i-1:1} == "${b:j-1:1}" ]] && cost=0
      best=$((previous[j - 1] + cost)) above=$((previous[j] + 1))
      ((above < best)) && best=$above
      ((row[j - 1] + 1 < best)) && best=$((row[j - 1] + 1))
      row[j]=$best
    done
    previous=("${row[@]}")
  done
  echo "${previous[${#b}]}"
}

# unknown_word WHAT WORD CANDIDATE…: ends with a line that says so and names the nearest candidate.
unknown_word() {
  local what=$1 word=$2 guess
  guess=$(nearest "${@:2}")
  die "$exit_usage" "unknown $what '$word'; ${guess:+did you mean $guess? }${program:?} --help lists what there is"
}

# done_line TITLE SECONDS: a phase that is over.
done_line() {
  say "✓ $1 ($2 s)"
}

# phase TITLE LOG COMMAND…: runs the command with all its output in LOG. Shows one line: on a terminal
# with the last step of the log that looks like "[12/340]" while it runs. Returns the command's code;
# on failure the log's end has been shown.
phase() {
  local title=$1 log=$2 started=$SECONDS code=0
  shift 2
  mkdir -p "$(dirname "$log")"
  "$@" </dev/null >"$log" 2>&1 &
  phase_pid=$!
  if [[ -t 2 ]]; then
    while kill -0 "$phase_pid" 2>/dev/null; do
      printf '\r\033[K… %s %s %s s' "$title" "$(last_step "$log")" "$((SECONDS - started))" >&2
      sleep 0.5
    done
    printf '\r\033[K' >&2
  else
    say "… $title"
  fi
  wait "$phase_pid" || code=$?
  phase_pid=""
  if ((code == 0)); then
    done_line "$title" "$((SECONDS - started))"
  else
    tail -n 20 "$log" >&2
    say "✗ $title, exit $code after $((SECONDS - started)) s; all of it is in $log"
  fi
  return "$code"
}

last_step() {
  tail -c 4096 "$1" 2>/dev/null | tr '\r' '\n' | grep -aoE '^\[[0-9]+/[0-9]+\]' | tail -n 1
}

# end_phase: ends what the phase started, for a script that is being ended itself. A shell without job
# control starts its background commands deaf to Ctrl-C.
end_phase() {
  if [[ -n $phase_pid ]]; then
    kill -TERM "$phase_pid" 2>/dev/null
    wait "$phase_pid" 2>/dev/null
    phase_pid=""
  fi
}
