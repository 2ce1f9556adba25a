"""Why a workload is not healthy, as its Pods say: a Deployment knows that Pods are missing, and only a Pod knows why.

For a person who asks, not for a sync: one or two requests for each workload.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime

from reconciler import health
from reconciler.errors import LeaseError, UndriftError
from reconciler.model.health import Health, ObjectHealth
from reconciler.model.live import Resource
from reconciler.model.manifest import GroupKind, ObjectKey, Raw
from reconciler.ports import ClusterApi

PODS = Resource("", "v1", "Pod", "pods", True)
WORKLOADS = frozenset(
    {
        *(GroupKind("apps", kind) for kind in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")),
        GroupKind("batch", "Job"),
    }
)
WELL = frozenset({Health.HEALTHY, Health.SUSPENDED})


def pods_say(api: ClusterApi, workloads: Collection[ObjectKey], now: datetime) -> dict[ObjectKey, str]:
    """For each workload the worst of its Pods, in words; those whose Pods are well, or that can't be asked, are left out.

    Raises LeaseError only.
    """
    found = {}
    for key in workloads:
        if key.group_kind not in WORKLOADS:
            continue
        try:
            said = _worst(_pods(api, key), now)
        except LeaseError:
            raise
        except (
            UndriftError
        ):  # what is asked besides may be forbidden, or the cluster away: the rest is told all the same
            continue
        if said:
            found[key] = said
    return found


def _pods(api: ClusterApi, workload: ObjectKey) -> Mapping[ObjectKey, Raw]:
    resource = api.discovery().find(workload.group_kind)
    live = api.get(resource, workload.namespace, workload.name) if resource else None
    selector = ",".join(_terms(((live or {}).get("spec") or {}).get("selector") or {}))
    if not selector:
        return {}
    pods = api.list(PODS, namespace=workload.namespace, selector=selector).items
    return {ObjectKey.of(pod): pod for pod in pods}


def _terms(selector: Raw) -> Iterator[str]:
    """A label selector as the API takes it in a query."""
    for name, value in (selector.get("matchLabels") or {}).items():
        yield f"{name}={value}"
    for one in selector.get("matchExpressions") or ():
        name, values = one.get("key"), ",".join(one.get("values") or ())
        words = {"In": f"{name} in ({values})", "NotIn": f"{name} notin ({values})", "DoesNotExist": f"!{name}"}
        yield words.get(str(one.get("operator")), str(name))


def _worst(pods: Mapping[ObjectKey, Raw], now: datetime) -> str:
    ranks = list(Health)
    report: Mapping[ObjectKey, ObjectHealth] = health.report(pods, now).objects
    unwell = sorted(
        (one for one in report.items() if one[1].health not in WELL), key=lambda one: -ranks.index(one[1].health)
    )
    if not unwell:
        return ""
    key, state = unwell[0]
    more = f", and {len(unwell) - 1} more Pods are not ready" if len(unwell) > 1 else ""
    return f"Pod {key.name}: {state.message or state.reason}{more}"
