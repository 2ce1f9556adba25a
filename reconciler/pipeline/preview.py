"""What a sync would do, without doing it: for `app plan`, `app diff` and `app manifests`.

Reads the cluster and the repository as a sync would, and writes nothing anywhere. A diff asks the API server itself, by
a dry run of each apply, so defaults and admission are in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reconciler import cluster, plan
from reconciler.apply import takeover
from reconciler.cluster import OpenGuard
from reconciler.errors import FirstContact, UndriftError
from reconciler.model.inventory import Inventory
from reconciler.model.live import Observation
from reconciler.model.manifest import ManifestSet, ObjectKey, Raw
from reconciler.model.plan import Action, Change, Plan
from reconciler.model.record import Memory, Order
from reconciler.model.spec import InstanceSpec
from reconciler.objects import diff
from reconciler.objects.diff import Difference
from reconciler.pipeline import contact
from reconciler.pipeline.notes import Notes
from reconciler.pipeline.rooms import Rooms
from reconciler.pipeline.sync import read_inventory, render
from reconciler.ports import ClusterApi


@dataclass(frozen=True, slots=True)
class Preview:
    """A plan and what it was made from. `held` are the changes that wait for a person and are not in the plan's waves,
    `refused` why a sync would not carry out one, `added` what an adoption adds to an object that exists."""

    plan: Plan
    held: tuple[Change, ...]
    refused: Mapping[ObjectKey, UndriftError]
    desired: ManifestSet
    inventory: Inventory
    seen: Observation
    commit: str
    added: Mapping[ObjectKey, tuple[Difference, ...]]

    @property
    def changes(self) -> tuple[Change, ...]:
        """All that would be done, or waits for a person."""
        return (*self.held, *self.plan.changes)


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
    met = contact.meet(api, spec, order, decided, inventory, seen)
    return Preview(met.plan, met.held, met.refused, desired, inventory, seen, notes.commit, met.added)


def diffs(spec: InstanceSpec, found: Preview, rooms: Rooms) -> tuple[ObjectDiff, ...]:
    """The differences that the plan would make, object by object, secrets masked; of what is held, those that letting it
    through would make. At most four requests an object."""
    api = _open(spec, rooms)
    return tuple(_diff_one(api, spec, change, found) for change in found.changes)


def _open(spec: InstanceSpec, rooms: Rooms) -> ClusterApi:
    return rooms.clusters.api(spec.cluster, OpenGuard(), agent=f"{spec.key} preview")


def _diff_one(api: ClusterApi, spec: InstanceSpec, change: Change, found: Preview) -> ObjectDiff:
    key, refusal = change.key, found.refused.get(change.key)
    if change.action is Action.REPLACE or (refusal is not None and not isinstance(refusal, FirstContact)):
        return ObjectDiff(key, change.action, error=refusal)
    live: Raw | None = None
    try:
        if change.manifest is None:
            live = _doomed(api, change)
            return ObjectDiff(key, change.action, tuple(diff.differences(live, None)), exists=live is not None)
        job = contact.job_of(api, change, spec, found.inventory)
        live = job.look()
        return ObjectDiff(key, change.action, takeover.differences(job, live), refusal, exists=live is not None)
    except UndriftError as error:
        return ObjectDiff(key, change.action, error=error, exists=live is not None)


def _doomed(api: ClusterApi, change: Change) -> Raw | None:
    resource = api.discovery().find(change.key.group_kind)
    return api.get(resource, change.key.namespace, change.key.name) if resource else None
