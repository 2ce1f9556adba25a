"""Hypothesis strategies for fleets of objects, and for clusters in any state."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from reconciler.model.inventory import Member, Proof
from reconciler.model.manifest import GroupKind, ObjectKey
from reconciler.model.plan import Action, Cause, Change
from reconciler.model.record import Order
from reconciler.objects.keys import PRUNE
from reconciler.objects.managedfields import fingerprint
from tests.worlds import KEY, SINCE, World, drifted, live, manifest

KINDS = (
    GroupKind("", "ConfigMap"),
    GroupKind("", "Secret"),
    GroupKind("", "Service"),
    GroupKind("apps", "Deployment"),
    GroupKind("apps", "StatefulSet"),
    GroupKind("", "PersistentVolumeClaim"),
    GroupKind("example.com", "Widget"),
    GroupKind("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
    GroupKind("apiregistration.k8s.io", "APIService"),
    GroupKind("apiextensions.k8s.io", "CustomResourceDefinition"),
    GroupKind("", "Namespace"),
)
CLUSTER_SCOPED = frozenset(
    {"Namespace", "CustomResourceDefinition", "APIService", "ValidatingWebhookConfiguration"},
)
NAMESPACES = ("shop", "web")


@st.composite
def object_keys(draw: st.DrawFn) -> ObjectKey:
    kind = draw(st.sampled_from(KINDS))
    if kind.kind == "Namespace":
        return ObjectKey("", "Namespace", "", draw(st.sampled_from(NAMESPACES)))
    namespace = "" if kind.kind in CLUSTER_SCOPED else draw(st.sampled_from(NAMESPACES))
    return ObjectKey(kind.group, kind.kind, namespace, draw(st.sampled_from("abcdefgh")))


def key_sets(*, min_size: int = 0, max_size: int = 24) -> st.SearchStrategy[list[ObjectKey]]:
    return st.lists(object_keys(), unique=True, min_size=min_size, max_size=max_size)


changes = object_keys().map(lambda key: Change(key, Action.APPLY, Cause.NEW, manifest(key)))


def _body(draw: st.DrawFn, key: ObjectKey) -> dict[str, Any]:
    """One object in any state that a cluster may have brought it to."""
    state = draw(st.sampled_from(("intact", "drifted", "recreated", "older", "prune disabled", "not labelled by us")))
    return {
        "intact": live(key),
        "drifted": drifted(key),
        "recreated": live(key, uid="another"),
        "older": live(key, created_at=SINCE - timedelta(days=1)),
        "prune disabled": live(key, annotations={PRUNE: "disabled"}),
        "not labelled by us": live(key, manager="kube-controller-manager"),
    }[state]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Anything: members without objects, objects without membership, proofs lost or wrong, kinds unseen."""
    universe = draw(key_sets(min_size=1))
    members = [key for key in universe if draw(st.booleans())]
    wanted = draw(st.lists(st.sampled_from(universe), unique=True, min_size=1))
    found = [key for key in universe if draw(st.booleans())]
    unseen = frozenset(draw(st.sets(st.sampled_from(KINDS), max_size=3)))
    return World(
        manifests=tuple(manifest(key, draw(st.sampled_from("ab"))) for key in wanted),
        members={key: Member(SINCE, adopted=draw(st.integers(0, 9)) == 0) for key in members},
        proofs={key: Proof(manifest(key).digest, draw(proof_of(key))) for key in members if draw(st.booleans())},
        live={key: _body(draw, key) for key in found if key.group_kind not in unseen},
        unseen=unseen,
        rebuilt=draw(st.integers(0, 9)) == 0,
    )


def proof_of(key: ObjectKey) -> st.SearchStrategy[str]:
    return st.sampled_from((fingerprint(live(key), KEY.manager), "something else"))


orders = st.builds(
    Order, reasons=st.just(("periodic",)), full=st.booleans(), by_operator=st.booleans(), approved_plan=st.none()
)
