"""An object is edited by hand: from the edit to the end of the sync that healed it, with a watch; and what mere updates of
others cost the watcher."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.commits import LOOK_S, WITHIN_S
from benchmarks.site import CONFIG_MAP, Site, quantiles, until
from benchmarks.workload import Workload
from reconciler.cluster.client import Client
from reconciler.model.instance import InstanceKey

APPLICATIONS, EDITS, UPDATES = 200, 60, 2000
SETTLE_S = 8.0
"""A watcher learns of new kinds every five seconds."""


def run(site: Site, *, quick: bool, full: bool = False) -> dict[str, Any]:
    """Seconds to healed, and CPU seconds of the watcher for a thousand updates that concern nothing of ours."""
    count, edits, updates = (20, 5, 200) if quick else (APPLICATIONS, EDITS, UPDATES)
    site.write_fleet(Workload("edit", count))
    site.start(workers=2, concurrency=2, also=["watcher --all"])
    until(lambda: site.synced() == count)
    time.sleep(SETTLE_S)
    with site.api() as api:
        seconds = [_edit(site, api, number % count) for number in range(edits)]
        watcher = [one for one in site.processes() if one.pid == site.children["watcher --all"].pid]
        before = sum(sum(one.cpu_times()[:2]) for one in watcher)
        for number in range(updates):
            _patch(api, "edit-0-a", f"/data/other{number % 3}", str(number))
        time.sleep(1.0)
        used = sum(sum(one.cpu_times()[:2]) for one in watcher) - before
    site.stop()
    return {
        "seconds": quantiles(seconds),
        "edits": edits,
        "watcherCpuSecondsPer1000Updates": round(used * 1000 / updates, 3),
    }


def _edit(site: Site, api: Client, number: int) -> float:
    key = InstanceKey("default", f"edit-{number}", "bench")
    before = site.store.status.get(key).last_sync
    _patch(api, f"edit-{number}-b", "/data/value", "by hand")
    begun, deadline = time.time(), time.monotonic() + WITHIN_S
    while True:
        status = site.store.status.get(key)
        if status.last_sync != before and status.last_sync is not None and status.reason == "Healed":
            return status.last_sync.timestamp() - begun
        if time.monotonic() > deadline:
            raise TimeoutError(f"{key}: {status.sync} {status.reason} {status.message}")
        time.sleep(LOOK_S)


def _patch(api: Client, name: str, path: str, value: str) -> None:
    api.patch_json(CONFIG_MAP, "edit", name, [{"op": "add", "path": path, "value": value}])
