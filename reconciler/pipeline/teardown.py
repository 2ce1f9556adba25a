"""Removes an instance that left the fleet: its objects in reverse order, confirmed, then its inventory.

Only on a person's word (`undrift app delete --yes`), or when the grace after its Application's removal is over. The rules
of prune hold for every single object; the brakes do not, since a person saw the list or could have. Objects that are
still going (finalizers) keep the inventory in place, and the next pass looks again. What moved is handed over instead.
"""

from __future__ import annotations

from dataclasses import dataclass

from reconciler import apply, cluster
from reconciler.errors import InventoryError, NotEmpty
from reconciler.model.changeset import ChangeSet, Result
from reconciler.model.instance import InstanceKey
from reconciler.model.inventory import Intent, Inventory
from reconciler.model.manifest import ObjectKey
from reconciler.model.plan import Action, Cause, Change
from reconciler.model.record import Memory
from reconciler.model.spec import ClusterTarget
from reconciler.objects import order
from reconciler.pipeline.rooms import Rooms
from reconciler.ports import ClusterApi, Guard


@dataclass(frozen=True, slots=True)
class TeardownReport:
    """What a teardown did. `remaining` are members that still exist, each with why; empty when all is gone."""

    changes: ChangeSet
    remaining: tuple[tuple[ObjectKey, str], ...] = ()

    @property
    def refusal(self) -> NotEmpty | None:
        """Why it will not go on by itself: what it would delete holds what is to stay."""
        return next((found.error for found in self.changes if isinstance(found.error, NotEmpty)), None)

    @property
    def is_done(self) -> bool:
        return not self.remaining


def teardown(
    key: InstanceKey, target: ClusterTarget, memory: Memory, guard: Guard, rooms: Rooms, *, pinned: str = ""
) -> TeardownReport:
    """Delete what an instance owns, and forget it when nothing is left.

    Raises the ClusterErrors and InventoryError; what was deleted until then stays deleted, and the next pass goes on.
    """
    api, inventory = _begun(key, target, memory, guard, rooms, pinned)
    if inventory is None:
        return TeardownReport(ChangeSet())
    changes = apply.prune(api, members_to_delete(inventory), key=key, inventory=inventory)
    remaining = tuple((found.key, _why(found.note, found.error)) for found in changes if _remains(found.result))
    if not remaining:
        rooms.inventories.delete(api, key, inventory)
    return TeardownReport(changes, remaining)


def release(
    key: InstanceKey, target: ClusterTarget, memory: Memory, guard: Guard, rooms: Rooms, *, pinned: str = ""
) -> TeardownReport:
    """Forget an instance, and leave its objects as they are."""
    api, inventory = _begun(key, target, memory, guard, rooms, pinned)
    if inventory is not None:
        rooms.inventories.delete(api, key, inventory)
    return TeardownReport(ChangeSet())


def hand_over(
    key: InstanceKey, target: ClusterTarget, memory: Memory, guard: Guard, rooms: Rooms, *, pinned: str = ""
) -> TeardownReport:
    """Forget an instance whose objects another name has taken over. Those that it still holds remain, and it with them."""
    api, inventory = _begun(key, target, memory, guard, rooms, pinned)
    if inventory is None:
        return TeardownReport(ChangeSet())
    seen = cluster.observe(api, inventory, key, rooms.clock)
    ours = [
        found
        for found, member in sorted(inventory.members.items())
        if not member.adopted and (found in seen.live or found.group_kind in seen.unseen)
    ]
    if not ours:
        rooms.inventories.delete(api, key, inventory)
    return TeardownReport(ChangeSet(), tuple((found, "no other name has taken it over") for found in ours))


def _begun(
    key: InstanceKey, target: ClusterTarget, memory: Memory, guard: Guard, rooms: Rooms, pinned: str
) -> tuple[ClusterApi, Inventory | None]:
    """The inventory with our fence in it; None when there is none. `pinned` is who the cluster was at first contact."""
    api = rooms.clusters.api(target, guard, agent=f"{key} fence={guard.fence}")
    cluster.require_identity(api, pinned)
    stored = rooms.inventories.read(api, key)
    if not stored.exists and memory.unflushed is not None and memory.unflushed.proofs:
        raise InventoryError(
            f"{key.short}: its inventory is gone from the cluster, and with it the proof of what may be deleted; nothing "
            f"was. Delete its {len(memory.unflushed.proofs)} objects by hand, or put its Application back",
            subject=key,
        )
    if not stored.exists:
        return api, None
    inventory = stored.flushed(memory.unflushed, memory.unflushed_entry)
    intent = Intent(guard.fence, "", "", rooms.clock.now())
    return api, rooms.inventories.begin(api, key, inventory, intent, {})


def members_to_delete(inventory: Inventory) -> tuple[Change, ...]:
    """Every member, dependants before what they depend on. Adopted ones existed before us and stay."""
    ours = [key for key, member in inventory.members.items() if not member.adopted]
    return tuple(Change(key, Action.DELETE, Cause.STALE) for key in order.deletion_order(ours))


def _remains(result: Result) -> bool:
    return result in (Result.DELETING, Result.FAILED)


def _why(note: str, error: Exception | None) -> str:
    return note or (str(error) if error else "still being deleted")
