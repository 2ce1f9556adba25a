"""What a fleet's files would do to its clusters: a preview of every instance, many clusters at once, nothing written.

Each repository is looked at once, for all of its instances. Clusters are asked side by side and the instances of one in
turn, so that one that is away costs one time-out. Rendering is done one instance at a time: neither opened mirrors nor
the render helper are for several threads. Redis is not asked: what a sync has not flushed yet makes a plan name objects
that stand as they should, and the API server's own dry run takes those out again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from reconciler.cluster import OpenGuard
from reconciler.credentials import CredentialMissing
from reconciler.errors import FirstContact, GitUnreachable, NamespaceMissing, UndriftError, Unreachable
from reconciler.model.instance import InstanceKey
from reconciler.model.manifest import ObjectKey
from reconciler.model.plan import Action
from reconciler.model.record import Memory, Order
from reconciler.model.revision import Checkout
from reconciler.model.spec import InstanceSpec, Ref, RepositoryAccess, Source
from reconciler.objects.diff import Difference
from reconciler.pipeline.preview import ObjectDiff, Preview, diffs, preview
from reconciler.pipeline.rooms import Rooms
from reconciler.source import SourceRoom

AT_ONCE = 16
"""Clusters asked at a time."""
AWAY = (Unreachable, GitUnreachable, CredentialMissing)
"""Nothing is known of an instance whose cluster or repository can't be reached from here."""


class SharedSource(SourceRoom):
    """A source room for several threads: one checkout at a time, for as long as it is rendered."""

    _turn = threading.Lock()

    @contextmanager
    def checkout(self, source: Source, commit: str | None = None) -> Iterator[Checkout]:
        with self._turn, super().checkout(source, commit) as found:
            yield found


@dataclass(frozen=True, slots=True)
class Changed:
    """One object that would change. `refused`: why the API server would not take it."""

    action: str
    object: str
    differences: tuple[Difference, ...] = ()
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """What would wait for a person."""

    reason: str
    objects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a sync of an instance would do now; `error` when that can't be said."""

    instance: InstanceKey
    changes: tuple[Changed, ...] = ()
    holds: tuple[Held, ...] = ()
    error: UndriftError | None = None

    @property
    def is_away(self) -> bool:
        return isinstance(self.error, AWAY)

    @property
    def is_failed(self) -> bool:
        """Whether the sync would fail, as a whole or for an object."""
        return (self.error is not None and not self.is_away) or any(one.refused for one in self.changes)


def outcomes(specs: Sequence[InstanceSpec], rooms: Rooms) -> list[Outcome]:
    """The outcome of each instance, in their order. Reads only; what is applied is applied as a dry run."""
    commits = _commits(specs, rooms)
    by_cluster: dict[str, list[InstanceSpec]] = {}
    for spec in specs:
        by_cluster.setdefault(spec.cluster.name, []).append(spec)
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="plan") as threads:
        found = threads.map(lambda mine: list(_on_cluster(mine, commits, rooms)), by_cluster.values())
        by_key = {one.instance: one for mine in found for one in mine}
    return [by_key[spec.key] for spec in specs]


_Commits = Mapping[tuple[RepositoryAccess, Ref], str | UndriftError]


def _commits(specs: Sequence[InstanceSpec], rooms: Rooms) -> _Commits:
    """The commit that each ref means now, fetched, or why there is none."""
    wanted: dict[RepositoryAccess, set[Ref]] = {}
    for spec in specs:
        wanted.setdefault(spec.source.repo, set()).add(spec.source.ref)
    found: dict[tuple[RepositoryAccess, Ref], str | UndriftError] = {}
    for access, refs in wanted.items():
        found.update({(access, ref): commit for ref, commit in _commits_of(access, refs, rooms).items()})
    return found


def _commits_of(access: RepositoryAccess, refs: set[Ref], rooms: Rooms) -> Mapping[Ref, str | UndriftError]:
    found: dict[Ref, str | UndriftError] = {}
    try:
        known = rooms.source.refs(access) if any(ref.commit is None for ref in refs) else None
        for ref in refs:
            try:
                found[ref] = rooms.source.resolve(access, ref, known).commit
            except UndriftError as error:
                found[ref] = error
        rooms.source.fetch(access, {one for one in found.values() if isinstance(one, str)}, known)
    except UndriftError as error:
        return dict.fromkeys(refs, error)
    return found


def _on_cluster(specs: Sequence[InstanceSpec], commits: _Commits, rooms: Rooms) -> Iterator[Outcome]:
    away: UndriftError | None = None
    for spec in specs:
        commit = commits[spec.source.repo, spec.source.ref]
        if isinstance(commit, UndriftError) or away is not None:
            yield Outcome(spec.key, error=commit if isinstance(commit, UndriftError) else away)
            continue
        try:
            yield _outcome(spec, commit, rooms)
        except AWAY as error:
            away = error
            yield Outcome(spec.key, error=error)
        except UndriftError as error:
            yield Outcome(spec.key, error=error)


def _outcome(spec: InstanceSpec, commit: str, rooms: Rooms) -> Outcome:
    # Asked here, as the plan would ask while it holds the one checkout that there is.
    rooms.clusters.api(spec.cluster, OpenGuard(), agent=f"{spec.key} plan").discovery()
    found = preview(spec, Order(reasons=("preview",), commit=commit, by_operator=True), Memory(), rooms)
    looked = [one for one in _looked(spec, found, rooms) if _is_seen(one)]
    holds = [Held(one.reason, tuple(map(str, one.subjects))) for one in found.plan.holds]
    return Outcome(spec.key, tuple(_changed(one, spec, found) for one in looked), tuple(holds))


def refusals(spec: InstanceSpec, found: Preview, rooms: Rooms) -> dict[ObjectKey, UndriftError]:
    """Why the API server would not take what a sync would apply, by the dry run of each."""
    return {
        one.key: one.error
        for one in _looked(spec, found, rooms)
        if one.error is not None and _is_refused(one, spec, found)
    }


def _looked(spec: InstanceSpec, found: Preview, rooms: Rooms) -> tuple[ObjectDiff, ...]:
    """The difference of each change. Raises when the cluster went away meanwhile: then nothing is known."""
    looked = diffs(spec, found, rooms)
    for one in looked:
        if isinstance(one.error, AWAY):
            raise one.error
    return looked


def _is_seen(one: ObjectDiff) -> bool:
    """Whether anybody would see the change: a deletion of what is gone and an apply that changes no field are none."""
    if one.action is Action.DELETE:
        return one.exists
    return not (one.action is Action.APPLY and one.error is None and not one.differences)


def _changed(one: ObjectDiff, spec: InstanceSpec, found: Preview) -> Changed:
    fields = tuple(each for each in one.differences if each.path)
    refused = one.error.message if one.error is not None and _is_refused(one, spec, found) else ""
    return Changed(str(one.action), str(one.key), fields, refused)


def _is_refused(one: ObjectDiff, spec: InstanceSpec, found: Preview) -> bool:
    """Whether the sync would fail for an object; one that is held is not refused."""
    return one.error is not None and not isinstance(one.error, FirstContact) and not _comes(one, spec, found)


def _comes(one: ObjectDiff, spec: InstanceSpec, found: Preview) -> bool:
    """Whether an object is refused only for its namespace, which the same sync would make first."""
    if not isinstance(one.error, NamespaceMissing):
        return False
    made = {change.key.name for change in found.plan.changes if change.key.kind == "Namespace" and change.manifest}
    return one.key.namespace in made or (spec.sync.create_namespace and one.key.namespace == spec.namespace)


def as_json(one: Changed | Held) -> dict[str, Any]:
    """A change or a hold for programs, and to compare by."""
    if isinstance(one, Held):
        return {"reason": one.reason, "objects": list(one.objects)}
    differences = [{"path": each.path, "before": each.before, "after": each.after} for each in one.differences]
    return {"action": one.action, "object": one.object, "differences": differences, "refused": one.refused}
