"""`/metrics`, for Prometheus: the state of the fleet as `app list` would tell it, and what all workers did.

All is read from Redis, when it is scraped; only what every status must be read for is told again for a while where that took
long. The scheduler that leads tells of the fleet, and the others of themselves alone. The names are documented in
`docs/reference/metrics.md`, which a test holds equal to this module.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from reconciler import process
from reconciler.model.status import InstanceStatus
from workers.messages import KINDS, Work
from workers.store import Store, composed

METRICS = {
    "undrift_leads": "Whether this scheduler leads; only the one that does tells what follows",
    "undrift_instances": "Instances by project, cluster, phase, sync and health",
    "undrift_oldest_unreconciled_seconds": "For how long the oldest instance was not seen in sync: the dead man's switch",
    "undrift_held_plans": "Instances whose plan waits for a person",
    "undrift_contested_instances": "Instances with a field that another writer changes again and again",
    "undrift_unreachable_clusters": "Clusters that the last scan could not reach, or that are not who they were",
    "undrift_failed_lookups": "Repositories in use that the last look-up could not read",
    "undrift_brakes": "Freezes and pauses in force",
    "undrift_queue_depth": "Work that waits for a worker, by kind; not what waits for its cluster or Git host to answer",
    "undrift_queue_wait_seconds": "How long the oldest due work of a kind has waited",
    "undrift_leases": "Leases granted or held",
    "undrift_worker_slots": "Tasks that the living workers can run at once",
    "undrift_journal_waiting": "Entries that the journal is still to keep",
    "undrift_notices_waiting": "Notices that the webhook has not taken yet",
    "undrift_task_seconds": "Duration of tasks by kind and outcome",
    "undrift_apply_seconds": "How long the apply of a sync took, all its waves",
    "undrift_api_requests": "Requests to the API servers by cluster and status of the answer; `none` where none came",
    "undrift_lost_children": "Workers' children that were lost in the middle of a task",
}


LONG_S, MOST_SHARE, KEPT_S = 0.5, 0.1, 120.0
"""What every status must be read for, and took long of the processor, is told again until that is this share of one core
(2026-11-28, two shared cores, 100,000 instances: 4.5 s, so every 45 s); never for longer than so many seconds, since the
dead man's switch is part of it."""

Labels = tuple[str, str, str, str, str]
Works = Mapping[Work, tuple[str, int]]
"""What is due or leased, with its state and when, in milliseconds (`Queued.states`)."""


def serve(address: str, store: Store | None = None) -> None:
    """Serve `/metrics` at `HOST:PORT` from a thread of this process: of the process alone, or of the fleet as well, while
    its scheduler leads. Raises OSError when the address is taken."""
    host, _, port = address.rpartition(":")
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    if store is not None:
        registry.register(Fleet(store))
    start_http_server(int(port), addr=host or "127.0.0.1", registry=registry)


class Fleet(Collector):
    """What a scrape collects."""

    def __init__(self, store: Store, spent_s: Callable[[], float] = time.thread_time) -> None:
        """`spent_s` tells what this thread has taken of the processor."""
        self._store, self._spent_s = store, spent_s
        self._lock = threading.Lock()
        self._kept: list[Metric] = []
        self._kept_until_s = 0.0

    def describe(self) -> Iterator[Metric]:
        """Nothing is collected merely to be registered: Redis may not be there yet."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        leads = self._store.leader.is_leading()
        yield _gauge("undrift_leads", leads)
        if leads:  # told twice, a sum over all processes would be twice too large
            with self._lock:  # scrapes may overlap
                kept = self._lately()
            yield from kept
            yield from self._now()

    def _lately(self) -> list[Metric]:
        now_s = self._store.clock.boot_s()
        if now_s >= self._kept_until_s:
            before_s = self._spent_s()
            self._kept = list(self._of_statuses())
            took_s = self._spent_s() - before_s
            if took_s > LONG_S:
                self._kept_until_s = now_s + min(took_s / MOST_SHARE, KEPT_S)
                process.give_back_memory()
        return self._kept

    def _of_statuses(self) -> Iterator[Metric]:
        works, now = self._store.queued.states(), self._store.clock.now()
        counts, held, contested, oldest_s = Counter[Labels](), 0, 0, _longest_wait_s(self._store, works)
        for _, one in composed.each(self._store, works):
            counts[one.project, one.cluster, one.phase, one.sync, one.health] += 1
            held += one.phase == "Held"
            contested += one.reason == "Contested"
            oldest_s = max(oldest_s, _behind_s(one, now))
        yield self._instances(counts)
        yield _gauge("undrift_oldest_unreconciled_seconds", oldest_s)
        yield _gauge("undrift_held_plans", held)
        yield _gauge("undrift_contested_instances", contested)

    def _now(self) -> Iterator[Metric]:
        now = self._store.clock.now()
        scans, lookups = self._store.looks.scans().values(), self._store.looks.lookups().values()
        yield _gauge("undrift_unreachable_clusters", sum(bool(one.get("error")) for one in scans))
        yield _gauge("undrift_failed_lookups", sum(bool(one.get("error")) for one in lookups))
        yield _gauge("undrift_brakes", sum(not one.is_over(now) for one in self._store.brakes.all().values()))
        yield from self._queue()
        yield _gauge("undrift_worker_slots", sum(self._store.slots.alive(now).values()))
        yield _gauge("undrift_journal_waiting", self._store.outbox.length())
        yield _gauge("undrift_notices_waiting", self._store.notices.waiting())
        yield self._durations("undrift_task_seconds", ["kind", "outcome"])
        yield self._durations("undrift_apply_seconds", [])
        for name, names in (("undrift_api_requests", ["cluster", "code"]), ("undrift_lost_children", ["kind"])):
            found = CounterMetricFamily(name, METRICS[name], labels=names)
            for labels, value in self._store.meters.counters(name):
                found.add_metric(list(labels), value)
            yield found

    def _instances(self, counts: Counter[Labels]) -> Metric:
        labels = ["project", "cluster", "phase", "sync", "health"]
        found = GaugeMetricFamily("undrift_instances", METRICS["undrift_instances"], labels=labels)
        for values, count in sorted(counts.items()):
            found.add_metric(list(values), count)
        return found

    def _queue(self) -> Iterator[Metric]:
        now_ms, waiting = self._store.due.now_ms(), self._store.queued.waiting()
        depth = GaugeMetricFamily("undrift_queue_depth", METRICS["undrift_queue_depth"], labels=["kind"])
        wait = GaugeMetricFamily("undrift_queue_wait_seconds", METRICS["undrift_queue_wait_seconds"], labels=["kind"])
        for kind in KINDS:
            count, since_ms = waiting.get(kind, (0, now_ms))
            depth.add_metric([kind], count)
            wait.add_metric([kind], max(0, now_ms - since_ms) / 1000)
        yield from (depth, wait)
        yield _gauge("undrift_leases", self._store.queued.leases())

    def _durations(self, name: str, labels: list[str]) -> Metric:
        found = HistogramMetricFamily(name, METRICS[name], labels=labels)
        for one in self._store.meters.histograms(name):
            found.add_metric(list(one.labels), buckets=list(one.buckets), sum_value=one.sum_s)
        return found


def oldest_unreconciled_s(store: Store, statuses: Iterable[InstanceStatus], works: Works) -> float:
    """Seconds since the oldest time at which an instance was last seen as Git says, over those that are not so now; paused
    ones are not wanted to be. One that never was counts from its first try, and work that waits for one from when it was
    due: a retry that fails again renews neither."""
    now = store.clock.now()
    return max([_longest_wait_s(store, works), *(_behind_s(one, now) for one in statuses)])


def _behind_s(status: InstanceStatus, now: datetime) -> float:
    seen = status.in_sync_at or status.behind_since
    if status.sync == "Synced" or status.phase == "Paused" or seen is None:
        return 0.0
    return (now - seen).total_seconds()


def _longest_wait_s(store: Store, works: Works) -> float:
    now_ms = store.due.now_ms()
    return max([0.0, *((now_ms - at_ms) / 1000 for state, at_ms in works.values() if state == "due")])


def _gauge(name: str, value: float) -> Metric:
    return GaugeMetricFamily(name, METRICS[name], value=value)


__all__ = ["METRICS", "Fleet", "oldest_unreconciled_s", "serve"]
