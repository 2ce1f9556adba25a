"""How many tasks the workers can run at once: what the scheduler may put into the broker."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson
import redis

from workers.store.damaged import fields

HEARD_WITHIN_S = 15.0


class WorkerSlots:
    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis: Any = client
        self._key = f"{prefix}slots"

    def beat(self, worker: str, slots: int, at: datetime) -> None:
        """A worker's sign of life."""
        self._redis.hset(self._key, worker, orjson.dumps([slots, at.timestamp()]))

    def gone(self, worker: str) -> None:
        self._redis.hdel(self._key, worker)

    def alive(self, now: datetime) -> Mapping[str, int]:
        """Slots by worker, of those heard of lately; the others are dropped."""
        found: dict[str, int] = {}
        for name, slots, at in fields(self._redis, self._key, self._redis.hgetall(self._key), _beat):
            if now.timestamp() - at <= HEARD_WITHIN_S:
                found[name] = slots
            elif now.timestamp() - at > 20 * HEARD_WITHIN_S:
                self._redis.hdel(self._key, name)
        return found


def _beat(name: bytes, raw: bytes) -> tuple[str, int, float]:
    slots, at = orjson.loads(raw)
    return name.decode(), int(slots), float(at)
