"""How two states of an object differ, for people. Secrets are masked, and what the server keeps for itself is left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.model.manifest import Raw
from reconciler.objects import mask
from reconciler.objects.clean import SERVER_METADATA

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
