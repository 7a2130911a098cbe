#!/usr/bin/env bash
# The ClickHouse engine behind HTTP, for development and tests.
#
#   chdb.sh install                                  fetch the engine (npm, pinned) and build cmd/chdb-server
#   chdb.sh start [--data DIR] [--listen HOST:PORT]  in the background; prints HOST:PORT
#   chdb.sh stop                                     stop what start started
#   chdb.sh run [flags of chdb-server]               in the foreground; without --path on a temporary folder
#
# Everything lies in $APIWARDEN_DEV_DIR (default: .dev in the repository).
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

lib="$dev/chdb/node_modules/@chdb/lib-linux-x64-gnu/libchdb.so"
server="$dev/bin/chdb-server"
pidfile="$dev/run/chdb.pid"
addrfile="$dev/run/chdb.addr"

install_engine() {
  if ! [[ -s $lib ]] || ! cmp -s "$here/chdb/package-lock.json" "$dev/chdb/installed"; then
    need npm "it fetches the ClickHouse engine (install Node 18 or later)"
    say "fetching the ClickHouse engine (570 MB on disk) into $dev/chdb"
    rm -rf "$dev/chdb"
    mkdir -p "$dev/chdb"
    cp "$here/chdb/package.json" "$here/chdb/package-lock.json" "$dev/chdb/"
    (cd "$dev/chdb" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
    [[ -s $lib ]] || die "npm did not bring $lib (is this Linux on x86-64 with glibc?)"
    cp "$here/chdb/package-lock.json" "$dev/chdb/installed"
  fi
  if command -v go >/dev/null; then
    (cd "$repo" && CGO_ENABLED=0 go build -o "$server" ./cmd/chdb-server)
  fi
  [[ -x $server ]] || die "go not found: it builds cmd/chdb-server"
}

start() {
  local data="$dev/data/chdb" listen=127.0.0.1:0
  while (($#)); do
    case $1 in
      --data) data=$2 ;;
      --listen) listen=$2 ;;
      *) die "start takes --data DIR and --listen HOST:PORT, not $1" ;;
    esac
    shift 2
  done
  running "$pidfile" && die "already running as process $(cat "$pidfile") on $(cat "$addrfile")"
  locked chdb install_engine
  mkdir -p "$data"
  rm -f "$addrfile"
  nohup "$server" --lib "$lib" --path "$data" --listen "$listen" --addr-file "$addrfile" \
    </dev/null >"$dev/run/chdb.log" 2>&1 &
  echo $! >"$pidfile"
  for ((i = 0; i < 600; i++)); do
    [[ -s $addrfile ]] && break
    running "$pidfile" || die "the engine did not start: $(tail -n 5 "$dev/run/chdb.log")"
    sleep 0.1
  done
  [[ -s $addrfile ]] || die "the engine did not listen within 60 s; see $dev/run/chdb.log"
  cat "$addrfile"
}

case ${1:-} in
  install) locked chdb install_engine ;;
  start) start "${@:2}" ;;
  stop) stop_pid "$pidfile" 15 ;;
  run)
    locked chdb install_engine
    exec "$server" --lib "$lib" "${@:2}"
    ;;
  *) die "usage: chdb.sh install | start [--data DIR] [--listen HOST:PORT] | stop | run [flags]" ;;
esac
