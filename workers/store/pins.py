"""Which cluster each name meant when it was first seen: the uid of its `kube-system` namespace. The journal keeps it too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import redis

_PIN = """
-- KEYS: pins, the clusters of the fleet. ARGV: cluster, uid.
local known = redis.call('HGETALL', KEYS[1])
for i = 1, #known, 2 do
  local is_other = known[i] ~= ARGV[1] and known[i + 1] == ARGV[2]
  if is_other and redis.call('HEXISTS', KEYS[2], known[i]) == 1 then return {0, known[i]} end
end
return {redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2]), ''}
"""


class Pins:
    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis: Any = client
        self._key, self._activated = f"{prefix}pins", f"{prefix}activated"
        self._strangers, self._clusters = f"{prefix}strangers", f"{prefix}clusters"
        self._pin = client.register_script(_PIN)

    def all(self) -> Mapping[str, str]:
        """Uids by cluster name."""
        return {name.decode(): uid.decode() for name, uid in sorted(self._redis.hgetall(self._key).items())}

    def get(self, cluster: str) -> str:
        """The uid that a name is pinned to; empty when it is not."""
        raw = self._redis.hget(self._key, cluster)
        return raw.decode() if raw else ""

    def pin(self, cluster: str, uid: str) -> tuple[bool, str]:
        """Pin a name at first contact, unless another name of the fleet is pinned to the same cluster: in one step, as two
        names may be met at once. Whether it was pinned now, and that other name."""
        pinned, other = self._pin(keys=[self._key, self._clusters], args=[cluster, uid])
        return bool(pinned), other.decode()

    def note_stranger(self, cluster: str, message: str) -> None:
        """Note that a scan met another cluster than the one that the name means: nothing may be written to it."""
        self._redis.hset(self._strangers, cluster, message)

    def clear_stranger(self, cluster: str) -> bool:
        """Note that who answers is who it was; whether that is news."""
        return bool(self._redis.hdel(self._strangers, cluster))

    def drop(self, cluster: str) -> bool:
        """Forget which cluster a name means; whether it was known."""
        self.clear_stranger(cluster)
        return bool(self._redis.hdel(self._key, cluster))

    def activate(self, cluster: str) -> None:
        """Note a person's word that a cluster of `up --context` may be written to."""
        self._redis.sadd(self._activated, cluster)

    def deactivate(self, cluster: str) -> None:
        """Take that word back."""
        self._redis.srem(self._activated, cluster)

    def activated(self) -> frozenset[str]:
        return frozenset(name.decode() for name in self._redis.smembers(self._activated))

    def restore(self, pins: Mapping[str, str]) -> None:
        """Put back what the journal knows, where nothing newer stands."""
        pipe = self._redis.pipeline(transaction=False)
        for cluster, uid in pins.items():
            pipe.hsetnx(self._key, cluster, uid)
        pipe.execute()
