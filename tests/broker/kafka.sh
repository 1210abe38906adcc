#!/usr/bin/env bash
# A real Apache Kafka for the broker tests: no Docker, no tarball, only the published jars and a Java 17 or newer.
#
#   tests/broker/kafka.sh start   fetch (once), format, start, wait until it answers; prints the same as `env`
#   tests/broker/kafka.sh env     the variables the tests read, as `export NAME=value` lines
#   tests/broker/kafka.sh halt    stop it with SIGKILL, keeping its data
#   tests/broker/kafka.sh resume  start it again over the same data, on the same ports
#   tests/broker/kafka.sh stop    stop the broker this folder started, by its process id
#   tests/broker/kafka.sh fetch   only fetch the jars
#
# One node in KRaft mode on loopback, on free ports, three listeners:
#   PLAINTEXT   no security
#   SASL_SSL    PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER (unsecured JWS: for tests only)
#   CONTROLLER  its own
# Everything lives in tests/broker/.kafka (git-ignored); UDMILL_KAFKA_DIR moves it.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
home="${UDMILL_KAFKA_DIR:-$here/.kafka}"
lib="$home/lib"
work="$home/run"
pid_file="$home/broker.pid"
start_seconds="${UDMILL_KAFKA_START_SECONDS:-120}"

# Made-up secrets of a broker that only loopback reaches.
plain_user='$ConnectionString'
plain_password='plain-secret'
scram_user='scram-user'
scram_password='scram-secret'
store_password='store-secret'
scope='udmill'

say() { printf '%s\n' "kafka.sh: $*" >&2; }
die() { say "$*"; exit 1; }

# The id of the broker this folder started, when it still runs. The command line is compared because a process id is used again.
running_pid() {
  local pid
  [ -f "$pid_file" ] || return 1
  pid="$(cat "$pid_file")"
  [ -r "/proc/$pid/cmdline" ] && tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF "$work/server.properties" || return 1
  printf '%s' "$pid"
}

fetch() {
  # The stamp is the pom itself: another version is fetched again.
  if [ -f "$home/pom.stamp" ] && cmp -s "$home/pom.stamp" "$here/kafka/pom.xml"; then return 0; fi
  command -v mvn >/dev/null || die "needs \`mvn\` (Debian: apt-get install maven)"
  say "fetching the broker's jars"
  mkdir -p "$home"
  rm -rf "$lib"
  mvn -B -q -f "$here/kafka/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$lib" >&2
  ls "$lib"/kafka_2.13-*.jar >/dev/null 2>&1 || die "mvn ended without the broker's jar in $lib"
  cp "$here/kafka/pom.xml" "$home/pom.stamp"
}

# A port nobody listens on, from a range below the ephemeral one. Ports given out in this run are not given twice.
taken=' '
free_port() {
  local port
  for _ in $(seq 200); do
    port=$((20000 + RANDOM % 10000))
    case "$taken" in *" $port "*) continue ;; esac
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      taken="$taken$port "
      picked="$port"
      return 0
    fi
  done
  die "found no free port between 20000 and 29999"
}

# An own authority and a certificate for loopback, valid for two days; keys never leave the folder.
certificates() {
  local tls="$work/tls"
  mkdir -p "$tls"
  openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj '/CN=udmill test authority' \
    -keyout "$tls/ca.key" -out "$tls/ca.pem" 2>/dev/null
  openssl req -newkey rsa:2048 -nodes -subj '/CN=localhost' -keyout "$tls/broker.key" -out "$tls/broker.csr" 2>/dev/null
  printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\n' >"$tls/san.ext"
  openssl x509 -req -in "$tls/broker.csr" -CA "$tls/ca.pem" -CAkey "$tls/ca.key" -CAcreateserial -days 2 \
    -extfile "$tls/san.ext" -out "$tls/broker.pem" 2>/dev/null
  openssl pkcs12 -export -in "$tls/broker.pem" -inkey "$tls/broker.key" -certfile "$tls/ca.pem" -name broker \
    -passout "pass:$store_password" -out "$tls/broker.p12"
}

settings() {
  local jaas='org.apache.kafka.common.security'
  cat >"$work/server.properties" <<P
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller_port
listeners=PLAINTEXT://127.0.0.1:$plain_port,SASL_SSL://127.0.0.1:$tls_port,CONTROLLER://127.0.0.1:$controller_port
advertised.listeners=PLAINTEXT://127.0.0.1:$plain_port,SASL_SSL://127.0.0.1:$tls_port
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=$work/data
num.partitions=4
# Tests make their topics; an unknown one must stay unknown.
auto.create.topics.enable=false
# One node: without these, groups and transactions wait for replicas that never come.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# A transaction whose process died is ended soon after its timeout, not at the next look ten seconds later.
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
group.initial.rebalance.delay.ms=0
log.segment.bytes=67108864
ssl.keystore.type=PKCS12
ssl.keystore.location=$work/tls/broker.p12
ssl.keystore.password=$store_password
ssl.client.auth=none
listener.name.sasl_ssl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
listener.name.sasl_ssl.plain.sasl.jaas.config=$jaas.plain.PlainLoginModule required user_$plain_user="$plain_password";
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=$jaas.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=$jaas.scram.ScramLoginModule required;
listener.name.sasl_ssl.oauthbearer.sasl.jaas.config=$jaas.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker" unsecuredValidatorRequiredScope="$scope";
P
  # `$ConnectionString` is no JAAS option name: a dollar must stand in quotes.
  sed -i "s|user_$plain_user=|\"user_$plain_user\"=|" "$work/server.properties"
  cat >"$work/log4j2.properties" <<'P'
status=error
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %c{1} %m%n
rootLogger.level=info
rootLogger.appenderRefs=out
rootLogger.appenderRef.out.ref=out
P
  cat >"$work/env" <<P
export UDMILL_TEST_KAFKA=127.0.0.1:$plain_port
export UDMILL_TEST_KAFKA_TLS=127.0.0.1:$tls_port
export UDMILL_TEST_KAFKA_CA='$work/tls/ca.pem'
export UDMILL_TEST_KAFKA_PLAIN='$plain_user:$plain_password'
export UDMILL_TEST_KAFKA_SCRAM='$scram_user:$scram_password'
export UDMILL_TEST_KAFKA_SCOPE='$scope'
P
}

java_run() { java -Xms256m -Xmx512m -XX:+UseSerialGC "-Dlog4j2.configurationFile=$work/log4j2.properties" -cp "$lib/*" "$@"; }

# Starts the broker over what is in $work and waits until it answers.
launch() {
  local pid port
  port="$(sed -n 's|^listeners=PLAINTEXT://127.0.0.1:\([0-9]*\),.*|\1|p' "$work/server.properties")"
  # A process group of its own, so that an interrupt at the terminal does not take the broker first.
  setsid java -Xms256m -Xmx512m -XX:+UseSerialGC "-Dlog4j2.configurationFile=$work/log4j2.properties" -cp "$lib/*" \
    kafka.Kafka "$work/server.properties" >"$work/broker.log" 2>&1 </dev/null &
  pid=$!
  printf '%s\n' "$pid" >"$pid_file"
  local deadline=$((SECONDS + start_seconds))
  until grep -q 'Kafka Server started' "$work/broker.log" && (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
    if ! kill -0 "$pid" 2>/dev/null; then
      tail -n 30 "$work/broker.log" >&2
      die "the broker ended while starting; its log is $work/broker.log"
    fi
    [ "$SECONDS" -lt "$deadline" ] || { tail -n 30 "$work/broker.log" >&2; stop; die "the broker was not ready after $start_seconds s"; }
    read -rt 0.2 <> <(:) || true
  done
}

halt() {
  local pid
  pid="$(running_pid)" || { say "nothing runs"; return 0; }
  kill -KILL "$pid"
  while [ -e "/proc/$pid" ] && [ "$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$pid/status" 2>/dev/null)" != Z ]; do
    read -rt 0.05 <> <(:) || true
  done
  rm -f "$pid_file"
}

resume() {
  local pid
  [ -f "$work/server.properties" ] || die "nothing to resume; use \`$0 start\`"
  if pid="$(running_pid)"; then say "already runs as process $pid"; return 0; fi
  launch
}

start() {
  local pid
  if pid="$(running_pid)"; then
    say "already runs as process $pid"
    cat "$work/env"
    return 0
  fi
  for tool in java openssl; do command -v "$tool" >/dev/null || die "needs \`$tool\`"; done
  fetch
  rm -rf "$work"
  mkdir -p "$work"
  free_port; plain_port="$picked"
  free_port; tls_port="$picked"
  free_port; controller_port="$picked"
  certificates
  settings
  java_run kafka.tools.StorageTool format -t "$(java_run kafka.tools.StorageTool random-uuid)" -c "$work/server.properties" \
    --add-scram "SCRAM-SHA-256=[name=$scram_user,password=$scram_password]" \
    --add-scram "SCRAM-SHA-512=[name=$scram_user,password=$scram_password]" >"$work/format.log" 2>&1 \
    || { cat "$work/format.log" >&2; die "the storage could not be formatted"; }
  launch
  pid="$(cat "$pid_file")"
  say "Apache Kafka runs as process $pid on 127.0.0.1:$plain_port (plain) and 127.0.0.1:$tls_port (TLS)"
  cat "$work/env"
}

stop() {
  local pid
  pid="$(running_pid)" || { say "nothing runs"; rm -f "$pid_file"; return 0; }
  kill -TERM "$pid"
  for _ in $(seq 100); do
    kill -0 "$pid" 2>/dev/null || { rm -f "$pid_file"; say "stopped process $pid"; return 0; }
    read -rt 0.2 <> <(:) || true
  done
  kill -KILL "$pid"
  rm -f "$pid_file"
  say "process $pid did not end within 20 s and was killed"
}

case "${1:-}" in
  start) start ;;
  stop) stop ;;
  halt) halt ;;
  resume) resume ;;
  fetch) fetch ;;
  env) running_pid >/dev/null || die "no broker runs here; start it with \`$0 start\`"; cat "$work/env" ;;
  *) die "say start, stop, env or fetch" ;;
esac
