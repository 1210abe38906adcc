#!/usr/bin/env bash
# From Kafka to Kafka beside a bare forwarder (benches/pipe), on a real Apache Kafka of its own; what it shows stands in docs/performance.md.
#
# Smaller or larger: UDMILL_BENCH_MESSAGES, UDMILL_BENCH_ROUNDS, UDMILL_BENCH_PARTITIONS.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo bench --locked --no-default-features --features kafka --bench pipe --no-run
variables="$(tests/broker/kafka.sh start)"
trap 'tests/broker/kafka.sh stop' EXIT
eval "$variables"
cargo bench --locked --no-default-features --features kafka --bench pipe
