#!/usr/bin/env bash
# A ClickHouse server that speaks the native protocol, where one is installed (for
# example Debian's clickhouse-server, which is too old for the schema, but good for
# tests of connections and outages).
#
#   clickhouse-native.sh run [flags]     in the foreground; prints "listening on HOST:PORT"
#
#   --data DIR             keep the data there; without it in a temporary folder that goes with the server
#   --port N               port of the native protocol; without it a free one
#   --password-file FILE   password of the user default; without it none is needed
#   --exit-with-parent     stop when standard input ends
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

write_config() {
  mkdir -p "$data/store" "$data/tmp"
  cat >"$data/config.xml" <<XML
<?xml version="1.0"?>
<yandex>
  <logger><level>warning</level><log>$data/server.log</log><errorlog>$data/error.log</errorlog></logger>
  <tcp_port>$port</tcp_port>
  <listen_host>127.0.0.1</listen_host>
  <path>$data/store/</path>
  <tmp_path>$data/tmp/</tmp_path>
  <users_config>$data/users.xml</users_config>
  <default_profile>default</default_profile>
  <default_database>default</default_database>
  <mark_cache_size>67108864</mark_cache_size>
</yandex>
XML
  cat >"$data/users.xml" <<XML
<?xml version="1.0"?>
<yandex>
  <profiles><default></default></profiles>
  <quotas><default></default></quotas>
  <users>
    <default>
      <password>$password</password>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
    </default>
  </users>
</yandex>
XML
}

clean_up() {
  trap - EXIT TERM INT
  if [[ ${server:-} ]]; then
    kill "$server" 2>/dev/null || true
    for ((i = 0; i < 100; i++)); do
      kill -0 "$server" 2>/dev/null || break
      sleep 0.1
    done
    kill -KILL "$server" 2>/dev/null || true
  fi
  [[ ${watch:-} ]] && kill "$watch" 2>/dev/null || true
  [[ ${temporary:-} ]] && rm -rf "$data"
  return 0
}

run() {
  data='' port='' password='' with_parent='' temporary=''
  while (($#)); do
    case $1 in
      --data) data=$2; shift ;;
      --port) port=$2; shift ;;
      --password-file) password=$(cat "$2"); shift ;;
      --exit-with-parent) with_parent=1 ;;
      *) die "unknown flag $1" ;;
    esac
    shift
  done
  need clickhouse-server "install the package clickhouse-server"
  trap 'clean_up' EXIT
  trap 'exit 0' TERM INT
  if [[ $with_parent ]]; then
    exec 3<&0
    (cat <&3 >/dev/null; kill -TERM $$) >/dev/null 2>&1 &
    watch=$!
    exec 3<&-
  fi
  if [[ -z $data ]]; then
    data=$(mktemp -d "${TMPDIR:-/tmp}/clickhouse.XXXXXX")
    temporary=1
  fi
  [[ $port ]] || free_port
  write_config
  clickhouse-server --config-file="$data/config.xml" </dev/null >"$data/server.out" 2>&1 &
  server=$!
  for ((i = 0; i < 300; i++)); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
    kill -0 "$server" 2>/dev/null || die "it did not start: $(tail -n 5 "$data/server.out" "$data/error.log" 2>/dev/null)"
    sleep 0.1
  done
  echo "listening on 127.0.0.1:$port"
  wait "$server" || true
}

case ${1:-} in
  run) run "${@:2}" ;;
  *) die "usage: clickhouse-native.sh run [flags]" ;;
esac
