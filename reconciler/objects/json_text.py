"""JSON among YAML: read as such, for speed, and since YAML's parser refuses an emoji written as two escapes.

Whatever is unusual (not quite JSON, a doubled key, more values than a document may have) is left to YAML's parser, where it
is either taken or refused with its line.
"""

from __future__ import annotations

import json
import re
from typing import Any

from reconciler.objects import scalars
from reconciler.objects.budget import MOST_NODES

_SPACE = re.compile(r"\s*")


def load_all(text: bytes | str) -> list[tuple[int, Any]] | None:
    """The documents of a JSON text as (line, value); None when YAML's parser has to judge. Nesting is the caller's care."""
    if text[:4096].lstrip()[:1] not in ("{", b"{") or _may_be_many(text):
        return None
    found: list[tuple[int, Any]] = []
    try:
        whole = text.decode() if isinstance(text, bytes) else text
        at = _after_space(whole, 0)
        while at < len(whole):
            line = whole.count("\n", 0, at) + 1
            value, end = _JSON.raw_decode(whole, at)
            found.append((line, value))
            at = _after_space(whole, end)
    except ValueError:
        return None
    return found


def count(value: Any) -> int:
    """The values in one, keys included."""
    found, left = 0, [value]
    while left:
        one = left.pop()
        found += 1
        if isinstance(one, dict):
            found += len(one)
            left += one.values()
        elif isinstance(one, list):
            left += one
    return found


def _may_be_many(text: bytes | str) -> bool:
    """Whether a text might have more values than a document may; each but the first follows one of these."""
    if isinstance(text, str):
        return sum(text.count(one) for one in ",[{:") >= MOST_NODES
    return sum(text.count(one) for one in (b",", b"[", b"{", b":")) >= MOST_NODES


def _after_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _number(text: str) -> Any:
    return scalars.as_json(scalars.meaning(text, scalars.IMPLICIT))


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_JSON = json.JSONDecoder(object_pairs_hook=_pairs, parse_float=_number, parse_int=_number, parse_constant=_no_constant)
