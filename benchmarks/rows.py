"""What the results say beside the bars of DESIGN.md §10: a row each, and whether the bar is held."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Found = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """`workload` is the run that it comes from; `holds` is None where there is no bar."""

    workload: str
    what: str
    bar: str
    measured: str
    holds: bool | None = None


def rows(found: Found) -> Iterator[Row]:
    """In the order of the page. A workload that was not run has none."""
    makers: dict[str, Callable[[Found], Iterator[Row]]] = {
        "first-sync": _first_sync,
        "commits": _commits,
        "edits": _edits,
        "scans": _scans,
        "idle": _idle,
        "scheduling": _scheduling,
        "memory": _memory,
        "mirror": _mirror,
    }
    for name, make in makers.items():
        if name in found:
            yield from make(found[name])


def tools(one: Found) -> Mapping[str, Found]:
    return one["tools"]  # type: ignore[no-any-return]  # JSON


def sizes(one: Found) -> list[tuple[int, Found]]:
    """The results of `commits`, the smallest repository first."""
    return sorted((int(size), each) for size, each in one.items() if size.isdigit())


def _first_sync(one: Found) -> Iterator[Row]:
    for name, tool in tools(one).items():
        if name == "Undrift":
            continue
        ratio = tool["undriftAgainstIt"]
        least = 5.0 if name.startswith("kubectl") else 0.5 if name.endswith(" 8 threads") else None
        shown = f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f})"
        bar = f"≥ {least:g}" if least else "–"
        holds = ratio["median"] >= least if least else None
        yield Row("first-sync", f"first sync, Undrift to {name}", bar, shown, holds)
    if large := one.get("large"):
        usual = sorted(tools(one)["Undrift"]["objectsPerSecond"])
        ratio = large["objectsPerSecond"] / usual[len(usual) // 2]
        what = f"first sync of {large['objects']:,} objects, to that of {one['objects']:,}"
        yield Row("first-sync", what, "≥ 0.9", f"{ratio:.2f}", ratio >= 0.9)


def _commits(one: Found) -> Iterator[Row]:
    for size, each in sizes(one):
        seconds, cpu_s = each["seconds"], each["cpuSecondsEach"]
        shown = (
            f"p50 {seconds['p50']} s, p99 {seconds['p99']} s, {cpu_s} CPU-s; {each['syncedInstances']} syncs by "
            f"{each['commits']} commits"
        )
        fast = seconds["p50"] < 0.5 and seconds["p99"] < 1.5
        holds = fast and cpu_s < 0.3 and each["syncedInstances"] == each["commits"]
        yield Row(
            "commits", f"one of {size:,} applications changed", "p50 < 0.5 s, p99 < 1.5 s, < 0.3 CPU-s", shown, holds
        )


def _edits(one: Found) -> Iterator[Row]:
    seconds = one["seconds"]
    shown = f"p50 {seconds['p50']} s, p99 {seconds['p99']} s"
    holds = seconds["p50"] < 0.2 and seconds["p99"] < 1
    yield Row("edits", "edit by hand to healed, watched", "p50 < 0.2 s, p99 < 1 s", shown, holds)
    yield Row("edits", "the watcher, 1,000 updates of others", "–", f"{one['watcherCpuSecondsPer1000Updates']} CPU-s")


SIDES = (("undrift", "Undrift"), ("cluster", "API server and etcd"))


def _scans(one: Found) -> Iterator[Row]:
    for side, name in SIDES:
        each = one[side]
        shown = f"{each['ratio']}× ({each['scanCpuSeconds']} against {each['reapplyCpuSeconds']} CPU-s)"
        what = f"full re-apply to a scan of {one['applications']:,}, CPU of {name}"
        yield Row("scans", what, "≥ 50×", shown, each["ratio"] >= 50)
    sides = " and ".join(f"{one[side]['judgedCpuSeconds']} CPU-s of {name}" for side, name in SIDES)
    yield Row("scans", f"a scan that judges each of {one['applications']:,} anew", "–", sides, None)


def _idle(one: Found) -> Iterator[Row]:
    used = one["cpuSecondsAMinute"]
    yield Row(
        "idle",
        f"{one['applications']} applications, idle",
        "< 1.5 CPU-s a minute",
        f"{used} CPU-s a minute",
        used < 1.5,
    )


def _scheduling(one: Found) -> Iterator[Row]:
    late, starts = one["dueTimeErrorSeconds"], one["otherTenantStartSeconds"]
    steady, burst = one["steadyShareOfOneCore"], one["burstShareOfOneCore"]
    what = f"scheduler, {one['instances']:,} instances on {one['clusters']:,} clusters"
    shown = f"{steady} of a core steady, {burst} in a burst of {one['burst']:,}"
    yield Row("scheduling", what, "< 1 core", shown, max(steady, burst) < 1)
    shown = f"p99 {late['p99']} s; another tenant's commit p99 {starts['p99']} s"
    yield Row("scheduling", "due time to grant", "p99 < 1 s; < 2 s", shown, late["p99"] < 1 and starts["p99"] < 2)
    commit, after = one["fleetCommit"], one["takeover"]
    shown = (
        f"{one['schedulerMB']} MB, {commit['schedulerMB']} MB after a commit to the fleet, {after['schedulerMB']} MB after "
        f"taking over; {one['redisBytesAnInstance']:,} B of Redis an instance"
    )
    holds = max(each["schedulerMB"] for each in (one, commit, after)) < 200 and one["redisBytesAnInstance"] < 2048
    yield Row("scheduling", "scheduler's memory", "< 200 MB; < 2 KB an instance", shown, holds)
    shown = (
        f"in force after {commit['seconds']} s; another tenant's commit meanwhile p99 {commit['startSeconds']['p99']} s"
    )
    yield Row("scheduling", "a commit to the fleet", "– ; < 2 s", shown, commit["startSeconds"]["p99"] < 2)
    yield Row("scheduling", "another scheduler takes over", "–", f"fleet in force after {after['seconds']} s")


def _memory(one: Found) -> Iterator[Row]:
    child, helper = one["childMB"][-1], one["helperMB"][-1]
    what = f"a worker child and its render helper after {one['syncs']:,} renders"
    yield Row("memory", what, "< 150 MB, < 250 MB", f"{child} MB, {helper} MB", child < 150 and helper < 250)
    if connections := one.get("connectionsMB"):
        whole = child + connections["of50"]
        shown = f"{connections['of50']} MB more, so {whole:.0f} MB with that child"
        yield Row("memory", "connections to 50 clusters", "< 150 MB in all", shown, whole < 150)


def _mirror(one: Found) -> Iterator[Row]:
    large, small = one["large"], one["small"]
    size, peak = large["packMB"], large["peakAnonymousMB"]
    shown = f"{peak} MB ({large['peakMB']:,} MB with the mapped pack), {small['peakAnonymousMB']} MB for a small file"
    yield Row("mirror", f"fetching a repository of {size:,} MB", "not held in memory", shown, peak < size / 2)
