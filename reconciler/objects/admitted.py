"""What an API server made of an apply: fields that admission changed on their way in.

They stay ours, as we sent them, so they are no drift and no fingerprint tells of them: only the answer to the apply does.
What the server merely writes in another way (quantities, numbers as text, empty maps that it drops) is no change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from reconciler.model.manifest import Raw
from reconciler.objects.diff import merge_key

_QUANTITY = re.compile(r"([+-]?\d+(?:\.\d*)?|[+-]?\.\d+)([eE][+-]?\d+|[numkMGTPE]|[KMGTPE]i)?")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}


def changed(sent: Raw, live: Raw) -> tuple[str, ...]:
    """The paths of what was sent and stands otherwise, as conflicts name fields. Identity and status are not compared."""
    meta = {name: (sent.get("metadata") or {}).get(name) or {} for name in ("labels", "annotations")}
    rest = {key: value for key, value in sent.items() if key not in ("apiVersion", "kind", "metadata", "status")}
    return tuple(_changed({**rest, "metadata": meta}, live, ""))


def _changed(sent: Any, live: Any, path: str) -> Iterator[str]:
    if sent == live or _is_empty(sent) or _means_the_same(sent, live):
        return
    if isinstance(sent, Mapping) and isinstance(live, Mapping):
        for key, value in sent.items():
            yield from _changed(value, live.get(key), f"{path}.{key}")
    elif isinstance(sent, list) and isinstance(live, list):
        yield from _changed_items(sent, live, path)
    else:
        yield path


def _changed_items(sent: list[Any], live: list[Any], path: str) -> Iterator[str]:
    """Items that we declared; others may have added theirs."""
    if key := merge_key(sent, live):
        stands = {item[key]: item for item in live}
        for item in sent:
            name = f'"{item[key]}"' if isinstance(item[key], str) else item[key]
            yield from _changed(item, stands.get(item[key]), f"{path}[{key}={name}]")
    elif len(sent) != len(live) or any(list(_changed(*pair, "")) for pair in zip(sent, live, strict=True)):
        yield path


def _is_empty(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(_is_empty(below) for below in value.values())
    return value in (None, [], "")


def _means_the_same(sent: Any, live: Any) -> bool:
    """Whether two scalars are one quantity: `1000m` and `1`, 80 and `"80"`."""
    if isinstance(sent, bool) or isinstance(live, bool | Mapping | list):
        return False
    left, right = _quantity(sent), _quantity(live)
    return left is not None and left == right


def _quantity(value: Any) -> Decimal | None:
    """Source: the quantity format of Kubernetes' resource API."""
    found = _QUANTITY.fullmatch(str(value))
    if not found:
        return None
    number, suffix = Decimal(found[1]), found[2] or ""
    if suffix in _BINARY:
        return number * Decimal(1024) ** _BINARY[suffix]
    exponent = int(suffix[1:]) if suffix[:1] in ("e", "E") and len(suffix) > 1 else _DECIMAL[suffix]
    return number.scaleb(exponent)
