# shellcheck shell=bash
# Installs what Klatch needs from the distribution. Sourced after ui.sh; the sourcing script sets `root`.

readonly policy=/usr/sbin/policy-rc.d
readonly policy_mark="# Written by Klatch for the time of one installation."

# listed_packages [tests]: the lines of deploy/packages.txt, with those of the tests if asked for.
listed_packages() {
  local part="" line
  while read -r line; do
    case $line in
      '' | '#'*) ;;
      '['*']') part=${line:1:-1} ;;
      *) if [[ -z $part || $part == "${1:-}" ]]; then echo "$line"; fi ;;
    esac
  done <"${root:?}/deploy/packages.txt"
}

# missing_packages [tests]: those that are not installed.
missing_packages() {
  local package command status
  while read -r package command; do
    if [[ -n $command ]] && command -v "$command" >/dev/null; then
      continue
    fi
    # shellcheck disable=SC2016  # dpkg-query's own placeholders.
    status=$(dpkg-query -W -f '${db:Status-Status} ' "$package" 2>/dev/null)
    # One word for each architecture that is there.
    if [[ " $status" != *" installed "* ]]; then
      echo "$package"
    fi
  done < <(listed_packages "${1:-}")
}

# The name of the distribution, empty if it is Debian 12: others lack some of the packages.
other_distribution() {
  local id="" version="" name="an unknown system"
  if [[ -r /etc/os-release ]]; then
    # shellcheck disable=SC1091
    read -r id version name < <(. /etc/os-release && echo "${ID:-} ${VERSION_ID:-999} ${PRETTY_NAME:-}")
  fi
  if [[ $id != debian || ${version%%.*} -ne 12 ]]; then
    echo "${name:-$id}"
  fi
}

# Keeps packages from starting services while they are installed. A policy of the host's stays.
forbid_service_starts() {
  if [[ ! -e $policy ]] || grep -qF "$policy_mark" "$policy"; then
    printf '#!/bin/sh\n%s\nexit 101\n' "$policy_mark" >"$policy"
    chmod 755 "$policy"
  fi
}

allow_service_starts() {
  if [[ -e $policy ]] && grep -qF "$policy_mark" "$policy"; then
    rm -f "$policy"
  fi
}

# Installs "$@". Runs in a subshell of its own, which undoes the policy however it ends.
apt_install() (
  local had_redis=no
  trap allow_service_starts EXIT
  trap 'exit 130' INT TERM
  if dpkg-query -W redis-server >/dev/null 2>&1; then
    had_redis=yes
  fi
  forbid_service_starts
  export DEBIAN_FRONTEND=noninteractive
  apt-get -o DPkg::Lock::Timeout=600 install -y --no-install-recommends "$@" || exit 1
  # Klatch runs a redis-server of its own; the system's service, if we brought it, stays off.
  if [[ $had_redis == no ]] && command -v systemctl >/dev/null; then
    systemctl disable --now redis-server || true
  fi
)

# install_packages [tests]: installs what is missing, or ends with one line that says what to do.
install_packages() {
  local missing other lock=/var/lock/klatch-install.lock
  if ! command -v dpkg-query >/dev/null; then
    die "${exit_prerequisite:?}" "this is $(other_distribution); run it on Debian 12, for example in a" \
      "debian:12 container"
  fi
  mapfile -t missing < <(missing_packages "${1:-}")
  if ((${#missing[@]} == 0)); then
    return
  fi
  other=$(other_distribution)
  if [[ -n $other ]]; then
    die "${exit_prerequisite:?}" "this is $other; run it on Debian 12, for example in a debian:12" \
      "container (missing here: ${missing[*]})"
  fi
  if ((EUID != 0)); then
    die "${exit_prerequisite:?}" "not root; install what is missing first: sudo apt-get install" \
      "--no-install-recommends ${missing[*]}"
  fi
  # Two of us at once wait for each other, and the second finds nothing missing.
  exec 8>"$lock"
  flock 8
  mapfile -t missing < <(missing_packages "${1:-}")
  if ((${#missing[@]} > 0)); then
    phase "Reading the list of packages" "$root/build/apt-update.log" \
      apt-get -o Acquire::Retries=2 -o APT::Update::Error-Mode=any update ||
      die "${exit_prerequisite:?}" "can't reach the package archive: check the network and" \
        "/etc/apt/sources.list, then try again"
    phase "Installing packages (${#missing[@]})" "$root/build/apt-install.log" \
      apt_install "${missing[@]}" ||
      die "${exit_prerequisite:?}" "can't install the packages: check the network and the disk, then try again"
  fi
  exec 8>&-
}
