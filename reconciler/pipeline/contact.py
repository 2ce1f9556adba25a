"""What activating an instance would mean: for each object whether it would be made, changed, taken over, left or deleted.

A plan alone can't say: an object that is to be created may exist already, which a sync learns when the API server refuses
to create it. Here each is looked up, metadata only. Nothing is written.
"""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.apply import adopt
from reconciler.cluster import OpenGuard
from reconciler.errors import FirstContact, OwnedByAnother
from reconciler.model.manifest import ObjectKey
from reconciler.model.plan import Action, Change
from reconciler.model.spec import InstanceSpec
from reconciler.pipeline.preview import Preview
from reconciler.pipeline.rooms import Rooms
from reconciler.ports import ClusterApi


@dataclass(frozen=True, slots=True)
class Contact:
    """What would become of one object, and why where it is left alone: `create`, `change`, `adopt`, `hold`, `delete`."""

    key: ObjectKey
    action: str
    why: str = ""


def contacts(spec: InstanceSpec, found: Preview, rooms: Rooms) -> tuple[Contact, ...]:
    """Every object that a sync would touch, or would have to ask about. One request for each that is to be created."""
    api = rooms.clusters.api(spec.cluster, OpenGuard(), agent=f"{spec.key} first contact")
    return tuple(_contact(api, spec, change) for change in found.plan.changes)


def _contact(api: ClusterApi, spec: InstanceSpec, change: Change) -> Contact:
    if change.action is Action.DELETE:
        return Contact(change.key, "delete")
    if change.action is not Action.CREATE:
        return Contact(change.key, "change", str(change.cause))
    resource = api.discovery().find(change.key.group_kind)
    live = api.get(resource, change.key.namespace, change.key.name, metadata_only=True) if resource else None
    if live is None:
        return Contact(change.key, "create")
    if adopt.is_ours(live, spec.key):
        return Contact(change.key, "change", "it is ours already")
    if adopt.former_of(live, spec.key, spec.formers) is not None:
        return Contact(change.key, "change", "it moves here from its former name")
    try:
        adopt.require_allowed(live, spec.key, change.key, spec.sync.adopt)
    except (FirstContact, OwnedByAnother) as error:
        return Contact(change.key, "hold", error.message)
    return Contact(change.key, "adopt", "it exists, and nobody claims it")
