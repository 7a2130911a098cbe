#!/usr/bin/env bash
# One Apache Kafka broker (KRaft), or one of three, for development and tests.
#
#   kafka.sh install                 fetch the jars (Maven, pinned in kafka/pom.xml)
#   kafka.sh start [flags]           in the background; prints HOST:PORT
#   kafka.sh stop                    stop what start started
#   kafka.sh run [flags]             in the foreground; prints "listening on HOST:PORT"
#
# Flags of start and run:
#   --data DIR            keep the log there; without it in a temporary folder that goes with the broker
#   --port N              port of the plain listener; without it a free one
#   --sasl                a second listener with PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512; prints "sasl HOST:PORT"
#                         (user apiwarden, password apiwarden-secret)
#   --tls                 a third listener with TLS; prints "tls HOST:PORT CA-FILE"
#   --exit-with-parent    (run) stop when standard input ends
#   --node N              node N of a cluster of three, whose topics have at least two replicas in sync;
#   --voters LIST         needs the nodes' controllers, as 1@127.0.0.1:PORT,2@...,
#   --cluster-id ID       and an id (22 letters and digits) that they share
#
# Everything lies in $APIWARDEN_DEV_DIR (default: .dev in the repository).
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

libs="$dev/kafka/libs"
pidfile="$dev/run/kafka.pid"
addrfile="$dev/run/kafka.addr"
user=apiwarden
password=apiwarden-secret

install_jars() {
  cmp -s "$here/kafka/pom.xml" "$dev/kafka/installed" && return 0
  need mvn "it fetches Apache Kafka (install Maven 3)"
  need java "Apache Kafka runs on it (install a JRE 17 or later)"
  say "fetching Apache Kafka (43 MB) into $dev/kafka"
  rm -rf "$dev/kafka"
  mkdir -p "$libs"
  mvn -q -B -f "$here/kafka/pom.xml" dependency:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$libs" >&2
  cp "$here/kafka/pom.xml" "$dev/kafka/installed"
}

make_certificate() {
  need keytool "it makes the broker's certificate (part of a JDK)"
  keytool -genkeypair -alias broker -keyalg EC -groupname secp256r1 -dname CN=localhost \
    -ext san=dns:localhost,ip:127.0.0.1 -validity 3650 -storetype PKCS12 \
    -keystore "$data/broker.p12" -storepass "$password" 2>/dev/null
  keytool -exportcert -rfc -alias broker -keystore "$data/broker.p12" -storepass "$password" \
    >"$data/ca.pem" 2>/dev/null
}

write_properties() {
  local listeners="PLAINTEXT://127.0.0.1:$broker_port,CONTROLLER://127.0.0.1:$controller_port"
  local advertised="PLAINTEXT://127.0.0.1:$broker_port"
  local map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT,TLS:SSL
  if [[ $sasl ]]; then
    listeners+=",SASL://127.0.0.1:$sasl_port"
    advertised+=",SASL://127.0.0.1:$sasl_port"
  fi
  if [[ $tls ]]; then
    listeners+=",TLS://127.0.0.1:$tls_port"
    advertised+=",TLS://127.0.0.1:$tls_port"
  fi
  local quorum=controller.quorum.bootstrap.servers=127.0.0.1:$controller_port replicas=1 insync=1
  [[ $voters ]] && quorum=controller.quorum.voters=$voters replicas=3 insync=2
  cat <<PROPERTIES
process.roles=broker,controller
node.id=$node
$quorum
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listeners=$listeners
advertised.listeners=$advertised
listener.security.protocol.map=$map
log.dirs=$data/log
num.partitions=1
auto.create.topics.enable=false
offsets.topic.replication.factor=$replicas
offsets.topic.num.partitions=5
transaction.state.log.replication.factor=$replicas
transaction.state.log.min.isr=$insync
transaction.state.log.num.partitions=5
share.coordinator.state.topic.replication.factor=$replicas
share.coordinator.state.topic.min.isr=$insync
min.insync.replicas=$insync
group.initial.rebalance.delay.ms=0
PROPERTIES
  if [[ $sasl ]]; then
    local login="username=\"$user\" password=\"$password\""
    cat <<PROPERTIES
listener.name.sasl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required $login user_$user="$password";
listener.name.sasl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
PROPERTIES
  fi
  if [[ $tls ]]; then
    cat <<PROPERTIES
listener.name.tls.ssl.keystore.type=PKCS12
listener.name.tls.ssl.keystore.location=$data/broker.p12
listener.name.tls.ssl.keystore.password=$password
PROPERTIES
  fi
}

parse_flags() {
  data='' sasl='' tls='' with_parent='' broker_port='' temporary='' node=1 voters='' cluster_id=''
  while (($#)); do
    case $1 in
      --data) data=$2; shift ;;
      --port) broker_port=$2; shift ;;
      --sasl) sasl=1 ;;
      --tls) tls=1 ;;
      --exit-with-parent) with_parent=1 ;;
      --node) node=$2; shift ;;
      --voters) voters=$2; shift ;;
      --cluster-id) cluster_id=$2; shift ;;
      *) die "unknown flag $1 (there are --data, --port, --sasl, --tls, --exit-with-parent, --node, --voters, --cluster-id)" ;;
    esac
    shift
  done
  fixed_port=$broker_port
  if [[ -z $data ]]; then
    data=$(mktemp -d "${TMPDIR:-/tmp}/kafka.XXXXXX")
    temporary=1
  fi
  mkdir -p "$data"
}

# start_broker leaves a broker that has started as process $java, its addresses in the *_port variables.
start_broker() {
  local cp="$libs/*" scram=()
  [[ $sasl ]] && scram=(
    --add-scram "SCRAM-SHA-256=[name=$user,password=$password]"
    --add-scram "SCRAM-SHA-512=[name=$user,password=$password]"
  )
  [[ $tls && ! -s $data/ca.pem ]] && make_certificate
  for attempt in 1 2 3; do
    [[ $fixed_port ]] || { free_port; broker_port=$port; }
    free_port; controller_port=$port
    [[ $voters =~ (^|,)$node@127\.0\.0\.1:([0-9]+) ]] && controller_port=${BASH_REMATCH[2]}
    free_port; sasl_port=$port
    free_port; tls_port=$port
    write_properties >"$data/server.properties"
    if ! [[ -s $data/log/meta.properties ]]; then
      # An id that began with "-" would be taken for an option, hence the letter in front.
      local id=$cluster_id alone=--standalone
      [[ $voters ]] && alone=''
      [[ $id ]] || id="A$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | cut -c1-21)"
      java -Xshare:auto -XX:TieredStopAtLevel=1 -cp "$cp" kafka.tools.StorageTool format $alone \
        -t "$id" -c "$data/server.properties" "${scram[@]}" >"$data/format.out" 2>&1 ||
        die "formatting $data: $(tail -n 3 "$data/format.out")"
    fi
    java -Xms256m "-Xmx${KAFKA_HEAP:-768m}" -XX:+UseG1GC -cp "$cp" \
      "-Dlog4j2.configurationFile=$here/kafka/log4j2.properties" \
      kafka.Kafka "$data/server.properties" </dev/null >"$data/kafka.out" 2>&1 &
    java=$!
    for ((i = 0; i < 900; i++)); do
      grep -q 'Kafka Server started' "$data/kafka.out" && return 0
      kill -0 "$java" 2>/dev/null || break
      sleep 0.1
    done
    kill "$java" 2>/dev/null && wait "$java" 2>/dev/null
    say "Kafka did not start (attempt $attempt): $(tail -n 3 "$data/kafka.out")"
  done
  die "Kafka does not start; see $data/kafka.out"
}

extra_addresses() {
  [[ $sasl ]] && echo "sasl 127.0.0.1:$sasl_port"
  [[ $tls ]] && echo "tls 127.0.0.1:$tls_port $data/ca.pem"
  return 0
}

clean_up() {
  trap - EXIT TERM INT
  if [[ ${java:-} ]]; then
    kill "$java" 2>/dev/null || true
    for ((i = 0; i < 100; i++)); do
      kill -0 "$java" 2>/dev/null || break
      sleep 0.1
    done
    kill -KILL "$java" 2>/dev/null || true
  fi
  [[ ${watch:-} ]] && kill "$watch" 2>/dev/null || true
  [[ ${temporary:-} ]] && rm -rf "$data"
  return 0
}

run() {
  locked kafka install_jars
  trap 'clean_up' EXIT
  trap 'exit 0' TERM INT
  parse_flags "$@"
  if [[ $with_parent ]]; then
    # From here on, so that a parent that goes while Kafka starts is noticed too.
    exec 3<&0
    (cat <&3 >/dev/null; kill -TERM $$) >/dev/null 2>&1 &
    watch=$!
    exec 3<&-
  fi
  start_broker
  extra_addresses
  echo "listening on 127.0.0.1:$broker_port"
  wait "$java" || true
}

start() {
  running "$pidfile" && die "already running as process $(cat "$pidfile") on $(head -n 1 "$addrfile")"
  locked kafka install_jars
  rm -f "$addrfile"
  nohup "$here/kafka.sh" run "$@" </dev/null >"$addrfile.run" 2>"$dev/run/kafka.log" &
  echo $! >"$pidfile"
  for ((i = 0; i < 1200; i++)); do
    grep -q '^listening on ' "$addrfile.run" && break
    running "$pidfile" || die "Kafka did not start: $(tail -n 5 "$dev/run/kafka.log")"
    sleep 0.1
  done
  sed -n 's/^listening on //p' "$addrfile.run" >"$addrfile"
  grep -v '^listening on ' "$addrfile.run" >>"$addrfile" || true
  rm -f "$addrfile.run"
  cat "$addrfile"
}

case ${1:-} in
  install) locked kafka install_jars ;;
  start) start "${@:2}" ;;
  stop) stop_pid "$pidfile" 20 ;;
  run) run "${@:2}" ;;
  *) die "usage: kafka.sh install | start [flags] | stop | run [flags]" ;;
esac
