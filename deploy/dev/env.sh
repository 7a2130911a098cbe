# Sourced by the other scripts of this folder: where things are kept, and how processes are stopped.
#
#   APIWARDEN_DEV_DIR   downloads, built tools, data and pid files (default: .dev in the repository)

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../.." && pwd)
dev=${APIWARDEN_DEV_DIR:-$repo/.dev}
mkdir -p "$dev/run"
dev=$(cd "$dev" && pwd)

say() { printf '%s\n' "$*" >&2; }

die() {
  say "$(basename "$0"): $*"
  exit 1
}

need() {
  command -v "$1" >/dev/null || die "$1 not found: $2"
}

# locked NAME CMD...: one process at a time, so that several tests can install at once.
locked() {
  local lock="$dev/run/$1.lock"
  shift
  if command -v flock >/dev/null; then
    (
      flock 9
      "$@" 9>&-
    ) 9>"$lock"
  else
    "$@"
  fi
}

# free_port sets port to one that nothing listens on. Another process may still take
# it first.
free_port() {
  for ((i = 0; i < 50; i++)); do
    port=$((20000 + RANDOM % 12000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || return 0
  done
  die "no free port between 20000 and 32000"
}

# running PIDFILE: whether the process named there is alive.
running() {
  [[ -s $1 ]] && kill -0 "$(cat "$1")" 2>/dev/null
}

# stop_pid PIDFILE SECONDS: asks the process to stop, waits, and ends it where it does not.
stop_pid() {
  if ! running "$1"; then
    rm -f "$1"
    return 0
  fi
  local pid i
  pid=$(cat "$1")
  kill -TERM "$pid"
  for ((i = 0; i < $2 * 10; i++)); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  if kill -0 "$pid" 2>/dev/null; then
    say "process $pid did not stop within $2 s: ending it"
    kill -KILL "$pid" || true
  fi
  rm -f "$1"
}
