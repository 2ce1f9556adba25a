"""Makes the body that is sent from the manifest that was written.

Server-side apply takes every field in the body as declared, so whatever only the API server may set is left out, and so
is `status`, which belongs to controllers. What is written about owners is kept: nobody else can have meant it.

Nulls in maps are dropped. Apply can't express "clear this field", built-in kinds read a null as absent, and a null that is
sent makes us its owner. The price: a custom resource whose schema tells null from absent (`nullable` with a default) gets
the default. A null inside a list stays, as dropping it would move its neighbours; the API server judges it.

`stringData` becomes `data`, since the server would merge it without recording who owns the resulting keys, and a key
removed from Git would stay (kubernetes#108008). Ports get `protocol: TCP` where none is written, because the protocol is
part of their merge key and older servers refuse a port without it. A placeholder for a CA bundle is left to whoever
injects the real one.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.errors import InvalidManifest
from reconciler.model.manifest import GroupKind, Manifest, ObjectKey, Raw
from reconciler.objects.keys import PART_OF
from reconciler.objects.kinds import SECRET

SERVER_METADATA = frozenset(
    {
        "managedFields",
        "resourceVersion",
        "uid",
        "creationTimestamp",
        "generation",
        "selfLink",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    }
)
NO_BUNDLES = frozenset({"", "Cg==", "Cgo="})
"""Empty, or nothing but line ends: what charts write where cert-manager injects the bundle."""
_POD_TEMPLATES: Mapping[GroupKind, tuple[str, ...]] = {
    GroupKind("", "Pod"): ("spec",),
    GroupKind("", "ReplicationController"): ("spec", "template", "spec"),
    GroupKind("apps", "Deployment"): ("spec", "template", "spec"),
    GroupKind("apps", "ReplicaSet"): ("spec", "template", "spec"),
    GroupKind("apps", "StatefulSet"): ("spec", "template", "spec"),
    GroupKind("apps", "DaemonSet"): ("spec", "template", "spec"),
    GroupKind("batch", "Job"): ("spec", "template", "spec"),
    GroupKind("batch", "CronJob"): ("spec", "jobTemplate", "spec", "template", "spec"),
}
_BUNDLE_GROUPS = frozenset({"admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io"})


def to_send(manifest: Manifest, part_of: str) -> dict[str, Any]:
    """The apply body of a manifest, with the part-of label on its own metadata (never on a pod template's).

    Raises InvalidManifest for metadata or Secret values of a shape that no API server takes.
    """
    body = without_nulls(manifest.body)
    body.pop("status", None)
    body["metadata"] = _metadata(manifest, body, part_of)
    if manifest.key.group_kind == SECRET:
        _merge_string_data(manifest, body)
    for ports in _port_lists(manifest.key, body):
        for port in ports:
            port.setdefault("protocol", "TCP")
    if manifest.key.group in _BUNDLE_GROUPS:
        _drop_placeholder_bundles(body)
    return body


def without_nulls(value: Raw) -> dict[str, Any]:
    """A deep copy in which no map holds a null."""
    return {key: _cleaned(below) for key, below in value.items() if below is not None}


def meant(live: Raw) -> Raw:
    """What of an object writers can mean: all but its status, who owns what, and what the server counts."""
    meta = {key: value for key, value in live["metadata"].items() if key not in SERVER_METADATA}
    return {**{key: value for key, value in live.items() if key != "status"}, "metadata": meta}


def _cleaned(value: Any) -> Any:
    if isinstance(value, Mapping):
        return without_nulls(value)
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    return value


def _metadata(manifest: Manifest, body: dict[str, Any], part_of: str) -> dict[str, Any]:
    meta = {key: value for key, value in body["metadata"].items() if key not in SERVER_METADATA}
    for field in ("labels", "annotations"):
        if not isinstance(meta.get(field, {}), dict):
            raise _invalid(manifest, f"metadata.{field} must be a map of strings")
    meta["labels"] = {**meta.get("labels", {}), PART_OF: part_of}
    if manifest.key.namespace:
        meta["namespace"] = manifest.key.namespace
    else:
        meta.pop("namespace", None)
    return meta


def _merge_string_data(manifest: Manifest, body: dict[str, Any]) -> None:
    strings = body.pop("stringData", None)
    if not strings:
        return
    if not isinstance(strings, dict) or not isinstance(body.get("data", {}), dict):
        raise _invalid(manifest, "data and stringData must be maps of strings")
    for key, text in strings.items():
        if not isinstance(text, str):
            raise _invalid(manifest, f"stringData.{key} must be a string; put its value in quotes")
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in strings.items()}
    body["data"] = {**body.get("data", {}), **encoded}


def _invalid(manifest: Manifest, what: str) -> InvalidManifest:
    return InvalidManifest(f"{manifest.origin}: {manifest.key}: {what}", subject=manifest.key)


def _port_lists(key: ObjectKey, body: Raw) -> Iterator[list[dict[str, Any]]]:
    """Every list of ports whose merge key holds the protocol: those of a Service and of a Pod's containers."""
    if key.group_kind == GroupKind("", "Service"):
        yield _maps(_at(body, ("spec",)).get("ports"))
    pod = _at(body, _POD_TEMPLATES.get(key.group_kind, ("",)))
    for kind in ("containers", "initContainers"):
        for container in _maps(pod.get(kind)):
            yield _maps(container.get("ports"))


def _at(body: Raw, path: tuple[str, ...]) -> Raw:
    """The map at a path; an empty one when there is none, since the API server names a wrong shape better than we do."""
    found: Any = body
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _maps(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _drop_placeholder_bundles(body: dict[str, Any]) -> None:
    spec = body.get("spec")
    holders = [_at(body, ("spec", "conversion", "webhook", "clientConfig")), spec if isinstance(spec, dict) else {}]
    holders += [_at(webhook, ("clientConfig",)) for webhook in _maps(body.get("webhooks"))]
    for holder in holders:
        bundle = holder.get("caBundle")
        if isinstance(holder, dict) and isinstance(bundle, str) and bundle in NO_BUNDLES:
            del holder["caBundle"]
