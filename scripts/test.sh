#!/usr/bin/env bash
# What `make test` runs: every step once, in one cargo profile, with the seconds each took. Stops at the first that fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

steps=''
began=$SECONDS
report() {
  printf '\n%-28s %s\n' 'step' 'seconds'
  printf '%b' "$steps"
  printf '%-28s %s\n' 'all' "$((SECONDS - began))"
}
broker_started=''
finish() {
  local code=$?
  if [ -n "$broker_started" ]; then tests/broker/kafka.sh stop || true; fi
  report
  [ "$code" = 0 ] && echo 'all steps passed' || echo "failed with exit code $code"
}
trap finish EXIT
step() {
  local name="$1" start=$SECONDS code=0
  shift
  printf '\n== %s\n' "$name"
  "$@" || code=$?
  steps="$steps$(printf '%-28s %s%s' "$name" "$((SECONDS - start))" "$([ "$code" = 0 ] || printf ' FAILED')")\n"
  return "$code"
}
start_broker() {
  local variables
  variables="$(tests/broker/kafka.sh start)" || return 1
  broker_started=yes
  eval "$variables"
}

# The same cases for everybody: whether a change passes must not depend on the draw. `make nightly` draws new ones.
export PROPTEST_RNG_SEED="${PROPTEST_RNG_SEED:-20260101}"

step 'install' scripts/install.sh
step 'fmt' cargo fmt --check
step 'clippy' cargo clippy --locked --all-targets -- -D warnings
step 'check without features' cargo check --locked --no-default-features --all-targets
step 'tests without features' cargo test --locked --no-default-features --lib
step 'tests: lib' cargo test --locked --lib
step 'tests: docs' cargo test --locked --doc
if grep -q '^name = "suite"' Cargo.toml; then
  if [ -x tests/udm_check/install.sh ]; then step 'udm check: install' tests/udm_check/install.sh; fi
  step 'tests: suite' cargo test --locked --test suite
fi
# Without npm the tests of checkpoints in blobs skip themselves, and say so.
if command -v npm >/dev/null; then
  step 'azurite: install' tests/broker/azurite.sh
  eval "$(tests/broker/azurite.sh)"
fi
step 'tests: event hubs' cargo test --locked --test broker hubs:: -- --test-threads 1
step 'deploy files' deploy/check.sh
step 'broker: start' start_broker
step 'tests: broker' env UDMILL_TEST_KAFKA_REQUIRED=1 cargo test --locked --test broker -- --skip hubs::
