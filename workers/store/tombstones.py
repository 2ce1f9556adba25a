"""Instances that left the fleet and are to be deleted: since when, when, and how. The journal keeps them too.

One that can't be read is none: nothing is deleted by it, and what left stays until a person says so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

import orjson
import redis

from reconciler.model.instance import InstanceKey
from workers.store.batches import at_most
from workers.store.damaged import UNREADABLE, fields, undamaged

Policy = Literal["Delete", "Orphan", "HandOver"]


@dataclass(frozen=True, slots=True)
class Tombstone:
    """`due` is when the instance is deleted, or released when its policy is `Orphan`, and not before all its heirs stand.
    `HandOver`: heirs on the same cluster take its objects over, and nothing is deleted."""

    at: datetime
    due: datetime
    policy: Policy
    heirs: tuple[InstanceKey, ...] = ()


class Tombstones:
    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis: Any = client
        self._key, self._leavings = f"{prefix}tombstones", f"{prefix}leavings"

    def all(self) -> Mapping[InstanceKey, Tombstone]:
        return self._read(dict(sorted(self._redis.hgetall(self._key).items())))

    def many(self, keys: Iterable[InstanceKey]) -> Mapping[InstanceKey, Tombstone]:
        """Those of these instances; one that has none is left out."""
        found = dict[InstanceKey, Tombstone]()
        for some in at_most(keys):
            raw = self._redis.hmget(self._key, [str(key) for key in some])
            found |= self._read({str(key).encode(): one for key, one in zip(some, raw, strict=True) if one})
        return found

    def _read(self, found: Mapping[bytes, bytes]) -> dict[InstanceKey, Tombstone]:
        return dict(
            fields(self._redis, self._key, found, lambda key, raw: (InstanceKey.parse(key.decode()), decode(raw)))
        )

    def put(self, key: InstanceKey, stone: Tombstone) -> None:
        self._redis.hset(self._key, str(key), encode(stone))

    def drop(self, key: InstanceKey) -> None:
        self._redis.hdel(self._key, str(key))

    def restore(self, stones: Mapping[str, str]) -> None:
        """Put back what the journal knows, where nothing newer stands."""
        for some in at_most(stones.items()):
            pipe = self._redis.pipeline(transaction=False)
            for key, text in some:
                pipe.hsetnx(self._key, key, text)
            pipe.execute()

    def note_leavings(self, keys: Collection[InstanceKey], now: datetime, window: timedelta) -> Collection[InstanceKey]:
        """Note that these left now; all that left within the window, these included."""
        pipe = self._redis.pipeline()
        if keys:
            pipe.zadd(self._leavings, {str(key): now.timestamp() for key in keys})
        pipe.zremrangebyscore(self._leavings, "-inf", (now - window).timestamp())
        pipe.zrange(self._leavings, 0, -1)
        return undamaged(
            self._leavings,
            pipe.execute()[-1],
            lambda raw: InstanceKey.parse(raw.decode()),
            lambda raw: self._redis.zrem(self._leavings, raw),
        )


def encode(stone: Tombstone) -> bytes:
    return orjson.dumps([stone.at.isoformat(), stone.due.isoformat(), stone.policy, [str(one) for one in stone.heirs]])


def decoded(raw: bytes | None) -> Tombstone | None:
    """None for none, and for one that can't be read: nothing is deleted by it."""
    try:
        return decode(raw) if raw else None
    except UNREADABLE:
        return None


def decode(raw: bytes | str) -> Tombstone:
    """Raises one of `damaged.UNREADABLE`."""
    at, due, policy, heirs = orjson.loads(raw)
    if policy not in get_args(Policy):
        raise ValueError(f"{policy!r} is none of {', '.join(get_args(Policy))}")
    keys = tuple(InstanceKey.parse(one) for one in heirs)
    return Tombstone(datetime.fromisoformat(at), datetime.fromisoformat(due), policy, keys)
