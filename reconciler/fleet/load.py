"""Reads a fleet from its files.

Nothing here raises for a bad document: a broken one stops only what it defines, and what was good before stays as it was
(`previous`). A name that is defined twice is a problem of both places and changes nothing. Documents of other tools in
the folder are counted and left alone.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from pydantic import ValidationError
from yaml.nodes import Node

from reconciler.errors import InvalidManifest
from reconciler.fleet import problems
from reconciler.fleet.documents import API_VERSION, KINDS, Application, Cluster, Document, Project, Repository
from reconciler.fleet.problems import Problem
from reconciler.objects import yaml
from reconciler.ports import SourceTree

SUFFIXES = (".yaml", ".yml", ".json")
Name = tuple[str, str]
"""Kind and name of a document."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A document, and the file that defines it."""

    document: Document
    file: str


@dataclass(frozen=True, slots=True)
class Fleet:
    """All documents that are in force. `broken` are those whose newest text is wrong: if they are among `entries`, it
    is with their last good text."""

    entries: Mapping[Name, Entry] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    broken: frozenset[Name] = frozenset()
    ignored: int = 0

    @property
    def applications(self) -> Mapping[str, Application]:
        return self._of(Application)

    @property
    def clusters(self) -> Mapping[str, Cluster]:
        return self._of(Cluster)

    @property
    def projects(self) -> Mapping[str, Project]:
        return self._of(Project)

    @property
    def repositories(self) -> Mapping[str, Repository]:
        return self._of(Repository)

    def _of(self, kind: type[_Kind]) -> Mapping[str, _Kind]:
        found = (entry.document for entry in self.entries.values())
        return {one.metadata.name: one for one in found if isinstance(one, kind)}


_Kind = TypeVar("_Kind", Application, Cluster, Project, Repository)


@dataclass
class _Reading:
    """What one pass over the files has found so far."""

    found: dict[Name, list[tuple[Entry, int]]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    unreadable: set[str] = field(default_factory=set)
    broken: set[Name] = field(default_factory=set)
    ignored: int = 0


def load(tree: SourceTree, path: str = "", *, previous: Fleet | None = None) -> Fleet:
    """The fleet below a folder. `previous` is the fleet before, whose good documents outlive broken new ones."""
    reading = _Reading()
    for file in _files(tree, path):
        _read_file(file, tree.read(file), reading)
    return _settle(reading, previous or Fleet())


def with_dev_clusters(fleet: Fleet, kubeconfigs: Mapping[str, str]) -> Fleet:
    """The fleet with local clusters added, by name and the reference to their kubeconfig file. Files win over them."""
    added: dict[Name, Entry] = {}
    for name, file in kubeconfigs.items():
        document = Cluster.model_validate(
            {
                "apiVersion": API_VERSION,
                "kind": "Cluster",
                "metadata": {"name": name, "labels": {"env": "dev", "undrift.dev/dev-cluster": name}},
                "spec": {"access": {"kubeconfig": {"file": file}}, "drift": {"every": "10s"}},
            }
        )
        added["Cluster", name] = Entry(document, "(--dev-clusters)")
    return replace(fleet, entries={**added, **fleet.entries})


def _files(tree: SourceTree, path: str) -> Iterator[str]:
    for entry in tree.list(path):
        below = f"{path}/{entry.name}" if path else entry.name
        if entry.kind == "folder" and not entry.name.startswith("."):
            yield from _files(tree, below)
        elif entry.kind == "file" and entry.name.endswith(SUFFIXES):
            yield below


def _read_file(file: str, text: bytes, reading: _Reading) -> None:
    try:
        nodes = yaml.compose_all(text, file)
        documents = [(node, yaml.build(node, file)) for node in nodes]
    except InvalidManifest as error:
        reading.unreadable.add(file)
        reading.problems.append(Problem(file, _line_in(error.message), "", error.message.partition(": ")[2]))
        return
    for node, body in documents:
        for one, where in _items(node, body):
            _read_document(file, one, where, reading)


def _items(node: Node, body: Any) -> Iterator[tuple[Any, Node]]:
    """A document, or the items of a `List`."""
    if isinstance(body, Mapping) and body.get("kind") == "List" and isinstance(body.get("items"), list):
        items = next(value for key, value in node.value if key.value == "items")
        yield from zip(body["items"], items.value, strict=True)
    else:
        yield body, node


def _read_document(file: str, body: Any, node: Node, reading: _Reading) -> None:
    line = yaml.line_of(node)
    if not isinstance(body, Mapping):
        reading.problems.append(Problem(file, line, "", "expected a document with apiVersion and kind"))
        return
    group = str(body.get("apiVersion") or "")
    if not group.startswith("undrift.dev/") and body.get("kind") not in KINDS:
        reading.ignored += 1
        return
    name = _name_of(body)
    if problem := _wrong_type(file, line, body, name):
        _refuse(reading, [problem], name)
        return
    model = KINDS[str(body["kind"])]
    try:
        document = model.model_validate(body)
    except ValidationError as error:
        _refuse(reading, problems.of_validation(error, file, dict(yaml.lines(node)), model, name), name)
        return
    reading.found.setdefault((document.kind, document.metadata.name), []).append((Entry(document, file), line))


def _refuse(reading: _Reading, found: list[Problem], name: Name | None) -> None:
    reading.problems += found
    if name is not None:
        reading.broken.add(name)


def _name_of(body: Mapping[str, Any]) -> Name | None:
    meta = body.get("metadata")
    name = meta.get("name") if isinstance(meta, Mapping) else None
    kind = body.get("kind")
    return (kind, name) if isinstance(kind, str) and kind in KINDS and isinstance(name, str) else None


def _wrong_type(file: str, line: int, body: Mapping[str, Any], name: Name | None) -> Problem | None:
    if body.get("kind") not in KINDS:
        found = body.get("kind")
        near = difflib.get_close_matches(str(found), KINDS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(KINDS)}"
        return Problem(file, line, "kind", f"unknown kind {found!r}; {hint}", name)
    if body.get("apiVersion") != API_VERSION:
        return Problem(file, line, "apiVersion", f"found {body.get('apiVersion')!r}, expected {API_VERSION!r}", name)
    return None


def _settle(reading: _Reading, previous: Fleet) -> Fleet:
    """Decide what is in force: single good definitions, and the last good ones of what is broken now."""
    entries: dict[Name, Entry] = {}
    for name, places in reading.found.items():
        if len(places) > 1:
            reading.problems += _defined_twice(name, places)
            reading.broken.add(name)
        elif name not in reading.broken:
            entries[name] = places[0][0]
    for name, entry in previous.entries.items():
        if name not in entries and (name in reading.broken or entry.file in reading.unreadable):
            entries[name] = entry
            reading.broken.add(name)
    ordered = sorted(reading.problems, key=lambda problem: (problem.file, problem.line))
    return Fleet(dict(sorted(entries.items())), tuple(ordered), frozenset(reading.broken), reading.ignored)


def _defined_twice(name: Name, places: list[tuple[Entry, int]]) -> Iterator[Problem]:
    for entry, line in places:
        others = ", ".join(f"{one.file}:{at}" for one, at in places if (one.file, at) != (entry.file, line))
        yield Problem(
            entry.file,
            line,
            "metadata.name",
            f"{name[0]} {name[1]!r} is defined again in {others}; nothing is changed",
            name,
        )


def _line_in(message: str) -> int:
    """The line that a YAML error names."""
    _, _, rest = message.partition("line ")
    digits = rest.partition(":")[0]
    return int(digits) if digits.isdigit() else 1
