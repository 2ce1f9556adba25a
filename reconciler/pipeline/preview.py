"""What a sync would do, without doing it: for `app plan`, `app diff` and `app manifests`.

Reads the cluster and the repository as a sync would, and writes nothing anywhere. A diff asks the API server itself, by
a dry run of each apply, so defaults and admission are in it.
"""

from __future__ import annotations

from dataclasses import dataclass

from reconciler import cluster, plan
from reconciler.cluster import OpenGuard
from reconciler.errors import UndriftError
from reconciler.model.inventory import Inventory
from reconciler.model.live import Observation
from reconciler.model.manifest import Manifest, ManifestSet, ObjectKey
from reconciler.model.plan import Action, Plan
from reconciler.model.record import Memory, Order
from reconciler.model.spec import InstanceSpec
from reconciler.objects import applyset, clean, diff
from reconciler.objects.diff import Difference
from reconciler.objects.keys import SYSTEM_NAMESPACE
from reconciler.pipeline.notes import Notes
from reconciler.pipeline.rooms import Rooms
from reconciler.pipeline.sync import read_inventory, render
from reconciler.ports import ClusterApi


@dataclass(frozen=True, slots=True)
class Preview:
    """A plan and what it was made from."""

    plan: Plan
    desired: ManifestSet
    inventory: Inventory
    seen: Observation
    commit: str


@dataclass(frozen=True, slots=True)
class ObjectDiff:
    """How one object would change; `error` when the API server refused even the dry run."""

    key: ObjectKey
    action: Action
    differences: tuple[Difference, ...] = ()
    error: UndriftError | None = None


def preview(spec: InstanceSpec, order: Order, memory: Memory, rooms: Rooms) -> Preview:
    """The plan that a sync with this order would carry out now.

    Raises what the same sync would record as its failure.
    """
    api, notes = _open(spec, rooms), Notes(spec, order, memory, 0, rooms.clock)
    inventory = read_inventory(api, spec, memory, rooms)
    desired = render(api, spec, order, inventory, notes, rooms)
    seen = cluster.observe(api, inventory, spec.key, rooms.clock)
    decided = plan.make_plan(
        desired, inventory, seen, spec=spec, order=order, heals=memory.heals, now=rooms.clock.now()
    )
    return Preview(decided, desired, inventory, seen, notes.commit)


def diffs(spec: InstanceSpec, found: Preview, rooms: Rooms) -> tuple[ObjectDiff, ...]:
    """The differences that the plan would make, object by object, secrets masked. One or two requests an object."""
    api = _open(spec, rooms)
    return tuple(_diff_one(api, spec, change.key, change.action, change.manifest) for change in found.plan.changes)


def _open(spec: InstanceSpec, rooms: Rooms) -> ClusterApi:
    return rooms.clusters.api(spec.cluster, OpenGuard(), agent=f"{spec.key} preview")


def _diff_one(
    api: ClusterApi, spec: InstanceSpec, key: ObjectKey, action: Action, manifest: Manifest | None
) -> ObjectDiff:
    version = manifest.api_version.rpartition("/")[2] if manifest else None
    resource = api.discovery().find(key.group_kind, version)
    if resource is None:
        return ObjectDiff(key, action)
    try:
        live = api.get(resource, key.namespace, key.name)
        if manifest is None:
            return ObjectDiff(key, action, tuple(diff.differences(live, None)))
        part_of = applyset.applyset_id(spec.key.inventory_name, SYSTEM_NAMESPACE)
        body = clean.to_send(manifest, part_of)
        would_be = api.apply(resource, body, manager=spec.key.manager, force=True, dry_run=True)
    except UndriftError as error:
        return ObjectDiff(key, action, error=error)
    return ObjectDiff(key, action, tuple(diff.differences(live, would_be)))
