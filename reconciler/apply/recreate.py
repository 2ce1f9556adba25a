"""Deletes an object and makes it anew, where the manifest asks for that: the way out of an immutable field.

Never for what holds data or contains other objects: those are a person's decision, always.
"""

from __future__ import annotations

from typing import Any

from reconciler.apply import trash
from reconciler.apply.prune import require_fence, why_not_ours
from reconciler.clock import looks
from reconciler.errors import ImmutableField, PreconditionFailed
from reconciler.model.instance import InstanceKey
from reconciler.model.inventory import Inventory
from reconciler.model.live import Resource
from reconciler.model.manifest import ObjectKey, Raw
from reconciler.objects.keys import REPLACE
from reconciler.objects.kinds import PRECIOUS
from reconciler.ports import ClusterApi

NO_SUCH_VERSION = "1"
"""No stored object has this resourceVersion: etcd's revisions begin above it. An apply that names it can only create."""
LONGEST_WAIT_S = 10.0
LOOK_EVERY_S = 0.1


def is_asked_for(body: Raw) -> bool:
    """Whether the manifest lets its object be replaced."""
    annotations = body["metadata"].get("annotations") or {}
    return annotations.get(REPLACE) == "true" and ObjectKey.of(body).group_kind not in PRECIOUS


def recreate(api: ClusterApi, resource: Resource, body: dict[str, Any], key: InstanceKey, inventory: Inventory) -> Raw:
    """The object made anew. Replacing counts as deleting: the same proofs are asked for as before a prune.

    Raises ImmutableField when the old one is not provably ours, or does not go away within 10 s (the next pass goes
    on), FencedOut when another run took over.
    """
    subject = ObjectKey.of(body)
    live = api.get(resource, subject.namespace, subject.name)
    if live is not None:
        meta = live["metadata"]
        if why := why_not_ours(live, subject, key, inventory):
            raise ImmutableField(f"{subject}: a field that can't be changed differs, and it is not replaced: {why}")
        require_fence(api, key, inventory)
        trash.keep(api, live, key)
        uid, version = str(meta["uid"]), str(meta["resourceVersion"])
        api.delete(resource, subject.namespace, subject.name, uid=uid, resource_version=version)
        _await_gone(api, resource, subject.namespace, subject.name, uid)
    only_new = {**body, "metadata": {**body["metadata"], "resourceVersion": NO_SUCH_VERSION}}
    return api.apply(resource, only_new, manager=key.manager, force=False)


def _await_gone(api: ClusterApi, resource: Resource, namespace: str, name: str, uid: str) -> None:
    waits = ""
    for _ in looks(LONGEST_WAIT_S, LOOK_EVERY_S):
        live = api.get(resource, namespace, name, metadata_only=True)
        if live is None:
            return
        if live["metadata"]["uid"] != uid:
            raise PreconditionFailed(f"{resource.kind} {name}: somebody made it anew while it was being replaced")
        waits = ", ".join(live["metadata"].get("finalizers") or ("its dependants",))
    raise ImmutableField(f"{resource.kind} {namespace}/{name}: being replaced, still waits for {waits}", retry=5.0)
