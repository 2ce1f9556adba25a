"""Instances that leave the fleet: announced, given time to come back, and deleted; many at once wait for a person.

Only the removal of an Application's own document, in a fleet that reads cleanly and is not empty, leads to a deletion.
What vanishes by a selector, a label, a cluster or a project waits without limit, and so does everything once more than
max(10, 1 % of the fleet) instances have left within an hour (invariant 6). What looks like a rename waits as well: its
objects are those that the new name is about to declare.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import timedelta

import structlog

from reconciler.fleet import Expansion
from reconciler.model.instance import InstanceKey
from reconciler.model.spec import InstanceSpec
from reconciler.model.status import InstanceStatus
from workers.messages import Lane, Mark, Work
from workers.store import Store
from workers.store.batches import at_most
from workers.store.events import Event
from workers.store.tombstones import Tombstone

log = structlog.get_logger()
HOUR = timedelta(hours=1)
MOST_AN_HOUR, MOST_SHARE = 10, 0.01
HELD = "LeavingHeld"


def announce(
    store: Store, expansion: Expansion, fresh: Collection[InstanceKey], before: Mapping[InstanceKey, InstanceSpec]
) -> None:
    """Decide about instances that have just left, and remind the queue of those that left earlier."""
    now, stones = store.clock.now(), dict(store.tombstones.all())
    for key in stones.keys() & expansion.specs.keys():
        del stones[key]
        store.tombstones.drop(key)
        store.events.append(now, "instance", str(key), "Revived", "its Application was put back; nothing is deleted")
        store.outbox.put(now, "revived", str(key), by="a commit")  # or a loss of Redis would bring its tombstone back
    gone = store.specs.left() | expansion.left
    moved = {key: expansion.moved[key] for key in sorted(gone & expansion.moved.keys())}
    stones |= _hand_over(store, moved, stones)
    removed = sorted((set(fresh) & expansion.removed) - moved.keys() | _leaving_by_move(moved, stones))
    recent = store.tombstones.note_leavings(removed, now, HOUR)
    limit = int(max(MOST_AN_HOUR, MOST_SHARE * (len(expansion.specs) + len(recent))))
    by_project = Counter(key.project for key in recent)
    lookalikes = _lookalikes(expansion, before)
    held: dict[InstanceKey, str] = {}
    for key in removed:
        heirs = moved.get(key, ())
        spec = expansion.specs[heirs[0]] if heirs else before.get(key)
        if spec is None:
            continue  # nothing is known of what it asked for: it waits for a person, as one that vanished does
        allowed = spec.guards.max_leaving_per_hour
        if len(recent) > limit:
            held[key] = _too_many(len(recent), "the fleet", limit)
        elif spec.rules is not None and by_project[key.project] > allowed:
            held[key] = _too_many(by_project[key.project], f"project {key.project}", allowed)
        elif not heirs and (twin := lookalikes.get(_place(spec))) is not None:
            held[key] = _looks_like_a_rename(key, twin)
        else:
            stones[key] = _bury(store, key, spec, heirs)
    _hold(store, held)
    store.due.mark(
        Mark(Work("sync", str(key)), Lane.PERIODIC, "leaving", at_ms=int(stone.due.timestamp() * 1000))
        for key, stone in sorted(stones.items())
    )


def _too_many(count: int, what: str, limit: int) -> str:
    left = f"{count} instances left {what} within an hour, more than {limit}"
    return f"{left}: nothing of them is deleted until a person says so. Put their Applications back"


def _hand_over(
    store: Store, moved: Mapping[InstanceKey, tuple[InstanceKey, ...]], known: Mapping[InstanceKey, Tombstone]
) -> Mapping[InstanceKey, Tombstone]:
    """Those whose heirs run on their own cluster: the heirs take over what they declare, and nothing is deleted. The
    tombstones that were put."""
    now, put = store.clock.now(), dict[InstanceKey, Tombstone]()
    for key, heirs in moved.items():
        here = tuple(one for one in heirs if one.cluster == key.cluster)
        if here and (key not in known or known[key].policy != "HandOver"):
            put[key] = Tombstone(now, now, "HandOver", here)
            store.tombstones.put(key, put[key])
            names = ", ".join(one.short for one in here)
            store.events.append(now, "instance", str(key), "Moving", f"{names} takes its objects over; none is deleted")
            store.outbox.put(now, "moving", str(key), by="a commit", heirs=[str(one) for one in here])
    return put


def _leaving_by_move(
    moved: Mapping[InstanceKey, tuple[InstanceKey, ...]], known: Mapping[InstanceKey, Tombstone]
) -> set[InstanceKey]:
    """Those that moved to other clusters, told for the first time: they go down once their heirs stand."""
    return {
        key
        for key, heirs in moved.items()
        if all(one.cluster != key.cluster for one in heirs) and (key not in known or known[key].heirs != heirs)
    }


def _looks_like_a_rename(key: InstanceKey, twin: InstanceKey) -> str:
    what = f"{twin.short} is new and comes from the same folder, so this looks like a rename"
    project = f"project: {key.project}, " if key.project != twin.project else ""
    way = f"spec.movedFrom: [{{{project}name: {key.application}}}] in the new one makes it one"
    return f"{what}, and its objects are kept. {way}; or give the Application its name back"


def _bury(store: Store, key: InstanceKey, spec: InstanceSpec, heirs: tuple[InstanceKey, ...]) -> Tombstone:
    now = store.clock.now()
    stone = Tombstone(now, now + spec.deletion_grace_period, spec.deletion_policy, heirs)
    store.tombstones.put(key, stone)
    what = "released, its objects stay" if stone.policy == "Orphan" else "deleted"
    why = f"it moved to {', '.join(one.short for one in heirs)}" if heirs else "its Application was removed"
    until = ", once they are healthy there" if heirs else ""
    message = f"{why}; it is {what} at {stone.due:%Y-%m-%d %H:%M:%S} UTC{until} unless that is put back"
    store.events.append(now, "instance", str(key), "Leaving", message)
    store.outbox.put(now, "leaving", str(key), by="a commit", due=stone.due.isoformat(), policy=stone.policy)
    log.info("leaving", instance=str(key), due=stone.due.isoformat(), policy=stone.policy)
    return stone


def _lookalikes(
    expansion: Expansion, before: Mapping[InstanceKey, InstanceSpec]
) -> Mapping[tuple[str, ...], InstanceKey]:
    """What is new in this fleet, by where it comes from and where it runs."""
    return {_place(spec): key for key, spec in expansion.specs.items() if key not in before}


def _place(spec: InstanceSpec) -> tuple[str, ...]:
    return spec.source.repo.url, spec.source.path, spec.cluster.name


def _hold(store: Store, held: Mapping[InstanceKey, str]) -> None:
    """Say of each why it is held. They may be many: that is mostly why."""
    now = store.clock.now()
    messages = {
        key: f"{why}, or run `undrift app delete {key.short} --yes` to delete what it owns" for key, why in held.items()
    }

    def change(key: InstanceKey, status: InstanceStatus) -> InstanceStatus:
        return status.model_copy(update={"phase": "Held", "reason": HELD, "message": messages[key]})

    for some in at_most(messages):
        store.status.amend(store.status.read(some), change)
        store.events.append_all(Event(now.isoformat(), "instance", str(key), HELD, messages[key]) for key in some)
