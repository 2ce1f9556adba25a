"""Who owns which field: `metadata.managedFields` as server-side apply keeps it.

A fingerprint is a hash of an object's uid and of our Apply entry. The API server takes a field out of our entry when
another writer changes it, and renews the entry's time when we apply another value, so an equal fingerprint means that
nobody took a field of ours and nobody made the object anew. Format: fieldsV1 of structured-merge-diff (keys `f:<field>`,
`k:{"name":"x"}`, `v:<json>`, `i:<index>`, and `.` for the item itself).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from reconciler.model.manifest import Raw

Entry = Mapping[str, Any]
Fields = Mapping[str, Any]
"""A fieldsV1, or a part of one."""


def entries(body: Raw) -> Sequence[Entry]:
    """The managedFields entries of an object, as they stand."""
    return (body.get("metadata") or {}).get("managedFields") or ()


def apply_entry(body: Raw, manager: str) -> Entry | None:
    """The manager's own Apply entry on the main resource; entries of a subresource are not it."""
    for entry in entries(body):
        if is_apply_of(entry, manager):
            return entry
    return None


def is_apply_of(entry: Entry, manager: str) -> bool:
    """Whether it is the manager's Apply entry on the main resource."""
    return entry.get("manager") == manager and entry.get("operation") == "Apply" and not entry.get("subresource")


def fingerprint(body: Raw, manager: str) -> str:
    """The proof that nobody changed what `manager` applied; empty when it has no Apply entry on the object."""
    entry = apply_entry(body, manager)
    if entry is None:
        return ""
    seen = {
        "uid": body["metadata"].get("uid"),
        "operation": entry.get("operation"),
        "time": entry.get("time"),
        "fieldsV1": entry.get("fieldsV1"),
    }
    return hashlib.sha256(orjson.dumps(seen, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]


def owns_label(body: Raw, manager: str, label: str) -> bool:
    """Whether the manager's Apply entry owns a label. A label that a controller copied here is not owned by us."""
    entry = apply_entry(body, manager)
    fields = (entry or {}).get("fieldsV1") or {}
    labels = (fields.get("f:metadata") or {}).get("f:labels") or {}
    return f"f:{label}" in labels


def paths(fields_v1: Mapping[str, Any]) -> frozenset[str]:
    """The leaf fields of a fieldsV1 as the API server writes them in conflicts: `.spec.containers[name="x"].image`."""
    return frozenset(_walk(fields_v1, ""))


def _walk(fields: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key, below in fields.items():
        if key == ".":
            if len(fields) == 1:
                yield prefix
            continue
        here = prefix + segment(key)
        if below:
            yield from _walk(below, here)
        else:
            yield here


def segment(key: str) -> str:
    """How a key of a fieldsV1 is written in a path."""
    kind, _, rest = key.partition(":")
    if kind == "f":
        return f".{rest}"
    if kind == "k":
        parts = (f"{name}={orjson.dumps(value).decode()}" for name, value in orjson.loads(rest).items())
        return f"[{','.join(parts)}]"
    return f"[={rest}]" if kind == "v" else f"[{rest}]"


def lost(live: Raw, manager: str, sent: Raw) -> tuple[tuple[str, str], ...]:
    """The (field, manager) pairs of what `manager` once sent and no longer owns: who owns it now, or who wrote last.

    Names a drift that meets no conflict, such as a field that was removed. Items of a list are told apart by their merge
    keys only on the server, so a list that is owned in part counts as owned.
    """
    own = apply_entry(live, manager)
    held = paths((own or {}).get("fieldsV1") or {})
    lists = {path[:at] for path in held for at, sign in enumerate(path) if sign == "["}
    others = sorted((one for one in entries(live) if one is not own), key=_written_at)
    owners = {path: str(one.get("manager")) for one in others for path in paths(one.get("fieldsV1") or {})}
    fallback = last_writer(live, manager)
    missing = sorted(_missing(_declared(sent), "", held | lists))
    return tuple((path, owners.get(path, fallback)) for path in missing)


def _declared(sent: Raw) -> Raw:
    """What of a body can be owned at all: identity is not."""
    meta = {key: value for key, value in (sent.get("metadata") or {}).items() if key not in ("name", "namespace")}
    rest = {key: value for key, value in sent.items() if key not in ("apiVersion", "kind", "metadata", "status")}
    return {**rest, "metadata": meta}


def _missing(value: Any, path: str, held: frozenset[str] | set[str]) -> Iterator[str]:
    if path in held or value is None:  # held whole: a value, or a map or list that is atomic
        return
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from _missing(below, f"{path}.{key}", held)
    else:
        yield path


def scaler(body: Raw) -> str:
    """Who set `.spec.replicas` by the scale subresource; empty when nobody did."""
    for one in entries(body):
        if one.get("subresource") == "scale" and "f:replicas" in ((one.get("fieldsV1") or {}).get("f:spec") or {}):
            return str(one.get("manager"))
    return ""


def last_writer(body: Raw, ours: str) -> str:
    """The manager that wrote last besides us, status writers left out; empty when none is recorded."""
    others = [one for one in entries(body) if one.get("manager") != ours and one.get("subresource") != "status"]
    newest = max(others, key=_written_at, default=None)
    return str(newest["manager"]) if newest else ""


def wrote_last(body: Raw, ours: str) -> bool:
    """Whether our own apply is the newest write, status writers left out; within one second nobody can tell."""
    entry = apply_entry(body, ours)
    others = [one for one in entries(body) if one.get("manager") != ours and one.get("subresource") != "status"]
    return entry is not None and all(_written_at(one) <= _written_at(entry) for one in others)


@dataclass(frozen=True, slots=True)
class Foreign:
    """What another writer owns of an object: which fields, and when it wrote last (RFC 3339, empty where not recorded)."""

    manager: str
    at: str
    fields: tuple[str, ...]


def foreign(body: Raw, ours: str) -> tuple[Foreign, ...]:
    """The other writers of an object, the newest first. Who writes a status is no news, and is left out."""
    others = [one for one in entries(body) if one.get("manager") != ours and one.get("subresource") != "status"]
    found = [
        Foreign(str(one.get("manager", "")), _written_at(one), tuple(sorted(paths(one.get("fieldsV1") or {}))))
        for one in sorted(others, key=_written_at, reverse=True)
    ]
    return tuple(one for one in found if one.fields)


def _written_at(entry: Entry) -> str:
    """Times are RFC 3339 in UTC and to the second, so their text sorts as they do."""
    return str(entry.get("time", ""))


def absorb(
    body: Raw, from_managers: frozenset[str], into: str, left_of: Callable[[Fields], Fields] = lambda _: {}
) -> list[dict[str, Any]] | None:
    """The managedFields with the Update entries of `from_managers` folded into `into`'s Apply entry, save for the part of
    each that `left_of` leaves to it.

    None when there is nothing to fold. The next apply by `into` then removes those fields that it does not declare, as
    kubectl's own upgrade from client-side apply does (csaupgrade in client-go: only entries without subresource).
    """
    folded = [one for one in entries(body) if _is_update_of(one, from_managers)]
    if not folded:
        return None
    rest = [dict(one) for one in entries(body) if not _is_update_of(one, from_managers)]
    target = next((one for one in rest if is_apply_of(one, into)), None)
    if target is None:
        target = {**folded[0], "manager": into, "operation": "Apply", "fieldsV1": {}}
        rest.insert(0, target)
    for one in folded:
        fields = one.get("fieldsV1") or {}
        if left := left_of(fields):
            rest.append({**one, "fieldsV1": left})
        if one.get("apiVersion") == target.get("apiVersion"):
            target["fieldsV1"] = _union(target.get("fieldsV1") or {}, minus(fields, left))
    return rest


def minus(fields: Fields, taken: Fields) -> dict[str, Any]:
    """A fieldsV1 without a part of it."""
    rest: dict[str, Any] = {}
    for key, below in fields.items():
        if key not in taken:
            rest[key] = below
        elif taken[key] and (kept := minus(below, taken[key])):
            rest[key] = kept
    return rest


def handed_over(body: Raw, former: str, to: str) -> list[dict[str, Any]]:
    """The managedFields with `former`'s Apply entry under the name `to`: who renames itself owns what it owned."""
    return [
        {**one, "manager": to} if one is apply_entry(body, former) else dict(one)
        for one in entries(body)
        if one is not apply_entry(body, to) or apply_entry(body, former) is None
    ]


def _is_update_of(entry: Entry, managers: frozenset[str]) -> bool:
    return entry.get("operation") == "Update" and entry.get("manager") in managers and not entry.get("subresource")


def _union(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(left)
    for key, below in right.items():
        merged[key] = _union(merged[key], below) if key in merged else below
    return merged
