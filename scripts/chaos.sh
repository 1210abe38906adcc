#!/usr/bin/env bash
# The long runs of docs/reliability.md, on a real Apache Kafka of their own and between hubs of the stand-in. Usage: scripts/chaos.sh chaos|soak
#
# Sizes come from the environment, with the full ones as defaults. The broker is started here and stopped at the end, whatever happens.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export UDMILL_KAFKA_DIR="${UDMILL_KAFKA_DIR:-$PWD/tests/broker/.kafka-chaos}"
# The jars are those of the ordinary tests when they are here already.
if [ ! -e "$UDMILL_KAFKA_DIR/lib" ] && [ -d tests/broker/.kafka/lib ]; then
  mkdir -p "$UDMILL_KAFKA_DIR"
  cp -al tests/broker/.kafka/lib "$UDMILL_KAFKA_DIR/lib"
  cp tests/broker/.kafka/pom.stamp "$UDMILL_KAFKA_DIR/pom.stamp"
fi
variables="$(tests/broker/kafka.sh start)"
trap 'tests/broker/kafka.sh stop' EXIT
eval "$variables"
export UDMILL_TEST_KAFKA_REQUIRED=1
# Without npm the kills with checkpoints in blobs skip themselves, and say so.
if command -v npm >/dev/null; then eval "$(tests/broker/azurite.sh)"; fi

case "${1:-}" in
  chaos)
    export UDMILL_CHAOS_MESSAGES="${UDMILL_CHAOS_MESSAGES:-1000000}" UDMILL_CHAOS_KILLS="${UDMILL_CHAOS_KILLS:-50}"
    export UDMILL_CHAOS_BROKER_RESTARTS="${UDMILL_CHAOS_BROKER_RESTARTS:-10}" UDMILL_CHAOS_SECONDS="${UDMILL_CHAOS_SECONDS:-3600}"
    # One after the other: they kill the broker under each other otherwise.
    cargo test --locked --test broker -- chaos:: --test-threads 1
    ;;
  soak)
    export UDMILL_SOAK_SECONDS="${UDMILL_SOAK_SECONDS:-600}"
    for size in ${UDMILL_SOAK_SIZES:-100000 500000 1000000}; do
      UDMILL_SOAK_MESSAGES="$size" cargo test --locked --test broker -- soak:: --test-threads 1
    done
    ;;
  *) echo "chaos.sh: say chaos or soak" >&2; exit 2 ;;
esac
