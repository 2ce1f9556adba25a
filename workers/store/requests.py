"""What operators asked for, and how far it is: so that a command can wait without polling."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson
import redis

from reconciler.model.instance import InstanceKey
from workers.store.batches import at_most
from workers.store.keys import REQUEST_KEPT_S

LONGEST_BLOCK_S = 10.0


class Requests:
    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis: Any = client
        self._prefix = prefix

    def open(self, subjects: Iterable[str]) -> str:
        """A new request over these subjects; its id."""
        identity = secrets.token_hex(5)
        pipe = self._redis.pipeline()
        for some in at_most(subjects):
            pipe.hset(self._key(identity), mapping=dict.fromkeys(some, ""))
        pipe.expire(self._key(identity), REQUEST_KEPT_S)
        pipe.execute()
        return identity

    def answer(self, identities: Iterable[str], subject: str, outcome: Mapping[str, Any]) -> None:
        """Note how a subject of requests ended, and wake who waits for it."""
        row = orjson.dumps({"subject": subject, **outcome})
        for identity in identities:
            self._redis.hset(self._key(identity), subject, row)
            self._redis.expire(self._key(identity), REQUEST_KEPT_S)
            self._redis.rpush(self._done(identity), row)
            self._redis.expire(self._done(identity), REQUEST_KEPT_S)

    def follow(self, identity: str, count: int, timeout_s: float) -> Iterator[Mapping[str, Any]]:
        """The answers as they come, until `count` have come or none came for the time."""
        for _ in range(count):
            found = self._next(identity, timeout_s)
            if found is None:
                return
            yield orjson.loads(found)

    def _next(self, identity: str, timeout_s: float) -> bytes | None:
        """One answer. Blocks in pieces shorter than the connection's own time limit."""
        left_s = timeout_s
        while left_s > 0:
            found = self._redis.blpop([self._done(identity)], timeout=min(left_s, LONGEST_BLOCK_S))
            if found is not None:
                return bytes(found[1])
            left_s -= LONGEST_BLOCK_S
        return None

    def cancel(self, keys: Iterable[InstanceKey]) -> None:
        """Nothing to do for requests whose subjects were cancelled but to say so of those that wait. All keys of the Redis
        are looked through once, however many subjects there are."""
        subjects = [str(key) for key in keys]
        for raw in self._redis.scan_iter(match=f"{self._prefix}request:*", count=500):
            identity = raw.decode().rpartition(":")[2]
            for some in at_most(subjects):
                told = self._redis.hmget(self._key(identity), some)
                for subject in (one for one, answer in zip(some, told, strict=True) if answer == b""):
                    self.answer([identity], subject, {"phase": "Idle", "reason": "Cancelled", "message": "cancelled"})

    def _key(self, identity: str) -> str:
        return f"{self._prefix}request:{identity}"

    def _done(self, identity: str) -> str:
        return f"{self._prefix}done:{identity}"
