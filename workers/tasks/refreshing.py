"""The task `refresh`: one repository, the instances that a new commit concerns."""

from __future__ import annotations

from collections.abc import Container, Mapping

import structlog

from reconciler.errors import UndriftError
from reconciler.model.instance import InstanceKey
from reconciler.model.record import Memory
from reconciler.model.revision import Closure
from reconciler.model.spec import InstanceSpec, RepositoryAccess
from reconciler.pipeline.refresh import RefreshReport, Watched, refresh
from workers import wiring
from workers.messages import Grant, Lane, Mark, Work
from workers.store.brief import Results
from workers.tasks.leased import run_leased

log = structlog.get_logger()
NEVER_SYNCED = "NeverSynced"


def run(url: str, fence: int) -> None:
    run_leased(Work("refresh", url), fence, lambda grant, _, results: _refresh(url, grant, results))


def _refresh(url: str, grant: Grant, results: Results) -> Mark | None:
    store = wiring.store()
    access = store.specs.repository(url)
    if access is None:
        return None
    specs = store.specs.using(url)
    unjudged = {key: reason for key, reason in store.status.unjudged().items() if key in specs}
    try:
        report = refresh(access, _watched(specs, unjudged), wiring.rooms())
    except UndriftError as error:
        _note_failure(url, error)
        results.outcome = "Failed"
        # Each of these says for itself what is wrong, and tries again by its own back-off.
        store.due.mark(Mark(Work("sync", str(key)), Lane.COMMIT, reason) for key, reason in unjudged.items())
        outcome: dict[str, object] = {"phase": "Failed", "reason": error.reason, "message": error.message}
    else:
        store.status.note_lookup(url, store.clock.now())
        _spread(report, unjudged)
        outcome = {"phase": "Idle", "reason": "Looked", "changed": len(report.changed), "moved": len(report.moved)}
    store.status.forget_unjudged(unjudged)
    results.requests.answer(grant.requests, url, outcome)
    return Mark(Work("refresh", url), Lane.COMMIT, "periodic", at_ms=store.due.now_ms() + _poll_ms(access))


def _poll_ms(access: RepositoryAccess) -> int:
    poll_s = access.poll.total_seconds()
    return int(min(poll_s, wiring.settings().repository_poll_s or poll_s) * 1000)


def _watched(specs: Mapping[InstanceKey, InstanceSpec], unjudged: Container[InstanceKey]) -> list[Watched]:
    """The instances of a repository, but those of which nothing at all is known: after a loss of Redis it is the scan that
    tells which of them need a sync."""
    store = wiring.store()
    judged = store.status.judged(specs)
    memories = store.status.memories(specs)
    unknown = [key for key in specs if not (key in unjudged or key in judged or key in memories)]
    never = {key for key, status in store.status.many(unknown).items() if status.reason == NEVER_SYNCED}
    return [
        Watched(key, spec.source.ref)
        if key in unjudged
        else Watched(key, spec.source.ref, judged.get(key, ""), _closure(memories.get(key)))
        for key, spec in specs.items()
        if key not in never
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


def _spread(report: RefreshReport, unjudged: Mapping[InstanceKey, str]) -> None:
    """Make due what changed; what renders the same moves on to the new commit without a sync."""
    store = wiring.store()
    store.status.judge({**report.changed, **report.moved})
    _move(report)
    marks = [
        Mark(Work("sync", str(key)), Lane.COMMIT, unjudged.get(key, f"commit {commit[:7]}"), commit=commit)
        for key, commit in report.changed.items()
    ]
    known = store.status.many(report.missing)
    for key, error in report.missing.items():
        if key in unjudged or known[key].reason != error.reason:
            marks.append(Mark(Work("sync", str(key)), Lane.COMMIT, "its ref is missing"))
    store.due.mark(marks)
    if report.changed or report.moved:
        log.info("commit_spread", changed=len(report.changed), moved=len(report.moved))


def _move(report: RefreshReport) -> None:
    wiring.store().status.amend(
        report.moved,
        lambda key, status: (
            status.model_copy(update={"applied_revision": report.moved[key]}) if status.sync == "Synced" else None
        ),
    )
