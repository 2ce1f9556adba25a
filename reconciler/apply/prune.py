"""Deletes stale members, each only after a fresh look has shown that it is ours (invariant 5).

The plan says what may go; this room still refuses. An object is deleted only if its key is in the inventory, it carries
our part-of label, our own Apply entry owns that label (controllers copy labels), no controller owns it, and it is not
older than its membership. A Namespace or a CRD goes only when nothing else would go with it (`apply.contents`). It is kept
in the trash first, and the delete carries the uid and resourceVersion just read. One at a time and in order: the deletions
of a pass are few, and an error must stop what depends on it.
"""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.apply import contents, inventories, trash
from reconciler.errors import FencedOut, LeaseError, NotEmpty, PreconditionFailed, UndriftError
from reconciler.model.changeset import ChangeSet, Outcome, Result
from reconciler.model.instance import InstanceKey
from reconciler.model.inventory import NEVER_PRUNED, Inventory
from reconciler.model.manifest import ObjectKey, Raw
from reconciler.model.plan import Change
from reconciler.objects import applyset, keys, managedfields
from reconciler.objects.kinds import controller, created, told_to_stay
from reconciler.ports import ClusterApi


def prune(api: ClusterApi, changes: Sequence[Change], *, key: InstanceKey, inventory: Inventory) -> ChangeSet:
    """Delete what the plan lists; the outcomes in its order. Stops at the first failure, leaving the rest for later; only
    what is not empty stops nothing, since what goes after it is judged by what it holds itself.

    Raises FencedOut when another run has taken over since the inventory was written.
    """
    if not changes:
        return ChangeSet()
    require_fence(api, key, inventory)
    outcomes: list[Outcome] = []
    for change in changes:
        outcomes.append(_prune_one(api, change, key, inventory, outcomes))
        error = outcomes[-1].error
        if error is not None and not isinstance(error, NotEmpty):
            break
    return ChangeSet(tuple(outcomes))


def require_fence(api: ClusterApi, key: InstanceKey, inventory: Inventory) -> None:
    """Raises FencedOut when another run has written the inventory since this one did."""
    found = inventories.read_fence(api, key)
    if found != inventory.fence:
        raise FencedOut(f"{key.short}: fence {found} stands in the inventory, ours is {inventory.fence}", fence=found)


def _prune_one(
    api: ClusterApi, change: Change, key: InstanceKey, inventory: Inventory, before: Sequence[Outcome]
) -> Outcome:
    try:
        return _look_and_delete(api, change, key, inventory, before)
    except LeaseError:
        raise
    except PreconditionFailed:
        return Outcome(change, Result.DELETING, note="it changed while we looked; the next pass looks again")
    except UndriftError as error:
        return Outcome(change, Result.FAILED, error=error)


def _look_and_delete(
    api: ClusterApi, change: Change, key: InstanceKey, inventory: Inventory, before: Sequence[Outcome]
) -> Outcome:
    subject = change.key
    resource = api.discovery().find(subject.group_kind)
    if resource is None:
        return Outcome(change, Result.DELETING, note="its kind is not served now; nothing is concluded from that")
    live = api.get(resource, subject.namespace, subject.name)
    if live is None:
        return Outcome(change, Result.GONE)
    if why := why_not_ours(live, subject, key, inventory):
        return Outcome(change, Result.LEFT, live=live, note=why)
    meta = live["metadata"]
    if meta.get("deletionTimestamp"):
        return Outcome(change, Result.DELETING, live=live, note=_waits(live))
    if going := contents.look_inside(api, live, before):
        return Outcome(change, Result.DELETING, live=live, note=going)
    trash.keep(api, live, key)
    api.delete(
        resource, subject.namespace, subject.name, uid=str(meta["uid"]), resource_version=str(meta["resourceVersion"])
    )
    left = api.get(resource, subject.namespace, subject.name, metadata_only=True)
    if left is None or left["metadata"]["uid"] != meta["uid"]:
        return Outcome(change, Result.DELETED)
    return Outcome(change, Result.DELETING, live=left, note=_waits(left))


def why_not_ours(live: Raw, subject: ObjectKey, key: InstanceKey, inventory: Inventory) -> str:
    """Why an existing object must not be deleted as this instance's; empty when it may."""
    meta = live["metadata"]
    member = inventory.members.get(subject)
    if member is None:
        return "it is not in the inventory"
    if member.adopted or created(live) < member.since:
        return NEVER_PRUNED
    if (meta.get("labels") or {}).get(keys.PART_OF) != applyset.part_of(key):
        return "it does not carry our part-of label any more"
    if not managedfields.owns_label(live, key.manager, keys.PART_OF):
        return "its part-of label was not put there by us"
    if controller(live):
        return "a controller owns it"
    return told_to_stay(live)


def _waits(live: Raw) -> str:
    finalizers = ", ".join(live["metadata"].get("finalizers") or ())
    return f"being deleted, waits for finalizers {finalizers}" if finalizers else "being deleted"
