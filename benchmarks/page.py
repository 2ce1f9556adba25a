"""Writes `docs/benchmarks.md` and its plots from the results: every figure on the page comes out of a run."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.rows import Row, rows, sizes, tools

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "benchmarks.md"
WIDTH, BAR, GAP, LABEL = 640, 22, 8, 230
Bar = tuple[str, float]
HEAD = """\
# Benchmarks

Written by `make bench` (`make bench FULL=1` for all sizes and repeats); every figure is from a run of it on the machine
named here: {cores} cores, {machine}, {system}. Ratios compare within one run. A wall time by itself says as much about the
machine as about Undrift.
"""
TAIL = (Path(__file__).parent / "page.md").read_text()
SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="13">'
)


def write(found: Mapping[str, Any]) -> Path:
    """The page and its plots; where the page is."""
    images = DOCS / "images"
    if one := found.get("first-sync"):
        bars = [(name, _median(tool["objectsPerSecond"])) for name, tool in tools(one).items()]
        _plot(images / "bench-first-sync.svg", "objects applied per second (medians)", bars)
    if one := found.get("commits"):
        bars = [
            (f"{size:,} applications: {at}", each["seconds"][at]) for at in ("p50", "p99") for size, each in sizes(one)
        ]
        _plot(images / "bench-commits.svg", "seconds from push to applied", bars)
        bars = [(f"{size:,} applications", each["cpuSecondsEach"]) for size, each in sizes(one)]
        _plot(images / "bench-commits-cpu.svg", "CPU seconds a commit", bars)
    PAGE.write_text("\n".join(_lines(found)) + "\n")
    return PAGE


def table(found: Mapping[str, Any]) -> str:
    """The rows as text, for the terminal."""
    return "\n".join(f"{_mark(row):6} {row.what}: {row.measured} (bar: {row.bar})" for row in rows(found))


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    yield HEAD.format(cores=os.cpu_count(), machine=platform.machine(), system=platform.system())
    yield "| work | bar | measured | held | when, Python |"
    yield "| --- | --- | --- | --- | --- |"
    for row in rows(found):
        about = found[row.workload]
        yield f"| {row.what} | {row.bar} | {row.measured} | {_mark(row)} | {about['at'][:10]}, {about['python']} |"
    yield ""
    yield "## Where we lose"
    yield ""
    missed = [row for row in rows(found) if row.holds is False]
    yield from (f"- {row.what}: {row.measured}, the bar is {row.bar}" for row in missed)
    if not missed:
        yield "No bar was missed in these runs."
    if one := found.get("first-sync"):
        yield ""
        yield from _costs(one)
    yield ""
    yield TAIL.strip("\n")


def _costs(one: Mapping[str, Any]) -> Iterator[str]:
    """What an object costs each tool and the cluster."""
    yield "## What an object costs at a first sync"
    yield ""
    yield "| tool | objects/s | CPU of the tool, ms | CPU of API server and etcd, ms | requests, by verb |"
    yield "| --- | --- | --- | --- | --- |"
    for name, tool in tools(one).items():
        verbs = ", ".join(f"{count:g} {verb}" for verb, count in tool["requestsAnObject"].items())
        cpu = f"{tool['toolCpuMsAnObject']} | {tool['clusterCpuMsAnObject']}"
        yield f"| {name} | {_median(tool['objectsPerSecond']):g} | {cpu} | {verbs} |"


def _mark(row: Row) -> str:
    return {True: "yes", False: "**no**", None: "–"}[row.holds]


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def _plot(file: Path, title: str, bars: Sequence[Bar]) -> None:
    """Horizontal bars."""
    most = max(value for _, value in bars) or 1.0
    height = 40 + len(bars) * (BAR + GAP)
    parts = [
        SVG.format(width=WIDTH, height=height),
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="8" y="22" font-weight="bold">{escape(title)}</text>',
    ]
    for number, (label, value) in enumerate(bars):
        y = 34 + number * (BAR + GAP)
        width = (WIDTH - LABEL - 80) * value / most
        parts.append(f'<text x="8" y="{y + 15}">{escape(label)}</text>')
        parts.append(f'<rect x="{LABEL}" y="{y}" width="{width:.1f}" height="{BAR}" fill="#4477aa"/>')
        parts.append(f'<text x="{LABEL + width + 6:.1f}" y="{y + 15}">{value:g}</text>')
    file.write_text("\n".join([*parts, "</svg>"]) + "\n")
