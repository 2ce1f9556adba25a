"""What was last seen of each cluster and each repository as a whole."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

import orjson
import redis

from reconciler.model.instance import InstanceKey
from reconciler.model.manifest import GroupKind, ObjectKey
from workers.store.batches import at_most


class Looks:
    """One JSON text for the last look at each; for a cluster, what there is to watch and what is a stranger to the fleet."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis: Any = client
        self._prefix = prefix

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
        """The last look at each repository that an application uses; what was seen of others is over."""
        used = set(self._redis.hkeys(self._key("repositories")))
        rows = self._redis.hgetall(self._key("lookups"))
        return {url.decode(): orjson.loads(raw) for url, raw in rows.items() if url in used}

    def note_kinds(self, cluster: str, objects: Iterable[ObjectKey]) -> None:
        """Note which kinds of objects instances own on a cluster: what there is to watch."""
        kinds = {f"{key.group}|{key.kind}" for key in objects}
        if kinds:
            self._redis.sadd(self._key(f"kinds:{cluster}"), *sorted(kinds))

    def kinds(self, cluster: str) -> frozenset[GroupKind]:
        """The kinds that were noted."""
        rows = (raw.decode().partition("|") for raw in self._redis.smembers(self._key(f"kinds:{cluster}")))
        return frozenset(GroupKind(group, kind) for group, _, kind in rows)

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

    def is_trash_day(self, cluster: str, now: datetime) -> bool:
        """Whether nobody has emptied a cluster's trash today; the day is taken."""
        return bool(self._redis.set(self._key(f"trash:{cluster}"), now.isoformat(), nx=True, ex=86400))

    def _key(self, name: str) -> str:
        return f"{self._prefix}{name}"
