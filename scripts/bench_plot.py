#!/usr/bin/env python3
"""Draws the figures of the last `cargo bench --bench engine` (target/bench-engine.json) as docs/performance.svg."""

import json
import pathlib
from html import escape

ROOT = pathlib.Path(__file__).resolve().parent.parent
WIDTH = 920
LEFT = 150
RIGHT = 200
ROW = 26
COLOURS = {"floor": "#8a8a8a", "decode": "#9ec5e8", "+scan": "#9ec5e8", "+class": "#9ec5e8", "core": "#1f6fb2", "full": "#2a8f5c", "kept": "#b8741a"}
# Times the floor: what each case must not exceed, where a goal is set.
GOALS = {("openai audit", "core"): 2.2, ("openai audit", "full"): 2.8, ("azure activity", "core"): 1.9, ("azure activity", "full"): 2.2}


def text(x, y, words, size=13, anchor="start", fill="#222", weight="normal"):
    return (f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" text-anchor="{anchor}" fill="{fill}" font-weight="{weight}">'
            f"{escape(str(words))}</text>")


class Drawing:
    """Panels of horizontal bars, one below the other."""

    def __init__(self):
        self.parts = []
        self.y = 30

    def title(self, words, size=15):
        self.parts.append(text(16, self.y, words, size, weight="bold"))
        self.y += 12

    def panel(self, title, unit, bars):
        """`bars`: name, length, words behind the bar, colour, goal or None."""
        self.y += 30
        self.title(title)
        self.parts.append(text(WIDTH - 16, self.y - 12, unit, 12, "end", "#666"))
        longest = max(max(length, goal or 0) for _, length, _, _, goal in bars)
        scale = (WIDTH - LEFT - RIGHT) / longest
        for name, length, words, colour, goal in bars:
            top = self.y + 6
            self.parts.append(text(LEFT - 8, top + 14, name, 13, "end"))
            self.parts.append(f'<rect x="{LEFT}" y="{top}" width="{max(length * scale, 1):.1f}" height="18" fill="{colour}"/>')
            end = LEFT + length * scale
            if goal is not None:
                at = LEFT + goal * scale
                self.parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{top - 3}" y2="{top + 21}" stroke="#c0202a" stroke-width="2"/>')
                end = max(end, at)
            self.parts.append(text(end + 8, top + 14, words, 12, fill="#444"))
            self.y += ROW

    def svg(self, foot):
        self.y += 24
        for line in foot:
            self.parts.append(text(16, self.y, line, 11, fill="#666"))
            self.y += 16
        body = "\n".join(self.parts)
        return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.y}" width="{WIDTH}" height="{self.y}" '
                f'font-family="system-ui, sans-serif">\n<rect width="100%" height="100%" fill="#fff"/>\n{body}\n</svg>\n')


def cases(figures):
    """The cases of one input, as bars of their ratio to the floor."""
    title = figures["input"]
    for case in figures["cases"]:
        name, ratio = case["case"], case["ratio_to_floor"]
        words = f'{ratio:.2f} x, {case["best_ns"]:,.0f} ns, {1e3 / case["best_ns"]:.2f} M/s'
        yield name, ratio, words, COLOURS[name], GOALS.get((title, name))


def main():
    source = ROOT / "target/bench-engine.json"
    if not source.exists():
        raise SystemExit(f"{source} is not there: run `cargo bench --no-default-features --bench engine` first")
    told = json.loads(source.read_text())
    drawing = Drawing()
    drawing.title("udmill: the engine beside the parse of its input", 17)
    for figures in told["inputs"]:
        drawing.panel(f'{figures["input"]}, {figures["bytes_in"]:,} bytes a record', "times the floor; red: goal", list(cases(figures)))
    drawing.panel("larger OpenAI events, core", "times the floor", [
        (f'{row["bytes"] / 1024:.0f} KiB', row["ratio_to_floor"],
         f'{row["ratio_to_floor"]:.2f} x, {row["bytes"] / row["core_ns"] * 1e3:,.0f} MB/s', COLOURS["core"], None) for row in told["sizes"]])
    drawing.panel("rules of the table, the same events", "times the first", [
        (f'{row["rules"]} rules', row["ratio_to_first"], f'{row["ratio_to_first"]:.2f} x, {row["median_ns"]:,.0f} ns', COLOURS["core"], 1.1)
        for row in told["rules"]])
    drawing.panel("every mapping on its samples, core", "nanoseconds a record", [
        (row["mapping"].split("/", 1)[-1], row["median_ns"], f'{row["median_ns"]:,.0f} ns, {row["bytes"]:,} bytes', COLOURS["core"], None)
        for row in told["families"]])
    host = told["host"]
    target = ROOT / "docs/performance.svg"
    target.write_text(drawing.svg([
        f'{host["processor"]}, {host["cores"]} cores, Linux {host["kernel"]}, load {host["load"]}',
        f'{host["rustc"]}; udmill {host["udmill"]} at {host["commit"]}; simd-json {host["simd-json"]}; {told["rounds"]} rounds, thread CPU time, '
        "medians of the ratios within a round"]), encoding="utf-8")
    print(f"written to {target.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
