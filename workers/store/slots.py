"""How many tasks the workers can run at once: what the scheduler may put into the broker."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson
import redis

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
        for name, raw in self._redis.hgetall(self._key).items():
            slots, at = orjson.loads(raw)
            if now.timestamp() - at <= HEARD_WITHIN_S:
                found[name.decode()] = int(slots)
            elif now.timestamp() - at > 20 * HEARD_WITHIN_S:
                self._redis.hdel(self._key, name)
        return found
