"""An instance's status as it reads now: the stored one, put together with what is due, leased, and when it was looked at.

Truth decays: Synced holds only while the newest look at the cluster is young enough, and a cluster that can't be reached
never reads Synced (invariant 15, DESIGN.md §5).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from reconciler.model.brake import Brake, scopes
from reconciler.model.instance import InstanceKey
from reconciler.model.spec import ClusterTarget
from reconciler.model.status import InstanceStatus
from workers.messages import Work
from workers.store.batches import AT_ONCE, at_most
from workers.store.closures import url_in
from workers.store.status import Read
from workers.store.store import Store
from workers.store.tombstones import Tombstone

INTERVALS_UNTIL_STALE = 3
LATEST_MS = int(datetime(9999, 1, 1, tzinfo=UTC).timestamp() * 1000)
"""What is due later is told as due then: one time that no calendar has must not hide all others."""


@dataclass(frozen=True, slots=True)
class _Around:
    """What some statuses are put together with, read after them: a sync that ends in between has left a status that is older
    than all of this, and never one that is newer."""

    now: datetime
    fleet: Collection[InstanceKey]
    left: Collection[InstanceKey]
    stones: Mapping[InstanceKey, Tombstone]
    heads: Mapping[InstanceKey, str]
    """The commits through which they were judged, of those that read another as applied."""
    pending: Collection[InstanceKey]
    """Those that read Synced and of which something else may be wanted by now."""
    work: Mapping[Work, tuple[str, int]]
    reasons: Mapping[Work, tuple[str, ...]]
    opens_ms: Mapping[str, int]
    brakes: Mapping[str, Brake]
    scans: Mapping[str, Mapping[str, Any]]
    targets: Mapping[str, ClusterTarget | None]


def statuses(store: Store, keys: Collection[InstanceKey] | None = None) -> dict[InstanceKey, InstanceStatus]:
    """Every instance of the fleet, and those that left it and still own objects, in the order of their keys; or those of
    `keys` that are so, of which alone something is read."""
    if keys is None or len(keys) > AT_ONCE:  # the whole queue is read sooner than so many works one by one
        return dict(each(store, store.queued.states(), keys))
    works = [Work("sync", str(key)) for key in keys] + [Work("scan", name) for name in {key.cluster for key in keys}]
    return dict(each(store, store.queued.states_of(works), keys))


def each(
    store: Store, due: Mapping[Work, tuple[str, int]], keys: Collection[InstanceKey] | None = None
) -> Iterator[tuple[InstanceKey, InstanceStatus]]:
    """The same one by one, few at a time in memory. `due` is what `Queued.states` says.

    It may be older than the statuses, by seconds in a large fleet. What it calls leased is asked anew, so nothing reads
    Syncing once it ended. What it calls due may have been synced since: that reads Queued a little too long. What has come
    due since reads Idle.
    """
    if keys is None:
        keys = store.specs.instance_keys() | store.specs.left() | store.status.known()
    targets = dict[str, ClusterTarget | None]()  # another one comes only with another fleet
    for some in at_most(sorted(keys)):
        read = store.status.read(some)
        around = _around(store, read, due, targets)
        for key, (_, status) in read.items():
            if key in around.fleet or key in around.left or status.reason == "LeftTheFleet":
                yield key, _told(key, status, around)


def _around(
    store: Store,
    stored: Mapping[InstanceKey, Read],
    due: Mapping[Work, tuple[str, int]],
    targets: dict[str, ClusterTarget | None],
) -> _Around:
    works = {work: due[work] for work in (Work("sync", str(key)) for key in stored) if work in due}
    leased = [work for work, (state, _) in works.items() if state != "due"]
    for work in leased:
        del works[work]
    works |= store.queued.states_of(leased)
    fleet, left = store.specs.standing(stored)
    # The heads before what is open: a commit opens what it concerns before it becomes a head.
    heads, sources = store.closures.heads(), store.specs.words_of(stored)
    synced = {key: status for key, (_, status) in stored.items() if key in sources and status.sync == "Synced"}
    behind = {
        key: head
        for key, status in synced.items()
        if (head := heads.get(sources[key])) and head != status.applied_revision
    }
    names = {key.cluster for key in stored}
    targets |= {name: store.specs.cluster(name) for name in names if name not in targets}
    shut = store.queued.shut_until()
    return _Around(
        now=store.clock.now(),
        fleet=fleet,
        left=left,
        stones=store.tombstones.many(left),
        heads=behind,
        pending=_pending(store, synced, {key: url_in(sources[key]) for key in synced}, works, stored),
        work=works,
        reasons=store.queued.reasons(work for work, (state, _) in works.items() if state == "claimed"),
        opens_ms={name: _opens_ms(shut[name], due.get(Work("scan", name))) for name in names & shut.keys()},
        brakes=store.brakes.all(),
        scans=store.looks.scans(names),
        targets=targets,
    )


def _pending(
    store: Store,
    synced: Mapping[InstanceKey, InstanceStatus],
    urls: Mapping[InstanceKey, str],
    works: Mapping[Work, tuple[str, int]],
    stored: Mapping[InstanceKey, Read],
) -> frozenset[InstanceKey]:
    """Those that wait for a look at their repository, are open and not yet synced since, or were synced as this was read,
    and may have ended otherwise."""
    now_ms, opened = store.due.now_ms(), store.closures.open_of(urls)
    found = {key for key, commit in opened.items() if commit != synced[key].applied_revision}
    # `works` may be older than that they were opened: made due for another spec at the same commit.
    asked = {key: Work("sync", str(key)) for key in opened.keys() - found}
    known = {**works, **store.queued.states_of(one for one in asked.values() if one not in works)}
    for key, work in asked.items():
        state, at_ms = known.get(work, ("due", now_ms + 1))
        if state != "due" or at_ms <= now_ms:
            found.add(key)
    found |= store.unjudged.of(urls)
    again = store.status.read(synced, stored)
    return frozenset(found | {key for key, (_, status) in again.items() if status.fence != synced[key].fence})


def _told(key: InstanceKey, status: InstanceStatus, around: _Around) -> InstanceStatus:
    if key in around.pending:
        status = status.model_copy(update={"sync": "Unknown"})
    elif key in around.heads:  # what later commits did not concern is as they say, too
        status = status.model_copy(update={"applied_revision": around.heads[key]})
    work = Work("sync", str(key))
    status = _with_work(status, around.work.get(work), around.now, around.opens_ms.get(key.cluster, 0))
    if reasons := around.reasons.get(work):
        status = status.model_copy(update={"message": f"syncing: {', '.join(reasons)}"})
    if key in around.left and status.reason != "Deleting":
        status = _left(status, key, around.stones.get(key))
    if (brake := _brake(key, around.brakes, around.now)) is not None:
        braked = {"phase": "Paused", "reason": brake.kind, "message": brake.sentence, "next_try": brake.until}
        status = status.model_copy(update=braked)
    return _aged(status, around.targets[key.cluster], around.scans.get(key.cluster, {}), around.now)


def seen(store: Store, keys: Collection[InstanceKey]) -> Mapping[InstanceKey, InstanceStatus]:
    """These as they read now by when their clusters were looked at, whatever is due or leased."""
    names = {key.cluster for key in keys}
    targets, scans = {one: store.specs.cluster(one) for one in names}, {one: store.looks.scan(one) for one in names}
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
    at = datetime.fromtimestamp(min(at_ms, LATEST_MS) / 1000, UTC)
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
