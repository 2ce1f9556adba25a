"""YAML as kubectl takes it: the meaning of go-yaml behind sigs.k8s.io/yaml, on libyaml's fast parser.

Unlike PyYAML: no dates and no sexagesimal numbers (both stay strings), `1e3` and `0o17` are numbers, keys that are
numbers or booleans become strings as Go prints them, an unknown tag is ignored. Stricter than kubectl on purpose: a key
that stands twice in one mapping is refused with both lines, since the API server would refuse it too, later. Aliases may
not multiply a document beyond a budget ("billion laughs").
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from reconciler.errors import InvalidManifest

MOST_NODES = 500_000
MOST_LEVELS = 200


class _Composer(yaml.CSafeLoader):
    """Builds nodes only; their meaning is given below."""


_TOO_DEEP = f"nested more than {MOST_LEVELS} levels deep"
_TRUE = frozenset({"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "y", "Y"})
_FALSE = frozenset({"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", "n", "N"})
_RESOLVER: Any = yaml.resolver.Resolver()
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_INT = re.compile(r"^[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|[1-9][0-9_]*|0)$")
_FLOAT = re.compile(r"^[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?$")
_SPECIAL = {".inf": math.inf, "+.inf": math.inf, "-.inf": -math.inf, ".nan": math.nan}


def compose_all(text: bytes | str, origin: str) -> list[Node]:
    """The documents as nodes with their marks (lines count from 0); empty documents are left out.

    Raises InvalidManifest naming file and line.
    """
    found: list[Node] = []
    if _may_be_deep(text):
        _require_shallow(text, origin)
    loader = _Composer(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is not None and not _is_empty(node):
                found.append(node)
    except yaml.YAMLError as error:
        raise _syntax_error(error, origin) from error
    except UnicodeDecodeError as error:
        raise InvalidManifest(f"{origin}: not UTF-8 text", subject=origin) from error
    finally:
        loader.dispose()
    return found


def _may_be_deep(text: bytes | str) -> bool:
    """Whether nesting might pass the limit: each level is a bracket, or stands further right in its line."""
    if isinstance(text, str):
        return (
            text.count("[") + text.count("{") > MOST_LEVELS // 2 or max(map(len, text.split("\n"))) > MOST_LEVELS // 2
        )
    return text.count(b"[") + text.count(b"{") > MOST_LEVELS // 2 or max(map(len, text.split(b"\n"))) > MOST_LEVELS // 2


def _require_shallow(text: bytes | str, origin: str) -> None:
    """Follow the parser's events, which cost no stack. Leaves syntax errors to the composer, which reports them."""
    depth = 0
    loader = _Composer(text)
    try:
        while loader.check_event():
            event = loader.get_event()
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > MOST_LEVELS:
                    line = event.start_mark.line + 1 if event.start_mark else 1
                    raise InvalidManifest(f"{origin}: line {line}: {_TOO_DEEP}", subject=origin)
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
    except (yaml.YAMLError, UnicodeDecodeError):
        return
    finally:
        loader.dispose()


def load_all(text: bytes | str, origin: str) -> list[tuple[int, Any]]:
    """The documents as (line, value), lines counting from 1; empty documents are left out.

    Raises InvalidManifest for a syntax error, a doubled key, a key that is a list, or too many aliases.
    """
    return [(line_of(node), build(node, origin)) for node in compose_all(text, origin)]


def line_of(node: Node) -> int:
    return int(node.start_mark.line) + 1


def build(node: Node, origin: str) -> Any:
    """The value of a composed document."""
    return _Builder(origin).value(node)


class _Builder:
    """Turns one document's nodes into values, counting what aliases repeat."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._count = 0
        self._inside: set[int] = set()

    def value(self, node: Node) -> Any:
        self._count += 1
        if self._count > MOST_NODES:
            raise self._refusal(node, f"more than {MOST_NODES} values once its aliases are followed")
        if isinstance(node, ScalarNode):
            return scalar(node)
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
        return {**merged, **own}

    def _merge(self, node: Node) -> dict[str, Any]:
        found = self.value(node)
        maps = found if isinstance(found, list) else [found]
        if not all(isinstance(one, dict) for one in maps):
            raise self._refusal(node, "`<<` takes a mapping or a list of mappings")
        return {key: value for one in reversed(maps) for key, value in one.items()}

    def _key(self, node: Node) -> str:
        if not isinstance(node, ScalarNode):
            raise self._refusal(node, "a key that is a list or a mapping")
        value = scalar(node)
        if value is None:
            raise self._refusal(node, "an empty key")
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, float) and value.is_integer():
            return str(int(value))
        return str(value)

    def _refusal(self, node: Node, what: str) -> InvalidManifest:
        return InvalidManifest(f"{self._origin}: line {line_of(node)}: {what}", subject=self._origin)


def scalar(node: ScalarNode) -> Any:
    """The value of a scalar: a plain one by its look, a quoted or block one as text, a tagged one as tagged."""
    text: str = node.value
    if node.style or _is_tagged_text(node):
        return text
    if text in _NULLS:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INT.match(text):
        return _integer(text)
    if _FLOAT.match(text):
        return float(text.replace("_", ""))
    return _SPECIAL.get(text.lower(), text)


def _is_tagged_text(node: ScalarNode) -> bool:
    """Whether a plain scalar carries an explicit `!!str`: its tag is then another than its look alone would give."""
    if node.tag != "tag:yaml.org,2002:str" or not node.value:
        return False
    return bool(_RESOLVER.resolve(ScalarNode, node.value, (True, False)) != node.tag)


def _integer(text: str) -> int:
    digits = text.replace("_", "")
    sign, digits = (-1, digits[1:]) if digits[0] == "-" else (1, digits.lstrip("+"))
    if digits.startswith(("0b", "0o", "0x")):
        return sign * int(digits, 0)
    return sign * int(digits, 8 if len(digits) > 1 and digits[0] == "0" else 10)


def _is_merge(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.value == "<<" and not node.style


def _is_empty(node: Node) -> bool:
    return isinstance(node, ScalarNode) and not node.style and node.value in _NULLS


def _syntax_error(error: yaml.YAMLError, origin: str) -> InvalidManifest:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    place = f"line {mark.line + 1}: " if mark is not None else ""
    context, began = getattr(error, "context", None), getattr(error, "context_mark", None)
    if context and began is not None:
        problem = f"{problem} ({context} that begins in line {began.line + 1})"
    return InvalidManifest(f"{origin}: {place}{problem}", subject=origin)


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
