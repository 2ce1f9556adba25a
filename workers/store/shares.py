"""Which watcher watches which cluster: a lock for each, so that every cluster has one, and each watcher its share."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import redis

from workers.store.lock import Locks

LOCK_S, SEEN_S = 30, 30


class Shares:
    """The locks of all watchers. Watching only makes healing fast: two that watch one cluster do no harm."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis: Any = client
        self._prefix, self._watchers = prefix, f"{prefix}watchers"
        self._locks = Locks(client, ttl_s=LOCK_S)

    def take(self, watcher: str, clusters: Collection[str]) -> frozenset[str]:
        """Renew what is a watcher's, let go what is more than its share, and take what nobody has up to it."""
        share = math.ceil(len(clusters) / self._count(watcher))
        mine: set[str] = set()
        for cluster in sorted(clusters):
            if len(mine) >= share:
                self._locks.release(self._key(cluster), watcher)
            elif self._locks.take(self._key(cluster), watcher):
                mine.add(cluster)
        return frozenset(mine)

    def release(self, watcher: str, clusters: Collection[str]) -> None:
        """Let others take them at once."""
        for cluster in clusters:
            self._locks.release(self._key(cluster), watcher)
        self._redis.zrem(self._watchers, watcher)

    def _count(self, watcher: str) -> int:
        """How many watchers were heard of lately, this one included; by the clock of Redis, which all of them share."""
        now_s = int(self._redis.time()[0])
        pipe = self._redis.pipeline()
        pipe.zadd(self._watchers, {watcher: now_s})
        pipe.zremrangebyscore(self._watchers, "-inf", now_s - SEEN_S)
        pipe.zcard(self._watchers)
        return int(pipe.execute()[-1])

    def _key(self, cluster: str) -> str:
        return f"{self._prefix}watched:{cluster}"
