"""Tends the watches of the clusters that are this watcher's share, for as long as it lives."""

from __future__ import annotations

import threading

import redis
import structlog

from reconciler.model.spec import ClusterTarget
from reconciler.pipeline.rooms import Rooms
from workers.messages import Lane, Mark, Work
from workers.store import Store
from workers.watchers.cluster import ClusterWatch

log = structlog.get_logger()
TEND_EVERY_S = 5.0


class Watcher:
    """`watches_all`: every cluster, whatever its `drift.detect` says."""

    def __init__(self, store: Store, rooms: Rooms, name: str, *, watches_all: bool = False) -> None:
        self._store, self._rooms, self._watches_all = store, rooms, watches_all
        self._name = name
        self._watches: dict[str, tuple[ClusterTarget, ClusterWatch]] = {}

    def run(self, stop: threading.Event) -> None:
        """Tend until told to stop. What Redis does not answer is asked again."""
        while not stop.is_set():
            try:
                self.tend()
            except redis.RedisError as error:
                log.warning("redis_away", error=type(error).__name__)
            # New kinds and clusters are a matter of seconds; what is watched tells of itself at once.
            stop.wait(TEND_EVERY_S)
        self.stop()

    def tend(self) -> None:
        """Begin and end watches as shares, clusters and what they own change."""
        targets = self._wanted()
        mine = self._store.shares.take(self._name, targets)
        for name, (target, watch) in list(self._watches.items()):
            if name not in mine or targets[name] != target:
                watch.stop()
                del self._watches[name]
        for name in mine - self._watches.keys():
            self._watches[name] = targets[name], ClusterWatch(targets[name], self._store, self._rooms)
            # What changed before the first list is seen by nobody else.
            self._store.due.mark([Mark(Work("scan", name), Lane.DRIFT, "watched from now on")])
            log.info("watching", cluster=name)
        for _, watch in self._watches.values():
            watch.tend()

    def stop(self) -> None:
        """End all watches and let others take them."""
        for _, watch in self._watches.values():
            watch.stop()
        self._store.shares.release(self._name, self._watches)
        self._watches.clear()

    def _wanted(self) -> dict[str, ClusterTarget]:
        clusters = self._store.specs.clusters()
        return {name: one for name, one in clusters.items() if self._watches_all or one.drift.detect == "Watch"}
