"""Reads one file of a fleet: from text to definitions, good and broken, each with the lines of its fields.

A document that is wrong is still a definition as long as its name can be read, so that the name is known to be broken.
Text of ours that hides its name makes the whole file doubtful: nobody can say what it would have defined. What other
tools wrote is left alone, with a note.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import Any

from pydantic import ValidationError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from reconciler.errors import InvalidManifest
from reconciler.fleet import placeholders, problems
from reconciler.fleet.documents import API_VERSION, KINDS, Document, full_name, in_project
from reconciler.fleet.problems import Path, Problem
from reconciler.fleet.values import is_over
from reconciler.model.instance import DEFAULT_PROJECT
from reconciler.objects import yaml
from reconciler.objects.budget import Budget
from reconciler.text import printable

GROUP = "undrift.dev"
MOST_REPEATED = 10_000
MOST_REPEATED_TEXT = 1024**2
"""What aliases may repeat in one file, in values and characters."""
MOST_OF_DOCUMENT = 256 << 10
"""Characters and values of one document."""
OF_PROJECTS = frozenset({"Application", "Repository"})
"""The kinds whose names belong to a project."""
Name = tuple[str, str]
"""Kind of a document, and its name with its project's (`documents.full_name`)."""

_SEPARATOR = re.compile(r"^---(?=\s|$)", re.MULTILINE)
_VALUE = r"""[ \t]*["']?([A-Za-z0-9.-]+)"""
_KIND = re.compile(rf"kind:{_VALUE}")
_NAME = re.compile(rf"^name:{_VALUE}")
_METADATA = re.compile(r"metadata:[ \t]*(?:#.*)?$")
_SPEC = re.compile(r"spec:[ \t]*(?:#.*)?$")
_PROJECT = re.compile(rf"^project:{_VALUE}[\"']?[ \t]*(?:#.*)?$")
_FLOW_METADATA = re.compile(rf"metadata:[ \t]*\{{(?:[^}}]*,)?[ \t]*name:{_VALUE}")


@dataclass(frozen=True, slots=True)
class Definition:
    """One place where a name is defined; `document` is None when what stands there is wrong."""

    name: Name
    file: str
    line: int
    document: Document | None = None
    lines: Mapping[Path, int] = field(default_factory=dict)


@dataclass
class Reading:
    """What was found in a file. `suspects` are names that a document of unknown kind may define; `is_doubtful`: the
    file may define names that could not be read at all."""

    definitions: list[Definition] = field(default_factory=list)
    suspects: set[Name] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    is_doubtful: bool = False


@dataclass(frozen=True, slots=True)
class _Place:
    file: str
    known: Collection[Name]
    """What this file defined when it was last read well."""
    known_as: Mapping[Name, Collection[Name]]
    """The same by their names without projects: a file may have many that are broken now."""
    is_ours: bool
    """Whether anything in the file is, or was, Undrift's: then text that can't be read may be, too."""


def read(file: str, text: bytes, known: Collection[Name] = ()) -> Reading:
    """The definitions of a file. `known` is what it defined before: such a file can't have become another tool's."""
    found = Reading()
    by_name = {bare: tuple(some) for bare, some in groupby(sorted(known, key=_bare), key=_bare)}
    place = _Place(file, known, by_name, bool(known) or b"undrift" in text)
    try:
        documents = _documents(text, file, _budget(text))
    except (InvalidManifest, RecursionError) as error:
        _read_in_pieces(text, place, found, error)
        return found
    for node, body in documents:
        _read_items(node, body, place, found)
    return found


def _documents(text: bytes | str, file: str, budget: Budget, above: int = 0) -> list[tuple[Node, Any]]:
    return [(node, yaml.build(node, file, budget)) for node in yaml.compose_all(text, file, budget, above=above)]


def _budget(text: bytes) -> Budget:
    """A fleet may be large, and what it has beyond its text is what aliases repeat, which costs the leader 0.2 ms each with
    all that is then asked of it: 20 small documents took it 100 seconds."""
    return Budget(nodes=len(text) + MOST_REPEATED, text=len(text) + MOST_REPEATED_TEXT)


def _read_in_pieces(text: bytes, place: _Place, found: Reading, error: Exception) -> None:
    """Read what is good in a file that is not good as a whole: a line that begins with `---` always parts documents."""
    try:
        whole = text.decode("utf-8-sig")
    except UnicodeDecodeError:
        _note_unreadable("", 1, error, place, found)
        return
    _read_pieces(whole, place, found, _budget(text))
    if found.problems and set(place.known) - {one.name for one in found.definitions}:
        # What the file defined before and does not show now may stand in a piece whose name was misread.
        found.is_doubtful = True


def _read_pieces(whole: str, place: _Place, found: Reading, budget: Budget) -> None:
    starts = [0, *(match.start() for match in _SEPARATOR.finditer(whole)), len(whole)]
    begins = 0
    for start, end in pairwise(starts):
        piece, above = whole[start:end], begins
        begins += piece.count("\n")
        try:
            documents = _documents(piece, place.file, budget, above)
        except (InvalidManifest, RecursionError) as wrong:
            _note_unreadable(piece, above + 1, wrong, place, found)
            continue
        for node, body in documents:
            _read_items(node, body, place, found)


def _note_unreadable(piece: str, line: int, error: Exception, place: _Place, found: Reading) -> None:
    message = error.message if isinstance(error, InvalidManifest) else "nested too deeply"
    message = message.removeprefix(f"{printable(place.file)}: ")
    if match := re.match(r"line (\d+): ", message):
        line, message = int(match[1]), message[match.end() :]
    if not place.is_ours:
        found.notes.append(Problem(place.file, line, "", f"left alone: not YAML ({message}), and nothing of Undrift's"))
        return
    name = _scanned_name(piece)
    found.problems.append(Problem(place.file, line, "", message, name))
    if name is None:
        found.is_doubtful = True
    else:
        _note_broken(name, line, place, found)


def _note_broken(name: Name, line: int, place: _Place, found: Reading) -> None:
    """A definition that is wrong. It may be its project that is: what this file defined by that name before is meant."""
    found.definitions.append(Definition(name, place.file, line))
    found.suspects.update(place.known_as.get(_bare(name), ()))


def _bare(name: Name) -> Name:
    """A name without its project."""
    return name[0], name[1].rpartition("/")[2]


def _scanned_name(piece: str) -> Name | None:
    """The one name that a piece of text defines, although it is no YAML; None when that can't be said.

    Line by line: one pattern over the whole text can take exponential time on hostile input.
    """
    found: dict[str, list[str]] = {"version": [], "kind": [], "name": [], "project": [], "hidden": []}
    below, indent = "", ""
    for line in piece.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0] not in " \t":
            below = "metadata" if _METADATA.match(line) else "spec" if _SPEC.match(line) else ""
            indent = ""
            _scan_top(line, found)
        elif below:
            indent = indent or line[: len(line) - len(line.lstrip())]
            _scan_below(line.removeprefix(indent) if line.startswith(indent) else "", below, found)
    if (
        found["hidden"]
        or len(found["project"]) > 1
        or not len(found["kind"]) == len(found["name"]) == len(found["version"]) == 1
    ):
        return None
    (kind,), (name,) = found["kind"], found["name"]
    project = next(iter(found["project"]), DEFAULT_PROJECT)
    if kind not in KINDS:
        return None
    return kind, in_project(project, name) if kind in OF_PROJECTS else name


def _scan_top(line: str, found: dict[str, list[str]]) -> None:
    if line.startswith("apiVersion:"):
        found["version"].append(line)
    elif line.startswith("kind:"):
        found["kind"] += _KIND.findall(line)
    elif line.startswith("metadata:"):
        found["name"] += _FLOW_METADATA.findall(line)
    elif line.startswith("spec:") and "project" in line:
        found["hidden"].append(line)


def _scan_below(line: str, below: str, found: dict[str, list[str]]) -> None:
    if below == "metadata":
        found["name"] += _NAME.findall(line)
    elif line.startswith("project:"):
        found["project" if _PROJECT.match(line) else "hidden"] += _PROJECT.findall(line) or [line]


def _read_items(node: Node, body: Any, place: _Place, found: Reading) -> None:
    """Read a document, or the items of a `List`."""
    for one, where in _items(node, body):
        if isinstance(one, Mapping):
            _read_mapping(one, where, place, found)
        else:
            _read_other(one, yaml.line_of(where), place, found)


def _items(node: Node, body: Any) -> Iterator[tuple[Any, Node]]:
    if not (isinstance(body, Mapping) and body.get("kind") == "List" and isinstance(body.get("items"), list)):
        yield body, node
        return
    values = node.value if isinstance(node, MappingNode) else []
    written = next((value for key, value in values if isinstance(key, ScalarNode) and key.value == "items"), None)
    nodes = written.value if isinstance(written, SequenceNode) else [node] * len(body["items"])
    for item, where in zip(body["items"], nodes, strict=True):
        yield from _items(where, item)


def _read_other(body: Any, line: int, place: _Place, found: Reading) -> None:
    """A document that is no mapping: another tool's list, or what an accident left."""
    what = "a list; write each document by itself, `---` between them" if isinstance(body, list) else "plain text"
    if not place.is_ours:
        found.notes.append(Problem(place.file, line, "", f"left alone: {what.partition(';')[0]}"))
        return
    found.problems.append(Problem(place.file, line, "", f"expected a document with apiVersion and kind, found {what}"))
    found.is_doubtful = True


def _is_ours(body: Mapping[str, Any]) -> bool:
    """Whether a document is meant for us, rightly or wrongly written."""
    group, _, version = _text(body, "apiVersion").rpartition("/")
    kind = _text(body, "kind")
    if group == GROUP or group.endswith("." + GROUP) or version == GROUP:
        return True
    if kind in KINDS:
        return "." not in group or bool(problems.near(group, [GROUP]))
    return not kind and not group and {"metadata", "spec"} <= body.keys()


def _text(body: Mapping[str, Any], field: str) -> str:
    """A field's text; "" for anything else that may stand there."""
    found = body.get(field)
    return found if isinstance(found, str) else ""


def _names(body: Mapping[str, Any]) -> set[Name]:
    """What a document defines; a misspelt kind counts as what it looks like, else as each of ours. Nothing where its name,
    or the project that its name belongs to, can't be read."""
    meta = body.get("metadata")
    name = meta.get("name") if isinstance(meta, Mapping) else None
    kind = _text(body, "kind")
    meant = kind if kind in KINDS else problems.near(kind, list(KINDS))
    kinds = [one for one in KINDS if one == meant or not meant]
    spec = body.get("spec")
    project = spec.get("project", DEFAULT_PROJECT) if isinstance(spec, Mapping) else DEFAULT_PROJECT
    if any(one is None or isinstance(one, Mapping | list) for one in (name, project)):
        return set()
    return {(one, in_project(str(project), str(name)) if one in OF_PROJECTS else str(name)) for one in kinds}


def _read_mapping(body: Mapping[str, Any], node: Node, place: _Place, found: Reading) -> None:
    line = yaml.line_of(node)
    if not _is_ours(body):
        what = f"{body.get('apiVersion') or 'no apiVersion'}, {body.get('kind') or 'no kind'}"
        found.notes.append(Problem(place.file, line, "", f"left alone: not a document of Undrift's ({what})"))
        return
    lines = dict(yaml.lines(node))
    names = sorted(_names(body))
    subject = names[0] if len(names) == 1 else None
    wrong = list(_wrong_type(body, place.file, lines, subject)) or None
    wrong = wrong or list(_too_large(body, place.file, line, subject)) or None
    document, refused = (None, wrong) if wrong else _validated(body, place.file, lines, subject)
    if document is not None:
        named = {path for path, _ in placeholders.texts(body.get("spec"), ("spec",))}
        kept = {path: at for path, at in lines.items() if "values" not in path or path in named}
        name = (document.kind, full_name(document))
        found.definitions.append(Definition(name, place.file, line, document, kept))
        return
    found.problems += refused or []
    found.is_doubtful = found.is_doubtful or not names
    if subject is not None:
        _note_broken(subject, line, place, found)
    else:
        found.suspects.update(names)


def _too_large(body: Mapping[str, Any], file: str, line: int, subject: Name | None) -> Iterator[Problem]:
    """An Application's spec is kept once for each of its clusters, and everything in it is looked at for each."""
    if is_over(MOST_OF_DOCUMENT, body):
        message = (
            f"has over {MOST_OF_DOCUMENT >> 10} KiB with what its aliases repeat; put large values into valueFiles"
        )
        yield Problem(file, line, "", message, subject)


def _validated(
    body: Mapping[str, Any], file: str, lines: Mapping[Path, int], subject: Name | None
) -> tuple[Document | None, list[Problem]]:
    """The document, or all that is wrong with it. Strict: `"5"` is no number and `1.0` no text."""
    model = KINDS[_text(body, "kind")]
    refused = [
        Problem(file, problems.line_of(path, lines), problems.dotted(path), message, subject)
        for path, message in placeholders.misplaced(_text(body, "kind"), body)
    ]
    document: Document | None = None
    try:
        document = model.model_validate_json(json.dumps(body), strict=True)
    except ValidationError as error:
        refused += problems.of_validation(error, file, lines, model, subject)
    return (None if refused else document), sorted(refused, key=lambda one: (one.line, one.field))


def _wrong_type(
    body: Mapping[str, Any], file: str, lines: Mapping[Path, int], subject: Name | None
) -> Iterator[Problem]:
    kind, version = _text(body, "kind"), _text(body, "apiVersion")
    if kind not in KINDS:
        hint = problems.near(kind, list(KINDS)) if kind else ""
        found = f"found {kind!r}" if kind else "is no text" if "kind" in body else "is missing"
        meant = f"; did you mean {hint!r}?" if hint else ""
        at = problems.line_of(("kind",), lines)
        yield Problem(file, at, "kind", f"{found}, expected one of {', '.join(KINDS)}{meant}", subject)
    if version != API_VERSION:
        found = f"found {version!r}" if version else "is no text" if "apiVersion" in body else "is missing"
        at = problems.line_of(("apiVersion",), lines)
        yield Problem(file, at, "apiVersion", f"{found}, expected {API_VERSION!r}", subject)
