#!/usr/bin/env bash
# Installs Azurite, Microsoft's blob emulator, from npm into target/azurite and prints the variable that the tests look for.
# Use: eval "$(tests/broker/azurite.sh)". The tests start it on a free loopback port and end it themselves.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
version=3.37.0
folder="$PWD/target/azurite"
command -v npm >/dev/null || { echo 'npm is not here: install nodejs and npm to test checkpoints in blobs' >&2; exit 1; }
if [ ! -x "$folder/node_modules/.bin/azurite-blob" ]; then
  mkdir -p "$folder"
  npm install --prefix "$folder" --no-audit --no-fund --loglevel=error "azurite@$version" >&2
fi
echo "export UDMILL_TEST_AZURITE='$folder/node_modules/.bin/azurite-blob'"
