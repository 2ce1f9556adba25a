"""What was last seen of every instance, cluster and repository, and the memory for each next sync."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

import orjson
import redis

from reconciler.apply import document
from reconciler.model.changeset import Result
from reconciler.model.instance import InstanceKey
from reconciler.model.inventory import HistoryEntry
from reconciler.model.manifest import GroupKind, ObjectKey
from reconciler.model.record import Heals, Memory, SyncRecord
from reconciler.model.revision import Closure
from reconciler.model.status import DriftEntry, InstanceStatus, ObjectEntry, RevisionStatus
from workers.store.batches import at_most
from workers.store.closures import short
from workers.store.packed import pack, unpack
from workers.store.scripts import script

MOST_DRIFT = 20
"""How much drift an instance's status remembers."""
PUT_BACK = frozenset({Result.HEALED, Result.CREATED, Result.REPLACED})


class StatusStore:
    """One JSON text per instance and kind of knowledge, each in a hash."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis: Any = client
        self._prefix = prefix
        self._amend: Any = client.register_script(script("amend"))

    def get(self, key: InstanceKey) -> InstanceStatus:
        """The stored status, not yet composed with what is due; the empty one when nothing is known."""
        raw = unpack(self._redis.hget(self._key("status"), str(key)))
        return InstanceStatus.model_validate_json(raw) if raw else blank(key)

    def known(self) -> frozenset[InstanceKey]:
        """The instances that have a status, whether or not they are of the fleet."""
        return frozenset(InstanceKey.parse(raw.decode()) for raw in self._redis.hkeys(self._key("status")))

    def has(self, key: InstanceKey) -> bool:
        """Whether an instance has a status, and whether or not it is of the fleet."""
        return bool(self._redis.hexists(self._key("status"), str(key)))

    def each(self, keys: Iterable[InstanceKey]) -> Iterator[tuple[InstanceKey, InstanceStatus]]:
        """The same as `many`, in the order of the keys, few at a time in memory."""
        for some in at_most(sorted(keys)):
            yield from self.many(some).items()

    def many(self, keys: Iterable[InstanceKey]) -> Mapping[InstanceKey, InstanceStatus]:
        """The stored statuses of these instances; the empty one of those of which nothing is known."""
        wanted = list(keys)
        raw = self._redis.hmget(self._key("status"), [str(key) for key in wanted]) if wanted else []
        return {
            key: InstanceStatus.model_validate_json(text) if text else blank(key)
            for key, text in zip(wanted, map(unpack, raw), strict=True)
        }

    def put(self, status: InstanceStatus) -> None:
        self.put_all([status])

    def put_all(self, statuses: Iterable[InstanceStatus]) -> None:
        rows = {one.instance: _packed(one) for one in statuses}
        if rows:
            self._redis.hset(self._key("status"), mapping=rows)

    def amend(
        self, keys: Iterable[InstanceKey], change: Callable[[InstanceKey, InstanceStatus], InstanceStatus | None]
    ) -> None:
        """Change statuses without holding the leases of their instances: each only if nobody wrote it since it was read
        here, for then what was written is newer. `change` answers None for one that stays as it is."""
        wanted = list(keys)
        raw = self._redis.hmget(self._key("status"), [str(key) for key in wanted]) if wanted else []
        words: list[str | bytes] = []
        for key, before in zip(wanted, raw, strict=True):
            text = unpack(before)
            status = InstanceStatus.model_validate_json(text) if text else blank(key)
            after = change(key, status)
            if after is not None and after != status:
                words += [str(key), before or b"", _packed(after)]
        if words:
            self._amend(keys=[self._key("status")], args=words)

    def drop_approval(self, key: InstanceKey) -> None:
        """An approval is for one pass: what comes after it is another plan, whatever its id."""
        self._redis.hdel(self._key("approvals"), str(key))

    def forget(self, key: InstanceKey) -> None:
        for name in ("status", "memory", "approvals"):
            self._redis.hdel(self._key(name), str(key))

    def memory(self, key: InstanceKey) -> Memory:
        """What the next sync is given; empty after a loss."""
        raw = unpack(self._redis.hget(self._key("memory"), str(key)))
        return memory_from_json(raw) if raw else Memory()

    def memories(self, keys: Iterable[InstanceKey]) -> Mapping[InstanceKey, Memory]:
        return {key: memory_from_json(text) for key, text in self._memory_texts(keys)}

    def closures(self, keys: Iterable[InstanceKey]) -> Mapping[InstanceKey, Closure | None]:
        """What the last complete render of instances read, of those that have a memory; None after a failure. Equal ones are
        one object: a thousand clusters may have the same. Nothing else of the memories is read."""
        found, shared = dict[InstanceKey, Closure | None](), dict[object, Closure]()
        for key, text in self._memory_texts(keys):
            one = found[key] = _closure(orjson.loads(text))
            if one is not None:
                words = one.inputs, frozenset(one.paths.items()), frozenset(one.capabilities.items())
                found[key] = shared.setdefault(words, one)
        return found

    def _memory_texts(self, keys: Iterable[InstanceKey]) -> Iterator[tuple[InstanceKey, bytes]]:
        """The stored memories of those of these that have one."""
        for some in at_most(keys):
            raw = self._redis.hmget(self._key("memory"), [str(key) for key in some])
            for key, text in zip(some, map(unpack, raw), strict=True):
                if text is not None:
                    yield key, text

    def forget_memories(self, keys: Iterable[InstanceKey]) -> None:
        """Drop what is proven of instances."""
        names = [str(key) for key in keys]
        if names:
            self._redis.hdel(self._key("memory"), *names)

    def remember_first(self, key: InstanceKey, memory: Memory) -> None:
        """Keep a memory unless a sync has left one meanwhile."""
        self._redis.hsetnx(self._key("memory"), str(key), pack(orjson.dumps(_memory_json(memory))))

    def remember(self, key: InstanceKey, memory: Memory) -> None:
        self._redis.hset(self._key("memory"), str(key), pack(orjson.dumps(_memory_json(memory))))

    def unjudge(self, url: str, reasons: Mapping[InstanceKey, str]) -> None:
        """Let the next look at a repository make instances due, for these reasons, whatever the commit."""
        if reasons:
            self._redis.sadd(self._key("waited-for"), url)  # first: no instance waits where nobody finds it
        for some in at_most(reasons):
            self._redis.hset(self._unjudged(url), mapping={str(key): reasons[key] for key in some})

    def unjudged(self, url: str) -> Mapping[InstanceKey, str]:
        """The instances that wait for a look at a repository, and why."""
        return _reasons(self._redis.hgetall(self._unjudged(url)))

    def unjudged_anywhere(self) -> Mapping[str, Mapping[InstanceKey, str]]:
        """The same of all look-ups for which instances wait or once did, whether or not they are in force."""
        urls = sorted(self._redis.smembers(self._key("waited-for")))
        pipe = self._redis.pipeline(transaction=False)
        for url in urls:
            pipe.hgetall(self._unjudged(url.decode()))
        return {url.decode(): _reasons(found) for url, found in zip(urls, pipe.execute(), strict=True)}

    def forget_unjudged(self, url: str, keys: Iterable[InstanceKey]) -> None:
        """These do not wait for a look at a repository any more."""
        for some in at_most(keys):
            self._redis.hdel(self._unjudged(url), *(str(key) for key in some))

    def forget_waiting_at(self, urls: Iterable[str]) -> None:
        """Nobody waits for these look-ups any more, and nobody will."""
        for some in at_most(urls):
            self._redis.srem(self._key("waited-for"), *some)

    def note_scan(
        self, cluster: str, at: datetime, error: str = "", requests: int = 0, *, reason: str = "Unreachable"
    ) -> None:
        """The last scan of a cluster: when it was, and why it failed if it did."""
        row = {"at": at.isoformat(), "error": error, "requests": requests, "reason": reason if error else ""}
        if error:
            row["seen"] = self.scan(cluster).get("seen", "")
        else:
            row["seen"] = at.isoformat()
        self._redis.hset(self._key("scans"), cluster, orjson.dumps(row))

    def note_kinds(self, cluster: str, objects: Iterable[ObjectKey]) -> None:
        """Note which kinds of objects instances own on a cluster: what there is to watch."""
        kinds = {f"{key.group}|{key.kind}" for key in objects}
        if kinds:
            self._redis.sadd(self._key(f"kinds:{cluster}"), *sorted(kinds))

    def kinds(self, cluster: str) -> frozenset[GroupKind]:
        """The kinds that were noted."""
        rows = (raw.decode().partition("|") for raw in self._redis.smembers(self._key(f"kinds:{cluster}")))
        return frozenset(GroupKind(group, kind) for group, _, kind in rows)

    def is_trash_day(self, cluster: str, now: datetime) -> bool:
        """Whether nobody has emptied a cluster's trash today; the day is taken."""
        return bool(self._redis.set(self._key(f"trash:{cluster}"), now.isoformat(), nx=True, ex=86400))

    def note_strays(self, cluster: str, keys: Iterable[InstanceKey]) -> None:
        """Note instances that a scan met and that are not of the fleet."""
        for some in at_most(keys):
            self._redis.sadd(self._key(f"strays:{cluster}"), *(str(key) for key in some))

    def strays(self, cluster: str) -> frozenset[InstanceKey]:
        """Those that were noted."""
        return frozenset(
            InstanceKey.parse(raw.decode()) for raw in self._redis.smembers(self._key(f"strays:{cluster}"))
        )

    def forget_strays(self, cluster: str, keys: Iterable[InstanceKey]) -> None:
        for some in at_most(keys):
            self._redis.srem(self._key(f"strays:{cluster}"), *(str(key) for key in some))

    def scan(self, cluster: str) -> Mapping[str, Any]:
        """The last scan of a cluster; empty when none is known."""
        raw = self._redis.hget(self._key("scans"), cluster)
        return dict(orjson.loads(raw)) if raw else {}

    def scans(self, names: Collection[str] | None = None) -> Mapping[str, Mapping[str, Any]]:
        """The last scan of each cluster, or of each of these; of those of which one is known."""
        if names is None:
            return {name.decode(): orjson.loads(raw) for name, raw in self._redis.hgetall(self._key("scans")).items()}
        raws = self._redis.hmget(self._key("scans"), list(names)) if names else []
        return {name: orjson.loads(raw) for name, raw in zip(names, raws, strict=True) if raw}

    def note_lookup(self, url: str, at: datetime, error: str = "", reason: str = "") -> None:
        """The last look at a repository."""
        row = {"at": at.isoformat(), "error": error, "reason": reason}
        self._redis.hset(self._key("lookups"), url, orjson.dumps(row))

    def lookups(self) -> Mapping[str, Mapping[str, Any]]:
        return {url.decode(): orjson.loads(raw) for url, raw in self._redis.hgetall(self._key("lookups")).items()}

    def approve(self, key: InstanceKey, plan_id: str) -> None:
        self._redis.hset(self._key("approvals"), str(key), plan_id)

    def approval(self, key: InstanceKey) -> str | None:
        raw = self._redis.hget(self._key("approvals"), str(key))
        return raw.decode() if raw else None

    def _unjudged(self, url: str) -> str:
        return self._key(f"unjudged:{short(url)}")

    def _key(self, name: str) -> str:
        return f"{self._prefix}{name}"


def _reasons(found: Mapping[bytes, bytes]) -> dict[InstanceKey, str]:
    return {InstanceKey.parse(key.decode()): reason.decode() for key, reason in found.items()}


def _packed(status: InstanceStatus) -> bytes:
    return pack(status.model_dump_json(by_alias=True, exclude_defaults=True).encode())


def blank(key: InstanceKey) -> InstanceStatus:
    """The status of an instance of which nothing is known."""
    return InstanceStatus(
        instance=str(key),
        project=key.project,
        application=key.application,
        cluster=key.cluster,
        message="not synced yet",
    )


def from_record(record: SyncRecord, before: InstanceStatus) -> InstanceStatus:
    """The status after a sync."""
    failed = record.phase == "Failed"
    revision = record.revision
    applied = record.memory.unflushed
    done = record.sync == "Synced" and revision is not None
    return blank(record.instance).model_copy(
        update={
            "sync": str(record.sync),
            "phase": str(record.phase),
            "health": str(record.health) if record.objects or not failed else before.health,
            "reason": record.reason,
            "message": record.message,
            "revisions": (RevisionStatus(source=revision.source, ref=revision.ref, revision=revision.commit),)
            if revision
            else before.revisions,
            "applied_revision": revision.commit if done and revision else before.applied_revision,
            "plan_id": record.plan_id,
            "last_sync": record.finished_at,
            "in_sync_at": record.finished_at if record.sync == "Synced" else before.in_sync_at,
            "behind_since": before.behind_since or record.started_at,
            "observed_at": record.finished_at if record.objects else before.observed_at,
            "objects": tuple(
                ObjectEntry(
                    key=one.key.to_text(),
                    sync=str(one.sync),
                    health=str(one.health),
                    result=one.result,
                    message=one.message,
                )
                for one in record.objects
            )
            or before.objects,
            "drift": _drift(record, before),
            "foreign": before.foreign,
            "warnings": record.warnings,
            "failures": before.failures + 1 if failed else 0,
            "lags": _lags(record, before),
            "fence": record.fence,
            "digest": applied.digest if applied else before.digest,
            "counts": dict(record.counts),
            "requests": record.requests,
        }
    )


def _drift(record: SyncRecord, before: InstanceStatus) -> tuple[DriftEntry, ...]:
    """What this pass met, and then what was met earlier, each field once, the newest first."""
    put_back = {one.key for one in record.objects if one.result in PUT_BACK}
    fresh = [
        DriftEntry(
            key=one.key.to_text(),
            field=one.field,
            manager=one.manager,
            ours=one.ours,
            theirs=one.theirs,
            at=record.finished_at,
            healed=one.key in put_back,
        )
        for one in record.drift
    ]
    told = {(one.key, one.field) for one in fresh}
    # What a scan saw without knowing its field is what this pass met or found to be as it should.
    earlier = [one for one in before.drift if (one.key, one.field) not in told and (one.field or not record.objects)]
    return (*fresh, *earlier)[:MOST_DRIFT]


def _lags(record: SyncRecord, before: InstanceStatus) -> bool:
    """As it was where the pass ended before it could learn what is wanted, as when its cluster does not answer."""
    applied = record.memory.unflushed
    if not record.digest and "fetch" not in record.durations_s:
        return before.lags
    return applied is None or record.digest != applied.digest


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


def memory_from_json(text: bytes) -> Memory:
    """A memory as `remember` stored it."""
    raw = orjson.loads(text)
    entry = raw["entry"]
    since = raw["waiting_since"]
    return Memory(
        closure=_closure(raw),
        unflushed=document.applied_from_json(raw["unflushed"]),
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
