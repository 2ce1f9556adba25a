"""Gives every rendered object the namespace it will live in, and refuses two objects of one identity.

Whether a kind is namespaced is known from discovery, or, for a kind that the same render defines, from its CRD. The
identity of an object is group, kind, namespace and name: two API versions of one name are the same object.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from reconciler.errors import DuplicateObject, InvalidManifest, UnknownKind
from reconciler.model.live import Discovery
from reconciler.model.manifest import GroupKind, Manifest, ManifestSet, ObjectKey
from reconciler.objects.kinds import DEFINITION


def place(desired: ManifestSet, discovery: Discovery, namespace: str | None) -> ManifestSet:
    """The set with every key's namespace settled; `namespace` is for namespaced objects that name none.

    Raises UnknownKind for a kind that neither the cluster nor the set defines, InvalidManifest for a namespaced object
    without a namespace, DuplicateObject naming both places.
    """
    defined = _scopes_defined_by(desired)
    placed = tuple(_placed(manifest, discovery, defined, namespace) for manifest in desired)
    seen: dict[ObjectKey, Manifest] = {}
    for manifest in placed:
        if manifest.key in seen:
            first = seen[manifest.key].origin
            raise DuplicateObject(
                f"{manifest.key} is defined twice: in {first} and in {manifest.origin}; remove one",
                subject=manifest.key,
            )
        seen[manifest.key] = manifest
    return replace(desired, manifests=placed)


def _scopes_defined_by(desired: ManifestSet) -> Mapping[GroupKind, bool]:
    """Whether each kind that a CRD of the set defines is namespaced."""
    found: dict[GroupKind, bool] = {}
    for manifest in desired:
        if manifest.key.group_kind == DEFINITION:
            spec = manifest.body.get("spec") or {}
            kind = (spec.get("names") or {}).get("kind", "")
            found[GroupKind(str(spec.get("group", "")), str(kind))] = spec.get("scope") == "Namespaced"
    return found


def _placed(
    manifest: Manifest, discovery: Discovery, defined: Mapping[GroupKind, bool], namespace: str | None
) -> Manifest:
    key = manifest.key
    if not _is_namespaced(manifest, discovery, defined):
        return replace(manifest, key=replace(key, namespace=""))
    if key.namespace:
        return manifest
    if not namespace:
        raise InvalidManifest(
            f"{manifest.origin}: {key} names no namespace, and the application sets none; "
            "set metadata.namespace in the manifest or spec.namespace of the Application",
            subject=key,
        )
    return replace(manifest, key=replace(key, namespace=namespace))


def _is_namespaced(manifest: Manifest, discovery: Discovery, defined: Mapping[GroupKind, bool]) -> bool:
    group_kind = manifest.key.group_kind
    resource = discovery.find(group_kind)
    if resource is not None:
        return resource.namespaced
    if group_kind in defined:
        return defined[group_kind]
    if group_kind.group in discovery.stale_groups:
        why = f"the API group {group_kind.group} does not answer (its APIService is unavailable)"
    else:
        why = "the cluster does not serve this kind; install its CRD first, or correct apiVersion and kind"
    raise UnknownKind(f"{manifest.origin}: {manifest.api_version} {group_kind.kind}: {why}", subject=manifest.key)
