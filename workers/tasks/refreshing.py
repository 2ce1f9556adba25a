"""The task `refresh`: one repository, the instances that a new commit concerns."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterator, Mapping
from dataclasses import replace
from functools import partial

import structlog

from reconciler.errors import GitBusy, GitCrowded, UndriftError
from reconciler.model.instance import InstanceKey
from reconciler.model.spec import Ref, RepositoryAccess
from reconciler.pipeline.refresh import Known, RefreshReport, Watched, refresh
from reconciler.source import folders_read
from workers import wiring
from workers.messages import Grant, Lane, Mark, Work
from workers.store.brief import Results
from workers.tasks.leased import run_leased

log = structlog.get_logger()
NEVER_SYNCED = "NeverSynced"


def run(url: str, fence: int) -> None:
    """`url` is what the look-up is called: the URL, with a project where several reach it in different ways."""
    run_leased(Work("refresh", url), fence, lambda grant, _, results: _refresh(url, grant, results))


def _in_steps(grant: Grant, found: Results) -> None:
    """Write what is found while the lease is still ours. Raises LeaseLost: a look that was stopped for long must not put an
    older commit in the place of a newer one."""
    for piece in found.pieces():
        wiring.store().due.step(grant.work, grant.fence, piece)


def _refresh(url: str, grant: Grant, results: Results) -> Mark | None:
    store = wiring.store()
    access = store.specs.repository(url)
    if access is None:
        return None
    unjudged = _unjudged(url)
    is_whole = store.closures.is_whole(url)
    known = _known(url, unjudged, results) if is_whole else _all_open(url, unjudged)
    try:
        report = refresh(access, known, wiring.rooms())
    except GitCrowded as error:
        at_ms = store.due.now_ms() + int(float(error.retry) * 1000)
        again = Mark(grant.work, grant.lane, "others fetch there", at_ms=at_ms)
        results.mark((replace(again, request=one) for one in grant.requests), store.due.now_ms())
        return again
    except UndriftError as error:
        _note_failure(url, error, results)
        results.outcome = "Failed"
        if isinstance(error, GitBusy) and isinstance(error.retry, float):
            store.due.shut(grant.work.destination, error.retry)
        # Each of these says for itself what is wrong, and tries again by its own back-off.
        wishes = (Mark(Work("sync", str(key)), Lane.COMMIT, reason) for key, reason in unjudged.items())
        found = store.results()
        found.mark(wishes, store.due.now_ms())
        found.unjudged.forget(url, unjudged)
        _in_steps(grant, found)
        outcome: dict[str, object] = {"phase": "Failed", "reason": error.reason, "message": error.message}
    else:
        _spread(url, report, unjudged, known, partial(_in_steps, grant))
        results.looks.note_lookup(url, store.clock.now())
        if not is_whole:
            unused = store.closures.heads_of(url).keys() - set(store.specs.refs(url).values())
            results.closures.advance(url, {}, unused)  # or each ref that an instance ever had would stay
            results.closures.note_whole(url)
        outcome = {"phase": "Idle", "reason": "Looked", "changed": len(report.changed), "looked": report.looked}
    results.requests.answer(grant.requests, url, outcome)
    return Mark(Work("refresh", url), Lane.COMMIT, "periodic", at_ms=store.due.now_ms() + _poll_ms(access))


def _unjudged(url: str) -> Mapping[InstanceKey, str]:
    """The instances of a repository that its look is to make due whatever it finds, and why. One that uses another by now,
    or not this one yet, is left to the scheduler."""
    store = wiring.store()
    waiting = store.unjudged.at(url)
    return {key: waiting[key] for key in store.specs.refs(url, waiting)}


def _poll_ms(access: RepositoryAccess) -> int:
    poll_s = access.poll.total_seconds()
    return int(min(poll_s, wiring.settings().repository_poll_s or poll_s) * 1000)


def _known(url: str, unjudged: Mapping[InstanceKey, str], results: Results) -> Known:
    """What is known of a repository, without a look at each of its instances."""
    store = wiring.store()
    opened = store.closures.open(url)
    refs = store.specs.refs(url, {*opened, *unjudged})
    return Known(
        heads=store.closures.heads_of(url),
        open=tuple(_open_ones(refs, opened, unjudged)),
        reading=lambda folders: _readers(url, folders, results),
        everyone=lambda: _everyone(url),
    )


def _all_open(url: str, unjudged: Mapping[InstanceKey, str]) -> Known:
    """Each instance of a repository is looked at, and what it reads is learnt anew: after a loss of Redis, and every few
    hours. Also where nothing is known of any: each of a thousand syncs would ask the Git host itself."""
    store = wiring.store()
    refs, opened = store.specs.refs(url), store.closures.open(url)
    return Known(refs=frozenset(refs.values()), open=tuple(_open_ones(refs, opened, unjudged)))


def _open_ones(
    refs: Mapping[InstanceKey, Ref], opened: Mapping[InstanceKey, str], unjudged: Container[InstanceKey]
) -> Iterator[Watched]:
    """Those that are judged singly. One of which nothing at all is known is left out: after a loss of Redis it is the scan
    that tells whether it needs a sync. One that waits to be synced at a commit is concerned by every other."""
    store = wiring.store()
    closures = store.memories.closures(refs)
    strange = [key for key in refs if not (key in unjudged or opened.get(key) or key in closures)]
    never = {key for key, status in store.status.each(strange) if status.reason == NEVER_SYNCED}
    for key, ref in refs.items():
        if key in unjudged:
            yield Watched(key, ref)
        elif commit := opened.get(key):
            yield Watched(key, ref, commit)
        elif key not in never:
            yield Watched(key, ref, closure=closures.get(key))


def _readers(url: str, folders: Collection[str], results: Results) -> list[Watched]:
    """The instances that read in these folders. Those that only did so once are forgotten there."""
    store = wiring.store()
    keys = store.closures.reading(url, folders)
    found = _with_closures(store.specs.refs(url, keys))
    meant = [one for one in found if one.closure is None or folders_read(one.closure) & set(folders)]
    results.closures.drop_readers(url, folders, keys - {one.instance for one in meant})
    return meant


def _everyone(url: str) -> list[Watched]:
    return _with_closures(wiring.store().specs.refs(url))


def _with_closures(refs: Mapping[InstanceKey, Ref]) -> list[Watched]:
    """After a failure nothing is known of what a render reads, and any commit may mend it."""
    closures = wiring.store().memories.closures(refs)
    return [Watched(key, ref, closure=closures.get(key)) for key, ref in refs.items()]


def _note_failure(url: str, error: UndriftError, results: Results) -> None:
    store = wiring.store()
    known = store.looks.lookups().get(url, {}).get("error")
    results.looks.note_lookup(url, store.clock.now(), error.message, error.reason)
    if known != error.message:
        results.events.append(store.clock.now(), "repository", url, error.reason, error.message)
    log.warning("lookup_failed", url=url, reason=error.reason)


def _spread(
    url: str,
    report: RefreshReport,
    unjudged: Mapping[InstanceKey, str],
    known: Known,
    mend: Callable[[Results], None],
) -> None:
    """Make due what changed; what renders the same moves on to the new commit without a sync. Killed anywhere, the next look
    finds what is left to do: an instance is open before its ref's head moves past it, and it is not noted that it was made
    due before it was. The heads move before the wishes, so that no sync of one takes an older commit for the newest."""
    store = wiring.store()
    missing = {*_missing(report, unjudged), *_without(known, report.lost.keys() & known.heads.keys())}
    begun, wished = store.results(), store.results()
    begun.closures.reopen_all(url, dict.fromkeys((*report.changed, *missing), ""))
    moved = {ref: commit for ref, commit in report.heads.items() if known.heads.get(ref) != commit}
    begun.closures.advance(url, moved, report.lost)
    reasons = {key: unjudged.get(key, f"commit {commit[:7]}") for key, commit in report.changed.items()}
    begun.mark(
        (Mark(Work("sync", str(key)), Lane.COMMIT, reasons[key], commit=report.changed[key]) for key in reasons),
        store.due.now_ms(),
    )
    gone = (Mark(Work("sync", str(key)), Lane.COMMIT, "its ref is missing") for key in sorted(missing))
    begun.mark(gone, store.due.now_ms())
    begun.unjudged.forget(url, unjudged)  # with the wishes: one that is changed again from now on waits anew
    mend(begun)
    still = store.closures.open_of(dict.fromkeys(report.changed, url))  # one that was synced meanwhile stays known
    wished.closures.reopen_all(url, {key: report.changed[key] for key in report.changed if key in still})
    wished.closures.know_all(url, _learnt(known, report.moved))
    mend(wished)
    if report.changed or report.moved:
        log.info("commit_spread", changed=len(report.changed), looked=report.looked)


def _learnt(known: Known, moved: Container[InstanceKey]) -> Mapping[InstanceKey, frozenset[str]]:
    """Where those read that were looked at singly and render the same; those with one closure share one answer."""
    read, found = dict[int, frozenset[str]](), dict[InstanceKey, frozenset[str]]()
    for one in known.open:
        if one.instance in moved and one.closure is not None:
            if id(one.closure) not in read:
                read[id(one.closure)] = folders_read(one.closure)
            found[one.instance] = read[id(one.closure)]
    return found


def _without(known: Known, gone: Collection[Ref]) -> Iterator[InstanceKey]:
    """Those whose ref was there at the last look."""
    if gone:
        yield from (one.instance for one in known.everyone() if one.ref in gone)


def _missing(report: RefreshReport, unjudged: Container[InstanceKey]) -> Iterator[InstanceKey]:
    """The open instances whose ref is gone, that have not said so themselves yet."""
    for key, status in wiring.store().status.each(report.missing):
        if key in unjudged or status.reason != report.missing[key].reason:
            yield key
