"""Which kinds a cluster serves: aggregated discovery, two requests and one for the version, cached per cluster.

What is older than a minute is asked for again, by the ETag of the last answer: an API server that serves the same says so
without a body. A group whose entry is stale (its aggregated API does not answer) is unknown, never absent. Format:
APIGroupDiscoveryList of apidiscovery.k8s.io/v2.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from reconciler.errors import Unreachable
from reconciler.model.live import Discovery, Resource
from reconciler.model.manifest import GroupKind

ACCEPT = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
CORE, GROUPS, VERSION = "/api", "/apis", "/version"
FRESH_FOR_S = 60.0
Document = Mapping[str, Any]
Read = Callable[[str, str, str], tuple[str, Document] | None]
"""(path, accept, ETag of the last answer or "") -> the ETag and the JSON, or None when it is the same still."""


class DiscoveryCache:
    """The last look at one cluster's kinds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: dict[str, tuple[str, Document]] = {}
        self._known: Discovery | None = None
        self._looked_s = 0.0

    def get(self, read: Read, *, refresh: bool = False) -> Discovery:
        """The kinds; asked anew when what is known is a minute old, or `refresh` is set."""
        with self._lock:
            begun_s = time.monotonic()
            if self._known is None or refresh or begun_s - self._looked_s > FRESH_FOR_S:
                is_other = [self._ask(read, path) for path in (CORE, GROUPS, VERSION)]
                if self._known is None or any(is_other):
                    self._known = self._read_kinds()
                self._looked_s = begun_s
            return self._known

    def _read_kinds(self) -> Discovery:
        try:
            return _discovery(*(self._answers[path][1] for path in (CORE, GROUPS, VERSION)))
        except (AttributeError, KeyError, TypeError) as error:  # a map, list or name is something else
            self._answers.clear()
            raise Unreachable(
                "its discovery has not the form of an API server's; nothing is concluded from it"
            ) from error

    def _ask(self, read: Read, path: str) -> bool:
        """Whether another document came than the last."""
        known = self._answers.get(path)
        answer = read(path, "application/json" if path == VERSION else ACCEPT, known[0] if known else "")
        if answer is None:
            return False
        self._answers[path] = answer
        return known is None or known[1] != answer[1]


def _discovery(core: Document, groups: Document, version: Document) -> Discovery:
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
