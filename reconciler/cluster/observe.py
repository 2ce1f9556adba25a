"""Looks at what is live: the objects of one instance, or everything that is ours on a cluster, most of it by metadata only.

Both list by kind, with the part-of label as selector. A kind that could not be listed is `unseen`: nothing follows from
the absence of its objects. A list costs the API server a look at all objects in its scope, whatever the selector: what an
instance has in one namespace is listed there. A cluster that refuses cluster-wide lists is asked namespace by namespace.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from reconciler.clock import Clock
from reconciler.errors import AccessDenied, PreconditionFailed, UnknownKind
from reconciler.model.instance import InstanceKey
from reconciler.model.inventory import Inventory
from reconciler.model.live import Discovery, Observation, Resource
from reconciler.model.manifest import GroupKind, ObjectKey, Raw
from reconciler.objects import applyset, keys
from reconciler.ports import ClusterApi


@dataclass(frozen=True, slots=True)
class Survey:
    """All objects with a part-of label, of the kinds asked for; `at` is before the first list."""

    at: datetime
    live: Mapping[ObjectKey, Raw] = field(default_factory=dict)
    unseen: frozenset[GroupKind] = frozenset()


def observe(api: ClusterApi, inventory: Inventory, key: InstanceKey, clock: Clock) -> Observation:
    """The live objects of an instance: one list per kind of its inventory."""
    at = clock.now()
    places: dict[GroupKind, set[str]] = {}
    for member in inventory.members:
        places.setdefault(member.group_kind, set()).add(member.namespace)
    selector = f"{keys.PART_OF}={applyset.part_of(key)}"
    live, unseen = _look(api, places, selector, by_metadata=lambda _: False, is_narrow=True)
    return Observation(at, live, unseen)


def survey(
    api: ClusterApi,
    kinds: Mapping[GroupKind, Collection[str]],
    clock: Clock,
    *,
    by_metadata: Callable[[GroupKind], bool] = lambda _: True,
    judge: Callable[[Raw], None] = lambda _: None,
) -> Survey:
    """The metadata of everything that carries a part-of label. `kinds` says in which namespaces members are known,
    `by_metadata` of which kinds that is enough; of the others `judge` is shown each object, which is not held. One list a
    kind either way."""
    at = clock.now()

    def trim(item: Raw) -> Raw:
        judge(item)
        return {name: item[name] for name in ("apiVersion", "kind", "metadata")}

    live, unseen = _look(api, kinds, keys.PART_OF, by_metadata=by_metadata, trim=trim)
    return Survey(at, live, unseen)


def _look(
    api: ClusterApi,
    kinds: Mapping[GroupKind, Collection[str]],
    selector: str,
    *,
    by_metadata: Callable[[GroupKind], bool],
    trim: Callable[[Raw], Raw] | None = None,
    is_narrow: bool = False,
) -> tuple[dict[ObjectKey, Raw], frozenset[GroupKind]]:
    live: dict[ObjectKey, Raw] = {}
    unseen: set[GroupKind] = set()
    discovery = _discovery(api, kinds)
    for kind, namespaces in sorted(kinds.items()):
        resource = discovery.find(kind)
        if resource is None or kind.group in discovery.stale_groups:
            unseen.add(kind)
            continue
        try:
            is_enough = by_metadata(kind)
            given: Any = {"metadata_only": is_enough, "trim": None if is_enough else trim}
            where = next(iter(namespaces)) if is_narrow and resource.namespaced and len(namespaces) == 1 else ""
            items = _list(api, resource, namespaces, selector, where, **given)
        except (AccessDenied, UnknownKind):
            unseen.add(kind)
            continue
        live |= {ObjectKey.of(item): item for item in items}
    return live, frozenset(unseen)


def _discovery(api: ClusterApi, kinds: Collection[GroupKind]) -> Discovery:
    """The kinds served, asked anew when the last look lacks one of ours or found its group stale."""
    known = api.discovery()
    if all(known.find(kind) is not None and kind.group not in known.stale_groups for kind in kinds):
        return known
    return api.discovery(refresh=True)


def _list(
    api: ClusterApi, resource: Resource, namespaces: Collection[str], selector: str, where: str, **how: Any
) -> Iterable[Raw]:
    try:
        return _whole(api, resource, where, selector, **how)
    except AccessDenied:
        if where or not resource.namespaced or not namespaces:
            raise
        found: list[Raw] = []
        for namespace in sorted(namespaces):
            found += _whole(api, resource, namespace, selector, **how)
        return found


def _whole(api: ClusterApi, resource: Resource, namespace: str, selector: str, **how: Any) -> tuple[Raw, ...]:
    """One consistent list. A continue token that expired under us (410) means to begin again, once."""
    try:
        return api.list(resource, namespace=namespace, selector=selector, **how).items
    except PreconditionFailed:
        return api.list(resource, namespace=namespace, selector=selector, **how).items
