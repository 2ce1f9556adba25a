"""Reads a fleet from its files, and decides which definitions are in force.

Nothing here raises for a bad document: a broken one stops only what it defines, and what was good before stays as it was
(`previous`). A name that is defined twice is a problem of both places and changes nothing. While a file hides what it
defines, no name is taken for gone. Documents of other tools in the folder are noted and left alone.

The leader reads all files of all tenants, so what one of them costs is bounded: a file, all files together and folders. What
is beyond is not read and told as that file's or folder's problem, the largest and deepest first, and the others go on. A
MiB costs 8 s at worst (2026-11, 2 shared cores).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

from reconciler.errors import PathNotFound, SourceTooLarge
from reconciler.fleet import reading
from reconciler.fleet.documents import API_VERSION, Application, Cluster, Document, Project, Repository, full_name
from reconciler.fleet.problems import MOST_NAMED, Path, Problem, dotted, in_order, line_of, named
from reconciler.fleet.reading import Definition, Name, Reading
from reconciler.model.instance import DEFAULT_PROJECT
from reconciler.model.spec import LOCAL
from reconciler.ports import SourceTree, TreeEntry

SUFFIXES = (".yaml", ".yml", ".json")
MOST_BYTES = 4 << 20
MOST_BYTES_IN_ALL = 32 << 20
MOST_ENTRIES = 200_000
"""Of all folders together."""
MOST_LEVELS = 100
DEV_CLUSTER_LABEL = "undrift.dev/dev-cluster"
_KNOWN = TreeEntry("", "file", "")
"""Stands for a file that was looked at before."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A document, the file that defines it, and the lines of its fields there."""

    document: Document
    file: str
    lines: Mapping[Path, int] = field(default_factory=dict, compare=False)

    def problem(self, message: str, *path: str | int) -> Problem:
        """A problem of this document at a field."""
        name = (self.document.kind, full_name(self.document))
        return Problem(self.file, line_of(path, self.lines), dotted(path), message, name)


_Kind = TypeVar("_Kind", Application, Cluster, Project, Repository)


@dataclass(frozen=True)
class Fleet:
    """All documents that are in force.

    `broken` are the names whose newest text is wrong: where such a name is among `entries`, it is with its last good
    text. `doubtful` are files that may define names which could not be read. Names of applications and repositories are
    those within their project (`documents.full_name`).
    """

    entries: Mapping[Name, Entry] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()
    broken: frozenset[Name] = frozenset()
    doubtful: tuple[str, ...] = ()

    @cached_property
    def applications(self) -> Mapping[str, Application]:
        return self._of(Application)

    @cached_property
    def clusters(self) -> Mapping[str, Cluster]:
        return self._of(Cluster)

    @cached_property
    def projects(self) -> Mapping[str, Project]:
        return self._of(Project)

    @cached_property
    def repositories(self) -> Mapping[str, Repository]:
        return self._of(Repository)

    def is_lost(self, kind: str, name: str | None = None) -> bool:
        """Whether such a document (any of its kind without a name) may be defined without us knowing what it says."""
        lost = self._lost
        return bool(self.doubtful) or ((kind, name) in lost if name else any(kind == one for one, _ in lost))

    def is_repository_lost(self, project: str) -> bool:
        """Whether one of a project's Repositories is defined without us knowing what it says."""
        return any(kind == "Repository" and _project_of(name) == project for kind, name in self._lost)

    @cached_property
    def _lost(self) -> frozenset[Name]:
        return self.broken - self.entries.keys()

    def _of(self, kind: type[_Kind]) -> Mapping[str, _Kind]:
        found = (entry.document for entry in self.entries.values())
        return {full_name(one): one for one in found if isinstance(one, kind)}


def _project_of(name: str) -> str:
    return name.rpartition("/")[0] or DEFAULT_PROJECT


def load(tree: SourceTree, path: str = "", *, previous: Fleet | None = None) -> Fleet:
    """The fleet below a folder. `previous` is the fleet before, whose good documents outlive broken new ones.

    Hidden folders are left out. Raises PathNotFound when there is no such folder, which says nothing about the fleet.
    """
    before = previous or Fleet()
    known: dict[str, set[Name]] = {}
    for name, entry in before.entries.items():
        known.setdefault(entry.file, set()).add(name)
    return _settle(_readings(tree, path, known), before)


def with_dev_clusters(fleet: Fleet, kubeconfigs: Mapping[str, str]) -> Fleet:
    """The fleet with local clusters added, by name and the kubeconfig file below the folder of local clusters.

    A Cluster of that name in the files keeps its labels, values and mode, and is reached where the local one is.
    """
    entries = dict(fleet.entries)
    for name, file in kubeconfigs.items():
        written = fleet.clusters.get(name)
        document = _dev_cluster(name, file, written)
        entries["Cluster", name] = Entry(document, entries["Cluster", name].file if written else "(--dev-clusters)")
    return replace(fleet, entries=dict(sorted(entries.items())))


def with_contexts(fleet: Fleet, kubeconfigs: Mapping[str, str], active: Collection[str]) -> Fleet:
    """The fleet with clusters of the user's own kubeconfig added. Nothing is written to one until it was activated.

    A Cluster of that name in the files keeps its labels, and is reached by the user's own login.
    """
    entries = dict(fleet.entries)
    for name, file in kubeconfigs.items():
        written = fleet.clusters.get(name)
        document = Cluster.model_validate(
            {
                "apiVersion": API_VERSION,
                "kind": "Cluster",
                "metadata": {"name": name, "labels": written.metadata.labels if written else {}},
                "spec": {
                    "access": {"kubeconfig": {"file": LOCAL + file}},
                    "mode": "Active" if name in active else "Observe",
                },
            }
        )
        entries["Cluster", name] = Entry(document, entries["Cluster", name].file if written else "(--context)")
    return replace(fleet, entries=dict(sorted(entries.items())))


def _dev_cluster(name: str, file: str, written: Cluster | None) -> Cluster:
    labels = dict(written.metadata.labels) if written else {}
    drift = written.spec.drift.model_dump(by_alias=True, mode="json", exclude_unset=True) if written else {}
    values = written.spec.values if written else {}
    spec = {"access": {"kubeconfig": {"file": LOCAL + file}}, "drift": {"every": "10s", **drift}, "values": values}
    return Cluster.model_validate(
        {
            "apiVersion": API_VERSION,
            "kind": "Cluster",
            "metadata": {"name": name, "labels": {**labels, "env": "dev", DEV_CLUSTER_LABEL: name}},
            "spec": spec | ({"mode": written.spec.mode} if written else {}),
        }
    )


def _readings(tree: SourceTree, path: str, known: Mapping[str, set[Name]]) -> dict[str, Reading]:
    """What each file holds, by path. Small files are read first, so that a large one takes no room from them."""
    found: dict[str, Reading] = {}
    sizes: dict[str, int] = {}
    for file, entry in _files(tree, path):
        text = _text(tree, file, entry)
        if isinstance(text, Reading):
            found[file] = text
        else:
            sizes[file] = len(text)
    left = MOST_BYTES_IN_ALL
    for file in sorted(sizes, key=lambda one: (sizes[one], one)):
        left -= sizes[file]
        text = (
            _text(tree, file)
            if left >= 0
            else _unread(file, f"is not read: all files have over {MOST_BYTES_IN_ALL >> 20} MiB")
        )
        found[file] = text if isinstance(text, Reading) else reading.read(file, text, known.get(file, set()))
    return dict(sorted(found.items()))


def _files(tree: SourceTree, path: str) -> Iterator[tuple[str, TreeEntry | None]]:
    """Every file below a folder; a folder itself, without an entry, where there is too much to look further. Level by level,
    so that one which multiplies on its way down takes no room from those beside it."""
    waiting, left = deque([path]), MOST_ENTRIES
    while waiting:
        folder = waiting.popleft()
        entries = tree.list(folder)
        left -= len(entries) + 1
        if left < 0 or folder.count("/") > MOST_LEVELS:
            yield folder, None
            if left < 0:
                return
            continue
        for entry in entries:
            below = f"{folder}/{entry.name}" if folder else entry.name
            if entry.kind == "folder" and not entry.name.startswith("."):
                waiting.append(below)
            elif entry.kind in ("file", "link") and entry.name.endswith(SUFFIXES):
                yield below, entry


def _text(tree: SourceTree, file: str, entry: TreeEntry | None = _KNOWN) -> bytes | Reading:
    """What a file holds, or why it is not read."""
    if entry is None:
        message = (
            f"is a folder that is not read: the fleet has over {MOST_ENTRIES} entries, or this {MOST_LEVELS} levels"
        )
        return _unread(file, message)
    if entry.kind == "link":
        return _unread(file, "is a symbolic link, which is not followed; put the file itself here")
    try:
        text = tree.read(file)
    except (PathNotFound, SourceTooLarge, OSError) as error:
        # A file that changes or vanishes while the folder is read: the next look sees what became of it.
        return _unread(file, f"can't be read: {error}")
    if len(text) > MOST_BYTES:
        return _unread(file, f"has more than {MOST_BYTES >> 20} MiB and is not read; divide it")
    return text


def _unread(file: str, message: str) -> Reading:
    return Reading(problems=[Problem(file, 0, "", message)], is_doubtful=True)


def _settle(found: Mapping[str, Reading], before: Fleet) -> Fleet:
    """Decide what is in force: single good definitions, and the last good ones of what is broken or in doubt."""
    doubtful = tuple(sorted(file for file, one in found.items() if one.is_doubtful))
    places: dict[Name, list[Definition]] = {}
    for one in found.values():
        for definition in one.definitions:
            places.setdefault(definition.name, []).append(definition)
    problems = [problem for one in found.values() for problem in one.problems]
    notes = [note for one in found.values() for note in one.notes]
    entries: dict[Name, Entry] = {}
    broken: set[Name] = set()
    for name, defined in places.items():
        wrong = list(_why_not(name, defined, before, doubtful))
        problems += wrong
        only = defined[0]
        if wrong or only.document is None:
            broken.add(name)
        else:
            entries[name] = Entry(only.document, only.file, only.lines)
    broken |= {name for one in found.values() for name in one.suspects if name not in entries}
    unread = named(doubtful[:MOST_NAMED], len(doubtful))
    for name, entry in before.entries.items():
        if name not in entries and (name in broken or doubtful):
            if name not in broken:
                notes.append(entry.problem(f"is kept: {unread} can't be read and may define it"))
            entries[name] = entry
            broken.add(name)
    return Fleet(dict(sorted(entries.items())), in_order(problems), in_order(notes), frozenset(broken), doubtful)


def _why_not(name: Name, defined: list[Definition], before: Fleet, doubtful: tuple[str, ...]) -> Iterator[Problem]:
    """Why definitions that may each be good can't come into force."""
    kind, text = name
    if len(defined) > 1:
        yield from _defined_often(name, defined)
        return
    old, only = before.entries.get(name), defined[0]
    if isinstance(only.document, Cluster):
        yield from _reserved(only.document, only)
    if only.document is not None and old is not None and old.file != only.file and old.file in doubtful:
        message = f"{kind} {text!r} was defined in {old.file}, which can't be read now; nothing is changed until it can"
        yield Problem(only.file, only.line, "metadata.name", message, name)


def _defined_often(name: Name, defined: list[Definition]) -> Iterator[Problem]:
    """Each place is told of a few others: a file may define one name 40,000 times."""
    kind, text = name
    first = sorted(defined, key=lambda one: (one.file, one.line))[: MOST_NAMED + 1]
    often, few = ("twice", "one") if len(defined) == 2 else (f"{len(defined)} times", "all but one")
    for one in defined:
        others = [f"{it.file}:{it.line}" for it in first if it is not one][:MOST_NAMED]
        where = named(others, len(defined) - 1)
        message = f"{kind} {text!r} is defined {often}, here and in {where}; nothing is changed, remove {few}"
        yield Problem(one.file, one.line, "metadata.name", message, name)


def _reserved(cluster: Cluster, at: Definition) -> Iterator[Problem]:
    """What only this program says of a cluster: that it is a local one, which is pinned to no uid, or where the user's own
    kubeconfigs are."""
    label: Path = ("metadata", "labels", DEV_CLUSTER_LABEL)
    if DEV_CLUSTER_LABEL in cluster.metadata.labels:
        message = f"the label {DEV_CLUSTER_LABEL} is Undrift's own, of local clusters that it starts; remove it"
        yield Problem(at.file, line_of(label, at.lines), dotted(label[:2]), message, at.name)
    file: Path = ("spec", "access", "kubeconfig", "file")
    ref = cluster.spec.access.kubeconfig
    if ref is not None and (ref.file or "").startswith(LOCAL):
        message = f"`{LOCAL}` is Undrift's own; expected a path below the credentials folder"
        yield Problem(at.file, line_of(file, at.lines), dotted(file), message, at.name)
