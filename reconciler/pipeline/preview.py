"""What a sync would do, without doing it: for `app plan`, `app diff` and `app manifests`.

Reads the cluster and the repository as a sync would, and writes nothing anywhere. A diff asks the API server itself, by
a dry run of each apply, so defaults and admission are in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reconciler import cluster, plan
from reconciler.apply import adopt, recreate
from reconciler.cluster import OpenGuard
from reconciler.errors import FieldConflict, ImmutableField, UndriftError
from reconciler.model.inventory import Inventory
from reconciler.model.live import Observation, Resource
from reconciler.model.manifest import ManifestSet, ObjectKey, Raw
from reconciler.model.plan import Action, Change, Plan
from reconciler.model.record import Memory, Order
from reconciler.model.spec import InstanceSpec
from reconciler.objects import applyset, clean, diff, ignored
from reconciler.objects.diff import Difference
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
    """How one object would change; `error` when the API server refused even the dry run, or the object is not to be
    taken (FirstContact). The one difference of an object that comes or goes is the whole of it, at the path ""."""

    key: ObjectKey
    action: Action
    differences: tuple[Difference, ...] = ()
    error: UndriftError | None = None
    exists: bool = True


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
    """The differences that the plan would make, object by object, secrets masked. At most two requests an object."""
    api = _open(spec, rooms)
    return tuple(_diff_one(api, spec, change) for change in found.plan.changes)


def _open(spec: InstanceSpec, rooms: Rooms) -> ClusterApi:
    return rooms.clusters.api(spec.cluster, OpenGuard(), agent=f"{spec.key} preview")


def _diff_one(api: ClusterApi, spec: InstanceSpec, change: Change) -> ObjectDiff:
    key, manifest = change.key, change.manifest
    version = manifest.api_version.rpartition("/")[2] if manifest else None
    resource = api.discovery().find(key.group_kind, version)
    if resource is None:
        return ObjectDiff(key, change.action, exists=False)
    live: Raw | None = None
    try:
        live = api.get(resource, key.namespace, key.name)
        if manifest is None:
            return ObjectDiff(key, change.action, tuple(diff.differences(live, None)), exists=live is not None)
        body = clean.to_send(manifest, applyset.part_of(spec.key))
        if live is not None and (rules := ignored.rules_for(key, spec.ignore_differences)):
            body = ignored.without(body, live, spec.key.manager, rules)
        would_be = _would_be(api, spec, change, resource, body, live)
    except ImmutableField as error:
        if recreate.is_asked_for(body):
            return ObjectDiff(key, Action.REPLACE)
        return ObjectDiff(key, change.action, error=error)
    except UndriftError as error:
        return ObjectDiff(key, change.action, error=error, exists=live is not None)
    return ObjectDiff(
        key, _action(change, live, spec), tuple(diff.differences(live, would_be)), exists=live is not None
    )


def _action(change: Change, live: Raw | None, spec: InstanceSpec) -> Action:
    """What would really happen: a plan does not know of what exists and was never ours."""
    if change.action is not Action.CREATE or live is None:
        return change.action
    return Action.APPLY if _is_own(live, spec) else Action.ADOPT


def _is_own(live: Raw, spec: InstanceSpec) -> bool:
    return adopt.is_ours(live, spec.key) or adopt.former_of(live, spec.key, spec.formers) is not None


def _would_be(
    api: ClusterApi, spec: InstanceSpec, change: Change, resource: Resource, body: dict[str, Any], live: Raw | None
) -> Raw:
    """What the API server would make of the object. Raises FirstContact and OwnedByAnother as the apply itself would."""
    if live is None or change.action is not Action.CREATE or _is_own(live, spec):
        return api.apply(resource, body, manager=spec.key.manager, force=True, dry_run=True)
    adopt.require_allowed(live, spec.key, change.key, spec.sync.adopt)
    adopt.require_scale_kept(live, body, change.key)
    is_forced = spec.sync.adopt == "Always"
    try:
        return api.apply(resource, body, manager=spec.key.manager, force=is_forced, dry_run=True)
    except FieldConflict as conflict:
        raise adopt.contested_contact(conflict, change.key) from conflict
