"""What a quiet fleet costs: the CPU of all our processes, Valkey and Flower included, and the requests of a scan."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.site import Site, until
from benchmarks.workload import Workload

APPLICATIONS, QUIET_S, FULL_QUIET_S = 600, 100.0, 240.0


def run(site: Site, *, quick: bool, full: bool = False) -> dict[str, Any]:
    """CPU seconds a minute at production defaults (scans each 3 min, look-ups each 60 s), and what proved the fleet."""
    count, quiet_s = (50, 20.0) if quick else (APPLICATIONS, FULL_QUIET_S if full else QUIET_S)
    site.write_fleet(Workload("idle", count))
    site.start(workers=2, concurrency=2, also=["watcher --all", "flower --port 0"])
    until(lambda: site.synced() == count)
    until(lambda: all(one.phase == "Idle" for _, one in site.store.status.each(site.store.status.known())))
    events, begun = len(site.store.events.last(100_000)), time.monotonic()
    before_s = site.cpu_s() + site.redis_cpu_s()
    time.sleep(quiet_s)  # the measure is that nothing happens for so long
    took_s = time.monotonic() - begun
    scan = site.store.looks.scans().get("bench", {})
    return {
        "applications": count,
        "seconds": round(took_s),
        "cpuSecondsAMinute": round((site.cpu_s() + site.redis_cpu_s() - before_s) / took_s * 60, 2),
        "requestsOfTheLastScan": scan.get("requests"),
        "eventsMeanwhile": len(site.store.events.last(100_000)) - events,
    }
