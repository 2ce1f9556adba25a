"""The task `sync`: one instance, one pass."""

from __future__ import annotations

import random
from dataclasses import replace

import structlog

from reconciler.errors import Frozen, LeaseError, UndriftError
from reconciler.model.instance import InstanceKey
from reconciler.model.record import Order, SyncRecord
from reconciler.model.spec import InstanceSpec
from reconciler.model.status import InstanceStatus
from reconciler.pipeline.sync import sync
from reconciler.pipeline.teardown import teardown
from workers import wiring
from workers.messages import Grant, Lane, Mark, Work
from workers.scheduler import due_times
from workers.store import status as statuses
from workers.store.brief import Brief, Results
from workers.store.guard import RedisGuard
from workers.tasks.leased import run_leased

log = structlog.get_logger()
_dice = random.Random()
TEARDOWN_LOOK_MS = 3000


def run(instance: str, fence: int) -> None:
    key = InstanceKey.parse(instance)
    run_leased(Work("sync", instance), fence, lambda *parts: _sync(key, *parts))


def _sync(key: InstanceKey, grant: Grant, guard: RedisGuard, results: Results) -> Mark | None:
    store = wiring.store()
    asked_s = store.clock.boot_s()
    brief = store.briefs.get(key)
    if brief.brake is None:
        guard.permit(asked_s)
    try:
        return _carry_out(key, brief, grant, guard, results)
    except Frozen as error:
        return _stopped(brief, grant, error, results)


def _carry_out(key: InstanceKey, brief: Brief, grant: Grant, guard: RedisGuard, results: Results) -> Mark | None:
    if brief.has_left or brief.wants_teardown or (brief.tombstone is not None and brief.spec is None):
        return _leave(brief, grant, guard, results)
    if brief.spec is None:
        log.info("spec_unknown")  # the leader has not published it (again) yet; it will, and then make it due
        return None
    record = sync(brief.spec, _order(brief, grant), brief.memory, guard, wiring.rooms())
    return _keep(brief.spec, record, brief, grant, results)


def _order(brief: Brief, grant: Grant) -> Order:
    return Order(
        reasons=grant.reasons,
        commit=grant.commit or brief.judged,
        full=grant.full or grant.reasons == ("periodic",),
        by_operator=grant.by_operator,
        approved_plan=brief.approval,
        cluster_uid=brief.cluster_uid,
        brake=brief.brake,
        is_first=bool(grant.commit) and "new" in grant.reasons and brief.is_unknown,
    )


def _keep(spec: InstanceSpec, record: SyncRecord, brief: Brief, grant: Grant, results: Results) -> Mark:
    """Note what the pass found, tell who asked for it, and say when the next one is."""
    key, before = spec.key, brief.status
    status = statuses.from_record(record, before)
    again = due_times.next_sync(spec, record, status.failures, _dice)
    results.status.remember(key, record.memory)
    results.status.put(status)
    if record.revision is not None:
        results.status.judge_first(key, record.revision.commit)
    if (status.phase, status.reason, status.message) != (before.phase, before.reason, before.message):
        results.events.append(record.finished_at, "instance", str(key), record.reason, record.message)
    results.requests.answer(grant.requests, str(key), _outcome(record))
    results.outcome = str(record.phase)
    results.meters.count("undrift_api_requests", record.requests, key.cluster)
    if record.wrote:
        results.outbox.put(record.finished_at, "sync", str(key), **_entry(record, before))
    log.info(
        "synced",
        sync=str(record.sync),
        phase=str(record.phase),
        reason=record.reason,
        counts=dict(record.counts),
        requests=record.requests,
        seconds=round((record.finished_at - record.started_at).total_seconds(), 3),
        steps={name: round(seconds, 3) for name, seconds in record.durations_s.items()},
    )
    return again


def _stopped(brief: Brief, grant: Grant, error: Frozen, results: Results) -> Mark | None:
    """It was frozen in the middle. What it had begun stands in the inventory, and the next sync goes on from there."""
    message = f"stopped in the middle: {error.message}"
    results.status.put(
        brief.status.model_copy(update={"phase": "Paused", "reason": error.kind, "message": message, "sync": "Unknown"})
    )
    results.events.append(wiring.store().clock.now(), "instance", grant.work.subject, error.kind, message)
    results.requests.answer(
        grant.requests, grant.work.subject, {"phase": "Paused", "reason": error.kind, "message": message}
    )
    if error.until is None:
        return None  # `thaw` and `resume` make it due
    return Mark(grant.work, Lane.COMMIT, f"no longer {error.kind.lower()}", at_ms=int(error.until.timestamp() * 1000))


def _entry(record: SyncRecord, before: InstanceStatus) -> dict[str, object]:
    """A pass that wrote, as the journal keeps it: what caused it, from where to where, what became of which object."""
    return {
        "reasons": list(record.reasons),
        "fence": record.fence,
        "from": before.applied_revision,
        "to": record.revision.commit if record.revision else "",
        "result": record.reason,
        "message": record.message,
        "counts": dict(record.counts),
        "objects": {str(one.key): one.result for one in record.objects if one.result not in ("", "Unchanged")},
        "seconds": {name: round(seconds, 3) for name, seconds in record.durations_s.items()},
    }


def _outcome(record: SyncRecord) -> dict[str, object]:
    return {
        "sync": str(record.sync),
        "phase": str(record.phase),
        "health": str(record.health),
        "reason": record.reason,
        "message": record.message,
        "revision": record.revision.commit if record.revision else "",
        "planId": record.plan_id,
        "counts": dict(record.counts),
    }


def _leave(brief: Brief, grant: Grant, guard: RedisGuard, results: Results) -> Mark | None:
    """An instance that left the fleet is deleted when a person wants it, or when its time is over."""
    store, key = wiring.store(), InstanceKey.parse(grant.work.subject)
    target = store.specs.cluster(key.cluster)
    stone = brief.tombstone
    if target is None or (stone is None and not brief.wants_teardown):
        return None
    if stone is not None and stone.due > store.clock.now() and not brief.wants_teardown:
        return Mark(grant.work, Lane.PERIODIC, "leaving", at_ms=int(stone.due.timestamp() * 1000))
    orphans = stone is not None and stone.policy == "Orphan" and not brief.wants_teardown
    try:
        report = teardown(key, target, brief.memory, guard, wiring.rooms(), orphans=orphans)
    except LeaseError:
        raise
    except UndriftError as error:
        return _not_left_yet(brief, grant, error.reason, error.message, results)
    if not report.is_done:
        first, why = report.remaining[0]
        return _not_left_yet(brief, grant, "Deleting", f"{first}: {why}", results)
    store.specs.forget_left(key)
    store.tombstones.drop(key)
    results.status.forget(key)
    message = f"deleted: {len(report.changes.outcomes)} objects and the inventory"
    if orphans:
        message = "released: its inventory is deleted, its objects stay"
    results.events.append(store.clock.now(), "instance", str(key), "Deleted", message)
    results.requests.answer(grant.requests, str(key), {"phase": "Idle", "reason": "Deleted", "message": message})
    return None


def _not_left_yet(brief: Brief, grant: Grant, reason: str, message: str, results: Results) -> Mark:
    """Look again soon; who asked for the deletion is answered by the pass that ends it."""
    store = wiring.store()
    status = brief.status.model_copy(update={"phase": "Waiting", "reason": reason, "message": message})
    results.status.put(status)
    again = Mark(grant.work, Lane.OPERATOR, "delete", at_ms=store.due.now_ms() + TEARDOWN_LOOK_MS)
    store.due.mark(replace(again, request=request) for request in grant.requests)
    return again
