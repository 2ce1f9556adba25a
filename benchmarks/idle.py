"""What a quiet fleet costs: the CPU of all of Undrift's processes over some minutes, and the requests of a scan."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.site import Site, until

APPLICATIONS, QUIET_S = 1000, 240.0


def run(site: Site, *, quick: bool) -> dict[str, Any]:
    """The share of one core at production defaults (scans each 3 min, look-ups each 60 s), and what proved the fleet."""
    count, quiet_s = (50, 20.0) if quick else (APPLICATIONS, QUIET_S)
    site.write_fleet("idle", count)
    site.start(workers=2, concurrency=4)
    until(lambda: site.synced() == count)
    until(lambda: all(one.phase == "Idle" for one in site.store.status.all().values()))
    events, before_s, begun = len(site.store.events.last(100_000)), site.cpu_s(), time.monotonic()
    time.sleep(quiet_s)  # the measure is that nothing happens for so long
    took_s = time.monotonic() - begun
    scan = site.store.status.scans().get("bench", {})
    return {
        "applications": count,
        "seconds": round(took_s),
        "shareOfOneCore": round((site.cpu_s() - before_s) / took_s, 4),
        "requestsOfTheLastScan": scan.get("requests"),
        "eventsMeanwhile": len(site.store.events.last(100_000)) - events,
    }
