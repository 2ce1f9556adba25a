"""The `ClusterApi` of an in-memory cluster: every request is counted, asks the guard, and may fail where a test says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from reconciler.errors import UnknownKind
from reconciler.model.live import Discovery, Listing, Resource
from reconciler.model.manifest import ObjectKey, Raw
from reconciler.ports import Guard
from reconciler.testing.cluster import FakeCluster

Answered = TypeVar("Answered")


class FakeApi:
    """A `FakeCluster` as one run sees it."""

    def __init__(self, cluster: FakeCluster, guard: Guard, name: str = "fake") -> None:
        self.name = name
        self._cluster, self._guard = cluster, guard
        self._sent = 0

    @property
    def is_read_only(self) -> bool:
        return False

    @property
    def requests(self) -> int:
        return self._sent

    @property
    def codes(self) -> Mapping[str, int]:
        return {"200": self._sent}

    @property
    def known_namespaces(self) -> set[str]:
        return self._cluster.known_namespaces

    def identity(self, *, refresh: bool = False) -> str:
        return self._cluster.uid

    def server_time(self) -> datetime | None:
        return self._cluster.clock.now()

    def discovery(self, *, refresh: bool = False) -> Discovery:
        return self._cluster.discovery()

    def get(self, resource: Resource, namespace: str, name: str, *, metadata_only: bool = False) -> Raw | None:
        key = _key(resource, namespace, name)
        live = self._request("GET", resource, key, lambda: self._cluster.objects.get(key))
        return _metadata(live) if live is not None and metadata_only else live

    def list(
        self,
        resource: Resource,
        *,
        namespace: str = "",
        selector: str = "",
        metadata_only: bool = False,
        trim: Callable[[Raw], Raw] | None = None,
    ) -> Listing:
        found = self._request("LIST", resource, None, lambda: self._selected(resource, namespace, selector))
        items = tuple(_metadata(live) if metadata_only else live for live in found)
        return Listing(tuple(trim(one) for one in items) if trim else items, "1000")

    def apply(self, resource: Resource, body: Raw, *, manager: str, force: bool, dry_run: bool = False) -> Raw:
        key = ObjectKey.of(body)

        def apply() -> Raw:
            return self._cluster.apply(body, manager=manager, force=force)

        return self._request("APPLY", resource, key, self._dry(key, apply) if dry_run else apply)

    def create(self, resource: Resource, body: Raw) -> Raw:
        return self._request("POST", resource, ObjectKey.of(body), lambda: self._cluster.create(body))

    def replace(self, resource: Resource, body: Raw) -> Raw:
        return self._request("PUT", resource, ObjectKey.of(body), lambda: self._cluster.replace(body))

    def patch_json(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Sequence[Mapping[str, Any]],
        *,
        dry_run: bool = False,
    ) -> Raw:
        key = _key(resource, namespace, name)

        def change() -> Raw:
            return self._cluster.json_patch(key, patch)

        return self._request("PATCH", resource, key, self._dry(key, change) if dry_run else change)

    def _dry(self, key: ObjectKey, effect: Callable[[], Raw]) -> Callable[[], Raw]:
        """The same, with the object as it was afterwards."""

        def undone() -> Raw:
            objects = self._cluster.objects
            before = objects.get(key)
            try:
                return effect()
            finally:
                if before is None:
                    objects.pop(key, None)
                else:
                    objects[key] = before

        return undone

    def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str, resource_version: str = ""
    ) -> Raw | None:
        key = _key(resource, namespace, name)
        return self._request(
            "DELETE", resource, key, lambda: self._cluster.delete(key, uid=uid, resource_version=resource_version)
        )

    def _request(
        self, verb: str, resource: Resource, key: ObjectKey | None, effect: Callable[[], Answered]
    ) -> Answered:
        cluster = self._cluster
        self._guard.remaining_s()
        self._sent += 1
        cluster.requests += 1
        number = cluster.requests
        if cluster.before is not None and (error := cluster.before(number, verb, key)) is not None:
            raise error
        if cluster.discovery().find(resource.group_kind) is None:
            raise UnknownKind(f"{resource.kind} is not served")
        with cluster.lock:  # several applies are in flight; the store's steps are not atomic of themselves
            answer = effect()
        if cluster.after is not None and (error := cluster.after(number, verb, key)) is not None:
            raise error
        return answer

    def _selected(self, resource: Resource, namespace: str, selector: str) -> Sequence[Raw]:
        name, _, value = selector.partition("=")
        found = []
        for key, live in sorted(self._cluster.objects.items()):
            labels = live["metadata"].get("labels") or {}
            matches = not selector or (name in labels and (not value or labels[name] == value))
            if key.group_kind == resource.group_kind and matches and namespace in ("", key.namespace):
                found.append(live)
        return found


def _key(resource: Resource, namespace: str, name: str) -> ObjectKey:
    return ObjectKey(resource.group, resource.kind, namespace if resource.namespaced else "", name)


def _metadata(live: Raw) -> Raw:
    return {"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": live["metadata"]}
