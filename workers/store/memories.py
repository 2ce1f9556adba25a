"""What each next sync is given of an instance: proofs that its inventory lacks, heals, and what its last render read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import orjson
import redis

from reconciler.apply import document
from reconciler.model.instance import InstanceKey
from reconciler.model.inventory import HistoryEntry
from reconciler.model.manifest import ObjectKey
from reconciler.model.record import Heals, Memory
from reconciler.model.revision import Closure
from workers.store.batches import at_most
from workers.store.packed import pack, readable


class Memories:
    """One packed JSON text an instance."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis: Any = client
        self._key = f"{prefix}memory"

    def get(self, key: InstanceKey) -> Memory:
        """What the next sync is given; empty after a loss."""
        return memory_of(key, self._redis.hget(self._key, str(key)))

    def many(self, keys: Iterable[InstanceKey]) -> Mapping[InstanceKey, Memory]:
        return parsed(self.stored(keys))

    def stored(self, keys: Iterable[InstanceKey]) -> Mapping[InstanceKey, bytes]:
        """The same as it is stored, for `parsed`."""
        found = dict[InstanceKey, bytes]()
        for some in at_most(keys):
            raw = self._redis.hmget(self._key, [str(key) for key in some])
            found |= {key: one for key, one in zip(some, raw, strict=True) if one is not None}
        return found

    def closures(self, keys: Iterable[InstanceKey]) -> Mapping[InstanceKey, Closure | None]:
        """What the last complete render of instances read, of those that have a memory; None after a failure. Equal ones are
        one object: a thousand clusters may have the same. Nothing else of the memories is read."""
        found, shared = dict[InstanceKey, Closure | None](), dict[object, Closure]()
        for key, read in self._closures(keys):
            one = found[key] = read.closure
            if one is not None:
                words = one.inputs, frozenset(one.paths.items()), frozenset(one.capabilities.items())
                found[key] = shared.setdefault(words, one)
        return found

    def forget(self, keys: Iterable[InstanceKey]) -> None:
        """Drop what is proven of instances."""
        names = [str(key) for key in keys]
        if names:
            self._redis.hdel(self._key, *names)

    def put_first(self, key: InstanceKey, memory: Memory) -> None:
        """Keep a memory unless a sync has left one meanwhile."""
        self._redis.hsetnx(self._key, str(key), pack(orjson.dumps(_memory_json(memory))))

    def put(self, key: InstanceKey, memory: Memory) -> None:
        self._redis.hset(self._key, str(key), pack(orjson.dumps(_memory_json(memory))))

    def _closures(self, keys: Iterable[InstanceKey]) -> Iterator[tuple[InstanceKey, _Closure]]:
        """Those of the memories of these, some at a time."""
        for some in at_most(keys):
            for key, stored in self.stored(some).items():
                if (read := readable(stored, _Closure.from_json, "memory", key)) is not None:
                    yield key, read


class _Closure(NamedTuple):
    """A memory's closure, which may be none."""

    closure: Closure | None

    @classmethod
    def from_json(cls, text: bytes) -> _Closure:
        return cls(_closure(orjson.loads(text)))


def memory_of(key: InstanceKey, stored: bytes | None) -> Memory:
    """A memory as it is stored; the empty one for one that can't be read."""
    return readable(stored, memory_from_json, "memory", key) or Memory()


def parsed(stored: Mapping[InstanceKey, bytes]) -> Mapping[InstanceKey, Memory]:
    """Memories as they are stored; one that can't be read is missing."""
    read = ((key, readable(one, memory_from_json, "memory", key)) for key, one in stored.items())
    return {key: memory for key, memory in read if memory is not None}


def memory_from_json(text: bytes) -> Memory:
    """A memory as `put` stored it."""
    raw = orjson.loads(text)
    entry = raw["entry"]
    since = raw["waiting_since"]
    unflushed = document.applied_from_json(raw["unflushed"])
    return Memory(
        closure=unflushed.closure if unflushed is not None and raw["closure"] is True else _closure(raw),
        unflushed=unflushed,
        unflushed_entry=HistoryEntry(
            datetime.fromisoformat(entry[0]), entry[1], entry[2], entry[3], entry[4], int(entry[5])
        )
        if entry
        else None,
        heals={ObjectKey.from_text(key): _heals(one) for key, one in raw["heals"].items()},
        waiting_since=datetime.fromisoformat(since) if since else None,
    )


def _closure(raw: Mapping[str, Any]) -> Closure | None:
    """The closure of a memory, as `_closure_json` told it."""
    told = raw["closure"]
    if told is True:
        told = raw["unflushed"]["closure"]
    return document.closure_from_json(told) if told is not None else None


def _heals(raw: list[Any]) -> Heals:
    at, waits, until, field, manager = raw
    return Heals(
        at=tuple(datetime.fromisoformat(moment) for moment in at),
        waits=int(waits),
        until=datetime.fromisoformat(until) if until else None,
        field=field,
        manager=manager,
    )


def _memory_json(memory: Memory) -> dict[str, Any]:
    entry = memory.unflushed_entry
    return {
        "unflushed": document.applied_to_json(memory.unflushed),
        "entry": [entry.at.isoformat(), entry.revision, entry.reason, entry.result, entry.message, entry.fence]
        if entry
        else None,
        "heals": {key.to_text(): _heals_json(one) for key, one in memory.heals.items()},
        "waiting_since": memory.waiting_since.isoformat() if memory.waiting_since else None,
        "closure": _closure_json(memory),
    }


def _closure_json(memory: Memory) -> Any:
    """Mostly it is that of what was applied last, which then is not told twice."""
    if memory.unflushed is not None and memory.closure == memory.unflushed.closure:
        return True
    return document.closure_to_json(memory.closure) if memory.closure else None


def _heals_json(heals: Heals) -> list[Any]:
    until = heals.until.isoformat() if heals.until else None
    return [[moment.isoformat() for moment in heals.at], heals.waits, until, heals.field, heals.manager]
