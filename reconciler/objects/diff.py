"""How two states of an object differ, for people. Secrets are masked, and what the server keeps for itself is left out.

Values are written as JSON, on one line and cut when long; of two long ones the place is shown where they part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from reconciler.model.manifest import Raw
from reconciler.objects import mask
from reconciler.objects.clean import SERVER_METADATA
from reconciler.text import printable

MOST_SHOWN = 120
"""Characters of a value in a line for people; `-o json` is never shortened."""
_BEFORE_IT = 24
"""Characters shown before the place where two long values part."""
_LIST_KEYS = ("name", "containerPort", "port", "mountPath", "type", "ip", "uid")


@dataclass(frozen=True, slots=True)
class Difference:
    """One field: its path, and its value on either side; None where it is absent."""

    path: str
    before: Any
    after: Any


def differences(before: Raw | None, after: Raw | None) -> tuple[Difference, ...]:
    """The fields that differ, in path order; an order of list items that alone differs is one too (`[order]`).

    None stands for an object that does not exist; status is not compared.
    """
    return tuple(_compare(_shown(before), _shown(after), ""))


def line(one: Difference, most: int = MOST_SHOWN) -> str:
    """A difference on one line: `.spec.replicas: 1 -> 3`. A field that is absent on one side is `(none)` there."""
    before, after = _json(one.before), _json(one.after)
    if max(len(before), len(after)) <= most or None in (one.before, one.after):
        return f"{printable(one.path)}: {_cut(before, most)} -> {_cut(after, most)}"
    same = next((at for at, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), 0)
    left, right = (_cut(text, most, max(0, same - _BEFORE_IT)) for text in (before, after))
    return f"{printable(one.path)}: {left} -> {right}"


def value(found: Any, most: int = MOST_SHOWN) -> str:
    """A value as JSON, cut when long; `(none)` for none."""
    return _cut(_json(found), most)


def _json(found: Any) -> str:
    return "(none)" if found is None else printable(orjson.dumps(found, default=str).decode())


def _cut(text: str, most: int, begin: int = 0) -> str:
    """`most` characters of a text, from a place on; dots where something is left out."""
    begin = min(begin, max(0, len(text) - most))
    return f"{'…' if begin else ''}{text[begin : begin + most]}{'…' if begin + most < len(text) else ''}"


def _shown(body: Raw | None) -> Any:
    if body is None:
        return None
    shown = mask.masked(body)
    shown.pop("status", None)
    meta = {key: value for key, value in (shown.get("metadata") or {}).items() if key not in SERVER_METADATA}
    return {**shown, "metadata": meta}


def _compare(before: Any, after: Any, path: str) -> Iterator[Difference]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted(before.keys() | after.keys(), key=str):
            yield from _compare(before.get(key), after.get(key), f"{path}.{key}")
    elif isinstance(before, list) and isinstance(after, list) and (key := merge_key(before, after)):
        left, right = ({str(item[key]): item for item in items} for items in (before, after))
        for name in sorted(left.keys() | right.keys()):
            yield from _compare(left.get(name), right.get(name), f"{path}[{key}={name}]")
        # The order of containers or variables is a part of the pod template: changing it alone restarts Pods.
        if left.keys() == right.keys() and list(left) != list(right):
            yield Difference(f"{path}[order]", list(left), list(right))
    elif before != after:
        yield Difference(path, before, after)


def merge_key(before: list[Any], after: list[Any]) -> str | None:
    """The field by which the items of two lists are told apart, if there is one."""
    items = before + after
    for key in _LIST_KEYS:
        if items and all(isinstance(item, Mapping) and key in item for item in items):
            unique = all(len({str(item[key]) for item in side}) == len(side) for side in (before, after))
            if unique:
                return key
    return None
