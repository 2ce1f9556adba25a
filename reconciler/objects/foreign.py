"""Fields of our objects that others write and Git does not declare: which of them matter, and how they are taken away.

A rule is chosen by the writer's name (field manager); the first one that matches counts, and without one nobody cares:
controllers write what they must. What several writers own is nobody's to take away, and what `kubectl rollout restart` and
autoscalers leave is asked for by people, however it got there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import orjson

from reconciler.model.changeset import Drift
from reconciler.model.drift import ForeignRule
from reconciler.model.manifest import ObjectKey, Raw
from reconciler.objects import fieldpath, managedfields
from reconciler.objects.keys import LAST_APPLIED
from reconciler.objects.pointer import escaped

WANTED = (".spec.replicas", "kubectl.kubernetes.io/restartedAt", LAST_APPLIED)
"""Ends of paths that are never told of and never removed."""
Operation = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ForeignField:
    """A field that `manager` alone wrote, `at` RFC 3339, and what the rules say about it."""

    field: str
    manager: str
    at: str
    action: str


def found(live: Raw, ours: str, rules: Sequence[ForeignRule]) -> tuple[ForeignField, ...]:
    """What the rules want to be told of, or removed. The fields of one that is removed are named once."""
    return tuple(
        ForeignField(field, str(entry.get("manager")), str(entry.get("time", "")), action)
        for entry, action in _meant(live, ours, rules)
        for field in sorted(managedfields.paths(entry.get("fieldsV1") or {}) - _shared(live, entry))
        if not field.endswith(WANTED)
    )


def to_remove(key: ObjectKey, live: Raw, ours: str, rules: Sequence[ForeignRule]) -> tuple[Drift, ...]:
    """What the rules say to remove of an object, as drift: who wrote it, and what it is."""
    fields = (one for one in found(live, ours, rules) if one.action == "Remove")
    return tuple(Drift(key, one.field, one.manager, "", fieldpath.shown(live, one.field)) for one in fields)


def removals(live: Raw, ours: str, rules: Sequence[ForeignRule]) -> tuple[Operation, ...]:
    """The JSON patch (RFC 6902) that takes away what a rule says to remove, and nothing that anybody else owns too. Items
    of a list are removed from its end, so that each operation still means what it says."""
    pointers: set[tuple[str | int, ...]] = set()
    for entry, action in _meant(live, ours, rules):
        if action == "Remove":
            pointers |= set(_pointers(entry.get("fieldsV1") or {}, live, (), "", _shared(live, entry)))
    return _patch(pointers)


def removal_patch(fields: Mapping[str, Any], live: Raw, kept: frozenset[str]) -> tuple[Operation, ...]:
    """The JSON patch that takes away what a fieldsV1 holds, save for the paths that are `kept`. A map that it holds itself,
    and in which nothing is kept, goes as a whole, as it does by an apply."""
    return _patch(set(_pointers(fields, live, (), "", kept, spared=(), are_maps_whole=True)))


def _patch(pointers: set[tuple[str | int, ...]]) -> tuple[Operation, ...]:
    ordered = sorted(pointers, key=lambda one: [(isinstance(part, int), part) for part in one], reverse=True)
    return tuple({"op": "remove", "path": "".join(f"/{escaped(part)}" for part in one)} for one in ordered)


def _meant(live: Raw, ours: str, rules: Sequence[ForeignRule]) -> Iterator[tuple[Mapping[str, Any], str]]:
    """The entries of other writers that a rule tells of, with its action."""
    for entry in managedfields.entries(live):
        manager = str(entry.get("manager"))
        if manager == ours or entry.get("subresource"):
            continue
        action = next((rule.action for rule in rules if any(fnmatchcase(manager, one) for one in rule.managers)), "")
        if action in ("Report", "Remove"):
            yield entry, action


def _shared(live: Raw, entry: Mapping[str, Any]) -> frozenset[str]:
    """What others than this entry own."""
    others = [one for one in managedfields.entries(live) if one is not entry]
    return frozenset().union(*(managedfields.paths(one.get("fieldsV1") or {}) for one in others))


def _pointers(
    fields: Mapping[str, Any],
    live: Any,
    at: tuple[str | int, ...],
    path: str,
    shared: frozenset[str],
    spared: tuple[str, ...] = WANTED,
    *,
    are_maps_whole: bool = False,
) -> Iterator[tuple[str | int, ...]]:
    for key, below in fields.items():
        here = path + managedfields.segment(key)
        step = None if key == "." else _step(key, live)
        if step is None or here.endswith(spared):
            continue
        is_item = isinstance(step, int)
        is_whole = not below or ("." in below and (is_item or are_maps_whole))
        if is_whole and not any(one == here or one.startswith((f"{here}.", f"{here}[")) for one in shared):
            yield (*at, step)
        elif below:
            named = {f"f:{name}" for name in orjson.loads(key[2:])} if key.startswith("k:") else set()
            rest = {name: value for name, value in below.items() if name not in named}  # what tells items apart stays
            yield from _pointers(rest, live[step], (*at, step), here, shared, spared, are_maps_whole=are_maps_whole)


def _step(key: str, live: Any) -> str | int | None:
    """Where a fieldsV1 key leads in the live object; None when there is nothing."""
    kind, _, rest = key.partition(":")
    if kind == "f":
        return rest if isinstance(live, Mapping) and rest in live else None
    if not isinstance(live, list):
        return None
    wanted = orjson.loads(rest)
    for index, item in enumerate(live):
        if kind == "v" and item == wanted:
            return index
        if kind == "k" and isinstance(item, Mapping) and all(item.get(name) == value for name, value in wanted.items()):
            return index
    return None
