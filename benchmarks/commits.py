"""One application of many in one repository changes: from the push to what is applied, and what it costs.

The repository is served over HTTP by git's own program, and the look is asked for as a webhook or `undrift repo refresh`
would. Times are from the end of the push to the end of the sync, as its record tells it.
"""

from __future__ import annotations

import time
from typing import Any

from benchmarks.site import Site, quantiles, until
from benchmarks.workload import Workload
from reconciler.model.instance import InstanceKey
from workers.messages import Lane, Mark, Work

SIZES, FULL_SIZES = (100, 1000), (100, 1000, 10_000)
COMMITS = 30
LONG = "3600"
LOOK_S, WITHIN_S = 0.02, 60.0


def run(site: Site, *, quick: bool, full: bool = False) -> dict[str, Any]:
    """By the number of applications in the repository: seconds, CPU seconds a commit, and sync tasks a commit."""
    sizes = (30,) if quick else FULL_SIZES if full else SIZES
    found: dict[str, Any] = {str(size): _one_size(site, size, 5 if quick else COMMITS) for size in sizes}
    return {"server": type(site.server).__name__, **found}


def _one_size(site: Site, size: int, commits: int) -> dict[str, Any]:
    site.store.redis.flushall()
    work = Workload(f"mono-{size}", size, parts=("a",))
    site.write_fleet(work)
    site.start(workers=2, concurrency=2, UNDRIFT_FLEET_POLL=LONG)
    until(lambda: site.synced() == size, within_s=1800.0)
    seconds, before = [], None
    for number in range(commits + 2):
        if number == 2:  # the first two find nothing opened and parsed yet
            before = site.cpu_s(), site.redis_cpu_s(), site.fences()
        seconds.append(_commit(site, work, (number * 7919) % size, f"value {number}"))
    assert before is not None  # at least two commits are made
    after = site.cpu_s(), site.redis_cpu_s(), site.fences()
    site.stop()
    tasks = sum(after[2].get(work) != before[2].get(work) for work in after[2])
    return {
        "seconds": quantiles(seconds[2:]),
        "cpuSecondsEach": round((after[0] - before[0]) / commits, 3),
        "valkeyCpuSecondsEach": round((after[1] - before[1]) / commits, 4),
        "syncedInstances": tasks,
        "commits": commits,
    }


def _commit(site: Site, work: Workload, number: int, value: str) -> float:
    key = InstanceKey("default", f"{work.name}-{number}", "bench")
    commit = site.repo.commit(work.files(number, value))
    begun = time.time()
    site.store.due.mark([Mark(Work("refresh", site.server.url("apps.git")), Lane.OPERATOR, "pushed")])
    deadline = time.monotonic() + WITHIN_S
    while True:
        status = site.store.status.get(key)
        if status.applied_revision == commit and status.last_sync is not None:
            return status.last_sync.timestamp() - begun
        if time.monotonic() > deadline:
            raise TimeoutError(f"{key}: {status.sync} {status.reason} {status.message}")
        time.sleep(LOOK_S)
