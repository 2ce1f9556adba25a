"""An instance's status as it reads now: the stored one, put together with what is due, leased, and when it was looked at.

Truth decays: Synced holds only while the newest look at the cluster is young enough, and a cluster that can't be reached
never reads Synced (invariant 15, DESIGN.md §5).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from reconciler.model.brake import Brake, scopes
from reconciler.model.instance import InstanceKey
from reconciler.model.spec import ClusterTarget
from reconciler.model.status import InstanceStatus
from workers.messages import Work
from workers.store.store import Store
from workers.store.tombstones import Tombstone

INTERVALS_UNTIL_STALE = 3


def statuses(store: Store) -> dict[InstanceKey, InstanceStatus]:
    """Every instance of the fleet, and those that left it and still own objects, in the order of their keys."""
    return dict(each(store, store.due.states()))


def each(store: Store, due: Mapping[Work, tuple[str, int]]) -> Iterator[tuple[InstanceKey, InstanceStatus]]:
    """The same one by one, few at a time in memory; `due` is what `DueQueue.states` says."""
    left, keys = store.specs.left(), store.specs.instance_keys()
    scans, clusters = store.status.scans(), store.specs.clusters()
    claimed = store.due.reasons(work for work, (state, _) in due.items() if state == "claimed")
    now, brakes, stones = store.clock.now(), store.brakes.all(), store.tombstones.all()
    heads, sources = store.closures.heads(), store.specs.source_words()
    opened = store.closures.open_anywhere({words.partition("\n")[0] for words in heads})
    opens_ms = {name: _opens_ms(until, due.get(Work("scan", name))) for name, until in store.due.shut_until().items()}
    for key, status in store.status.each(keys | left | store.status.known()):
        if key not in keys and key not in left and status.reason != "LeftTheFleet":
            continue
        if status.sync == "Synced" and (head := heads.get(sources.get(key, ""))) and head != status.applied_revision:
            # What later commits did not concern is as they say, too; one that does concern it is still to be applied.
            status = status.model_copy(update={"sync": "Unknown"} if key in opened else {"applied_revision": head})
        status = _with_work(status, due.get(Work("sync", str(key))), now, opens_ms.get(key.cluster, 0))
        if reasons := claimed.get(Work("sync", str(key))):
            status = status.model_copy(update={"message": f"syncing: {', '.join(reasons)}"})
        if key in left and status.reason != "Deleting":
            status = _left(status, key, stones.get(key))
        if (brake := _brake(key, brakes, now)) is not None:
            update = {"phase": "Paused", "reason": brake.kind, "message": brake.sentence, "next_try": brake.until}
            status = status.model_copy(update=update)
        yield key, _aged(status, clusters.get(key.cluster), scans.get(key.cluster, {}), now)


def seen(store: Store, keys: Collection[InstanceKey]) -> Mapping[InstanceKey, InstanceStatus]:
    """These as they read now by when their clusters were looked at, whatever is due or leased."""
    names = {key.cluster for key in keys}
    targets, scans = {one: store.specs.cluster(one) for one in names}, {one: store.status.scan(one) for one in names}
    now = store.clock.now()
    return {
        key: _aged(status, targets[key.cluster], scans[key.cluster], now)
        for key, status in store.status.many(keys).items()
    }


def _brake(key: InstanceKey, brakes: Mapping[str, Brake], now: datetime) -> Brake | None:
    """The widest freeze or pause in force over an instance."""
    found = (brakes.get(scope) for scope in scopes(key)) if brakes else ()
    return next((one for one in found if one is not None and not one.is_over(now)), None)


def _opens_ms(until_ms: int, scan: tuple[str, int] | None) -> int:
    """When a cluster that is spared is asked again: by its scan, or when the time is over that it asked for."""
    return min(until_ms, scan[1]) if scan else until_ms


def _with_work(status: InstanceStatus, work: tuple[str, int] | None, now: datetime, opens_ms: int) -> InstanceStatus:
    """The phase by what the queue says, and when it is tried next; not before its cluster is asked again."""
    if work is None:
        return status if status.phase != "Syncing" else status.model_copy(update={"phase": "Queued"})
    state, at_ms = work
    if state == "due":
        at_ms = max(at_ms, opens_ms)
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    if state == "claimed":
        return status.model_copy(update={"phase": "Syncing"})
    if state == "granted" or at <= now:
        return status.model_copy(update={"phase": "Queued"}) if status.phase in ("Idle", "Syncing") else status
    phase = "Queued" if status.phase == "Syncing" else status.phase
    return status.model_copy(update={"next_try": at, "phase": phase})


def _left(status: InstanceStatus, key: InstanceKey, stone: Tombstone | None) -> InstanceStatus:
    if status.reason in ("LeavingHeld", "LeftBehind"):
        return status.model_copy(update={"sync": "Unknown", "phase": "Held"})
    if stone is not None:
        what = "released" if stone.policy == "Orphan" else "deleted"
        if stone.policy == "HandOver":
            message = f"{_names(stone.heirs)} takes its objects over; none of them is deleted"
            return status.model_copy(
                update={"sync": "Unknown", "phase": "Waiting", "reason": "Moving", "message": message}
            )
        why = "its Application was removed"
        if stone.heirs:
            why = f"it moved to {_names(stone.heirs)} and goes only once that is healthy"
        message = (
            f"{why}; it is {what} at {stone.due:%Y-%m-%d %H:%M:%S} UTC unless it is put back. "
            f"`undrift app pause {key.short}` stops it, `undrift app delete {key.short} --yes` does it now"
        )
        update = {"sync": "Unknown", "phase": "Waiting", "reason": "Leaving", "message": message, "next_try": stone.due}
        return status.model_copy(update=update)
    message = (
        f"no fleet file defines it any more; its objects are kept. Put its Application back, or run "
        f"`undrift app delete {key.short} --yes`"
    )
    return status.model_copy(update={"sync": "Unknown", "phase": "Idle", "reason": "LeftTheFleet", "message": message})


def _names(keys: Collection[InstanceKey]) -> str:
    return ", ".join(key.short for key in keys)


def _aged(
    status: InstanceStatus, target: ClusterTarget | None, scan: Mapping[str, Any], now: datetime
) -> InstanceStatus:
    """Synced only while somebody has looked lately."""
    if scan.get("error") and status.reason != "LeftTheFleet":
        update: dict[str, object] = {"sync": "Unknown", "stale": True, "health": _old_health(status)}
        if scan.get("reason") == "ClusterIdentityChanged":
            update |= {"phase": "Held", "reason": scan["reason"], "message": str(scan["error"])}
        elif status.phase in ("Idle", "Queued"):
            update |= {"reason": "Unreachable", "message": str(scan["error"])}
        return status.model_copy(update=update)
    seen = [at for at in (status.observed_at, status.last_sync) if at is not None]
    if status.sync == "Synced" and target is not None and seen:
        age_s = (now - max(seen)).total_seconds()
        if age_s > INTERVALS_UNTIL_STALE * target.drift.every.total_seconds() + 5:
            return status.model_copy(update={"sync": "Unknown", "stale": True, "health": _old_health(status)})
    return status


def _old_health(status: InstanceStatus) -> str:
    """What was well when it was last seen may be so no more; what was not is told on."""
    return status.health if status.health in ("Degraded", "Missing") else "Unknown"
