"""Removes an instance that left the fleet: its objects in reverse order, confirmed, then its inventory.

Only on a person's word (`undrift app delete --yes`). The rules of prune hold for every single object; the brakes do not,
since the person was shown the whole list. Objects that are still going (finalizers) keep the inventory in place, and the
next pass looks again.
"""

from __future__ import annotations

from dataclasses import dataclass

from reconciler import apply
from reconciler.model.changeset import ChangeSet, Result
from reconciler.model.instance import InstanceKey
from reconciler.model.inventory import Intent, Inventory
from reconciler.model.manifest import ObjectKey
from reconciler.model.plan import Action, Cause, Change
from reconciler.model.record import Memory
from reconciler.model.spec import ClusterTarget
from reconciler.objects import order
from reconciler.pipeline.rooms import Rooms
from reconciler.ports import Guard


@dataclass(frozen=True, slots=True)
class TeardownReport:
    """What a teardown did. `remaining` are members that still exist, each with why; empty when all is gone."""

    changes: ChangeSet
    remaining: tuple[tuple[ObjectKey, str], ...] = ()

    @property
    def is_done(self) -> bool:
        return not self.remaining


def teardown(
    key: InstanceKey, target: ClusterTarget, memory: Memory, guard: Guard, rooms: Rooms, *, orphans: bool = False
) -> TeardownReport:
    """Delete what an instance owns, and forget it when nothing is left. With `orphans` only forget it.

    Raises the ClusterErrors and InventoryError; what was deleted until then stays deleted, and the next pass goes on.
    """
    api = rooms.clusters.api(target, guard, agent=f"{key} fence={guard.fence}")
    stored = rooms.inventories.read(api, key)
    if not stored.exists:
        return TeardownReport(ChangeSet())
    inventory = stored.flushed(memory.unflushed, memory.unflushed_entry)
    intent = Intent(guard.fence, "", "", rooms.clock.now())
    inventory = rooms.inventories.begin(api, key, inventory, intent, {})
    if orphans:
        rooms.inventories.delete(api, key, inventory)
        return TeardownReport(ChangeSet())
    changes = apply.prune(api, members_to_delete(inventory), key=key, inventory=inventory)
    remaining = tuple((found.key, _why(found.note, found.error)) for found in changes if _remains(found.result))
    if not remaining:
        rooms.inventories.delete(api, key, inventory)
    return TeardownReport(changes, remaining)


def members_to_delete(inventory: Inventory) -> tuple[Change, ...]:
    """Every member, dependants before what they depend on. Adopted ones existed before us and stay."""
    ours = [key for key, member in inventory.members.items() if not member.adopted]
    return tuple(Change(key, Action.DELETE, Cause.STALE) for key in order.deletion_order(ours))


def _remains(result: Result) -> bool:
    return result in (Result.DELETING, Result.FAILED)


def _why(note: str, error: Exception | None) -> str:
    return note or (str(error) if error else "still being deleted")
