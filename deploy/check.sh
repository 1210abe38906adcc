#!/bin/sh
# Checks the deployment files with whatever this machine has: promtool for the rules, docker compose for the compose file. Says what it
# could not check. Exit code 1 when something is wrong.
set -eu
cd "$(dirname "$0")/.."
if command -v promtool >/dev/null; then
    promtool check config deploy/prometheus/prometheus.yml
    promtool test rules deploy/prometheus/alerts_test.yml
else
    echo "deploy: promtool is missing (Debian: apt-get install prometheus); the alert rules were not checked"
fi
if docker compose version >/dev/null 2>&1; then
    docker compose config --quiet
elif command -v docker-compose >/dev/null; then
    docker-compose config --quiet
else
    echo "deploy: docker compose is missing (Debian: apt-get install docker-compose); docker-compose.yml was not checked"
fi
