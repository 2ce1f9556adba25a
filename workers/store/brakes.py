"""Freezes and pauses in force: one hash, scope -> brake. The journal keeps them too, and gives them back after a loss."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
import redis

from reconciler.model.brake import Brake

PERMIT_S = 0.1
"""For so long a worker goes on writing without asking again, so a freeze is in force everywhere after as much."""


class Brakes:
    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis: Any = client
        self._key, self._boot = f"{prefix}brakes", f"{prefix}boot"

    def put(self, brake: Brake) -> None:
        self._redis.hset(self._key, brake.scope, orjson.dumps(to_json(brake)))

    def lift(self, scope: str) -> Brake | None:
        """Take a brake off; what it was."""
        raw = self._redis.hget(self._key, scope)
        self._redis.hdel(self._key, scope)
        return from_json(orjson.loads(raw)) if raw else None

    def all(self) -> Mapping[str, Brake]:
        return {
            scope.decode(): from_json(orjson.loads(raw))
            for scope, raw in sorted(self._redis.hgetall(self._key).items())
        }

    def over(self, scopes: Sequence[str], now: datetime) -> Brake | None:
        """The widest brake in force over any of these scopes."""
        return widest(self._redis.hmget(self._key, list(scopes)), now)

    def is_known(self, scopes: Sequence[str], now: datetime) -> tuple[bool, Brake | None]:
        """Whether this Redis is one that was seen before, and the brake: one that was emptied knows of none."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.exists(self._boot)
        pipe.hmget(self._key, list(scopes))
        exists, raw = pipe.execute()
        return bool(exists), widest(raw, now)

    def restore(self, brakes: Iterable[Brake]) -> None:
        """Put back what the journal knows, where nothing newer stands."""
        for brake in brakes:
            self._redis.hsetnx(self._key, brake.scope, orjson.dumps(to_json(brake)))


def widest(found: Iterable[bytes | None], now: datetime) -> Brake | None:
    """The first brake that is in force."""
    brakes = (from_json(orjson.loads(raw)) for raw in found if raw)
    return next((one for one in brakes if not one.is_over(now)), None)


def to_json(brake: Brake) -> dict[str, Any]:
    return {
        "scope": brake.scope,
        "reason": brake.reason,
        "by": brake.by,
        "at": brake.at.isoformat(),
        "until": brake.until.isoformat() if brake.until else None,
    }


def from_json(raw: Mapping[str, Any]) -> Brake:
    until = raw["until"]
    return Brake(
        scope=raw["scope"],
        reason=raw["reason"],
        by=raw["by"],
        at=datetime.fromisoformat(raw["at"]),
        until=datetime.fromisoformat(until) if until else None,
    )
