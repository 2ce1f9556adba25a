"""Writes `docs/benchmarks.md` and its plots from the results: every figure on the page comes out of a run."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

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
TAIL = """

![rates of a first sync](images/bench-first-sync.svg)

![seconds from push to applied](images/bench-commits.svg)

## What is measured

- **first-sync**: 200 applications of three ConfigMaps each on one bare API server, two workers of four children, against
  the same objects applied raw by eight threads in the same minutes: through the `kubernetes` client (what a script of
  yours would reach) and through Undrift's own lean HTTP path (`docs/decisions/0009-two-raw-baselines.md`).
- **commits**: one repository served over HTTP; one application's file changes, the look is asked for as a webhook would,
  and the time ends with the sync's record. CPU is that of scheduler and workers.
- **edits**: `undrift watcher --all`; a field is changed by another writer, and the time ends with the sync that healed it.
  The updates of others touch a field that Git does not declare.
- **scans**: CPU of Undrift and of API server with etcd, for one scan and for one full re-apply of the same applications,
  what both use in idle minutes subtracted.
- **idle**: 600 synced applications; scheduler, two workers, watcher, Flower and Valkey at production intervals.
- **scheduling**: the scheduler as shipped, a real Valkey and real messages; the work itself is simulated by a process that
  claims and completes as tasks do. Lateness is from the due time to the grant. A project with half the fleet due is the
  other tenant's neighbour.
- **memory**: resident memory of a worker child and its render helper after 1,000 syncs.
- **mirror**: anonymous memory at its peak of a process that looks up and fetches a repository of large random files over
  HTTP, beside one that fetches a small file. The pack is mapped while it is indexed: these pages are given back whenever
  memory is asked for, but count as resident, so that a worker child is replaced after such a fetch.

## Beside others

Measured elsewhere, on 2 cores against the same kind of bare API server with 200 applications of three objects, and never
mixed into a ratio of these runs: Flux 2 (kustomize-controller 1.9.6) 17 to 19 objects/s at a first sync, 180 ms of
controller CPU an application; Argo CD 3.6.1 8 to 9 objects/s, 360 ms an application, self-heal 0.2 to 0.9 s.
"""
SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="13">'
)


def write(found: Mapping[str, Any]) -> Path:
    """The page and its plots; where the page is."""
    images = DOCS / "images"
    if one := found.get("first-sync"):
        _plot(images / "bench-first-sync.svg", "objects applied per second (medians)", _rates(one))
    if one := found.get("commits"):
        bars = [(f"{size} applications: p50", each["seconds"]["p50"]) for size, each in _sizes(one)]
        bars += [(f"{size} applications: p99", each["seconds"]["p99"]) for size, each in _sizes(one)]
        _plot(images / "bench-commits.svg", "seconds from push to applied", bars)
    PAGE.write_text("\n".join(_lines(found)) + "\n")
    return PAGE


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    yield HEAD.format(cores=os.cpu_count(), machine=platform.machine(), system=platform.system())
    yield "| work | bar | measured | when |"
    yield "| --- | --- | --- | --- |"
    for name, bar, measured in _rows(found):
        yield f"| {name} | {bar} | {measured} | {found[name.partition(':')[0]]['at'][:10]} |"
    yield ""
    yield TAIL.strip("\n")


def _rows(found: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    if one := found.get("first-sync"):
        client, lean = one["ratioToClient"], one["ratioToLean"]
        shown = f"{client['median']:.2f} ({client['min']:.2f} to {client['max']:.2f})"
        yield "first-sync: of raw by the client", "≥ 0.50", shown
        yield (
            "first-sync: of raw by our lean path",
            "≥ 0.50",
            f"{lean['median']:.2f} ({lean['min']:.2f} to {lean['max']:.2f})",
        )
    for size, each in _sizes(found.get("commits", {})):
        seconds = each["seconds"]
        shown = (
            f"p50 {seconds['p50']} s, p99 {seconds['p99']} s, {each['cpuSecondsEach']} CPU-s, {each['syncedInstances']}"
        )
        yield (
            f"commits: one of {size}",
            "p50 < 0.5 s, p99 < 1.5 s, < 0.3 CPU-s",
            f"{shown} instances synced by {each['commits']} commits",
        )
    if one := found.get("edits"):
        seconds = one["seconds"]
        yield "edits: to healed", "p50 < 0.2 s, p99 < 1 s", f"p50 {seconds['p50']} s, p99 {seconds['p99']} s"
        yield "edits: watcher for 1,000 updates", "–", f"{one['watcherCpuSecondsPer1000Updates']} CPU-s"
    if one := found.get("scans"):
        for side, name in (("undrift", "Undrift"), ("cluster", "API server and etcd")):
            each = one[side]
            shown = f"{each['ratio']}× ({each['scanCpuSeconds']} against {each['reapplyCpuSeconds']} CPU-s)"
            yield f"scans: {name}", "≥ 50×", shown
    if one := found.get("idle"):
        yield (
            f"idle: {one['applications']} applications",
            "< 1.5 CPU-s a minute",
            f"{one['cpuSecondsAMinute']} CPU-s a minute",
        )
    if one := found.get("scheduling"):
        late, starts = one["dueTimeErrorSeconds"], one["otherTenantStartSeconds"]
        what = f"scheduling: {one['instances']:,} instances, {one['clusters']} clusters"
        steady, burst = one["steadyShareOfOneCore"], one["burstShareOfOneCore"]
        shown = f"{steady} of a core steady, {burst} in a burst of {one['burst']:,}"
        yield what, "< 1 core", shown
        shown = f"p99 {late['p99']} s; another tenant's commit p99 {starts['p99']} s"
        yield "scheduling: lateness", "p99 < 1 s, < 2 s", shown
        shown = f"{one['schedulerMB']} MB; {one['redisBytesAnInstance']} B of Redis an instance"
        yield "scheduling: memory", "< 200 MB; < 2 KB an instance", shown
    if one := found.get("memory"):
        shown = f"{one['childMB'][-1]} MB, {one['helperMB'][-1]} MB"
        yield "memory: a child, its helper", "< 150 MB, < 250 MB", shown
    if one := found.get("mirror"):
        large, small = one["large"], one["small"]
        shown = f"{large['peakAnonymousMB']} MB ({large['peakMB']:,} MB with the mapped pack)"
        shown += f", against {small['peakAnonymousMB']} MB for a small file"
        yield f"mirror: a fetch of {large['packMB']:,} MB", "not held in memory", shown


def _rates(one: Mapping[str, Any]) -> list[Bar]:
    median = lambda rates: sorted(rates)[len(rates) // 2]  # noqa: E731
    return [
        ("raw, our lean path", median(one["rawLeanPerSecond"])),
        ("raw, kubernetes client", median(one["rawByClientPerSecond"])),
        ("Undrift", median(one["undriftPerSecond"])),
    ]


def _sizes(one: Mapping[str, Any]) -> list[tuple[int, Mapping[str, Any]]]:
    return sorted((int(size), each) for size, each in one.items() if size.isdigit())


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
