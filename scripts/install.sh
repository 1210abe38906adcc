#!/usr/bin/env bash
# Installs what building and testing need, when it lacks and when it may (Debian, as root); otherwise says what lacks.
set -euo pipefail

# tool that must answer : Debian package that brings it
wanted='cc:build-essential cmake:cmake openssl:openssl java:openjdk-17-jre-headless mvn:maven python3:python3'
packages=()
missing=()
for pair in $wanted; do
  command -v "${pair%%:*}" >/dev/null || { packages+=("${pair#*:}"); missing+=("\`${pair%%:*}\`"); }
done
# librdkafka's TLS needs OpenSSL's headers.
if [ ! -e /usr/include/openssl/ssl.h ]; then packages+=(libssl-dev); missing+=('`openssl/ssl.h`'); fi
# The Python check of events wants a virtual environment.
if command -v python3 >/dev/null && ! python3 -c 'import ensurepip' 2>/dev/null; then packages+=(python3-venv); missing+=('`python3 -m venv`'); fi

if [ "${#packages[@]}" -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "install.sh: installing ${packages[*]}" >&2
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
  else
    echo "install.sh: this machine lacks ${missing[*]}; on Debian: sudo apt-get install ${packages[*]}" >&2
    exit 1
  fi
fi
if ! command -v cargo >/dev/null; then
  echo "install.sh: this machine lacks \`cargo\`; install Rust 1.95 or newer from https://rustup.rs" >&2
  exit 1
fi
