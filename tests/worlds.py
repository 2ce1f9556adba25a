"""Small worlds to plan in: manifests, what is live of them, and the inventory that a sync would have left.

Live objects carry managedFields as the API server writes them, so the real fingerprint is at work.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from reconciler import plan
from reconciler.model.instance import InstanceKey
from reconciler.model.inventory import Applied, Inventory, Member, Proof
from reconciler.model.live import Observation
from reconciler.model.manifest import GroupKind, Manifest, ManifestSet, ObjectKey, Raw
from reconciler.model.plan import Plan
from reconciler.model.record import Heals, Order
from reconciler.model.revision import Closure
from reconciler.model.rules import Guards
from reconciler.model.spec import ClusterAccess, ClusterTarget, InstanceSpec, Ref, RepositoryAccess, Source
from reconciler.objects import applyset, managedfields
from reconciler.objects.keys import PART_OF

KEY = InstanceKey("default", "shop", "eu-1")
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SINCE = NOW - timedelta(days=1)
ORDER = Order(reasons=("commit 3fa2c1b",))
PART_OF_US = applyset.part_of(KEY)


@dataclass(frozen=True)
class Lease:
    """A lease that neither ends nor is frozen."""

    fence: int

    def remaining_s(self) -> float:
        return 30.0

    def require_unfrozen(self) -> None:
        return None


def key(name: str, kind: str = "ConfigMap", namespace: str = "shop") -> ObjectKey:
    """`kind` is written as ApplySets write it: `Deployment.apps`."""
    group_kind = GroupKind.parse(kind)
    return ObjectKey(group_kind.group, group_kind.kind, namespace, name)


def manifest(of: ObjectKey, value: str = "a") -> Manifest:
    version = f"{of.group}/v1" if of.group else "v1"
    meta = {"name": of.name} | ({"namespace": of.namespace} if of.namespace else {})
    return Manifest(
        of, {"apiVersion": version, "kind": of.kind, "metadata": meta, "data": {"a": value}}, f"{of.name}.yaml"
    )


def live(
    of: ObjectKey,
    *,
    uid: str | None = None,
    manager: str = KEY.manager,
    written_at: datetime = SINCE,
    created_at: datetime = SINCE,
    annotations: Mapping[str, str] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """An object as the API server would answer after `manager` applied it with our label."""
    entry = {
        "manager": manager,
        "operation": "Apply",
        "time": written_at.isoformat().replace("+00:00", "Z"),
        "fieldsV1": {"f:metadata": {"f:labels": {f"f:{PART_OF}": {}}}, "f:data": {"f:a": {}}},
    }
    meta = {
        "name": of.name,
        "namespace": of.namespace,
        "uid": uid or f"uid-{of.to_text()}",
        "creationTimestamp": created_at.isoformat().replace("+00:00", "Z"),
        "labels": {PART_OF: PART_OF_US},
        "annotations": dict(annotations or {}),
        "managedFields": [entry],
    }
    return {"apiVersion": "v1", "kind": of.kind, "metadata": meta, **fields}


def desired(*manifests: Manifest) -> ManifestSet:
    return ManifestSet(manifests, Closure())


def spec(*, drift: str = "Heal", rules: Any = None, **sync: Any) -> InstanceSpec:
    return InstanceSpec.model_validate(
        {
            "project": KEY.project,
            "application": KEY.application,
            "cluster": ClusterTarget(name=KEY.cluster, access=ClusterAccess(in_cluster={})),
            "sources": (Source(repo=RepositoryAccess(url="https://git.example.com/a.git"), ref=Ref(branch="main")),),
            "namespace": "shop",
            "sync": sync,
            "drift": {"action": drift},
            "rules": rules,
        }
    )


@dataclass(frozen=True, slots=True)
class World:
    """Everything that a plan is made from. `settled` gives one in which all is as desired."""

    manifests: tuple[Manifest, ...] = ()
    members: Mapping[ObjectKey, Member] = field(default_factory=dict)
    proofs: Mapping[ObjectKey, Proof] = field(default_factory=dict)
    live: Mapping[ObjectKey, Raw] = field(default_factory=dict)
    unseen: frozenset[GroupKind] = frozenset()
    rebuilt: bool = False
    heals: Mapping[ObjectKey, Heals] = field(default_factory=dict)

    @property
    def inventory(self) -> Inventory:
        applied = Applied(fence=7, revision="3fa2c1b", digest="", at=SINCE, proofs=self.proofs)
        return Inventory("installation", members=self.members, applied=applied, rebuilt=self.rebuilt)

    @property
    def seen(self) -> Observation:
        return Observation(NOW, self.live, self.unseen)

    def met(self, found: Plan, contact: Sequence[ObjectKey], *, approved: str | None) -> Plan:
        """A plan of this world after applying has met objects that were never ours."""
        met = dict.fromkeys(contact, "uid-of-it")
        return plan.with_found(found, met, (), self.inventory, self.seen, guards=Guards(), approved=approved)

    def plan(self, of: InstanceSpec | None = None, order: Order = ORDER) -> Plan:
        return plan.make_plan(
            desired(*self.manifests),
            self.inventory,
            self.seen,
            spec=of or spec(),
            order=order,
            heals=self.heals,
            now=NOW,
        )

    def wanting(self, *keys: ObjectKey, value: str = "a") -> World:
        """The same world with other manifests."""
        return replace(self, manifests=tuple(manifest(one, value) for one in keys))

    def with_live(self, *bodies: tuple[ObjectKey, Raw]) -> World:
        return replace(self, live={**self.live, **dict(bodies)})

    def without_live(self, *keys: ObjectKey) -> World:
        return replace(self, live={one: body for one, body in self.live.items() if one not in keys})

    def without_proofs(self) -> World:
        return replace(self, proofs={})


def settled(keys: Iterable[ObjectKey]) -> World:
    """A world in which these objects are desired, applied, proven and intact."""
    manifests = tuple(manifest(one) for one in keys)
    bodies: dict[ObjectKey, Raw] = {one.key: live(one.key) for one in manifests}
    return World(
        manifests=manifests,
        members={one.key: Member(SINCE) for one in manifests},
        proofs={
            one.key: Proof(one.digest, managedfields.fingerprint(bodies[one.key], KEY.manager)) for one in manifests
        },
        live=bodies,
    )


def drifted(of: ObjectKey) -> dict[str, Any]:
    """The object after another writer took our field: the API server takes it out of our entry."""
    body = live(of)
    entry = body["metadata"]["managedFields"][0]
    entry["fieldsV1"] = {"f:metadata": entry["fieldsV1"]["f:metadata"]}
    other = {"manager": "kubectl-edit", "operation": "Update", "time": "2026-01-01T11:00:00Z"}
    body["metadata"]["managedFields"].append({**other, "fieldsV1": {"f:data": {"f:a": {}}}})
    return body
