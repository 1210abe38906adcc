#!/usr/bin/env bash
# Instructions of an event, counted by callgrind, beside those kept in docs/instructions.csv: more than 3 % worse is a failure that names the
# case. With `--update` (or UPDATE=1) the kept figures become the counted ones. Counts do not depend on how busy the machine is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

kept=docs/instructions.csv
worse_percent=3
update="${UPDATE:-}"
[ "${1:-}" = --update ] && update=1

if ! command -v valgrind >/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo 'bench_instructions.sh: installing valgrind' >&2
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends valgrind >/dev/null
  else
    echo 'bench_instructions.sh: this machine lacks `valgrind`; on Debian: sudo apt-get install valgrind' >&2
    exit 1
  fi
fi

# UDMILL_BENCH_BINARY: a build of that bench that is there already.
binary="${UDMILL_BENCH_BINARY:-}"
if [ -z "$binary" ]; then
  built="$(cargo bench --locked --no-default-features --bench engine --no-run --message-format=json-render-diagnostics)"
  binary="$(printf '%s\n' "$built" | sed -n 's/.*"name":"engine".*"executable":"\([^"]*\)".*/\1/p' | tail -1)"
fi
[ -x "$binary" ] || { echo 'bench_instructions.sh: cargo named no binary of the bench `engine`' >&2; exit 1; }

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT

# Instructions within `Engine::process` while the hundred messages of a case run so often.
count() {
  local out="$folder/callgrind"
  rm -f "$out"
  UDMILL_BENCH_ONLY="$1:$2" valgrind --tool=callgrind --callgrind-out-file="$out" --collect-atstart=no \
    --toggle-collect='udmill::engine::Engine::process' "$binary" >"$folder/log" 2>&1 || { cat "$folder/log" >&2; return 1; }
  sed -n 's/^totals: //p' "$out"
}

now="$folder/now.csv"
version="$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)"
commit="$(git rev-parse --short HEAD 2>/dev/null || echo unknown)"
echo 'case,instructions,version,commit,rustc' >"$now"
for input in openai:20 azure:5; do
  for case in core full kept; do
    name="${input%%:*}:$case" times="${input##*:}"
    # The first rounds fill caches and buffers: what more rounds take beyond them is what a warm worker takes.
    some="$(count "$name" "$times")"
    more="$(count "$name" "$((times * 3))")"
    each="$(((more - some) / (times * 200)))"
    [ "$each" -gt 0 ] || { echo "bench_instructions.sh: $name: nothing was counted; is \`Engine::process\` still a function of its own?" >&2; exit 1; }
    echo "$name,$each,$version,$commit,$(rustc --version | cut -d' ' -f2)" >>"$now"
  done
done

code=0
printf '%-12s %12s %12s %8s\n' case kept now change
while IFS=, read -r name each _; do
  was="$(awk -F, -v name="$name" '$1 == name { print $2 }' "$kept" 2>/dev/null || true)"
  change="$(awk -v was="${was:-0}" -v each="$each" 'BEGIN { if (was > 0) printf "%+.1f %%", (each / was - 1) * 100; else printf "new" }')"
  printf '%-12s %12s %12s %8s\n' "$name" "${was:--}" "$each" "$change"
  if [ -n "$was" ] && [ "$((each * 100))" -gt "$((was * (100 + worse_percent)))" ]; then
    echo "$name takes $change instructions an event: mend it, or run \`UPDATE=1 make bench-instructions\` and say why in the commit" >&2
    code=1
  fi
done < <(tail -n +2 "$now")
if [ -n "$update" ]; then
  cp "$now" "$kept"
  echo "written to $kept"
  exit 0
fi
exit "$code"
