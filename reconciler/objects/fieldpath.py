"""Finds what an API server's field path means in a body: `.spec.containers[name="web"].image`, as conflicts name fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from reconciler.model.manifest import Raw
from reconciler.objects import mask

NOTHING: Final = object()
LONGEST = 160


def value_at(body: Any, path: str) -> Any:
    """The value at a path; NOTHING when there is none. Keys may hold dots themselves (`app.kubernetes.io/name`)."""
    if not path:
        return body
    if path.startswith("[") and isinstance(body, list):
        selector, _, rest = path[1:].partition("]")
        item = next((one for one in body if _is_meant(one, selector)), NOTHING)
        return NOTHING if item is NOTHING else value_at(item, rest)
    if path.startswith(".") and isinstance(body, Mapping):
        for key in sorted(map(str, body), key=len, reverse=True):
            rest = path[1:].removeprefix(key)
            if path[1:].startswith(key) and rest[:1] in ("", ".", "["):
                return value_at(body[key], rest)
    return NOTHING


def shown(body: Raw, path: str) -> str:
    """The value at a path as a person may see it: JSON, cut when long, hidden where it is a Secret's; empty for none."""
    value = value_at(body, path)
    if value is NOTHING:
        return ""
    if value_at(mask.masked(body), path) is NOTHING:
        return mask.hidden(value)  # what repeats an object whole, and so a Secret's values
    if mask.is_secret(body) and not path.startswith((".metadata.", ".type", ".immutable")):
        return mask.hidden(value)
    text = orjson.dumps(value, default=str).decode()
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _is_meant(item: Any, selector: str) -> bool:
    """Whether an item of a list is the one that a selector names: `name="web",port=80`, or `="value"` for a set."""
    if selector.startswith("="):
        return bool(item == _parsed(selector[1:]))
    pairs = [part.partition("=") for part in selector.split(",")]
    return isinstance(item, Mapping) and all(item.get(name) == _parsed(text) for name, _, text in pairs)


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
