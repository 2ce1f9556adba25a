"""`${cluster.…}`: text of an application that each cluster fills in for itself.

`${cluster.name}`, `${cluster.labels.KEY}` and `${cluster.values.KEY}` stand for what `values.names` finds in the Cluster.
`$${` writes a literal `${`; a `$` before anything else is a `$`. Strict: what the cluster lacks is an error, and there are
no defaults and no functions, since overrides say the same in the open. What is put in is not read again, so no value
brings placeholders of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from reconciler.fleet.problems import Path, near
from reconciler.fleet.values import LABELS, NAME, OPENING, VALUES

Names = Mapping[str, Any]
Sketch = Any
"""The part of a tree of values that holds placeholders: maps by key or index, with their texts as leaves."""

_TOKEN = re.compile(r"\$\$\{|\$\{[^}]*\}?")
_LOOKS_LIKE_A_NAME = re.compile(r"[\w./ -]{0,100}")
_EXPECTED = f"${{{NAME}}}, ${{{LABELS}.…}} or ${{{VALUES}.…}}"
_LITERAL = "a literal ${ is written $${"
_MOST_NAMES, _MOST_SHOWN = 10, 100
_OURS = "${cluster."
_FIELDS = {("source", "path"), ("source", "ref"), ("source", "ref", "branch"), ("source", "ref", "tag"), ("namespace",)}
_FILLED_IN = "source.path, source.ref, namespace and render.helm.values of an Application"


class Unfilled(ValueError):
    """A text that can't be filled in. `found` is what it would have become, where that can be shown; `is_everywhere`:
    no cluster could fill it in."""

    def __init__(self, message: str, *, found: str = "", is_everywhere: bool = False) -> None:
        super().__init__(message)
        self.found, self.is_everywhere = found, is_everywhere


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A name between `${` and `}`."""

    name: str

    def __str__(self) -> str:
        # What does not look like a name, such as the default in `${cluster.values.x:-word}`, may be secret.
        shown = _LOOKS_LIKE_A_NAME.match(self.name)
        return f"${{{self.name}}}" if shown and shown[0] == self.name else f"${{{shown[0] if shown else ''}…}}"


@lru_cache(maxsize=8192)
def parse(text: str) -> tuple[str | Placeholder, ...]:
    """A text as what is literal and what is to be filled in. Raises Unfilled for what no cluster could fill in."""
    pieces: list[str | Placeholder] = []
    at = 0
    for token in _TOKEN.finditer(text):
        pieces += [text[at : token.start()], OPENING if token[0].startswith("$$") else _placeholder(token[0])]
        at = token.end()
    return tuple(piece for piece in (*pieces, text[at:]) if piece != "")


def _placeholder(token: str) -> Placeholder:
    if not token.endswith("}"):
        raise Unfilled(f"found `${{` without a `}}` behind it; {_LITERAL}", is_everywhere=True)
    name = token[2:-1]
    if name == NAME or any(name.startswith(f"{root}.") and name != f"{root}." for root in (LABELS, VALUES)):
        return Placeholder(name)
    if not _LOOKS_LIKE_A_NAME.fullmatch(name):
        message = f"found a ${{…}} that names nothing of a cluster (not shown: it may be secret), expected {_EXPECTED}"
        raise Unfilled(f"{message}; {_LITERAL}", is_everywhere=True)
    meant = _meant(name.strip())
    hint = f"did you mean ${{{meant}}}?" if meant else _LITERAL
    raise Unfilled(f"found ${{{name}}}, expected {_EXPECTED}; {hint}", is_everywhere=True)


def _meant(name: str) -> str:
    """What was probably meant by a name that begins like none of ours."""
    whole = f"cluster.{name}" if name == "name" or name.startswith(("labels.", "values.")) else name
    head, rest = ".".join(whole.split(".")[:2]), whole.split(".")[2:]
    found = near(head, [NAME, LABELS, VALUES]) if head.startswith("cluster") else ""
    is_whole = found and (found == NAME) == (not rest)
    return ".".join([found, *rest]) if is_whole else ""


def misplaced(kind: str, body: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Where a document counts on a placeholder that nobody fills in: as it stands it would reach clusters."""
    for path, text in texts(body.get("spec"), ("spec",)):
        if _OURS in text and not _is_filled(kind, path):
            yield path, f"placeholders such as ${{{NAME}}} are filled in only in {_FILLED_IN}"
    for path in _keys(body.get("spec"), ("spec",)):
        if _OURS in str(path[-1]):
            yield path, "placeholders are filled in in values, not in the names of values"


def _is_filled(kind: str, path: Path) -> bool:
    below = path[3:] if path[1:2] == ("overrides",) else path[1:]
    below = ("source", *below[2:]) if below[:1] == ("sources",) else below
    return kind == "Application" and (below in _FIELDS or below[:3] == ("render", "helm", "values"))


def _keys(value: Any, path: Path) -> Iterator[Path]:
    if isinstance(value, Mapping | list):
        for key, below in _items(value):
            yield (*path, key)
            yield from _keys(below, (*path, key))


def is_public(text: str) -> bool:
    """Whether nothing of a cluster's values enters a text: values may be secret, names and labels are not."""
    return not any(isinstance(piece, Placeholder) and piece.name.startswith(VALUES) for piece in parse(text))


def fill(text: str, names: Names) -> Any:
    """The text filled in; a text that is exactly one placeholder becomes the value itself, of whatever type."""
    pieces = parse(text)
    if len(pieces) == 1 and isinstance(pieces[0], Placeholder):
        return _value(pieces[0], names)
    return fill_text(text, names)


def fill_text(text: str, names: Names) -> str:
    """The text filled in, as text: numbers and booleans as JSON writes them. Raises Unfilled, also for a map."""
    return "".join(_text(piece, names) if isinstance(piece, Placeholder) else piece for piece in parse(text))


def fill_path(text: str, names: Names) -> str:
    """A path filled in. Raises Unfilled, also when a placeholder would end or change the way that is written.

    What is filled in may hold slashes, but no part that is empty, `.` or `..`: with an empty label `web/${…}` would
    otherwise silently mean `web`.
    """
    parts, are_filled = [""], [False]
    for piece in parse(text):
        if isinstance(piece, Placeholder):
            parts[-1] += _text(piece, names)
            are_filled[-1] = True
        else:
            first, *rest = piece.split("/")
            parts[-1] += first
            parts += rest
            are_filled += [False] * len(rest)
    path = "/".join(parts)
    for part, is_filled in zip(parts, are_filled, strict=True):
        if is_filled and not {"", ".", ".."}.isdisjoint(part.split("/")):
            raise wrong_result(text, path, "expected a folder, without an empty part, `.` or `..` from a placeholder")
    return path


def wrong_result(text: str, found: str, message: str) -> Unfilled:
    """The error of a text that could be filled in, and became what it must not be."""
    shown = text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
    return Unfilled(f"{shown} filled in: {message}", found=repr(found) if is_public(text) else "")


def _text(placeholder: Placeholder, names: Names) -> str:
    value = _value(placeholder, names)
    if isinstance(value, Mapping):
        raise Unfilled(f"{placeholder} is a map, expected text; it has {_listed(f'{placeholder.name}.', names)}")
    return value if isinstance(value, str) else json.dumps(value)


def _value(placeholder: Placeholder, names: Names) -> Any:
    if placeholder.name in names:
        return names[placeholder.name]
    root = f"{LABELS}." if placeholder.name.startswith(LABELS) else f"{VALUES}."
    same = [one.removeprefix(root) for one in names if one.startswith(root)]
    meant = near(placeholder.name.removeprefix(root), same)
    hint = f"; did you mean ${{{root}{meant}}}? It has" if meant else "; it has"
    raise Unfilled(f"there is no {placeholder}{hint} {_listed(root if same else '', names)}")


def _listed(beginning: str, names: Names) -> str:
    """The names that there are instead."""
    known = [one for one, value in names.items() if one.startswith(beginning) and not isinstance(value, Mapping)]
    more = f" and {len(known) - _MOST_NAMES} more" if len(known) > _MOST_NAMES else ""
    return f"{', '.join(known[:_MOST_NAMES]) or 'nothing in it'}{more}"


def texts(value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Every text of a tree that is to be filled in, and where it stands."""
    if isinstance(value, str):
        if OPENING in value:
            yield path, value
    elif isinstance(value, Mapping | list | tuple):
        for key, below in _items(value):
            yield from texts(below, (*path, key))


def _items(value: Any) -> Any:
    return value.items() if isinstance(value, Mapping) else enumerate(value)


def sketch(value: Any) -> Sketch:
    """Where a tree holds placeholders, found once for many clusters; None where it holds none."""
    if isinstance(value, str):
        return value if OPENING in value else None
    if not isinstance(value, Mapping | list | tuple):
        return None
    found = {key: drawn for key, below in _items(value) if (drawn := sketch(below)) is not None}
    return found or None


def fill_tree(value: Any, drawn: Sketch, names: Names, wrong: list[tuple[Path, Unfilled]], path: Path = ()) -> Any:
    """A tree filled in, shared with the given one where nothing is. What can't be filled in is added to `wrong`."""
    if drawn is None:
        return value
    if isinstance(drawn, str):
        try:
            return fill(drawn, names)
        except Unfilled as error:
            wrong.append((path, error))
            return value
    made: Any = dict(value) if isinstance(value, Mapping) else list(value)
    for key, below in drawn.items():
        made[key] = fill_tree(value[key], below, names, wrong, (*path, key))
    return made


def reach(value: Any, path: Sequence[str | int]) -> bool:
    """Whether a tree holds something at a path."""
    for part in path:
        is_there = part in value if isinstance(value, Mapping) else _has_index(value, part)
        if not is_there:
            return False
        value = value[part]
    return True


def _has_index(value: Any, index: str | int) -> bool:
    return isinstance(value, list | tuple) and isinstance(index, int) and index < len(value)
