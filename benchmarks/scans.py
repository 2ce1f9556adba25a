"""Scans that prove a cluster in sync, by comparing and by judging anew, against one full re-apply of the same applications:
the CPU of both sides."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.site import Site, until
from benchmarks.workload import Workload
from reconciler.pipeline.sight import Proven
from workers.messages import Lane, Mark, Work

APPLICATIONS, SCANS, QUIET_S = 1000, 5, 20.0


def run(site: Site, *, quick: bool, full: bool = False) -> dict[str, Any]:
    """CPU seconds of Undrift and of API server and etcd, idle use subtracted, and the ratios."""
    count, scans, quiet_s = (50, 2, 3.0) if quick else (APPLICATIONS, SCANS, QUIET_S)
    site.write_fleet(Workload("scan", count))
    site.start(workers=2, concurrency=2, UNDRIFT_FLEET_POLL="3600", UNDRIFT_REPOSITORY_POLL="3600")
    until(lambda: site.synced() == count)
    _scan(site, 3)  # the first writes the proofs into the inventories, the second judges, the third compares
    idle = _measured(site, lambda: time.sleep(quiet_s))
    scan = _measured(site, lambda: _scan(site, scans))
    judged = _measured(site, lambda: _judge(site, scans))
    again = _measured(site, lambda: _reapply(site, count))
    site.stop()
    found: dict[str, Any] = {"applications": count, "scans": scans}
    for side in ("undrift", "cluster"):
        share = idle[side] / idle["seconds"]
        each = max((scan[side] - share * scan["seconds"]) / scans, 0.001)
        anew = (judged[side] - share * judged["seconds"]) / scans
        whole = again[side] - share * again["seconds"]
        found[side] = {
            "scanCpuSeconds": round(each, 3),
            "judgedCpuSeconds": round(anew, 3),
            "reapplyCpuSeconds": round(whole, 2),
            "ratio": round(whole / each, 1),
        }
    return found


def _measured(site: Site, do: Any) -> dict[str, float]:
    before, begun = (site.cpu_s(), site.cluster_cpu_s()), time.monotonic()
    do()
    return {
        "seconds": time.monotonic() - begun,
        "undrift": site.cpu_s() - before[0],
        "cluster": site.cluster_cpu_s() - before[1],
    }


def _scan(site: Site, times: int = 1) -> None:
    for _ in range(times):
        before = site.store.looks.scans().get("bench", {}).get("at")
        site.store.due.mark([Mark(Work("scan", "bench"), Lane.OPERATOR, "bench")])
        while site.store.looks.scans().get("bench", {}).get("at") == before:
            time.sleep(0.05)


def _judge(site: Site, times: int) -> None:
    """Scans that know of no scan before, as the first, and one every six hours."""
    for _ in range(times):
        site.store.proven.put("bench", Proven(), site.store.proven.get("bench"))
        _scan(site)


def _reapply(site: Site, count: int) -> None:
    begun = site.store.clock.now()
    keys = site.store.specs.instance_keys()
    site.store.due.mark([Mark(Work("sync", str(key)), Lane.OPERATOR, "operator", full=True) for key in keys])

    def done() -> int:
        each = site.store.status.each(site.store.status.known())
        return sum(bool(one.last_sync and one.last_sync > begun) for _, one in each)

    until(lambda: done() == count)
