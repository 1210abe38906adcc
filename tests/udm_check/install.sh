#!/bin/sh
# Makes the virtual environment in which check.py runs: tests/udm_check/.venv. Does nothing when it is there and up to date.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mark="$here/.venv/installed"
if [ -f "$mark" ] && cmp -s "$mark" "$here/requirements.txt"; then
    exit 0
fi
command -v python3 >/dev/null || { echo "udm_check: python3 is missing (Debian: apt-get install python3 python3-venv)" >&2; exit 1; }
rm -rf "$here/.venv"
python3 -m venv "$here/.venv" || { echo "udm_check: python3 has no venv module (Debian: apt-get install python3-venv)" >&2; exit 1; }
"$here/.venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
cp "$here/requirements.txt" "$mark"
