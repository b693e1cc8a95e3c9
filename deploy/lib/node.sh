# shellcheck shell=bash
# Starts and ends one klatchd, whose things lie in a folder of this run. Sourced after ui.sh.
#
#   $run/start        becomes the node; also used by klatch-load to start it again after a kill
#   $run/klatchd.pid  the node that runs
#   $run/klatchd.log  its log, JSON lines
#
# The node may be started again by somebody else, so it isn't always a child of the sourcing script:
# it is known by its pid alone.

# write_start_script RUN COMMAND…
write_start_script() {
  local run=$1
  shift
  {
    echo '#!/bin/bash'
    printf 'exec'
    printf ' %q' "$@"
    printf ' </dev/null >>%q 2>&1\n' "$run/klatchd.log"
  } >"$run/start.new"
  chmod 755 "$run/start.new"
  mv "$run/start.new" "$run/start"
}

# start_node RUN: starts the node in the background.
start_node() {
  "$1/start" &
  echo $! >"$1/klatchd.pid"
  # It may be killed on purpose; the shell need not say so.
  disown
}

node_pid() {
  cat "$1/klatchd.pid" 2>/dev/null
}

node_runs() {
  local pid
  pid=$(node_pid "$1")
  [[ -n $pid ]] && process_runs "$pid"
}

# process_runs PID
process_runs() {
  local state threads
  # A child of ours that has ended is a zombie until it is waited for. Its first thread may be one while
  # others are still ending; until they have, its port is taken.
  read -r _ _ state _ 2>/dev/null <"/proc/$1/stat" || return 1
  threads=("/proc/$1/task/"*)
  [[ $state != Z ]] || ((${#threads[@]} > 1))
}

# serving_field RUN NAME: "listen", "metrics" or "redis" of the last line that says "serving".
serving_field() {
  grep -a '"msg":"serving"' "$1/klatchd.log" 2>/dev/null | tail -n 1 |
    sed -nE "s/.*\"$2\":\"([^\"]*)\".*/\1/p"
}

# ready ADDRESS: whether /readyz on HOST:PORT answers 200.
ready() {
  local host=${1%:*} port=${1##*:} status=""
  # Redirections of exec would end the shell on failure; the subshell takes that.
  status=$(
    exec 9<>"/dev/tcp/$host/$port" || exit 1
    printf 'GET /readyz HTTP/1.0\r\nHost: %s\r\n\r\n' "$host" >&9
    IFS= read -r -t 2 line <&9 && echo "$line"
  ) 2>/dev/null
  [[ $status == *" 200 "* ]]
}

# wait_ready RUN SECONDS: returns when the node serves; else ends with what it said last.
wait_ready() {
  local run=$1 deadline=$((SECONDS + $2)) address
  while ((SECONDS < deadline)); do
    address=$(serving_field "$run" metrics)
    if [[ -n $address ]] && ready "$address"; then
      return
    fi
    if ! node_runs "$run"; then
      tail -n 5 "$run/klatchd.log" >&2
      die "${exit_unreachable:?}" "klatchd ended while starting; the lines above say why"
    fi
    sleep 0.1
  done
  tail -n 5 "$run/klatchd.log" >&2
  die "${exit_unreachable:?}" "klatchd was not ready within $2 s; the lines above are its last"
}

# stop_node RUN SECONDS: ends the node and, with it, its Redis. Returns 1 if it had to be killed.
stop_node() {
  local run=$1 deadline=$((SECONDS + $2)) pid
  pid=$(node_pid "$run")
  if ! node_runs "$run"; then
    # In a trap, a return without a number means what came before the trap.
    return 0
  fi
  kill -TERM "$pid" 2>/dev/null
  while node_runs "$run"; do
    if ((SECONDS >= deadline)); then
      kill -KILL "$pid" 2>/dev/null
      return 1
    fi
    sleep 0.05
  done
}

# ended_well RUN: whether the node's last word is that it has drained and stopped with 0. So is a node that
# never served: it had nothing to drain.
ended_well() {
  local last
  last=$(grep -aE '"msg":"(serving|stopped)"' "$1/klatchd.log" 2>/dev/null | tail -n 1)
  [[ -z $last || $last =~ \"msg\":\"stopped\".*\"exit_code\":0[,}] ]]
}
