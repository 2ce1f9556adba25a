"""The plans that a person has approved, one an instance."""

from __future__ import annotations

from typing import Any

import redis

from reconciler.model.instance import InstanceKey


class Approvals:
    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis: Any = client
        self._key = f"{prefix}approvals"

    def put(self, key: InstanceKey, plan_id: str) -> None:
        self._redis.hset(self._key, str(key), plan_id)

    def get(self, key: InstanceKey) -> str | None:
        raw = self._redis.hget(self._key, str(key))
        return raw.decode() if raw else None

    def drop(self, key: InstanceKey) -> None:
        """An approval is for one pass: what comes after it is another plan, whatever its id."""
        self._redis.hdel(self._key, str(key))
