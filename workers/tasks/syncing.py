"""The task `sync`: one instance, one pass."""

from __future__ import annotations

import random
from dataclasses import replace

import structlog

from reconciler.errors import LeaseError, UndriftError
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
from workers.store.guard import RedisGuard
from workers.tasks.leased import run_leased

log = structlog.get_logger()
_dice = random.Random()
TEARDOWN_LOOK_MS = 3000


def run(instance: str, fence: int) -> None:
    key = InstanceKey.parse(instance)
    run_leased(Work("sync", instance), fence, lambda grant, guard: _sync(key, grant, guard))


def _sync(key: InstanceKey, grant: Grant, guard: RedisGuard) -> Mark | None:
    store = wiring.store()
    if key in store.specs.left() or store.specs.wants_teardown(key):
        return _leave(key, grant, guard)
    spec = store.specs.get(key)
    if spec is None:
        log.info("spec_unknown")  # the leader has not published it (again) yet; it will, and then make it due
        return None
    before = store.status.get(key)
    store.status.put(before.model_copy(update={"phase": "Syncing", "message": f"syncing: {', '.join(grant.reasons)}"}))
    record = sync(spec, _order(key, grant), store.status.memory(key), guard, wiring.rooms())
    return _keep(spec, record, before, grant)


def _order(key: InstanceKey, grant: Grant) -> Order:
    store = wiring.store()
    commit = grant.commit or store.status.judged([key]).get(key)
    return Order(
        reasons=grant.reasons,
        commit=commit,
        full=grant.full or grant.reasons == ("periodic",),
        by_operator=grant.by_operator,
        approved_plan=store.status.approval(key),
    )


def _keep(spec: InstanceSpec, record: SyncRecord, before: InstanceStatus, grant: Grant) -> Mark:
    """Store what the pass found, tell who asked for it, and say when the next one is."""
    store, key = wiring.store(), spec.key
    status = statuses.from_record(record, before)
    again = due_times.next_sync(spec, record, status.failures, _dice)
    store.status.remember(key, record.memory)
    store.status.put(status)
    if record.revision is not None and not store.status.judged([key]):
        store.status.judge({key: record.revision.commit})
    if (status.phase, status.reason, status.message) != (before.phase, before.reason, before.message):
        store.events.append(record.finished_at, "instance", str(key), record.reason, record.message)
    store.requests.answer(grant.requests, str(key), _outcome(record))
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


def _leave(key: InstanceKey, grant: Grant, guard: RedisGuard) -> Mark | None:
    """An instance that left the fleet is touched only when a person wants it deleted."""
    store = wiring.store()
    target = store.specs.cluster(key.cluster)
    if not store.specs.wants_teardown(key) or target is None:
        return None
    try:
        report = teardown(key, target, store.status.memory(key), guard, wiring.rooms())
    except LeaseError:
        raise
    except UndriftError as error:
        return _not_left_yet(key, grant, error.reason, error.message)
    if not report.is_done:
        first, why = report.remaining[0]
        return _not_left_yet(key, grant, "Deleting", f"{first}: {why}")
    store.specs.forget_left(key)
    store.status.forget(key)
    message = f"deleted: {len(report.changes.outcomes)} objects and the inventory"
    store.events.append(store.clock.now(), "instance", str(key), "Deleted", message)
    store.requests.answer(grant.requests, str(key), {"phase": "Idle", "reason": "Deleted", "message": message})
    return None


def _not_left_yet(key: InstanceKey, grant: Grant, reason: str, message: str) -> Mark:
    """Look again soon; who asked for the deletion is answered by the pass that ends it."""
    store = wiring.store()
    status = store.status.get(key).model_copy(update={"phase": "Waiting", "reason": reason, "message": message})
    store.status.put(status)
    again = Mark(Work("sync", str(key)), Lane.OPERATOR, "delete", at_ms=store.due.now_ms() + TEARDOWN_LOOK_MS)
    store.due.mark(replace(again, request=request) for request in grant.requests)
    return again
