"""Field ownership as server-side apply keeps it, for the in-memory cluster: sets of paths in place of fieldsV1.

Maps are granular and lists atomic, which is what the API server does for custom resources; merge keys of built-in lists
are not known here. Identity (`apiVersion`, `kind`, name, namespace) and what only a server sets is owned by nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from reconciler.model.manifest import Raw

Path = tuple[str, ...]
UNOWNED = frozenset(
    {
        ("apiVersion",),
        ("kind",),
        *(
            ("metadata", name)
            for name in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp", "managedFields")
        ),
        ("metadata", "deletionTimestamp"),
        ("metadata", "generation"),
    }
)


def owned_paths(body: Raw) -> frozenset[Path]:
    """The paths that a writer of this body owns."""
    return frozenset(path for path in _leaves(body, ()) if path not in UNOWNED)


def value_at(body: Raw, path: Path) -> Any:
    """What stands at a path; None when nothing does."""
    found: Any = body
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def with_value(body: Raw, path: Path, value: Any) -> dict[str, Any]:
    """A copy with another value at a path; None removes it, and the maps that become empty by that."""
    name, *rest = path
    below = body.get(name)
    if rest:
        value = with_value(below if isinstance(below, Mapping) else {}, tuple(rest), value) or None
    copy = {key: one for key, one in body.items() if key != name}
    return copy if value is None else {**copy, name: value}


def to_fields_v1(paths: Iterable[Path]) -> dict[str, Any]:
    """The paths as managedFields writes them."""
    found: dict[str, Any] = {}
    for path in sorted(paths):
        here = found
        for name in path:
            here = here.setdefault(f"f:{name}", {})
    return found


def from_fields_v1(fields: Mapping[str, Any]) -> frozenset[Path]:
    """The reverse of `to_fields_v1`."""
    return frozenset(tuple(name.removeprefix("f:") for name in path) for path in _leaves(fields, ()))


def as_text(path: Path) -> str:
    """As conflicts name it."""
    return "." + ".".join(path)


def _leaves(value: Mapping[str, Any], prefix: Path) -> Iterator[Path]:
    for name, below in value.items():
        path = (*prefix, name)
        if isinstance(below, Mapping) and below:
            yield from _leaves(below, path)
        else:
            yield path
