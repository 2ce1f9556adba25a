"""The task `scan`: one cluster, its instances proven or made due."""

from __future__ import annotations

import structlog

from reconciler.errors import ClusterIdentityChanged, Frozen, LeaseError, NoAnswer, TooManyRequests, UndriftError
from reconciler.model.spec import ClusterTarget
from reconciler.pipeline.scan import empty_old_trash, judge
from reconciler.pipeline.sight import look
from workers import pinning, wiring
from workers.messages import Grant, Lane, Mark, Work
from workers.store.brief import Results
from workers.store.guard import RedisGuard
from workers.tasks.judging import Before, Known, judge_all
from workers.tasks.leased import run_leased

log = structlog.get_logger()
SHUT_FOR_INTERVALS = 3
SILENT = "it did not answer a sync"


def run(cluster: str, fence: int) -> None:
    run_leased(Work("scan", cluster), fence, lambda *parts: _scan(cluster, *parts))


def _scan(name: str, grant: Grant, guard: RedisGuard, results: Results) -> Mark | None:
    store = wiring.store()
    target = store.specs.cluster(name)
    if target is None:
        return None
    keys = store.specs.keys_on(name)
    before = Before.read(name, keys)
    try:
        sight = look(target, before.known, guard, wiring.rooms(), pinned=store.pins.get(name), proven=before.proven)
        pinning.require_one_name(store, target, sight.identity)
        if store.pins.clear_stranger(name):
            store.due.mark(Mark(Work("sync", str(key)), Lane.COMMIT, "the right cluster is back") for key in keys)
        known = Known.read(before, keys - sight.same)
        policies = {key: spec.drift for key, spec in known.specs.items()}
        report = judge(sight, known.memories, wiring.rooms(), policies=policies)
    except LeaseError:
        raise
    except UndriftError as error:
        guard.remaining_s()
        _note_failure(target, error)
        _spare(target, error)
        results.outcome = "Failed"
        if isinstance(error, ClusterIdentityChanged):
            store.pins.note_stranger(name, error.message)
            store.memories.forget(keys)
    else:
        guard.remaining_s()  # what was seen long ago is told by nobody
        if SILENT in grant.reasons or store.looks.scan(name).get("error"):
            store.due.open(name)  # what it asked for itself lasts
        store.looks.note_scan(name, report.began_at, requests=report.requests)
        results.meters.count_answers(name, report.answers)
        applied = [one.applied for one in report.findings.values() if one.applied is not None]
        store.looks.note_kinds(name, (key for one in applied for key in one.proofs))
        others = judge_all(report, known)
        store.proven.put(name, report.proven.without(others), before.stored)
        if store.looks.is_trash_day(name, store.clock.now()):
            _empty_old_trash(target, guard)
    results.requests.answer(grant.requests, name, {"phase": "Idle", "reason": "Scanned"})
    return Mark(Work("scan", name), Lane.DRIFT, "periodic", at_ms=store.due.now_ms() + _every_ms(target))


def _empty_old_trash(target: ClusterTarget, guard: RedisGuard) -> None:
    """What was found stands whether or not the trash can be emptied; tomorrow is another day."""
    try:
        empty_old_trash(target, guard, wiring.rooms())
    except Frozen:
        log.info("trash_kept", reason="frozen")
    except LeaseError:
        raise
    except UndriftError as error:
        log.warning("trash_kept", reason=error.reason, message=error.message)


def _every_ms(target: ClusterTarget) -> int:
    every_s = target.drift.every.total_seconds()
    return int(min(every_s, wiring.settings().scan_every_s or every_s) * 1000)


def _note_failure(target: ClusterTarget, error: UndriftError) -> None:
    store = wiring.store()
    known = store.looks.scan(target.name).get("error")
    store.looks.note_scan(target.name, store.clock.now(), error=error.message, reason=error.reason)
    if known != error.message:
        store.events.append(store.clock.now(), "cluster", target.name, error.reason, error.message)
    log.warning("scan_failed", cluster=target.name, reason=error.reason)


def spared_s(target: ClusterTarget) -> float:
    """For how long nothing is tried of a cluster that did not answer, unless a scan is answered before."""
    return SHUT_FOR_INTERVALS * _every_ms(target) / 1000


def _spare(target: ClusterTarget, error: UndriftError) -> None:
    """Let no sync wait in vain for a cluster that does not answer, or bother one that asked for time: what is due there
    stays due. An operator's own wish is tried all the same."""
    store = wiring.store()
    if isinstance(error, NoAnswer):
        store.due.shut(target.name, spared_s(target))
    elif isinstance(error, TooManyRequests) and isinstance(error.retry, float):
        store.due.shut(target.name, error.retry)
    else:
        store.due.open(target.name)
