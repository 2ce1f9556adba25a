"""A first sync of many small applications, by each tool in turn, on one API server in the same minutes.

Rounds alternate, so that the machine's drift meets all of them. For each run: objects per second, CPU seconds of the tool
and of API server with etcd, and the requests that the API server counted, by verb.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from benchmarks.site import Site
from benchmarks.tools import Tool
from benchmarks.tools.kubectl import Kubectl
from benchmarks.tools.raw import Raw, client, lean
from benchmarks.tools.undrift import Undrift
from benchmarks.workload import BY_KUBECTL, FIRST, LARGE, Workload

TOOLS: tuple[Tool, ...] = (
    Raw("client", client, 8),
    Raw("lean", lean, 8),
    Raw("lean", lean, 16),
    Kubectl(),
    Undrift(),
)
ROUNDS, FULL_ROUNDS = 3, 5


def run(site: Site, *, quick: bool, full: bool = False) -> dict[str, Any]:
    """By tool: its runs, medians, and the ratio of Undrift to it, round by round. `large` is Undrift's with more of it."""
    rounds = 1 if quick else FULL_ROUNDS if full else ROUNDS
    work = FIRST.named("quick", 20) if quick else FIRST
    runs: dict[str, list[dict[str, Any]]] = {tool.name: [] for tool in TOOLS}
    for number in range(rounds):
        for place, tool in enumerate(TOOLS):
            count = min(BY_KUBECTL, work.applications) if isinstance(tool, Kubectl) else None
            runs[tool.name].append(_measured(site, tool, work.named(f"{work.name}-{number}-{place}", count)))
    found: dict[str, Any] = {"applications": work.applications, "objects": work.objects, "byKubectl": BY_KUBECTL}
    found |= {"tools": {name: _summary(some, runs[Undrift.name]) for name, some in runs.items()}}
    if full:
        found["large"] = {"objects": LARGE.objects} | _measured(site, Undrift(), LARGE)
    return found


def _measured(site: Site, tool: Tool, work: Workload) -> dict[str, Any]:
    with tool.ready(site, work) as apply:
        before, cluster_s = site.requests(), site.cluster_cpu_s()
        done = apply()
        cluster_s = site.cluster_cpu_s() - cluster_s
        after = site.requests()
    return {
        "objectsPerSecond": round(done.objects / done.seconds, 1),
        "toolCpuMsAnObject": round(done.cpu_s * 1000 / done.objects, 2),
        "clusterCpuMsAnObject": round(cluster_s * 1000 / done.objects, 2),
        "requestsAnObject": {
            verb: round(more / done.objects, 2) for verb in sorted(after) if (more := after[verb] - before.get(verb, 0))
        },
    }


def _summary(runs: list[dict[str, Any]], ours: list[dict[str, Any]]) -> Mapping[str, Any]:
    ratios = [one["objectsPerSecond"] / other["objectsPerSecond"] for one, other in zip(ours, runs, strict=True)]
    return {
        "objectsPerSecond": [one["objectsPerSecond"] for one in runs],
        "undriftAgainstIt": {
            "median": round(statistics.median(ratios), 3),
            "min": round(min(ratios), 3),
            "max": round(max(ratios), 3),
        },
        "toolCpuMsAnObject": round(statistics.median(one["toolCpuMsAnObject"] for one in runs), 2),
        "clusterCpuMsAnObject": round(statistics.median(one["clusterCpuMsAnObject"] for one in runs), 2),
        "requestsAnObject": runs[-1]["requestsAnObject"],
    }
