"""The task `sync`: one instance, one pass."""

from __future__ import annotations

import random

import structlog

from reconciler.errors import (
    ClusterIdentityChanged,
    Frozen,
    LeaseError,
    TooManyRequests,
    UndriftError,
)
from reconciler.model.instance import InstanceKey
from reconciler.model.record import Order, Phase, SyncRecord
from reconciler.model.spec import ClusterTarget, InstanceSpec
from reconciler.model.status import InstanceStatus
from reconciler.pipeline.sync import sync
from reconciler.source import folders_read
from workers import pinning, wiring
from workers.messages import Grant, Lane, Mark, Work
from workers.scheduler import due_times
from workers.store.brief import Brief, Results
from workers.store.guard import RedisGuard
from workers.tasks.leased import run_leased
from workers.tasks.leaving import leave
from workers.tasks.recorded import from_record
from workers.tasks.scanning import SILENT, spared_s

log = structlog.get_logger()
_dice = random.Random()
HELD_S = 300.0


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
    is_leaving = brief.has_left or brief.wants_teardown or (brief.tombstone is not None and not brief.is_of_fleet)
    if brief.spec is None and not is_leaving:
        log.info("spec_unknown")  # the leader has not published it (again) yet; it will, and then make it due
        wiring.store().specs.many([key])  # tells the leader of a text that is lost
        return None
    if stranger := brief.stranger or _met_first(brief, key, guard):
        return _hold(brief, grant, stranger, results)
    if is_leaving or brief.spec is None:
        return leave(brief, grant, guard, results)
    record = sync(brief.spec, _order(brief, grant), brief.memory, guard, wiring.rooms())
    return _keep(brief.spec, record, brief, grant, results)


def _met_first(brief: Brief, key: InstanceKey, guard: RedisGuard) -> str:
    """Pin the cluster before its first write; why it must not be written to, or "". One that does not answer, or does not
    tell who it is, is for the sync to meet."""
    if brief.cluster_uid:
        return ""
    spec = None if brief.has_left else brief.spec  # of what left, the way in to its cluster may be another one since
    target = spec.cluster if spec else wiring.store().specs.cluster(key.cluster)
    if target is None or not pinning.is_pinned_at_all(target):
        return ""
    try:
        api = wiring.rooms().clusters.api(target, guard, agent=f"{key} first contact")
        pinning.require_one_name(wiring.store(), target, api.identity())
    except ClusterIdentityChanged as error:
        return error.message
    except LeaseError:
        raise
    except UndriftError as error:
        log.info("not_met_yet", reason=error.reason)
    return ""


def _hold(brief: Brief, grant: Grant, message: str, results: Results) -> Mark:
    """Nothing is asked of a cluster that is not the one which its name means; a scan finds out when it is again."""
    reason, now = ClusterIdentityChanged.__name__, wiring.store().clock.now()
    before = brief.status
    update = {"sync": "Unknown", "phase": "Held", "reason": reason, "message": message}
    results.status.put(before.model_copy(update=update))
    if (before.reason, before.message) != (reason, message):
        results.events.append(now, "instance", grant.work.subject, reason, message)
    results.requests.answer(grant.requests, grant.work.subject, update)
    at_ms = int((now.timestamp() + HELD_S) * 1000)
    return Mark(grant.work, Lane.PERIODIC, f"retry after {reason}", at_ms=at_ms)


def _order(brief: Brief, grant: Grant) -> Order:
    return Order(
        reasons=grant.reasons,
        # Not the wish's own commit: that may be of the ref that was named before, or one that the look has passed since.
        commit=brief.judged,
        full=grant.full or grant.reasons == ("periodic",),
        by_operator=grant.by_operator,
        approved_plan=brief.approval,
        cluster_uid=brief.cluster_uid,
        brake=brief.brake,
        is_first=bool(brief.judged) and "new" in grant.reasons and brief.is_unknown,
    )


def _keep(spec: InstanceSpec, record: SyncRecord, brief: Brief, grant: Grant, results: Results) -> Mark:
    """Note what the pass found, tell who asked for it, and say when the next one is."""
    key, before = spec.key, brief.status
    status = from_record(record, before)
    again = due_times.next_sync(spec, record, status.failures, _dice)
    results.memories.put(key, record.memory)
    results.status.put(status)
    if brief.approval and record.phase is not Phase.FAILED:
        results.approvals.drop(key)
    if record.wrote and record.memory.unflushed is not None:
        results.looks.note_kinds(key.cluster, record.memory.unflushed.proofs)
    again = _note_closure(spec, record, again, results)
    if (status.phase, status.reason, status.message) != (before.phase, before.reason, before.message):
        results.events.append(record.finished_at, "instance", str(key), record.reason, record.message)
    if status.sync == "Synced":
        _tell_formers(spec, results)
    if record.counts.get("Deleted"):
        _tell_those_that_were_refused(key)
    results.requests.answer(grant.requests, str(key), _outcome(record))
    results.outcome = str(record.phase)
    _spare(spec.cluster, record)
    results.meters.count_answers(key.cluster, record.answers)
    if "apply" in record.durations_s:
        results.meters.observe("undrift_apply_seconds", record.durations_s["apply"])
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


def _spare(target: ClusterTarget, record: SyncRecord) -> None:
    """A cluster that asked for time gets it from all its instances; of one that does not answer at all none is tried again
    until a scan was answered."""
    due = wiring.store().due
    if record.reason == TooManyRequests.__name__ and isinstance(record.retry, float):
        due.shut(target.name, record.retry)
    elif record.unanswered and due.shut(target.name, spared_s(target)):
        due.mark([Mark(Work("scan", target.name), Lane.DRIFT, SILENT)])


def _note_closure(spec: InstanceSpec, record: SyncRecord, again: Mark, results: Results) -> Mark:
    """Keep by which folders commits concern it from now on; due at once when the ref has moved on meanwhile."""
    key, url, closure = spec.key, spec.source.repo.subject, record.memory.closure
    head, commit = wiring.store().closures.head(spec.source), record.revision.commit if record.revision else ""
    if closure is not None and head and head == commit:
        results.closures.know(key, url, folders_read(closure))
    else:
        results.closures.reopen(key, url, head if commit in (head, "") else "")
    if head and commit and head != commit:
        return Mark(again.work, Lane.COMMIT, f"commit {head[:7]}", commit=head)
    return again


def _tell_formers(spec: InstanceSpec, results: Results) -> None:
    """What it was before may wait for it to stand."""
    store = wiring.store()
    waiting = store.tombstones.many(map(InstanceKey.parse, spec.moved_from))
    marks = (Mark(Work("sync", str(one)), Lane.PERIODIC, "moved") for one in waiting)
    results.mark(marks, store.due.now_ms())


def _tell_those_that_were_refused(key: InstanceKey) -> None:
    """An object that moved from one application to another is the new one's as soon as the old one has let it go."""
    store = wiring.store()
    neighbours = store.status.many(store.specs.keys_on(key.cluster))
    refused = [other for other, status in neighbours.items() if status.reason == "OwnedByAnother"]
    store.due.mark(Mark(Work("sync", str(other)), Lane.COMMIT, f"{key.short} let objects go") for other in refused)


def _stopped(brief: Brief, grant: Grant, error: Frozen, results: Results) -> Mark | None:
    """It was frozen in the middle. What it had begun stands in the inventory, and the next sync goes on from there."""
    message = f"stopped in the middle: {error.message}"
    told = {"phase": "Paused", "reason": error.kind, "message": message}
    # By the fence a scan that runs just now learns that it is not as it was when the scan began.
    results.status.put(brief.status.model_copy(update={**told, "sync": "Unknown", "lags": True, "fence": grant.fence}))
    results.events.append(wiring.store().clock.now(), "instance", grant.work.subject, error.kind, message)
    results.requests.answer(grant.requests, grant.work.subject, told)
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
