"""Deletes an object and makes it anew, where the manifest asks for that: the way out of an immutable field.

Never for what holds data or contains other objects: those are a person's decision, always.
"""

from __future__ import annotations

import time
from typing import Any

from reconciler.errors import ImmutableField, PreconditionFailed
from reconciler.model.instance import InstanceKey
from reconciler.model.live import Resource
from reconciler.model.manifest import Raw
from reconciler.objects.keys import REPLACE
from reconciler.ports import ClusterApi

NEVER_REPLACED = frozenset(
    {"Namespace", "PersistentVolume", "PersistentVolumeClaim", "CustomResourceDefinition", "StatefulSet"}
)
LONGEST_WAIT_S = 10.0
LOOK_EVERY_S = 0.1


def is_asked_for(body: Raw) -> bool:
    """Whether the manifest lets its object be replaced."""
    annotations = body["metadata"].get("annotations") or {}
    return annotations.get(REPLACE) == "true" and body["kind"] not in NEVER_REPLACED


def recreate(api: ClusterApi, resource: Resource, body: dict[str, Any], key: InstanceKey) -> Raw:
    """The object made anew. Raises ImmutableField when the old one does not go away within 10 s: the next pass goes on."""
    meta = body["metadata"]
    namespace, name = str(meta.get("namespace") or ""), str(meta["name"])
    live = api.get(resource, namespace, name, metadata_only=True)
    if live is not None:
        api.delete(resource, namespace, name, uid=str(live["metadata"]["uid"]))
        _await_gone(api, resource, namespace, name, str(live["metadata"]["uid"]))
    return api.apply(resource, body, manager=key.manager, force=False)


def _await_gone(api: ClusterApi, resource: Resource, namespace: str, name: str, uid: str) -> None:
    deadline = time.monotonic() + LONGEST_WAIT_S
    while (live := api.get(resource, namespace, name, metadata_only=True)) is not None:
        if live["metadata"]["uid"] != uid:
            raise PreconditionFailed(f"{resource.kind} {name}: somebody made it anew while it was being replaced")
        if time.monotonic() > deadline:
            waits = ", ".join(live["metadata"].get("finalizers") or ("its dependants",))
            raise ImmutableField(
                f"{resource.kind} {namespace}/{name}: being replaced, still waits for {waits}", retry=5.0
            )
        time.sleep(LOOK_EVERY_S)
