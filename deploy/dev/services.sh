#!/usr/bin/env bash
# Runs a command beside a real Kafka and a real ClickHouse engine.
#
#   services.sh install        fetch and build both
#   services.sh run CMD...     start both, run CMD with the addresses in its environment, stop both;
#                              the exit status is that of CMD
#
# CMD finds APIWARDEN_TEST_KAFKA (host:port), APIWARDEN_TEST_KAFKA_SASL (host:port),
# APIWARDEN_TEST_KAFKA_TLS (host:port and the file of the CA) and APIWARDEN_TEST_CLICKHOUSE (host:port, HTTP).
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

run() {
  (($#)) || die "run needs a command"
  locked services install_both
  tmp=$(mktemp -d "${TMPDIR:-/tmp}/services.XXXXXX")
  # Both services stop when their standard input ends, which it also does when this
  # script is killed. The command must not hold it open, nor one service the other's.
  exec 7> >(exec "$here/kafka.sh" run --exit-with-parent --sasl --tls >"$tmp/kafka" 2>"$tmp/kafka.err")
  kafka=$!
  exec 8> >(
    exec 7>&-
    exec "$here/chdb.sh" run --exit-with-parent >"$tmp/chdb" 2>"$tmp/chdb.err"
  )
  chdb=$!
  trap 'stop_both' EXIT
  await kafka "$kafka"
  await chdb "$chdb"
  APIWARDEN_TEST_KAFKA=$(sed -n 's/^listening on //p' "$tmp/kafka")
  APIWARDEN_TEST_KAFKA_SASL=$(sed -n 's/^sasl //p' "$tmp/kafka")
  APIWARDEN_TEST_KAFKA_TLS=$(sed -n 's/^tls //p' "$tmp/kafka")
  APIWARDEN_TEST_CLICKHOUSE=$(sed -n 's,^listening on http://,,p' "$tmp/chdb")
  export APIWARDEN_TEST_KAFKA APIWARDEN_TEST_KAFKA_SASL APIWARDEN_TEST_KAFKA_TLS APIWARDEN_TEST_CLICKHOUSE
  local status=0
  "$@" 7>&- 8>&- || status=$?
  exit "$status"
}

install_both() {
  "$here/kafka.sh" install
  "$here/chdb.sh" install
}

# await NAME PID: until the service says where it listens.
await() {
  for ((i = 0; i < 1200; i++)); do
    grep -q '^listening on ' "$tmp/$1" && return 0
    kill -0 "$2" 2>/dev/null || break
    sleep 0.1
  done
  die "$1 did not start: $(tail -n 5 "$tmp/$1.err")"
}

stop_both() {
  trap - EXIT
  exec 7>&- 8>&-
  wait "$kafka" "$chdb" 2>/dev/null || true
  rm -rf "$tmp"
}

case ${1:-} in
  install) locked services install_both ;;
  run) run "${@:2}" ;;
  *) die "usage: services.sh install | run CMD..." ;;
esac
