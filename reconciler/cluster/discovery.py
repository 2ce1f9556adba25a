"""Which kinds a cluster serves: aggregated discovery, two requests and one for the version, cached per cluster.

A group whose entry is stale (its aggregated API does not answer) is unknown, never absent. Format: APIGroupDiscoveryList
of apidiscovery.k8s.io/v2.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from reconciler.errors import Unreachable
from reconciler.model.live import Discovery, Resource
from reconciler.model.manifest import GroupKind

ACCEPT = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
Read = Callable[[str, str], Mapping[str, Any]]


class DiscoveryCache:
    """The last look at one cluster's kinds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: Discovery | None = None

    def get(self, read: Read, *, refresh: bool = False) -> Discovery:
        """The kinds; asked anew when nothing is known or `refresh` is set. `read` is (path, accept) -> JSON."""
        with self._lock:
            if self._known is None or refresh:
                self._known = _look(read)
            return self._known


def _look(read: Read) -> Discovery:
    core, groups = read("/api", ACCEPT), read("/apis", ACCEPT)
    version = read("/version", "application/json")
    resources: dict[GroupKind, tuple[Resource, ...]] = {}
    stale: set[str] = set()
    for document in (core, groups):
        if document.get("kind") != "APIGroupDiscoveryList":
            raise Unreachable(
                "its discovery was answered with something else than an APIGroupDiscoveryList; Undrift needs "
                "Kubernetes 1.27 or newer, and nothing in between that answers for it"
            )
        for group in document.get("items") or ():
            name = str((group.get("metadata") or {}).get("name") or "")
            for found in _resources(name, group, stale):
                resources[found.group_kind] = (*resources.get(found.group_kind, ()), found)
    return Discovery(resources, frozenset(stale), str(version.get("gitVersion", "v0.0.0")))


def _resources(group: str, document: Mapping[str, Any], stale: set[str]) -> Iterator[Resource]:
    for version in document.get("versions") or ():
        if version.get("freshness") == "Stale":
            stale.add(group)
        for entry in version.get("resources") or ():
            response = entry.get("responseKind") or {}
            kind = str(response.get("kind") or "")
            if not kind:
                continue
            yield Resource(
                group=group,
                version=str(version["version"]),
                kind=kind,
                plural=str(entry["resource"]),
                namespaced=entry.get("scope") == "Namespaced",
                verbs=frozenset(entry.get("verbs") or ()),
            )
