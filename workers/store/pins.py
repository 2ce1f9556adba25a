"""Which cluster each name meant when it was first seen: the uid of its `kube-system` namespace. The journal keeps it too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import redis


class Pins:
    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis: Any = client
        self._key, self._activated = f"{prefix}pins", f"{prefix}activated"

    def all(self) -> Mapping[str, str]:
        """Uids by cluster name."""
        return {name.decode(): uid.decode() for name, uid in sorted(self._redis.hgetall(self._key).items())}

    def get(self, cluster: str) -> str:
        """The uid that a name is pinned to; empty when it is not."""
        raw = self._redis.hget(self._key, cluster)
        return raw.decode() if raw else ""

    def pin(self, cluster: str, uid: str) -> bool:
        """Pin a name at first contact. False when it is pinned already."""
        return bool(self._redis.hsetnx(self._key, cluster, uid))

    def drop(self, cluster: str) -> bool:
        return bool(self._redis.hdel(self._key, cluster))

    def activate(self, cluster: str) -> None:
        """Note a person's word that a cluster of `up --context` may be written to."""
        self._redis.sadd(self._activated, cluster)

    def activated(self) -> frozenset[str]:
        return frozenset(name.decode() for name in self._redis.smembers(self._activated))

    def restore(self, pins: Mapping[str, str]) -> None:
        """Put back what the journal knows, where nothing newer stands."""
        for cluster, uid in pins.items():
            self.pin(cluster, uid)
