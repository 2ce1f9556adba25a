"""An instance that left the fleet, within its lease: deleted when a person wants it or when its time is over, and handed
over or brought down only once those that it became stand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from reconciler.errors import BACKOFF, LeaseError, UndriftError
from reconciler.model.changeset import Result
from reconciler.model.instance import InstanceKey
from reconciler.model.status import InstanceStatus
from reconciler.pipeline.teardown import TeardownReport, hand_over, release, teardown
from workers import wiring
from workers.messages import Grant, Lane, Mark, Work
from workers.store import composed
from workers.store.brief import Brief, Results
from workers.store.guard import RedisGuard
from workers.store.tombstones import Tombstone

STANDS = frozenset({"Healthy", "Suspended"})
LOOK_MS = 3000
LONG_LOOK_MS = 60_000
"""An heir that stands makes its former due at once; this is for one that stood before, and for what time won't mend."""


def leave(brief: Brief, grant: Grant, guard: RedisGuard, results: Results) -> Mark | None:
    """Carry out what its tombstone or a person says, as far as it is time for that."""
    store, key = wiring.store(), InstanceKey.parse(grant.work.subject)
    target = store.specs.cluster(key.cluster)
    stone = brief.tombstone
    if target is None or (stone is None and not brief.wants_teardown):
        return None
    if stone is not None and not brief.wants_teardown:
        if stone.due > store.clock.now():
            return Mark(grant.work, Lane.PERIODIC, "leaving", at_ms=int(stone.due.timestamp() * 1000))
        if missing := _not_standing(stone):
            return _waits_for_heirs(brief, grant, stone, missing, results)
    policy = "Delete" if stone is None or brief.wants_teardown else stone.policy
    carry_out = {"Delete": teardown, "Orphan": release, "HandOver": hand_over}[policy]
    try:
        report = carry_out(key, target, brief.memory, guard, wiring.rooms(), pinned=brief.cluster_uid)
    except LeaseError:
        raise
    except UndriftError as error:
        wait_ms = LOOK_MS if error.retry == BACKOFF else LONG_LOOK_MS
        return _not_left_yet(brief, grant, error.reason, error.message, results, wait_ms)
    _journal(brief, grant, report, policy, results)
    if not report.is_done and policy == "HandOver":
        _keep(brief, key, report, stone, results)
        return None
    if report.refusal is not None:
        return _not_left_yet(brief, grant, "Deleting", report.refusal.message, results, LONG_LOOK_MS)
    if not report.is_done:
        first, why = report.remaining[0]
        return _not_left_yet(brief, grant, "Deleting", f"{first}: {why}", results)
    results.specs.forget_left(key)
    results.tombstones.drop(key)
    results.status.forget(key)
    results.memories.forget([key])
    results.approvals.drop(key)
    message = {
        "Delete": _what_was_deleted(report),
        "Orphan": "released: its inventory is deleted, its objects stay",
        "HandOver": "moved: its objects are those of its new name, and its inventory is deleted",
    }[policy]
    reason = "Moved" if policy == "HandOver" else "Deleted"
    results.events.append(store.clock.now(), "instance", str(key), reason, message)
    results.requests.answer(grant.requests, str(key), {"phase": "Idle", "reason": reason, "message": message})
    return None


def _what_was_deleted(report: TeardownReport) -> str:
    left = [one for one in report.changes if one.result is Result.LEFT]
    kept = f"; left: {left[0].key} ({left[0].note})" if left else ""
    more = f" and {len(left) - 1} more" if len(left) > 1 else ""
    return f"deleted: {len(report.changes.outcomes) - len(left)} objects and the inventory{kept}{more}"


def _journal(brief: Brief, grant: Grant, report: TeardownReport, policy: str, results: Results) -> None:
    """What this pass did, object by object: the last word of an instance, which nothing else keeps. With it the journal
    notes that a tombstone has gone, so that no loss of Redis brings it back."""
    done = {str(one.key): str(one.result) for one in report.changes.outcomes}
    if (not done and not report.is_done) or (report.refusal is not None and Result.DELETED not in done.values()):
        return  # looked at again each minute, nothing is done
    kind = {"Delete": "delete", "Orphan": "release", "HandOver": "hand-over"}[policy]
    counts = ", ".join(f"{count} {word.lower()}" for word, count in sorted(Counter(done.values()).items()))
    left = f"; {len(report.remaining)} remain" if report.remaining else ""
    message = f"{counts or 'its inventory is deleted'}{left}"
    by = "a person" if brief.wants_teardown else "its tombstone"
    now, reasons = wiring.store().clock.now(), list(grant.reasons)
    results.outbox.put(now, kind, grant.work.subject, by=by, reasons=reasons, message=message, objects=done)


def _not_standing(stone: Tombstone) -> Sequence[InstanceKey]:
    """The heirs that have not taken over yet: not in sync as far as is known now, or, where the old one goes down after
    them, not seen to be healthy since it may go."""
    statuses = composed.seen(wiring.store(), stone.heirs)
    return [
        key
        for key, found in statuses.items()
        if found.sync != "Synced"
        or (stone.policy != "HandOver" and (found.health not in STANDS or _is_old(found, stone)))
    ]


def _is_old(heir: InstanceStatus, stone: Tombstone) -> bool:
    """Whether what is known of an heir is from before the time to go: its cluster may have died since."""
    return heir.last_sync is None or heir.last_sync < stone.due


def _waits_for_heirs(
    brief: Brief, grant: Grant, stone: Tombstone, missing: Sequence[InstanceKey], results: Results
) -> Mark:
    store = wiring.store()
    old = [key for key, found in store.status.many(missing).items() if _is_old(found, stone)]
    looks = (Mark(Work("sync", str(one)), Lane.PERIODIC, "what it was before may go") for one in old)
    results.mark(looks, store.due.now_ms())
    names = ", ".join(one.short for one in missing)
    message = f"it moves, and {names} must stand first; until then nothing of it is changed"
    results.status.put(
        brief.status.model_copy(update={"phase": "Waiting", "reason": "WaitingForHeirs", "message": message})
    )
    return Mark(grant.work, Lane.PERIODIC, "moved", at_ms=store.due.now_ms() + LONG_LOOK_MS)


def _keep(brief: Brief, key: InstanceKey, report: TeardownReport, stone: Tombstone | None, results: Results) -> None:
    """What no heir has taken over stays as it is, and a person says what becomes of it."""
    heirs = ", ".join(one.short for one in stone.heirs) if stone else ""
    first = report.remaining[0][0]
    more = f" and {len(report.remaining) - 1} more" if len(report.remaining) > 1 else ""
    message = (
        f"{heirs} took over all but {first}{more}: nothing of these is deleted. Declare them there, or run "
        f"`undrift app delete {key.short} --yes` to delete them"
    )
    results.status.put(brief.status.model_copy(update={"phase": "Held", "reason": "LeftBehind", "message": message}))


def _not_left_yet(
    brief: Brief, grant: Grant, reason: str, message: str, results: Results, wait_ms: int = LOOK_MS
) -> Mark:
    """Look again soon; who asked for the deletion is answered by the pass that ends it."""
    store = wiring.store()
    status = brief.status.model_copy(update={"phase": "Waiting", "reason": reason, "message": message})
    results.status.put(status)
    again = Mark(grant.work, Lane.OPERATOR, "delete", at_ms=store.due.now_ms() + wait_ms)
    store.due.mark(replace(again, request=request) for request in grant.requests)
    return again
