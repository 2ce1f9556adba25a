"""What a scan had nothing to tell of, for the next one, which then compares only (`reconciler.pipeline.sight`).

A mark stands for all that the verdict followed from, so that an old one, or one that is lost, costs a judgement and nothing
else. All of a cluster's go after some hours: everything is judged anew then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import redis
import structlog

from reconciler.model.instance import InstanceKey
from reconciler.model.manifest import GroupKind
from reconciler.pipeline.sight import Proven
from workers.store.batches import at_most

log = structlog.get_logger()
PLACES = "places"
KEPT_S = 6 * 3600


class ProvenStore:
    """One hash a cluster: marks by instance, and where its kinds are listed."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis: Any = client
        self._prefix = prefix

    def get(self, cluster: str) -> Proven:
        """Nothing where something wrote over it, all of which is dropped then."""
        try:
            return _proven(self._redis.hgetall(self._key(cluster)))
        except (ValueError, TypeError, AttributeError) as error:
            log.warning("proven_damaged", cluster=cluster, error=str(error))
            self._redis.delete(self._key(cluster))
            return Proven()

    def put(self, cluster: str, proven: Proven, before: Proven) -> None:
        """Keep what the last scan has proven in the place of what `get` gave."""
        rows: dict[str, bytes] = {str(key): mark for key, mark in proven.marks.items() if before.marks.get(key) != mark}
        if proven.places != before.places:
            rows[PLACES] = _text(proven)
        pipe = self._redis.pipeline()
        for gone in at_most(map(str, before.marks.keys() - proven.marks.keys())):
            pipe.hdel(self._key(cluster), *gone)
        for some in at_most(rows):
            pipe.hset(self._key(cluster), mapping={name: rows[name] for name in some})
        pipe.expire(self._key(cluster), KEPT_S, nx=True)
        pipe.execute()

    def _key(self, cluster: str) -> str:
        return f"{self._prefix}proven:{cluster}"


def _proven(found: dict[bytes, bytes]) -> Proven:
    places = orjson.loads(found.pop(PLACES.encode(), b"{}"))
    marks = {InstanceKey.parse(key.decode()): mark for key, mark in found.items()}
    return Proven(marks, {GroupKind(*kind.split("|")): frozenset(names) for kind, names in places.items()})


def _text(proven: Proven) -> bytes:
    places: Mapping[str, list[str]] = {
        f"{kind.group}|{kind.kind}": sorted(names) for kind, names in proven.places.items()
    }
    return orjson.dumps(places)
