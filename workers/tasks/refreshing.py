"""The task `refresh`: one repository, the instances that a new commit concerns."""

from __future__ import annotations

import structlog

from reconciler.errors import UndriftError
from reconciler.model.record import Memory
from reconciler.model.revision import Closure
from reconciler.model.spec import RepositoryAccess
from reconciler.pipeline.refresh import RefreshReport, Watched, refresh
from workers import wiring
from workers.messages import Grant, Lane, Mark, Work
from workers.tasks.leased import run_leased

log = structlog.get_logger()
NEVER_SYNCED = "NeverSynced"


def run(url: str, fence: int) -> None:
    run_leased(Work("refresh", url), fence, lambda grant, guard: _refresh(url, grant))


def _refresh(url: str, grant: Grant) -> Mark | None:
    store = wiring.store()
    access = store.specs.repository(url)
    if access is None:
        return None
    try:
        report = refresh(access, _watched(url), wiring.rooms())
    except UndriftError as error:
        _note_failure(url, error)
        outcome: dict[str, object] = {"phase": "Failed", "reason": error.reason, "message": error.message}
    else:
        store.status.note_lookup(url, store.clock.now())
        _spread(report)
        outcome = {"phase": "Idle", "reason": "Looked", "changed": len(report.changed), "moved": len(report.moved)}
    store.requests.answer(grant.requests, url, outcome)
    return Mark(Work("refresh", url), Lane.COMMIT, "periodic", at_ms=store.due.now_ms() + _poll_ms(access))


def _poll_ms(access: RepositoryAccess) -> int:
    poll_s = access.poll.total_seconds()
    return int(min(poll_s, wiring.settings().repository_poll_s or poll_s) * 1000)


def _watched(url: str) -> list[Watched]:
    """The instances of a repository, but those of which nothing at all is known: after a loss of Redis it is the scan that
    tells which of them need a sync, and a new one is due by itself and takes the newest commit."""
    store = wiring.store()
    specs = store.specs.using(url)
    judged = store.status.judged(specs)
    memories = store.status.memories(specs)
    return [
        Watched(key, spec.source.ref, judged.get(key, ""), _closure(memories.get(key)))
        for key, spec in specs.items()
        if key in judged or key in memories or store.status.get(key).reason != NEVER_SYNCED
    ]


def _closure(memory: Memory | None) -> Closure | None:
    """What the last complete render read. After a failure nothing is known, and any commit may mend it."""
    applied = memory.unflushed if memory else None
    return applied.closure if applied is not None and applied.complete else None


def _note_failure(url: str, error: UndriftError) -> None:
    store = wiring.store()
    known = store.status.lookups().get(url, {}).get("error")
    store.status.note_lookup(url, store.clock.now(), error.message, error.reason)
    if known != error.message:
        store.events.append(store.clock.now(), "repository", url, error.reason, error.message)
    log.warning("lookup_failed", url=url, reason=error.reason)


def _spread(report: RefreshReport) -> None:
    """Make due what changed; what renders the same moves on to the new commit without a sync."""
    store = wiring.store()
    store.status.judge({**report.changed, **report.moved})
    _move(report)
    marks = [
        Mark(Work("sync", str(key)), Lane.COMMIT, f"commit {commit[:7]}", commit=commit)
        for key, commit in report.changed.items()
    ]
    for key, error in report.missing.items():
        if store.status.get(key).reason != error.reason:
            marks.append(Mark(Work("sync", str(key)), Lane.COMMIT, "its ref is missing"))
    store.due.mark(marks)
    if report.changed or report.moved:
        log.info("commit_spread", changed=len(report.changed), moved=len(report.moved))


def _move(report: RefreshReport) -> None:
    store = wiring.store()
    moved = []
    for key, commit in report.moved.items():
        status = store.status.get(key)
        if status.sync == "Synced":
            moved.append(status.model_copy(update={"applied_revision": commit}))
    store.status.put_all(moved)
