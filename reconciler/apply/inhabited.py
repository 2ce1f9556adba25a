"""Whether a Namespace or a CRD still holds something when it is to be deleted: the API server would delete that too.

What a pass deletes itself is gone by then, or on its way out. What is left is not ours to delete: another application's,
a person's, or kept on purpose. So the container stays. Only what Kubernetes makes in each namespace by itself, and what
goes with its owner, is nobody's loss.
"""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.errors import AccessDenied, UnknownKind
from reconciler.model.live import Discovery, Resource
from reconciler.model.manifest import GroupKind, ObjectKey, Raw
from reconciler.objects.kinds import DEFINITION, NAMESPACE
from reconciler.ports import ClusterApi

DERIVED = frozenset({"Endpoints", "EndpointSlice", "Event", "Lease"})
"""Made anew by whoever needs them."""
OF_EACH_NAMESPACE = frozenset(
    {
        ("ServiceAccount", "default"),
        ("ConfigMap", "kube-root-ca.crt"),
        ("ConfigMap", "openshift-service-ca.crt"),
    }
)
TOKEN_OF = "kubernetes.io/service-account.name"


def why_it_stays(api: ClusterApi, live: Raw) -> str:
    """Names something that would be deleted together with a Namespace or a CRD, or that can't be ruled out; empty when
    nothing would. One list for a CRD, one for each namespaced kind of the cluster for a Namespace."""
    kind = ObjectKey.of(live).group_kind
    if kind not in (NAMESPACE, DEFINITION):
        return ""
    discovery = api.discovery(refresh=True)
    if discovery.stale_groups:
        return f"{', '.join(sorted(discovery.stale_groups))} can't be looked at now, and may have something in it"
    held = _in_namespace(api, discovery, live) if kind == NAMESPACE else _of_kind(api, discovery, live)
    return next(held, "")


def _in_namespace(api: ClusterApi, discovery: Discovery, live: Raw) -> Iterator[str]:
    for kind, versions in sorted(discovery.resources.items()):
        resource = versions[0]
        if kind.kind in DERIVED or not resource.namespaced or not _can_be_deleted(resource):
            continue
        for found in _listed(api, resource, str(live["metadata"]["name"])):
            if isinstance(found, str):
                yield found
            elif not _goes_anyway(found):
                yield f"{ObjectKey.of(found)} lives in it"


def _of_kind(api: ClusterApi, discovery: Discovery, live: Raw) -> Iterator[str]:
    definition = live.get("spec") or {}
    kind = GroupKind(str(definition.get("group")), str((definition.get("names") or {}).get("kind")))
    resource = discovery.find(kind)
    if resource is None:
        return  # it is not served, so there is none
    for found in _listed(api, resource, ""):
        if isinstance(found, str):
            yield found
        elif not found["metadata"].get("deletionTimestamp"):
            yield f"{ObjectKey.of(found)} is of the kind that it defines"


def _listed(api: ClusterApi, resource: Resource, namespace: str) -> Iterator[Raw | str]:
    try:
        yield from api.list(resource, namespace=namespace, metadata_only=True).items
    except AccessDenied:
        yield f"we may not list {resource.plural}, and some may be in it"
    except UnknownKind:
        return  # it is no longer served since we asked


def _can_be_deleted(resource: Resource) -> bool:
    """Not so what is only computed, such as metrics of Pods."""
    return not resource.verbs or {"list", "delete"} <= resource.verbs


def _goes_anyway(found: Raw) -> bool:
    meta, key = found["metadata"], ObjectKey.of(found)
    if meta.get("deletionTimestamp") or meta.get("ownerReferences"):
        return True
    return (key.kind, key.name) in OF_EACH_NAMESPACE or TOKEN_OF in (meta.get("annotations") or {})
