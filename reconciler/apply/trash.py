"""Keeps what is deleted as it was live, for a week, in the cluster that it was deleted from, and puts it back.

One Secret an object, `undrift-trash.<uid>` in `undrift-system`, written before the delete. A restore creates objects anew
in the order of their kinds; they are nobody's until Git has them again, which then is first contact with an object that
nobody claims. A claim of a volume keeps its data: before it goes, its volume is set to `Retain`, and a restored claim is
bound to that volume again.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from reconciler.clock import SystemClock
from reconciler.errors import InvalidObject, PreconditionFailed, UndriftError
from reconciler.model.instance import InstanceKey
from reconciler.model.live import Resource
from reconciler.model.manifest import GroupKind, ObjectKey, Raw
from reconciler.objects import applyset, keys, order
from reconciler.objects.clean import SERVER_METADATA
from reconciler.objects.kinds import SECRETS
from reconciler.ports import ClusterApi

VOLUME = Resource("", "v1", "PersistentVolume", "persistentvolumes", False)
_BOUND = frozenset({"pv.kubernetes.io/bind-completed", "pv.kubernetes.io/bound-by-controller"})
CLAIM = GroupKind("", "PersistentVolumeClaim")
KEPT = timedelta(days=7)
OF, AT = "undrift.dev/trash-of", "undrift.dev/deleted-at"


@dataclass(frozen=True, slots=True)
class Kept:
    """One object in the trash: when it was deleted, and what it was."""

    at: datetime
    key: ObjectKey
    body: Raw
    secret: str
    uid: str


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of one object; `error` says why it is not back."""

    key: ObjectKey
    error: UndriftError | None = None


def keep(api: ClusterApi, live: Raw, key: InstanceKey) -> None:
    """Put an object into the trash, before it is deleted. Raises the ApplyErrors: then it must not be deleted."""
    now = api.server_time() or SystemClock().now()
    if ObjectKey.of(live).group_kind == CLAIM:
        _retain_volume(api, live)
    data = base64.b64encode(gzip.compress(orjson.dumps(live), 6, mtime=0)).decode()
    meta = {
        "name": f"undrift-trash.{live['metadata']['uid']}",
        "namespace": keys.SYSTEM_NAMESPACE,
        "labels": {OF: applyset.part_of(key)},
        "annotations": {AT: now.isoformat(), keys.INSTANCE: str(key)},
    }
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "undrift.dev/trash",
        "metadata": meta,
        "data": {"object": data},
    }
    try:
        api.create(SECRETS, body)
    except PreconditionFailed:  # a pass before this one kept it, and could not delete it: it may have changed since
        before = api.get(SECRETS, keys.SYSTEM_NAMESPACE, str(meta["name"]), metadata_only=True)
        if before is None:
            raise
        version = before["metadata"]["resourceVersion"]
        api.replace(SECRETS, {**body, "metadata": {**meta, "resourceVersion": version}})


def kept(api: ClusterApi, key: InstanceKey) -> tuple[Kept, ...]:
    """What was deleted of an instance and is still in the trash, the newest first."""
    listing = api.list(SECRETS, namespace=keys.SYSTEM_NAMESPACE, selector=f"{OF}={applyset.part_of(key)}")
    return tuple(sorted((_decoded(one) for one in listing.items), key=lambda one: (one.at, one.key), reverse=True))


def restore(api: ClusterApi, found: Sequence[Kept]) -> tuple[Restored, ...]:
    """Create objects anew, what others need first. Stops nothing at an object that exists or is refused, and says so."""
    ordered = sorted(found, key=lambda one: (order.rank(one.key.group_kind), one.key))
    return tuple(Restored(one.key, _restore_one(api, one)) for one in ordered)


def sweep(api: ClusterApi, now: datetime) -> int:
    """Empty the trash of what is older than a week; how much that was."""
    listing = api.list(SECRETS, namespace=keys.SYSTEM_NAMESPACE, selector=OF, metadata_only=True)
    old = [one for one in listing.items if now - _at(one) > KEPT]
    for one in old:
        api.delete(SECRETS, keys.SYSTEM_NAMESPACE, str(one["metadata"]["name"]), uid=str(one["metadata"]["uid"]))
    return len(old)


def _restore_one(api: ClusterApi, one: Kept) -> UndriftError | None:
    resource = api.discovery().find(one.key.group_kind)
    if resource is None:
        return InvalidObject(f"{one.key}: its kind is not served; restore its CRD first", subject=one.key)
    body = _anew(one.body)
    try:
        if one.key.group_kind == CLAIM:
            _free_volume(api, one.body)
        try:
            api.create(resource, body)
        except InvalidObject:  # such as an address of a Service that was given away meanwhile
            api.create(resource, _without_addresses(body))
    except PreconditionFailed:
        return InvalidObject(f"{one.key}: it exists again; nothing was changed", subject=one.key)
    except UndriftError as error:
        return error
    with contextlib.suppress(UndriftError):  # what stays in the trash goes with its week
        api.delete(SECRETS, keys.SYSTEM_NAMESPACE, one.secret, uid=one.uid)
    return None


def _anew(live: Raw) -> dict[str, Any]:
    """The body to create it by: without what the server sets, and without our label, since it is nobody's now."""
    meta = {name: value for name, value in live["metadata"].items() if name not in SERVER_METADATA}
    meta.pop("ownerReferences", None)
    # With these a claim counts as bound to a volume that has forgotten it, and is Lost.
    meta["annotations"] = {name: text for name, text in (meta.get("annotations") or {}).items() if name not in _BOUND}
    meta["labels"] = {name: value for name, value in (meta.get("labels") or {}).items() if name != keys.PART_OF}
    return {**{name: value for name, value in live.items() if name != "status"}, "metadata": meta}


def _without_addresses(body: dict[str, Any]) -> dict[str, Any]:
    spec = body.get("spec")
    if body.get("kind") != "Service" or not isinstance(spec, dict):
        return body
    kept_spec = {
        name: value for name, value in spec.items() if name not in ("clusterIP", "clusterIPs", "healthCheckNodePort")
    }
    kept_spec["ports"] = [{n: v for n, v in port.items() if n != "nodePort"} for port in spec.get("ports") or ()]
    return {**body, "spec": kept_spec}


def _retain_volume(api: ClusterApi, claim: Raw) -> None:
    """Let the volume of a claim outlive it."""
    name = (claim.get("spec") or {}).get("volumeName")
    volume = api.get(VOLUME, "", str(name)) if name else None
    if volume is None or volume["spec"].get("persistentVolumeReclaimPolicy") == "Retain":
        return
    patch = [{"op": "replace", "path": "/spec/persistentVolumeReclaimPolicy", "value": "Retain"}]
    api.patch_json(VOLUME, "", str(name), patch)


def _free_volume(api: ClusterApi, claim: Raw) -> None:
    """Let a volume be bound by a claim of the same name again: its old claim's uid stands in the way."""
    name = (claim.get("spec") or {}).get("volumeName")
    volume = api.get(VOLUME, "", str(name)) if name else None
    reference = (volume or {}).get("spec", {}).get("claimRef") or {}
    if reference.get("uid") == claim["metadata"]["uid"]:
        api.patch_json(VOLUME, "", str(name), [{"op": "remove", "path": "/spec/claimRef/uid"}])


def _decoded(secret: Raw) -> Kept:
    body = orjson.loads(gzip.decompress(base64.b64decode(secret["data"]["object"])))
    meta = secret["metadata"]
    return Kept(_at(secret), ObjectKey.of(body), body, str(meta["name"]), str(meta["uid"]))


def _at(secret: Raw) -> datetime:
    return datetime.fromisoformat((secret["metadata"].get("annotations") or {})[AT])
