"""Which watcher watches which cluster: a lock for each, so that every cluster has one, and each watcher its share."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import redis

LOCK_S, SEEN_S = 30, 30
_RENEW = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('EXPIRE', KEYS[1], ARGV[2]) else return 0 end"
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) else return 0 end"


class Shares:
    """One watcher's locks. Watching only makes healing fast: two that watch one cluster do no harm."""

    def __init__(self, client: redis.Redis, prefix: str, name: str) -> None:
        self._redis: Any = client
        self._prefix, self._name = prefix, name
        self._renew = client.register_script(_RENEW)
        self._release = client.register_script(_RELEASE)

    def take(self, clusters: Collection[str]) -> frozenset[str]:
        """Renew what is ours, let go what is more than our share, and take what nobody has up to it."""
        share = math.ceil(len(clusters) / self._watchers())
        mine: set[str] = set()
        for cluster in sorted(clusters):
            key = self._key(cluster)
            if len(mine) < share and (
                self._renew(keys=[key], args=[self._name, LOCK_S])
                or self._redis.set(key, self._name, nx=True, ex=LOCK_S)
            ):
                mine.add(cluster)
            elif len(mine) >= share:
                self._release(keys=[key], args=[self._name])
        return frozenset(mine)

    def release(self, clusters: Collection[str]) -> None:
        """Let others take them at once."""
        for cluster in clusters:
            self._release(keys=[self._key(cluster)], args=[self._name])
        self._redis.delete(f"{self._prefix}watcher:{self._name}")

    def _watchers(self) -> int:
        """How many watchers run, this one included."""
        self._redis.set(f"{self._prefix}watcher:{self._name}", b"1", ex=SEEN_S)
        return sum(1 for _ in self._redis.scan_iter(f"{self._prefix}watcher:*", count=1000))

    def _key(self, cluster: str) -> str:
        return f"{self._prefix}watched:{cluster}"
