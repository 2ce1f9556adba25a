"""What a scan had nothing to tell of, for the next one, which then compares only (`reconciler.pipeline.sight`).

A mark stands for all that the verdict followed from, so that an old one, or one that is lost, costs a judgement and nothing
else. All of a cluster's go after some hours: everything is judged anew then.
"""

from __future__ import annotations

from typing import Any

import orjson
import redis

from reconciler.model.instance import InstanceKey
from reconciler.model.manifest import GroupKind
from reconciler.pipeline.sight import Places, Proven
from workers.store.batches import at_most
from workers.store.damaged import fields

PLACES = "places"
KEPT_S = 6 * 3600


class ProvenStore:
    """One hash a cluster: marks by instance, and where its kinds are listed."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis: Any = client
        self._prefix = prefix

    def get(self, cluster: str) -> Proven:
        key = self._key(cluster)
        found: dict[bytes, bytes] = self._redis.hgetall(key)
        places = {name: found.pop(name) for name in (PLACES.encode(),) if name in found}
        marks = fields(self._redis, key, found, lambda name, mark: (InstanceKey.parse(name.decode()), mark))
        known = fields(self._redis, key, places, lambda _, text: _places(text))
        return Proven(dict(marks), known[0]) if known else Proven()  # without the places nothing would be listed

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


def _places(text: bytes) -> Places:
    found = orjson.loads(text)
    return {GroupKind.parse(kind): frozenset(names) for kind, names in found.items()}


def _text(proven: Proven) -> bytes:
    return orjson.dumps({str(kind): sorted(names) for kind, names in proven.places.items()})
