"""What happened, newest last: a capped stream that people follow. Lost with Redis; the journal is another thing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import redis

from workers.store.batches import at_most
from workers.store.keys import EVENTS_KEPT


@dataclass(frozen=True, slots=True)
class Event:
    """One line of `undrift events`. `subject` is an instance, a cluster or a repository."""

    at: str
    kind: str
    subject: str
    reason: str
    message: str


class Events:
    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis: Any = client
        self._key = f"{prefix}events"

    def append(self, at: datetime, kind: str, subject: str, reason: str, message: str) -> None:
        self._add(self._redis, Event(at.isoformat(), kind, subject, reason, message))

    def append_all(self, events: Iterable[Event]) -> None:
        """Many, a thousand a round trip."""
        for some in at_most(events):
            pipe = self._redis.pipeline(transaction=False)
            for event in some:
                self._add(pipe, event)
            pipe.execute()

    def _add(self, redis: Any, event: Event) -> None:
        redis.xadd(self._key, asdict(event), maxlen=EVENTS_KEPT, approximate=True)

    def last(self, count: int) -> list[Event]:
        """The newest events, oldest of them first."""
        return [_event(fields) for _, fields in reversed(self._redis.xrevrange(self._key, count=count))]

    def wait(self, timeout_s: float) -> None:
        """Return at the next event, or after the time."""
        self._redis.xread({self._key: "$"}, block=int(timeout_s * 1000), count=1)

    def follow(self) -> Iterator[Event]:
        """Events from now on, for ever; blocks between them."""
        position = "$"
        while True:
            answer = self._redis.xread({self._key: position}, block=5000, count=100)
            for _, rows in answer or ():
                for identity, fields in rows:
                    position = identity
                    yield _event(fields)


def _event(fields: dict[bytes, bytes]) -> Event:
    return Event(**{key.decode(): value.decode() for key, value in fields.items()})
