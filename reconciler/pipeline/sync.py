"""One pass from source to status: the sentence that the rest of the engine spells out.

A pass takes an instance's spec and what is remembered of it, and returns a record, also when it fails. It never waits:
while objects are still settling the record says so and when to look again. Killed anywhere, it leaves work that the next
pass completes: before the first write to a member, the inventory names everything that may come to exist.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from reconciler import apply, cluster, plan
from reconciler.errors import GitUnreachable, InventoryNotRead, UnknownKind
from reconciler.model.changeset import ChangeSet
from reconciler.model.inventory import Intent, Inventory, Member
from reconciler.model.live import Observation
from reconciler.model.manifest import ManifestSet, ObjectKey
from reconciler.model.plan import Plan, Wave
from reconciler.model.record import Memory, Order, SyncRecord
from reconciler.model.revision import Checkout
from reconciler.model.spec import InstanceSpec
from reconciler.objects import scope
from reconciler.pipeline import contact, generated
from reconciler.pipeline.bound import Bound
from reconciler.pipeline.notes import Notes
from reconciler.pipeline.rooms import Rooms
from reconciler.ports import ClusterApi, Guard


def sync(spec: InstanceSpec, order: Order, memory: Memory, guard: Guard, rooms: Rooms) -> SyncRecord:
    """Bring one instance one step nearer to its declared state. Returns a record even when it fails.

    Raises LeaseError when the right to run was lost: then nothing more was written, and there is nothing to record.
    """
    notes = Notes(spec, order, memory, guard.fence, rooms.clock)
    bound = Bound(guard, rooms.clock)
    with notes.catching():
        api = rooms.clusters.api(spec.cluster, bound, agent=f"{spec.key} fence={guard.fence}")
        notes.counting(lambda: api.codes)
        cluster.require_identity(api, order.cluster_uid)
        desk = Desk(api, spec, order, notes, rooms, bound)
        if order.is_first and may_write(api, spec, order):
            try:
                bring_nearer(rooms.inventories.presumed(), desk)
            except InventoryNotRead:  # it was here before
                bring_nearer(read_inventory(api, spec, memory, rooms), desk)
        else:
            bring_nearer(read_inventory(api, spec, memory, rooms), desk)
    return notes.record()


@dataclass(frozen=True, slots=True)
class Desk:
    """What the steps of a pass need at hand."""

    api: ClusterApi
    spec: InstanceSpec
    order: Order
    notes: Notes
    rooms: Rooms
    bound: Bound


def bring_nearer(inventory: Inventory, desk: Desk) -> None:
    """Render, look, decide, and carry out. Raises InventoryNotRead when a presumed inventory does not do: nothing was
    written then."""
    notes, rooms = desk.notes, desk.rooms
    notes.read(inventory)
    desired = render(desk.api, desk.spec, desk.order, inventory, notes, rooms)
    with notes.step("observe"):
        seen = cluster.observe(desk.api, inventory, desk.spec.key, rooms.clock)
    with notes.step("plan"):
        decided = plan.make_plan(
            desired,
            inventory,
            seen,
            spec=desk.spec,
            order=desk.order,
            heals=notes.memory.heals,
            now=rooms.clock.now(),
        )
    if inventory.is_presumed and decided.is_noop:
        raise InventoryNotRead(f"{desk.spec.key.short}: there is nothing to create by which to learn that it is new")
    waits = bool(decided.holds) and desk.spec.guards.hold == "Plan"
    if waits and may_write(desk.api, desk.spec, desk.order):
        decided = with_what_exists(decided, inventory, seen, desk)
        waits = bool(decided.holds)
    notes.planned(desired, inventory, seen, decided)
    closes = inventory.is_unfinished and decided.is_noop  # a sync that was lost before it could tell that all stands
    if waits or (decided.is_noop and not closes):
        return
    if may_write(desk.api, desk.spec, desk.order):
        carry_out(decided, inventory, desk)
    else:
        notes.looked(contact.existing(desk.api, decided))


def with_what_exists(decided: Plan, inventory: Inventory, seen: Observation, desk: Desk) -> Plan:
    """A plan that is held as a whole, with what applying it would find: what a person approves is all of it, under the id
    that `app plan` shows, since nothing is applied before. Without its holds when exactly that was approved."""
    met = contact.meet(desk.api, desk.spec, desk.order, decided, inventory, seen)
    if met.plan.id == desk.order.approved_plan:
        return replace(decided, holds=())
    return replace(decided, holds=met.plan.holds, first_contact=met.plan.first_contact, replaced=met.plan.replaced)


def render(
    api: ClusterApi, spec: InstanceSpec, order: Order, inventory: Inventory, notes: Notes, rooms: Rooms
) -> ManifestSet:
    """The desired objects of an instance, each with the namespace it will live in."""
    with notes.step("fetch"), checkout(spec, order, inventory, rooms) as found:
        notes.fetched(found.revision)
        with notes.step("render"):
            desired = rooms.renderer.render(found, spec, api.discovery(), is_anew=order.full)
        try:
            placed = scope.place(desired, api.discovery(), spec.namespace)
        except UnknownKind:  # its CRD may have come since we last looked
            placed = scope.place(desired, api.discovery(refresh=True), spec.namespace)
        return generated.keep(api, placed, spec.render.helm.keep_generated)


@contextmanager
def checkout(spec: InstanceSpec, order: Order, inventory: Inventory, rooms: Rooms) -> Iterator[Checkout]:
    """The files at the ordered commit, or at the ref's newest one. A Git host that is away does not stop a heal: then
    the commit that was applied last is taken from the mirror."""
    source, commit = spec.source, order.commit
    if commit is None:
        try:
            commit = rooms.source.resolve(source.repo, source.ref).commit
        except GitUnreachable:
            if inventory.applied is None:
                raise
            commit = inventory.applied.revision
    with rooms.source.checkout(source, commit) as found:
        yield found


def read_inventory(api: ClusterApi, spec: InstanceSpec, memory: Memory, rooms: Rooms) -> Inventory:
    """The inventory with what the sync before has not flushed yet.

    When its parent was deleted under us it is rebuilt from the objects that are provably ours; the plan of that pass
    prunes nothing, as nothing it finds was known to be stale before.
    """
    inventory = rooms.inventories.read(api, spec.key)
    if not inventory.exists and memory.unflushed is not None:
        return rooms.inventories.rebuild(api, spec.key, {key.group_kind for key in memory.unflushed.proofs})
    return inventory.flushed(memory.unflushed, memory.unflushed_entry)


def may_write(api: ClusterApi, spec: InstanceSpec, order: Order) -> bool:
    """Whether this pass may change the cluster at all."""
    if order.brake is not None or api.is_read_only or spec.sync.mode == "Observe":
        return False
    return spec.sync.mode == "Auto" or order.by_operator


def carry_out(decided: Plan, inventory: Inventory, desk: Desk) -> None:
    """Write the inventory once, apply wave by wave, settle what that has found, and prune what nobody holds."""
    with desk.notes.step("begin"):
        inventory = begin(decided, inventory, desk)
    with desk.notes.step("apply"), desk.bound.within(desk.spec.sync.apply_timeout.total_seconds()):
        for wave in decided.waves:
            desk.notes.applied(apply_wave(wave, inventory, desk))
        decided = settle_found(decided, inventory, desk)
    if decided.prune and desk.notes.may_prune(decided):
        with desk.notes.step("prune"):
            desk.notes.applied(apply.prune(desk.api, decided.prune, key=desk.spec.key, inventory=inventory))


def begin(decided: Plan, inventory: Inventory, desk: Desk) -> Inventory:
    """The inventory as written before the first member write: our fence, what we mean to do, and the union of members.

    A new member's `since` is the API server's own time, cut to the second as creation timestamps are, so that an object
    that existed before can be told from one that we made.
    """
    now = desk.api.server_time() or desk.rooms.clock.now()
    since = now.replace(microsecond=0)
    before = earlier_members(desk)
    new = {
        change.key: before.get(change.key, Member(since))
        for wave in decided.waves
        for change in wave.changes
        if change.key not in inventory.members
    }
    intent = Intent(desk.notes.fence, desk.notes.commit, decided.digest, desk.rooms.clock.now())
    written = desk.rooms.inventories.begin(desk.api, desk.spec.key, inventory, intent, new)
    desk.notes.begun()
    return written


def earlier_members(desk: Desk) -> dict[ObjectKey, Member]:
    """What the instance owned under its former names: since when, and what it had adopted."""
    found: dict[ObjectKey, Member] = {}
    for former in desk.spec.formers:
        found |= desk.rooms.inventories.read(desk.api, former).members
    return found


def apply_wave(wave: Wave, inventory: Inventory, desk: Desk) -> ChangeSet:
    changes = apply.apply_wave(
        desk.api,
        wave,
        inventory=inventory,
        create_namespace=desk.spec.namespace if desk.spec.sync.create_namespace else None,
        **contact.apply_options(desk.spec),
    )
    return desk.bound.told(changes)


def settle_found(decided: Plan, inventory: Inventory, desk: Desk) -> Plan:
    """The plan with the objects that turned out to exist already, or to need replacing; adopted and replaced now where the
    brakes let that through, or a person approved exactly that."""
    notes = desk.notes
    met, replaced = notes.first_contact, notes.needing_replacement
    if not met and not replaced:
        return decided
    assert notes.seen is not None  # nothing is applied before a look
    guards, approved = desk.spec.guards, desk.order.approved_plan
    decided = plan.with_found(
        decided, met, replaced, inventory, notes.seen, guards=guards, approved=approved, briefs=notes.briefs
    )
    notes.replanned(decided)
    for wave in decided.waves:
        notes.applied(apply_wave(wave, inventory, desk))
    return decided
