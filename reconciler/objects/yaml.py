"""YAML as kubectl takes it: libyaml's fast parser, the meaning of go-yaml behind sigs.k8s.io/yaml (`objects.scalars`).

Unlike PyYAML: no dates and no sexagesimal numbers (both stay strings), `1e3` and `0o17` are numbers, keys that are
numbers or booleans become strings as Go prints them, an unknown tag is ignored. Stricter than kubectl on purpose: a key
that stands twice in one mapping is refused with both lines, since the API server would refuse it too, later. Aliases may
not multiply documents beyond a budget ("billion laughs", `objects.budget`), and nesting is limited, since the C parser
recurses.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from reconciler.errors import InvalidManifest
from reconciler.objects import json_text, scalars
from reconciler.objects.budget import MOST_NODES, MOST_TEXT, Budget

MOST_LEVELS = 200


class _TooMany(Exception):
    """A document has more nodes than may be held at once."""


class _Composer(yaml.CSafeLoader):
    """Builds nodes only, no more than a document may have. Their tags say whether the text tagged them; the look of plain
    scalars is judged later."""

    yaml_implicit_resolvers: Any = {}
    nodes_left = MOST_NODES

    def descend_resolver(self, parent: Any, index: Any) -> None:
        """What PyYAML's composer calls before each node."""
        self.nodes_left -= 1
        if self.nodes_left < 0:
            raise _TooMany

    def resolve(self, kind: type[Node], value: Any, implicit: Any) -> str:
        return scalars.IMPLICIT if kind is ScalarNode and implicit[0] else ""


_TOO_MANY = f"more than {MOST_NODES} values in one document"
_TOO_DEEP = f"nested more than {MOST_LEVELS} levels deep"
_STRUCTURE = re.compile(r"^[ \t\-?:]*", re.MULTILINE)
_STRUCTURE_BYTES = re.compile(rb"^[ \t\-?:]*", re.MULTILINE)
_ODD_BREAKS = re.compile("\r(?!\n)|[\x85\u2028\u2029]")
_ODD_BREAKS_BYTES = re.compile(b"\r(?!\n)|\xc2\x85|\xe2\x80[\xa8\xa9]|\\A\xff\xfe|\\A\xfe\xff")
_MERGE = "tag:yaml.org,2002:merge"


def load_all(text: bytes | str, origin: str, budget: Budget | None = None) -> list[tuple[int, Any]]:
    """The documents as (line, value), lines counting from 1; empty documents are left out. Several calls may share a budget.

    Raises InvalidManifest for a syntax error, a doubled key, a key that is a list, a number that JSON can't carry, or
    more than the budget.
    """
    budget = budget or Budget()
    found = json_text.load_all(text) if not _may_be_deep(text) else None
    if found is not None:
        budget.spend(sum(json_text.count(value) for _, value in found), 0)
        if budget.nodes < 0:
            raise InvalidManifest(f"{origin}: {_too_many(None)}", subject=origin)
        return found
    return [(line_of(node), build(node, origin, budget, only_json=True)) for node in _compose(text, origin, budget)]


def compose_all(text: bytes | str, origin: str, budget: Budget, *, above: int = 0) -> list[Node]:
    """The documents as nodes with their marks (lines count from 0); empty documents are left out. Nothing is spent before
    they are built. `above` is how many lines of the file stand above this piece of it.

    Raises InvalidManifest naming file and line.
    """
    return list(_compose(text, origin, budget, above))


def line_of(node: Node) -> int:
    return int(node.start_mark.line) + 1


def build(node: Node, origin: str, budget: Budget, *, only_json: bool = False) -> Any:
    """The value of a composed document. With `only_json` numbers are as JSON carries them, and infinity is refused."""
    builder = _Builder(origin, budget, only_json=only_json)
    try:
        return builder.value(node)
    finally:
        budget.spend(builder.count, builder.text)


def lines(node: Node) -> Iterator[tuple[tuple[str | int, ...], int]]:
    """Every field path of a document with its line, parents before their children."""
    yield from _lines(node, ())


def _lines(node: Node, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], int]]:
    yield path, line_of(node)
    if isinstance(node, MappingNode):
        for key, value in node.value:
            below = (*path, str(key.value))
            yield below, line_of(key)
            yield from (found for found in _lines(value, below) if found[0] != below)
    elif isinstance(node, SequenceNode):
        for index, item in enumerate(node.value):
            yield from _lines(item, (*path, index))


def _compose(text: bytes | str, origin: str, budget: Budget, above: int = 0) -> Iterator[Node]:
    """One document at a time, so that the nodes of a large file are not all held at once."""
    if _may_be_deep(text):
        _require_shallow(text, origin, budget.nodes, above)
    loader: _Composer | None = None
    try:
        loader = _Composer(text)
        while loader.check_node():
            node = loader.get_node()
            if node is not None and not _is_empty(node):
                _move_down(node, above)
                yield node
            loader.nodes_left = MOST_NODES
    except _TooMany as error:
        raise InvalidManifest(f"{origin}: {_TOO_MANY}", subject=origin) from error
    except yaml.YAMLError as error:
        raise _syntax_error(error, origin, above) from error
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        raise InvalidManifest(f"{origin}: not UTF-8 text", subject=origin) from error
    finally:
        if loader is not None:
            loader.dispose()


def _move_down(node: Node, above: int) -> None:
    """Have a document begin so many lines further down: libyaml always counts from the first line of what it is given."""
    waiting, seen = [node] if above else [], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:  # an alias
            continue
        seen.add(id(one))
        mark = one.start_mark
        one.start_mark = yaml.Mark(mark.name, mark.index, mark.line + above, mark.column, None, 0)
        if isinstance(one, MappingNode):
            waiting += [part for pair in one.value for part in pair]
        elif isinstance(one, SequenceNode):
            waiting += one.value


def _may_be_deep(text: bytes | str) -> bool:
    """Whether nesting might pass the limit; never False for a text that does.

    Each level of flow style costs a bracket. A level of block style stands at least one column further right than the
    one before, in what begins its line, save for a list, which may stand in its key's column.
    """
    if isinstance(text, str):
        brackets = text.count("[") + text.count("{")
        return _passes(brackets, max(map(len, _STRUCTURE.findall(text))), odd=_ODD_BREAKS.search(text) is not None)
    brackets = text.count(b"[") + text.count(b"{")
    widest = max(map(len, _STRUCTURE_BYTES.findall(text)))
    return _passes(brackets, widest, odd=_ODD_BREAKS_BYTES.search(text) is not None)


def _too_many(most: int | None, what: str = "values") -> str:
    if most is None:
        return f"more {what} in all documents together, once aliases are followed, than are read at once"
    return f"more than {most} {what} once its aliases are followed"


def _passes(brackets: int, widest: int, *, odd: bool) -> bool:
    return odd or brackets + 2 * (widest + 1) > MOST_LEVELS


def _require_shallow(text: bytes | str, origin: str, most_nodes: int, above: int) -> None:
    """Follow the parser's events, which cost no stack, as far as the composer may come. Leaves syntax errors to it, which
    reports them."""
    depth = nodes = of_document = 0
    loader: _Composer | None = None
    try:
        loader = _Composer(text)
        while loader.check_event():
            event = loader.get_event()
            if isinstance(event, yaml.NodeEvent):
                nodes, of_document = nodes + 1, of_document + 1
                if of_document > MOST_NODES:
                    raise InvalidManifest(f"{origin}: {_TOO_MANY}", subject=origin)
                if nodes > most_nodes:
                    raise InvalidManifest(f"{origin}: {_too_many(None)}", subject=origin)
            elif isinstance(event, yaml.DocumentStartEvent):
                of_document = 0
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > MOST_LEVELS:
                    line = above + (event.start_mark.line if event.start_mark else 0) + 1
                    raise InvalidManifest(f"{origin}: line {line}: {_TOO_DEEP}", subject=origin)
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
    except (yaml.YAMLError, UnicodeError):
        return
    finally:
        if loader is not None:
            loader.dispose()


class _Builder:
    """Turns one document's nodes into values, counting what aliases repeat."""

    def __init__(self, origin: str, budget: Budget, *, only_json: bool) -> None:
        self._origin, self._only_json = origin, only_json
        self._most_nodes, self._most_text = min(MOST_NODES, budget.nodes), min(MOST_TEXT, budget.text)
        self.count = 0
        self.text = 0
        self._inside: set[int] = set()

    def value(self, node: Node) -> Any:
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        self._spend(node, 0)
        if id(node) in self._inside:
            raise self._refusal(node, "an alias that contains itself")
        if len(self._inside) >= MOST_LEVELS:
            raise self._refusal(node, _TOO_DEEP)
        self._inside.add(id(node))
        try:
            if isinstance(node, SequenceNode):
                return [self.value(item) for item in node.value]
            assert isinstance(node, MappingNode)  # YAML knows no fourth kind of node
            return self._mapping(node)
        finally:
            self._inside.discard(id(node))

    def _spend(self, node: Node, size: int) -> None:
        self.count += 1
        self.text += size
        if self.count > self._most_nodes:
            raise self._refusal(node, _too_many(MOST_NODES if self._most_nodes == MOST_NODES else None))
        if self.text > self._most_text:
            raise self._refusal(node, _too_many(MOST_TEXT if self._most_text == MOST_TEXT else None, "characters"))

    def _scalar(self, node: ScalarNode) -> Any:
        self._spend(node, len(node.value))
        if not node.tag:  # quoted or block style: text, whatever it looks like
            return node.value
        try:
            value = scalars.meaning(node.value, node.tag)
        except ValueError as error:
            raise self._refusal(node, str(error)) from error
        if not self._only_json:
            return value
        if isinstance(value, float) and not math.isfinite(value):
            raise self._refusal(node, f"{node.value} is a number that JSON can't carry; put text in quotes")
        return scalars.as_json(value)

    def _mapping(self, node: MappingNode) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            if _is_merge(key_node):
                merged = {**self._merge(value_node), **merged}
                continue
            key = self._key(key_node)
            if key in lines:
                raise self._refusal(key_node, f"key {key!r} stands twice, first in line {lines[key]}")
            lines[key] = line_of(key_node)
            own[key] = self.value(value_node)
        return {**merged, **own} if merged else own

    def _merge(self, node: Node) -> dict[str, Any]:
        found = self.value(node)
        maps = found if isinstance(found, list) else [found]
        if not all(isinstance(one, dict) for one in maps):
            raise self._refusal(node, "`<<` takes a mapping or a list of mappings")
        return {key: value for one in reversed(maps) for key, value in one.items()}

    def _key(self, node: Node) -> str:
        if not isinstance(node, ScalarNode):
            raise self._refusal(node, "a key that is a list or a mapping")
        value = self._scalar(node)
        if value is None:
            raise self._refusal(node, "an empty key")
        if isinstance(value, bool):
            return "true" if value else "false"
        return str(scalars.as_json(value))

    def _refusal(self, node: Node, what: str) -> InvalidManifest:
        return InvalidManifest(f"{self._origin}: line {line_of(node)}: {what}", subject=self._origin)


def _is_merge(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.value == "<<" and node.tag in (scalars.IMPLICIT, _MERGE)


def _is_empty(node: Node) -> bool:
    if not isinstance(node, ScalarNode) or node.tag != scalars.IMPLICIT:
        return False
    return node.value in ("", "~", "null", "Null", "NULL")


def _syntax_error(error: yaml.YAMLError, origin: str, above: int) -> InvalidManifest:
    if isinstance(error, yaml.reader.ReaderError):
        what = f"not text: {error.reason} at position {error.position}"
        return InvalidManifest(f"{origin}: {what}", subject=origin)
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    place = f"line {above + mark.line + 1}: " if mark is not None else ""
    context, began = getattr(error, "context", None), getattr(error, "context_mark", None)
    if context and began is not None:
        problem = f"{problem} ({context} that begins in line {above + began.line + 1})"
    return InvalidManifest(f"{origin}: {place}{problem}", subject=origin)
