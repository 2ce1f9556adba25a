"""Undrift as shipped: a scheduler and two workers of four children, from the first sync's grant to the end of the last."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.site import Site, until
from benchmarks.tools import Run
from benchmarks.workload import WARM_UP, Workload


class Undrift:
    name = "Undrift"

    @contextmanager
    def ready(self, site: Site, work: Workload) -> Iterator[Callable[[], Run]]:
        warm = work.named(f"{work.name}-warm", WARM_UP)
        site.store.redis.flushall()
        site.write_fleet(warm)
        site.start(workers=2, concurrency=4, UNDRIFT_FLEET_POLL="1")
        until(lambda: site.synced() == WARM_UP)

        def run() -> Run:
            before, known = site.cpu_s(), site.fences().keys()
            site.write_fleet(warm, work)
            until(lambda: site.synced() == WARM_UP + work.applications)
            fresh = {key: fence for key, fence in site.fences().items() if key not in known}
            statuses = site.store.status.many(fresh)
            ended = [one.last_sync.timestamp() for one in statuses.values() if one.last_sync]
            # A fence is the millisecond of its grant, and a status tells when its sync ended.
            return Run(len(ended) * len(work.parts), max(ended) - min(fresh.values()) / 1000, site.cpu_s() - before)

        yield run
        site.stop()
