"""What the API server would delete together with a Namespace or a CRD: nothing of it would be judged, or in the trash.

Asked just before either goes, of the cluster itself: whatever lives in it then counts, whose ever it is, since what was
this instance's own has gone before it in the same pass. Not counted is what comes and goes by itself: what the system
puts into every namespace, and what a controller owns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from reconciler.errors import AccessDenied, NotEmpty, Unreachable
from reconciler.model.changeset import Outcome, Result
from reconciler.model.live import Resource
from reconciler.model.manifest import GroupKind, ObjectKey, Raw
from reconciler.objects import keys
from reconciler.objects.kinds import DEFINITION, NAMESPACE, defined_by, is_established
from reconciler.ports import ClusterApi

PASSING_KINDS = frozenset(
    {
        GroupKind("", "Event"),
        GroupKind("events.k8s.io", "Event"),
        GroupKind("", "Endpoints"),
        GroupKind("discovery.k8s.io", "EndpointSlice"),
        GroupKind("coordination.k8s.io", "Lease"),
    }
)
"""What tells of other objects, and holds nothing by itself."""
IN_EVERY_NAMESPACE = frozenset(
    {
        ("ConfigMap", "kube-root-ca.crt"),
        ("ConfigMap", "openshift-service-ca.crt"),
        ("ConfigMap", "istio-ca-root-cert"),
        ("ServiceAccount", "default"),
    }
)
TOKEN_OF = "kubernetes.io/service-account.name"
NAMED = 3
"""How many of the objects found are named; looking ends there."""


def look_inside(api: ClusterApi, live: Raw, before: Iterable[Outcome]) -> str:
    """What is still going in a Namespace or a CRD, so that it must wait; empty when it may go. Others are never asked.

    `before` are the outcomes of this pass so far. Costs one list of metadata for each kind that a namespace may hold.
    Raises NotEmpty when something stays in it, or can't be looked at, and the ClusterErrors.
    """
    subject = ObjectKey.of(live)
    if subject.group_kind not in (NAMESPACE, DEFINITION):
        return ""
    own = [found for found in before if _is_inside(found.key, live) and found.result not in _GONE]
    going = [found.key for found in own if found.result is Result.DELETING]
    stays = [found.key for found in own if found.result is not Result.DELETING]
    for one in _living(api, live):
        key = ObjectKey.of(one)
        if one["metadata"].get("deletionTimestamp"):
            going.append(key)
        elif key not in stays:
            stays.append(key)
        if len(stays) > NAMED:
            break
    if stays:
        raise _not_empty(subject, f"holds {_names(stays)}, which would be deleted with it")
    return f"waits for {_names(list(dict.fromkeys(going)))} to be gone from it" if going else ""


_GONE = frozenset({Result.DELETED, Result.GONE})


def _is_inside(key: ObjectKey, live: Raw) -> bool:
    if ObjectKey.of(live).group_kind == NAMESPACE:
        return key.namespace == str(live["metadata"]["name"])
    return key.group_kind == defined_by(live)


def _living(api: ClusterApi, live: Raw) -> Iterator[Raw]:
    """What lives in it now and counts. Kinds are looked up anew: one that came a moment ago is looked at, too."""
    name, is_namespace = live["metadata"]["name"], ObjectKey.of(live).group_kind == NAMESPACE
    for resource in _kinds_in(api) if is_namespace else _kind_of(api, live):
        for one in _listed(api, resource, name if is_namespace else "", ObjectKey.of(live)):
            if not (is_namespace and _comes_and_goes(api, one)):
                yield one


def _kinds_in(api: ClusterApi) -> Iterable[Resource]:
    """The kinds that the cluster deletes with a namespace: namespaced ones that can be listed and deleted."""
    discovery = api.discovery(refresh=True)
    if discovery.stale_groups:
        groups = ", ".join(sorted(discovery.stale_groups))
        raise Unreachable(
            f"cluster {api.name}: {groups} can't be looked at now, and a namespace may hold objects of it"
        )
    preferred = [versions[0] for _, versions in sorted(discovery.resources.items())]
    return [
        one
        for one in preferred
        if one.namespaced and one.group_kind not in PASSING_KINDS and (not one.verbs or one.verbs >= {"list", "delete"})
    ]


def _kind_of(api: ClusterApi, definition: Raw) -> Iterable[Resource]:
    """The kind that a CRD defines. One that was never established has no objects."""
    if not is_established(definition):
        return ()
    kind = defined_by(definition)
    resource = api.discovery(refresh=True).find(kind)
    if resource is None:
        raise Unreachable(f"cluster {api.name}: {kind} is not served now, and there may be objects of it")
    return (resource,)


def _listed(api: ClusterApi, resource: Resource, namespace: str, subject: ObjectKey) -> Iterable[Raw]:
    try:
        return api.list(resource, namespace=namespace, metadata_only=True).items
    except AccessDenied as error:
        what = f"may hold {resource.plural} that we are not allowed to list"
        raise _not_empty(subject, f"{what}, and they would be deleted with it") from error


def _comes_and_goes(api: ClusterApi, one: Raw) -> bool:
    """Whether it is made by what is in the namespace, or by Kubernetes in each. What an object outside has made, as
    Crossplane does, is that one's, and may be what a bill is paid for."""
    meta, kind = one["metadata"], str(one["kind"])
    if _owner_is_inside(api, one) or (kind, meta["name"]) in IN_EVERY_NAMESPACE:
        return True
    return kind == "Secret" and (meta.get("annotations") or {}).get(TOKEN_OF) == "default"


def _owner_is_inside(api: ClusterApi, one: Raw) -> bool:
    """A controller of a namespaced kind can only be in the object's own namespace."""
    owner = next((ref for ref in one["metadata"].get("ownerReferences") or () if ref.get("controller")), None)
    if owner is None:
        return False
    group, _, version = str(owner.get("apiVersion") or "").rpartition("/")
    resource = api.discovery().find(GroupKind(group, str(owner.get("kind"))), version)
    return resource is not None and resource.namespaced


def _names(found: list[ObjectKey]) -> str:
    more = " and more" if len(found) > NAMED else ""
    return ", ".join(str(key) for key in islice(found, NAMED)) + more


def _not_empty(subject: ObjectKey, what: str) -> NotEmpty:
    return NotEmpty(
        f"{subject} {what}; it was not deleted. Move them away or delete them by hand, or annotate {subject} with "
        f"{keys.PRUNE}: disabled to let it stay",
        subject=subject,
    )
