"""What was told to the webhook and what is still to be told: one row a topic, and how the deliveries went.

Written by the task `deliver` alone, under its lease. Lost with Redis: what still holds is then found and told again, under
the same key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import orjson
import redis

from reconciler.notify import Condition, Told, Topic
from workers.store.packed import pack, readable


@dataclass(frozen=True, slots=True)
class Delivery:
    """How telling went lately. Neither the URL nor the secret is in it."""

    at: datetime | None = None
    """When a notice last arrived."""
    error: str = ""
    """Why the last attempt failed; empty when it did not."""
    error_at: datetime | None = None
    failures: int = 0
    """Attempts failed in a row, whatever they were about."""
    resume_at: datetime | None = None
    """No attempt before this moment."""
    look_at: datetime | None = None
    """No comparison with the fleet before this moment."""


class Notices:
    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis: Any = client
        self._book, self._delivery = f"{prefix}notices", f"{prefix}notice-delivery"

    def book(self) -> dict[str, Told]:
        """Every topic that was told or is to be told, by its key."""
        rows = ((key.decode(), raw) for key, raw in self._redis.hgetall(self._book).items())
        found = ((key, readable(raw, _from_json, "notice", key)) for key, raw in rows)
        return {key: told for key, told in found if told is not None}

    def waiting(self) -> int:
        """How many notices are still to arrive."""
        return sum(one.due is not None for one in self.book().values())

    def keep(self, before: Mapping[str, Told], after: Mapping[str, Told]) -> None:
        """Turn one book into the other, in one step; rows that are equal are not written."""
        pipe = self._redis.pipeline()
        for key, entry in after.items():
            if before.get(key) != entry:
                pipe.hset(self._book, key, pack(_to_json(entry)))
        for key in before.keys() - after.keys():
            pipe.hdel(self._book, key)
        pipe.execute()

    def delivery(self) -> Delivery:
        raw = self._redis.get(self._delivery)
        if not raw:
            return Delivery()
        fields = orjson.loads(raw)
        return Delivery(**{name: _read(name, value) for name, value in fields.items()})

    def note(self, delivery: Delivery) -> None:
        self._redis.set(self._delivery, orjson.dumps(asdict(delivery)))

    def forget(self) -> None:
        """Drop all of it: no webhook is set up any more."""
        self._redis.delete(self._book, self._delivery)


def _to_json(entry: Told) -> bytes:
    return orjson.dumps(asdict(entry))


def _from_json(raw: bytes) -> Told:
    row = orjson.loads(raw)
    topic = row.pop("topic")
    return Told(
        topic=Topic(**{**topic, "condition": Condition(topic["condition"])}),
        **{name: _read(name, value) for name, value in row.items()},
    )


def _read(name: str, value: Any) -> Any:
    if value is not None and (name == "at" or name == "due" or name.endswith("_at")):
        return datetime.fromisoformat(value)
    return tuple(value) if isinstance(value, list) else value
