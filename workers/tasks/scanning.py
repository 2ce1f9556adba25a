"""The task `scan`: one cluster, its instances proven or made due."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import datetime

import structlog

from reconciler.errors import ClusterIdentityChanged, Frozen, LeaseError, NoAnswer, TooManyRequests, UndriftError
from reconciler.model.instance import InstanceKey
from reconciler.model.record import Memory
from reconciler.model.spec import ClusterTarget, InstanceSpec
from reconciler.model.status import DriftEntry, InstanceStatus
from reconciler.pipeline.scan import Finding, ScanReport, empty_old_trash, scan
from workers import drifts, pinning, wiring
from workers.messages import Grant, Lane, Mark, Work
from workers.store.brief import Results
from workers.store.guard import RedisGuard
from workers.tasks.leased import run_leased

log = structlog.get_logger()
LEFT = "LeftTheFleet"
SHUT_FOR_INTERVALS = 3
SPREAD_S = 300.0
"""Over how long the renders of a cluster that was upgraded are spread."""
_dice = random.Random()
MOST_TOLD = 20


def run(cluster: str, fence: int) -> None:
    run_leased(Work("scan", cluster), fence, lambda *parts: _scan(cluster, *parts))


def _scan(name: str, grant: Grant, guard: RedisGuard, results: Results) -> Mark | None:
    store = wiring.store()
    target = store.specs.cluster(name)
    if target is None:
        return None
    specs = store.specs.on_cluster(name)
    memories = store.status.memories(specs)
    try:
        policies = {key: spec.drift for key, spec in specs.items()}
        report = scan(target, memories, guard, wiring.rooms(), pinned=store.pins.get(name), policies=policies)
        pinning.require_one_name(store, target, report.identity)
        if store.pins.clear_stranger(name):
            store.due.mark(Mark(Work("sync", str(key)), Lane.COMMIT, "the right cluster is back") for key in specs)
    except LeaseError:
        raise
    except UndriftError as error:
        _note_failure(target, error)
        _spare(target, error)
        results.outcome = "Failed"
        if isinstance(error, ClusterIdentityChanged):
            store.pins.note_stranger(name, error.message)
            store.status.forget_memories(specs)
    else:
        store.due.open(name)
        store.status.note_scan(name, report.began_at, requests=report.requests)
        results.meters.count_answers(name, report.answers)
        applied = [one.applied for one in report.findings.values() if one.applied is not None]
        store.status.note_kinds(name, (key for one in applied for key in one.proofs))
        _judge_all(report, specs, memories)
        if store.status.is_trash_day(name, store.clock.now()):
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
    known = store.status.scan(target.name).get("error")
    store.status.note_scan(target.name, store.clock.now(), error=error.message, reason=error.reason)
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


def _judge_all(
    report: ScanReport, specs: Mapping[InstanceKey, InstanceSpec], memories: Mapping[InstanceKey, Memory]
) -> None:
    """Make due what drifted or has no proof, keep what was proven, and say what has left the fleet."""
    store = wiring.store()
    busy = {work.subject for work, (state, _) in store.due.states().items() if state != "due" and work.kind == "sync"}
    all_statuses = store.status.all()
    marks: list[Mark] = []
    looked: dict[InstanceKey, Finding] = {}
    for key, spec in specs.items():
        status = all_statuses.get(key)
        if str(key) in busy or (status and status.last_sync and status.last_sync > report.began_at):
            continue
        finding = report.findings.get(key)
        _restore(spec, finding, memories)
        memory = memories.get(key)
        if mark := _mark(spec, finding, status, memory, store.clock.now()):
            marks.append(mark)
        elif memory is not None and _asked_otherwise(memory, report):
            at_ms = store.due.now_ms() + int(_dice.uniform(0, SPREAD_S) * 1000)
            marks.append(Mark(Work("sync", str(key)), Lane.PERIODIC, "its cluster serves other kinds", at_ms=at_ms))
        if finding is not None:
            looked[key] = finding
    store.status.amend(looked, lambda key, status: _seen(status, looked[key], report.began_at))
    messages = _left(report, specs, all_statuses)
    store.status.amend(messages, lambda key, status: _as_left(status, messages[key]))
    _forget_gone(report, all_statuses)
    store.due.mark(marks)
    log.info("scanned", instances=len(report.findings), due=len(marks), requests=report.requests)


def _asked_otherwise(memory: Memory, report: ScanReport) -> bool:
    """Whether its render asked the cluster something that the cluster answers otherwise now: its version, its kinds."""
    asked = memory.closure.capabilities if memory.closure else {}
    return bool(report.capabilities) and any(report.capabilities.get(name) != said for name, said in asked.items())


def _restore(spec: InstanceSpec, finding: Finding | None, memories: Mapping[InstanceKey, Memory]) -> None:
    """After a loss of Redis the inventory's proof is the memory again, so nothing is rendered to learn what it knows."""
    if finding is None or finding.applied is None or spec.key in memories:
        return
    applied, store = finding.applied, wiring.store()
    closure = applied.closure if applied.complete else None
    store.status.remember_first(spec.key, Memory(unflushed=applied, closure=closure))
    store.closures.reopen(spec.key, spec.source.repo.url)  # the next look compares what it read


def _mark(
    spec: InstanceSpec, finding: Finding | None, status: InstanceStatus | None, memory: Memory | None, now: datetime
) -> Mark | None:
    work = Work("sync", str(spec.key))
    never = status is None or status.last_sync is None
    if finding is not None and finding.drift and spec.drift.action != "Ignore":
        # Each proof stands for its own object, also where the whole is held or failed.
        return Mark(work, Lane.DRIFT, "drift", at_ms=drifts.due_at_ms((one.key for one in finding.drift), memory, now))
    if finding is None and memory is not None and memory.unflushed is not None:
        return Mark(work, Lane.DRIFT, "its inventory is gone")  # it was written once: the sync makes it anew
    if finding is None or not finding.known:
        # Failed ones come due again by their own back-off; one that was never synced has none.
        return Mark(work, Lane.PERIODIC, "no proof") if never else None
    if finding.applied is not None and finding.applied.spec_digest != spec.digest and never:
        return Mark(work, Lane.COMMIT, "fleet changed")
    removable = [key for key, one in finding.foreign if one.action == "Remove"]
    if removable and spec.drift.action == "Heal":
        return Mark(work, Lane.DRIFT, "foreign fields", at_ms=drifts.due_at_ms(removable, memory, now))
    return None


def _seen(status: InstanceStatus, finding: Finding, at: datetime) -> InstanceStatus | None:
    """The status after a look that changed nothing; None when a sync has ended since."""
    if status.last_sync is not None and status.last_sync > at:
        return None
    update: dict[str, object] = {"observed_at": at, "foreign": _told(finding)}
    if finding.is_proven:
        update["in_sync_at"] = at
    if finding.drift:
        entries = tuple(
            DriftEntry(key=one.key.to_text(), field=one.field, manager=one.manager, at=at) for one in finding.drift
        )
        update |= {"sync": "OutOfSync", "drift": entries}
    elif finding.is_proven and finding.applied is not None and status.reason != "Contested":
        update |= {"sync": "Synced"}
        if status.last_sync is None:
            update |= {
                "phase": "Idle",
                "reason": "Proven",
                "message": f"proven in sync at {finding.applied.revision[:7]} by its inventory",
                "applied_revision": finding.applied.revision,
                "last_sync": finding.applied.at,
                "digest": finding.applied.digest,
            }
    return status.model_copy(update=update)


def _forget_gone(report: ScanReport, known: Mapping[InstanceKey, InstanceStatus]) -> None:
    """Drop what is told of instances that left and have no inventory any more: a scan that began before one was deleted may
    have told of it afterwards."""
    told = {key for key, status in known.items() if key.cluster == report.cluster and status.reason == LEFT}
    if gone := told - report.findings.keys():
        store = wiring.store()
        for key in gone - store.specs.left():
            store.status.forget(key)


def _told(finding: Finding) -> tuple[DriftEntry, ...]:
    """Who added what; the first of many."""
    return tuple(
        DriftEntry(
            key=key.to_text(),
            field=one.field,
            manager=one.manager,
            at=datetime.fromisoformat(one.at) if one.at else None,
        )
        for key, one in finding.foreign[:MOST_TOLD]
    )


def _left(
    report: ScanReport, specs: Mapping[InstanceKey, InstanceSpec], known: Mapping[InstanceKey, InstanceStatus]
) -> Mapping[InstanceKey, str]:
    """Instances with an inventory in the cluster and no place in the fleet, and what to say of each."""
    store = wiring.store()
    found = {}
    for key, finding in report.findings.items():
        if key in specs or (key in known and known[key].reason in (LEFT, "Deleting", "LeavingHeld")):
            continue
        count = len(finding.applied.proofs) if finding.applied else 0
        message = (
            f"no fleet file defines it any more; its {count} objects are kept. Put its Application back, or run "
            f"`undrift app delete {key.short} --yes`"
        )
        found[key] = message
        store.events.append(store.clock.now(), "instance", str(key), LEFT, message)
    return found


def _as_left(status: InstanceStatus, message: str) -> InstanceStatus:
    return status.model_copy(update={"sync": "Unknown", "phase": "Idle", "reason": LEFT, "message": message})
