"""What the journal is still to keep: entries wait here until the scheduler that leads has committed them."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson
import redis

from workers.store.damaged import undamaged
from workers.store.scripts import script

KEPT_S = 600
MOST_WAITING = 100_000
"""Entries kept while no scheduler leads; beyond, the oldest passes are lost to the journal, never a decision's effect."""


class Outbox:
    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis: Any = client
        self._prefix, self._key = prefix, f"{prefix}journal-outbox"
        self._drop: Any = client.register_script(script("journalled"))

    def put(self, at: datetime, kind: str, subject: str, **fields: Any) -> str:
        """One more entry; its id."""
        identity = secrets.token_hex(8)
        entry = {"id": identity, "at": at.isoformat(), "kind": kind, "subject": subject, **fields}
        self._redis.rpush(self._key, orjson.dumps(entry, default=str))
        self._redis.ltrim(self._key, -MOST_WAITING, -1)
        return identity

    def waiting(self, most: int) -> list[Mapping[str, Any]]:
        """The oldest entries, which stay until they are done. One that can't be read is lost to the journal: it would keep
        back all that follow."""
        raws = self._redis.lrange(self._key, 0, most - 1)
        return undamaged(self._key, raws, _entry, lambda raw: self._redis.lrem(self._key, 1, raw))

    def length(self) -> int:
        """How many entries wait."""
        return int(self._redis.llen(self._key))

    def done(self, entries: list[Mapping[str, Any]], head: str) -> None:
        """Drop entries that are committed, and tell who waits for them. Another leader may have dropped them before, and
        what stands in their place now is not: it is by their ids that they go."""
        self._drop(keys=[self._key], args=[str(entry["id"]) for entry in entries])
        pipe = self._redis.pipeline()
        pipe.set(f"{self._prefix}journal-head", head)
        for entry in entries:
            if entry["kind"] != "sync":
                pipe.rpush(self._kept(str(entry["id"])), head)
                pipe.expire(self._kept(str(entry["id"])), KEPT_S)
        pipe.execute()

    def note_head(self, head: str) -> None:
        """Note the newest commit of the journal."""
        self._redis.set(f"{self._prefix}journal-head", head)

    def is_kept(self, identity: str, timeout_s: float) -> bool:
        """Whether the journal holds an entry; waits for it for so long."""
        return self._redis.blpop([self._kept(identity)], timeout=timeout_s) is not None

    def head(self) -> str | None:
        """The newest commit of the journal as its writer told it."""
        raw = self._redis.get(f"{self._prefix}journal-head")
        return raw.decode() if raw else None

    def note_copy(self, head: str, problem: str = "") -> None:
        """Note which commit the journal's copy has, or why it could not be written."""
        self._redis.hset(f"{self._prefix}journal-copy", mapping={"problem": problem} | ({"head": head} if head else {}))

    def copy(self) -> Mapping[str, str]:
        """The `head` of the journal's copy and its `problem`, if any; empty when it was never written."""
        return {
            name.decode(): value.decode() for name, value in self._redis.hgetall(f"{self._prefix}journal-copy").items()
        }

    def _kept(self, identity: str) -> str:
        return f"{self._prefix}journal-kept:{identity}"


def _entry(raw: bytes) -> Mapping[str, Any]:
    entry = orjson.loads(raw)
    if not all(isinstance(entry[name], str) for name in ("id", "at", "kind", "subject")):
        raise ValueError("not an entry as `put` makes it")
    return dict(entry)
