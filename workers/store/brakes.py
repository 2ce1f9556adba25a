"""Freezes and pauses in force: one hash, scope -> brake. The journal keeps them too, and gives them back after a loss.

One that can't be read stays in force over its scope until a person lifts it: somebody has stopped this, and to write all the
same is worse than to wait. A scope that can't be read is dropped: nothing is ever asked under such a name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import redis
import structlog

from reconciler.model.brake import Brake
from workers.store.damaged import UNREADABLE, fields

log = structlog.get_logger()
LONG_AGO = datetime.fromtimestamp(0, UTC)
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
        return _read(scope, raw) if raw else None

    def all(self) -> Mapping[str, Brake]:
        found = dict(sorted(self._redis.hgetall(self._key).items()))
        brakes = fields(self._redis, self._key, found, lambda scope, raw: _read(scope.decode(), raw))
        return {brake.scope: brake for brake in brakes}

    def over(self, scopes: Sequence[str], now: datetime) -> Brake | None:
        """The widest brake in force over any of these scopes."""
        return widest(scopes, self._redis.hmget(self._key, list(scopes)), now)

    def is_known(self, scopes: Sequence[str], now: datetime) -> tuple[bool, Brake | None]:
        """Whether this Redis is one that was seen before, and the brake: one that was emptied knows of none."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.exists(self._boot)
        pipe.hmget(self._key, list(scopes))
        exists, raw = pipe.execute()
        return bool(exists), widest(scopes, raw, now)

    def restore(self, brakes: Iterable[Brake]) -> None:
        """Put back what the journal knows, where nothing newer stands."""
        for brake in brakes:
            self._redis.hsetnx(self._key, brake.scope, orjson.dumps(to_json(brake)))


def widest(scopes: Sequence[str], found: Sequence[bytes | None], now: datetime) -> Brake | None:
    """The first brake that is in force, of what stands there for each scope."""
    brakes = (_read(scope, raw) for scope, raw in zip(scopes, found, strict=True) if raw)
    return next((one for one in brakes if not one.is_over(now)), None)


def _read(scope: str, raw: bytes) -> Brake:
    try:
        brake = replace(from_json(orjson.loads(raw)), scope=scope)
        brake.is_over(LONG_AGO)  # a time without a zone can't be compared
    except UNREADABLE as error:
        log.warning("brake_damaged", scope=scope, error=type(error).__name__)
        return Brake(scope, reason="what Redis holds of it can't be read", by="somebody", at=LONG_AGO)
    return brake


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
