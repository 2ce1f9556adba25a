"""Looks at a repository once and tells which instances a new commit concerns.

One look-up of refs serves all instances of a repository. A commit concerns an instance when something that its last
render read is another object now: a comparison of Git ids, nothing is rendered. Where no closure is known, the new commit
counts as concerning it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from reconciler.errors import RefNotFound, UndriftError
from reconciler.model.instance import InstanceKey
from reconciler.model.revision import Closure
from reconciler.model.spec import Ref, RepositoryAccess
from reconciler.pipeline.rooms import Rooms
from reconciler.source import Refs, closure_matches


@dataclass(frozen=True, slots=True)
class Watched:
    """One instance's interest in a repository. `commit` is the newest one it was judged by, empty when none was."""

    instance: InstanceKey
    ref: Ref
    commit: str = ""
    closure: Closure | None = None


@dataclass(frozen=True, slots=True)
class RefreshReport:
    """`changed` must be synced at the commit; `moved` render the same at it; `missing` carries what is wrong."""

    changed: Mapping[InstanceKey, str] = field(default_factory=dict)
    moved: Mapping[InstanceKey, str] = field(default_factory=dict)
    missing: Mapping[InstanceKey, UndriftError] = field(default_factory=dict)


def refresh(access: RepositoryAccess, watched: Iterable[Watched], rooms: Rooms) -> RefreshReport:
    """Judge every watching instance by the repository as it is now.

    Raises the SourceErrors that concern the repository as a whole; a missing ref concerns only those that name it.
    """
    refs = rooms.source.refs(access)
    news: dict[str, list[Watched]] = {}
    missing: dict[InstanceKey, UndriftError] = {}
    for one in watched:
        try:
            commit = refs.commit_of(one.ref)
        except RefNotFound as error:
            missing[one.instance] = error
            continue
        if commit != one.commit:
            news.setdefault(commit, []).append(one)
    changed, moved = _compare(access, refs, news, rooms)
    return RefreshReport(changed, moved, missing)


def _compare(
    access: RepositoryAccess, refs: Refs, news: Mapping[str, list[Watched]], rooms: Rooms
) -> tuple[dict[InstanceKey, str], dict[InstanceKey, str]]:
    changed: dict[InstanceKey, str] = {}
    moved: dict[InstanceKey, str] = {}
    if news:
        rooms.source.fetch(access, news.keys(), refs)
    for commit, interested in news.items():
        with rooms.source.tree(access, commit) as tree:
            for one in interested:
                same = one.closure is not None and closure_matches(tree, one.closure)
                (moved if same else changed)[one.instance] = commit
    return changed, moved
