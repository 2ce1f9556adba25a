"""Looks at a repository once and tells which instances a new commit concerns.

One look-up of refs serves all instances of a repository. Where a ref has moved, the two commits' trees are compared, and
only the instances that read in a changed folder are asked whether anything that their last render read is another object
now: a comparison of Git ids, nothing is rendered, and the cost grows with the change (`source.changes`). An instance whose
closure is not known, since it failed or waits to be synced, is concerned by every commit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import structlog

from reconciler.errors import RefNotFound, SourceError, UndriftError
from reconciler.model.instance import InstanceKey
from reconciler.model.revision import Closure
from reconciler.model.spec import Ref, RepositoryAccess
from reconciler.pipeline.rooms import Rooms
from reconciler.ports import SourceTree
from reconciler.source import Refs, changed_folders

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Watched:
    """One instance's interest in a repository. `commit` is the newest one it was judged by, empty when none was."""

    instance: InstanceKey
    ref: Ref
    commit: str = ""
    closure: Closure | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a repository's instances.

    `heads` is the commit through which all instances of a ref were judged, save for the `open` ones, which are judged
    singly; `refs` are those of which that is to be learnt. `reading` gives those that read in one of some folders, or more;
    `everyone` gives all of them.
    """

    heads: Mapping[Ref, str] = field(default_factory=dict)
    refs: frozenset[Ref] = frozenset()
    open: tuple[Watched, ...] = ()
    reading: Callable[[Collection[str]], Iterable[Watched]] = lambda _: ()
    everyone: Callable[[], Iterable[Watched]] = lambda: ()


@dataclass(frozen=True, slots=True)
class RefreshReport:
    """`changed` must be synced at the commit; `moved` were looked at and render the same at it; `missing` carries what is
    wrong, and `lost` are the refs that went. `heads` is the commit that each ref is judged through now, `looked` how many
    instances were looked at singly."""

    changed: Mapping[InstanceKey, str] = field(default_factory=dict)
    moved: Mapping[InstanceKey, str] = field(default_factory=dict)
    missing: Mapping[InstanceKey, UndriftError] = field(default_factory=dict)
    lost: Mapping[Ref, UndriftError] = field(default_factory=dict)
    heads: Mapping[Ref, str] = field(default_factory=dict)
    looked: int = 0


def refresh(access: RepositoryAccess, known: Known, rooms: Rooms) -> RefreshReport:
    """Judge the instances of a repository by the repository as it is now.

    Raises the SourceErrors that concern the repository as a whole; a missing ref concerns only those that name it.
    """
    with rooms.source.connected(access):
        refs = rooms.source.refs(access)
        commits, lost = _commits({*known.heads, *known.refs, *(one.ref for one in known.open)}, refs)
        # A known one may be named as open, too, when it is synced just now: its last word counts.
        news = {one.instance: one for one in known.open if one.ref in commits and commits[one.ref] != one.commit}
        moves = {ref: commit for ref, commit in commits.items() if known.heads.get(ref, commit) != commit}
        if news or moves:
            rooms.source.fetch(access, {*(commits[one.ref] for one in news.values()), *moves.values()}, refs)
    missing = {one.instance: lost[one.ref] for one in known.open if one.ref in lost}
    opened = {one.instance for one in known.open}
    for ref, commit in moves.items():
        for one in _concerned(access, known, ref, known.heads[ref], commit, rooms):
            if one.ref == ref and one.instance not in opened:
                news[one.instance] = one
    changed, moved = _compare(access, news.values(), commits, rooms)
    return RefreshReport(changed, moved, missing, lost, commits, len(news))


def _commits(wanted: Iterable[Ref], refs: Refs) -> tuple[dict[Ref, str], dict[Ref, UndriftError]]:
    """What each ref means now, and what is wrong with those that mean nothing."""
    found: dict[Ref, str] = {}
    lost: dict[Ref, UndriftError] = {}
    for ref in wanted:
        try:
            found[ref] = refs.commit_of(ref)
        except RefNotFound as error:
            lost[ref] = error
    return found, lost


def _concerned(
    access: RepositoryAccess, known: Known, ref: Ref, before: str, after: str, rooms: Rooms
) -> Iterator[Watched]:
    """Those that may read what changed. Everybody where that can't be told: the older commit can't be had any more, as when
    a repository was rewritten, or more has changed than can be walked."""
    try:
        with rooms.source.tree(access, before) as old, rooms.source.tree(access, after) as new:
            folders = changed_folders(old, new)
    except SourceError as error:
        log.info(
            "no_closure_diff",
            url=access.url,
            ref=str(ref),
            before=before[:7],
            after=after[:7],
            reason=error.reason,
            message=error.message,
        )
        yield from known.everyone()
        return
    if folders:
        yield from known.reading(folders)


def _compare(
    access: RepositoryAccess, news: Iterable[Watched], commits: Mapping[Ref, str], rooms: Rooms
) -> tuple[dict[InstanceKey, str], dict[InstanceKey, str]]:
    changed: dict[InstanceKey, str] = {}
    moved: dict[InstanceKey, str] = {}
    by_commit: dict[str, list[Watched]] = {}
    for one in news:
        by_commit.setdefault(commits[one.ref], []).append(one)
    for commit, interested in by_commit.items():
        with rooms.source.tree(access, commit) as tree:
            # A thousand clusters may share one closure, which is then one object: `interested` keeps each of them alive.
            closures = {id(one.closure): one.closure for one in interested}
            same = {name for name, closure in closures.items() if _is_same(closure, tree)}
            for one in interested:
                (moved if id(one.closure) in same else changed)[one.instance] = commit
    return changed, moved


def _is_same(closure: Closure | None, tree: SourceTree) -> bool:
    """Whether what read this renders the same at a tree. What can't be read there is synced, and says so itself: what one
    tenant commits must not end the look for all others of the repository."""
    try:
        return closure is not None and closure.matches(tree)
    except SourceError:
        return False
