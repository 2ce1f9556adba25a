"""What one look at a cluster saw, and of which instances it is what the look before saw.

The verdict on an instance follows from what is known of it, its inventory, its objects and what its cluster serves. Where
all of these are as they were when a scan had nothing to tell, the verdict is the same, and nothing is parsed for it. Two
marks stand for them: one is compared before the objects are listed, since it says which kinds are to be listed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import blake2b

import orjson

from reconciler import cluster, health
from reconciler.cluster import Survey
from reconciler.errors import InventoryError
from reconciler.model.health import ObjectHealth
from reconciler.model.instance import InstanceKey
from reconciler.model.inventory import Inventory
from reconciler.model.manifest import GroupKind, ObjectKey, Raw
from reconciler.model.spec import ClusterTarget
from reconciler.objects import applyset, keys
from reconciler.pipeline.rooms import Rooms
from reconciler.ports import ClusterApi, Guard
from reconciler.render import capabilities_of

Places = Mapping[GroupKind, frozenset[str]]
"""Which kinds are to be listed, and in which namespaces their objects are known."""
HALF = 16
"""Bytes of each of the two marks that make one."""
VERSION = 1
"""To be raised with whatever judges: fingerprints, health, foreign fields."""


@dataclass(frozen=True, slots=True)
class Proven:
    """The instances of which an earlier scan had nothing to tell, by the mark of all that this followed from."""

    marks: Mapping[InstanceKey, bytes] = field(default_factory=dict)
    places: Places = field(default_factory=dict)

    def without(self, keys: Collection[InstanceKey]) -> Proven:
        """The same of all others."""
        return replace(self, marks={key: mark for key, mark in self.marks.items() if key not in keys})


@dataclass(frozen=True, slots=True)
class Sight:
    """`began_at` is before the first list. `same` are the instances whose verdict is that of the scan before, `inventories`
    those of all others."""

    target: ClusterTarget
    api: ClusterApi
    began_at: datetime
    identity: str
    """Which cluster it is, by the uid of its `kube-system` namespace; empty when we may not read that."""
    inventories: Mapping[InstanceKey, Inventory]
    unreadable: Mapping[InstanceKey, InventoryError]
    survey: Survey
    healths: Mapping[ObjectKey, ObjectHealth]
    capabilities: Mapping[str, str]
    """What a render may ask of it, as a closure keeps it; empty while a part of its discovery does not answer."""
    same: frozenset[InstanceKey]
    marks: Mapping[InstanceKey, bytes]
    places: Places


def look(
    target: ClusterTarget,
    known: Mapping[InstanceKey, bytes],
    guard: Guard,
    rooms: Rooms,
    *,
    pinned: str = "",
    proven: Proven = Proven(),
) -> Sight:
    """List a cluster's inventories and the objects of their kinds. `known` names all that is known of each instance: its
    spec, and what its last sync left. `pinned` is the identity that the cluster had at first contact.

    Raises the ClusterErrors: then nothing is concluded about any instance.
    """
    began_at = rooms.clock.now()
    api = rooms.clusters.api(target, guard, agent=f"scan {target.name} fence={guard.fence}")
    identity = cluster.require_identity(api, pinned, refresh=True)
    parents = rooms.inventories.parents(api)
    own = [VERSION, rooms.inventories.installation]
    before = {key: _mark_of_known(own, known[key], parent) for key, parent in parents.items() if key in known}
    hoped = {key for key, mark in proven.marks.items() if mark[:HALF] == before.get(key)}
    others = {key: parent for key, parent in parents.items() if key not in hoped}
    inventories, unreadable = rooms.inventories.decoded_all(api, others)
    places = _places(inventories.values(), proven.places if hoped else {})
    healths: dict[ObjectKey, ObjectHealth] = {}
    survey = cluster.survey(
        api,
        places,
        rooms.clock,
        by_metadata=health.is_told_by_metadata,
        judge=lambda live: healths.update({ObjectKey.of(live): health.assess(live, began_at)}),
    )
    discovery = api.discovery()
    capabilities = {} if discovery.stale_groups else capabilities_of(discovery)
    seen = _marks_of_seen(survey, capabilities)
    nothing = _digest([capabilities, []])
    halves = {key: (mark, seen.get(applyset.part_of(key), nothing)) for key, mark in before.items()}
    marks = {key: known + met for key, (known, met) in halves.items() if known and met}
    same = frozenset(key for key in hoped if proven.marks[key] == marks.get(key))
    changed, damaged = rooms.inventories.decoded_all(api, {key: parents[key] for key in hoped - same})
    return Sight(
        target=target,
        api=api,
        began_at=began_at,
        identity=identity,
        inventories={**inventories, **changed},
        unreadable={**unreadable, **damaged},
        survey=survey,
        healths=healths,
        capabilities=capabilities,
        same=same,
        marks=marks,
        places=places,
    )


def _places(inventories: Iterable[Inventory], earlier: Places) -> Places:
    found = {kind: set(namespaces) for kind, namespaces in earlier.items()}
    for inventory in inventories:
        for member in inventory.members:
            found.setdefault(member.group_kind, set()).add(member.namespace)
    return {kind: frozenset(namespaces) for kind, namespaces in found.items()}


def _mark_of_known(own: Sequence[object], known: bytes, parent: Raw) -> bytes:
    """By the inventory's text, not its version: a cluster that was restored from a backup counts versions again. The parts
    of a large one are not looked at, so that none is the same as another."""
    annotations = parent["metadata"].get("annotations") or {}
    if keys.PARTS in annotations:
        return b""
    return _digest([own, annotations, parent.get("data")], known)


def _marks_of_seen(survey: Survey, capabilities: Mapping[str, str]) -> Mapping[str, bytes]:
    """By the label that says to which instance an object belongs. Some aggregated APIs serve objects without a version, of
    which nothing is the same."""
    found: dict[str, list[list[str]]] = {}
    for key, live in survey.live.items():
        meta = live["metadata"]
        row = [key.to_text(), str(meta.get("uid")), str(meta.get("resourceVersion") or "")]
        found.setdefault(str((meta.get("labels") or {}).get(keys.PART_OF)), []).append(row)
    return {
        label: _digest([capabilities, sorted(rows)]) if all(version for *_, version in rows) else b""
        for label, rows in found.items()
    }


def _digest(parts: Sequence[object], text: bytes = b"") -> bytes:
    whole = blake2b(text).digest() + orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)
    return blake2b(whole, digest_size=HALF).digest()
