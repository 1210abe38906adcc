#!/usr/bin/env python3
"""Processor seconds of Tenzir and of `udmill replay`, from the same file of OpenAI events to a file, in turns.

Every event of a sample is compared before anything is timed. Seconds are those of the whole process, user and system, start-up included,
which is told apart by a run on one event. `make bench-tenzir` runs this and installs Tenzir with pip when it lacks.

UDMILL_BENCH_FOLDER: where the files go (target/bench-tenzir). UDMILL_BENCH_EVENTS: how many events (1000000). UDMILL_BENCH_BINARY: a build of
udmill that is there already. TENZIR: Tenzir's own binary.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PROGRAM = ROOT / "benches/peers/openai.tql"
FOLDER = pathlib.Path(os.environ.get("UDMILL_BENCH_FOLDER", ROOT / "target/bench-tenzir"))
EVENTS = int(os.environ.get("UDMILL_BENCH_EVENTS", "1000000"))
TENZIR = "6.20.0"
ROUNDS = 5
COMPARED = 20_000
# What udmill writes and the other program cannot, by its path in an event: taken out before the comparison, not before the timing.
LEFT_OUT = {"network.http.parsedUserAgent": "Tenzir has no function that parses a user agent"}


def tenzir():
    """Tenzir's own binary, beside the Python script that only starts it."""
    if given := os.environ.get("TENZIR"):
        return given
    venv = ROOT / "target/bench-tenzir/venv"
    if not (venv / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([venv / "bin/pip", "install", "--quiet", f"tenzir=={TENZIR}"], check=True)
        (venv / "installed").touch()
    found = list(venv.glob("lib/python*/site-packages/tenzir/bundled/bin/tenzir"))
    if not found:
        raise SystemExit(f"{venv} holds no `tenzir/bundled/bin/tenzir`; remove that folder to install it again")
    return str(found[0])


def udmill():
    """The release build without transports, as the other replay figures have it."""
    if given := os.environ.get("UDMILL_BENCH_BINARY"):
        return given
    subprocess.run(["cargo", "build", "--release", "--locked", "--no-default-features"], cwd=ROOT, check=True)
    return str(ROOT / "target/release/udmill")


def write_input(path):
    """The generator's events, as many as wanted, from fixed seeds."""
    if not path.exists():
        part = path.with_suffix(".part")
        with part.open("wb") as out:
            command = ["cargo", "bench", "--locked", "--no-default-features", "--bench", "engine"]
            subprocess.run(command, cwd=ROOT, check=True, stdout=out, env={**os.environ, "UDMILL_BENCH_WRITE": f"openai:{EVENTS}"})
        part.rename(path)


def head(path, to, count):
    with path.open("rb") as lines, to.open("wb") as out:
        out.writelines(line for _, line in zip(range(count), lines))
    return to


class Runner:
    """One way to make events of a file."""

    def __init__(self, name, command):
        self.name, self.command = name, command
        self.seconds, self.walls = [], []

    def run(self, source, target):
        """Processor seconds of the process and its children, and seconds."""
        target.unlink(missing_ok=True)
        began = time.monotonic()
        variables = {**os.environ, "UDMILL_BENCH_IN": str(source), "UDMILL_BENCH_OUT": str(target)}
        child = subprocess.Popen([word.format(source=source, target=target) for word in self.command], env=variables)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            raise SystemExit(f"{self.name}: exit code {child.returncode}")
        return used.ru_utime + used.ru_stime, time.monotonic() - began


def compare(runners, sample):
    """Every event of every runner against the first one's, field by field; the first difference ends the run."""
    expected = None
    for runner in runners:
        target = FOLDER / "compared.ndjson"
        runner.run(sample, target)
        events = [json.loads(line) for line in target.open(encoding="utf-8")]
        removed = 0
        for event in events:
            for path in LEFT_OUT:
                *parents, last = path.split(".")
                at = event
                for name in parents:
                    at = at.get(name, {})
                removed += at.pop(last, None) is not None
        if expected is None:
            expected = events
        if len(events) != len(expected):
            raise SystemExit(f"{runner.name}: {len(events)} events, expected {len(expected)}")
        for number, (event, wanted) in enumerate(zip(events, expected)):
            if event != wanted:
                raise SystemExit(f"{runner.name}: event {number} differs:\n{json.dumps(event)}\nexpected:\n{json.dumps(wanted)}")
        print(f"{runner.name}: {len(events)} events as expected, {removed} fields left out of the comparison")


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    source = FOLDER / f"openai-{EVENTS}.ndjson"
    ours, theirs = udmill(), tenzir()
    write_input(source)
    replay = [ours, "replay", "--profile", "documented", "--unmapped", "drop", "--summary", "none", "-o", "{target}", "{source}"]
    runners = [
        Runner("udmill replay", replay),
        Runner("udmill replay --jobs 1", [*replay, "--jobs", "1"]),
        Runner(f"Tenzir {TENZIR}", [theirs, "-f", str(PROGRAM)]),
    ]
    compare(runners, head(source, FOLDER / "sample.ndjson", COMPARED))
    for path, why in LEFT_OUT.items():
        print(f"left out: {path}: {why}; udmill writes it in the timed runs")

    one, target = head(source, FOLDER / "one.ndjson", 1), FOLDER / "events.ndjson"
    starts = {runner.name: [] for runner in runners}
    sizes = {}
    for _ in range(ROUNDS):
        for runner in runners:
            starts[runner.name].append(runner.run(one, target)[0])
            seconds, wall = runner.run(source, target)
            runner.seconds.append(seconds)
            runner.walls.append(wall)
            sizes[runner.name] = target.stat().st_size
    target.unlink()

    print(f"\n{EVENTS} events, {source.stat().st_size} bytes; {ROUNDS} rounds; load {pathlib.Path('/proc/loadavg').read_text().strip()}")
    print("| | processor seconds | events a processor second | ratio | seconds | bytes out | processor seconds of one event |")
    print("|---|---|---|---|---|---|---|")
    for runner in runners:
        ratio = statistics.median(mine / first for mine, first in zip(runner.seconds, runners[0].seconds))
        best = min(runner.seconds)
        print(f"| {runner.name} | {best:.2f} | {EVENTS / best:,.0f} | {ratio:.1f} | {min(runner.walls):.2f} "
              f"| {sizes[runner.name]:,} | {min(starts[runner.name]):.2f} |")


if __name__ == "__main__":
    main()
