"""What keeps a Namespace or a CRD from going: whatever else would go with it."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler import apply
from reconciler.errors import AccessDenied, NotEmpty
from reconciler.model.inventory import Intent, Inventory, Member
from reconciler.model.live import Resource
from reconciler.model.manifest import ObjectKey
from reconciler.model.plan import Action, Cause, Change
from reconciler.objects import applyset
from reconciler.objects.keys import PART_OF, PRUNE, SYSTEM_NAMESPACE
from reconciler.testing.cluster import KINDS, FakeCluster
from reconciler.testing.cluster_api import FakeApi
from tests.unit.apply.test_prune import Lease
from tests.worlds import KEY

SPACE = ObjectKey("", "Namespace", "", "shop")
ONE = ObjectKey("", "ConfigMap", "shop", "one")
CRD = ObjectKey("apiextensions.k8s.io", "CustomResourceDefinition", "", "widgets.example.com")
MORE = (
    Resource("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", False),
    Resource("example.com", "v1", "Widget", "widgets", True),
    Resource("", "v1", "ServiceAccount", "serviceaccounts", True),
    Resource("", "v1", "Event", "events", True),
    Resource("metrics.k8s.io", "v1", "PodMetrics", "pods", True, frozenset({"get", "list"})),
)
DEFINES = {"spec": {"group": "example.com", "names": {"kind": "Widget"}}}
ESTABLISHED = {"status": {"conditions": [{"type": "Established", "status": "True"}]}}


class World:
    """The Namespace `shop`, a CRD and one ConfigMap, all of them ours."""

    def __init__(self) -> None:
        self.fake = FakeCluster(SYSTEM_NAMESPACE, kinds=(*KINDS, *MORE))
        self.api = FakeApi(self.fake, Lease())
        inventories = apply.Inventories("one", self.fake.clock)
        for body in (of(SPACE), of(ONE), {**of(CRD), **DEFINES}):
            self.fake.apply(body, manager=KEY.manager, force=False)
        self.fake.objects[CRD] = {**self.fake.objects[CRD], **ESTABLISHED}
        now = self.fake.clock.now()
        members = {key: Member(now) for key in (SPACE, ONE, CRD)}
        self.inventory = inventories.begin(self.api, KEY, Inventory("one"), Intent(7, "3fa2c1b", "", now), members)

    def put(self, kind: str, name: str, *, group: str = "", **metadata: Any) -> None:
        """An object of somebody else in `shop`."""
        meta = {"name": name, "namespace": "shop", **metadata}
        self.fake.put({"apiVersion": f"{group}/v1" if group else "v1", "kind": kind, "metadata": meta})

    def prune(self, *keys: ObjectKey) -> list[tuple[str, str]]:
        changes = [Change(key, Action.DELETE, Cause.STALE) for key in keys]
        found = apply.prune(self.api, changes, key=KEY, inventory=self.inventory)
        return [(str(one.result), one.error.message if one.error else one.note) for one in found]


def of(key: ObjectKey) -> dict[str, Any]:
    version = f"{key.group}/v1" if key.group else "v1"
    meta = {"name": key.name, "labels": {PART_OF: applyset.part_of(KEY)}}
    return {
        "apiVersion": version,
        "kind": key.kind,
        "metadata": meta | ({"namespace": key.namespace} if key.namespace else {}),
    }


INSIDE = {"apiVersion": "example.com/v1", "kind": "Widget", "name": "w", "controller": True}
OUTSIDE = {"apiVersion": "v1", "kind": "Namespace", "name": "another", "controller": True}
"""A controller of a cluster-scoped kind, as Crossplane's composites are."""


@pytest.fixture
def world() -> World:
    return World()


def change(world: World, key: ObjectKey, **metadata: Any) -> None:
    live = world.fake.objects[key]
    world.fake.objects[key] = {**live, "metadata": {**live["metadata"], **metadata}}


def test_a_namespace_goes_after_all_that_was_in_it(world: World) -> None:
    assert world.prune(ONE, SPACE) == [("Deleted", ""), ("Deleted", "")]


def test_a_namespace_stays_while_a_member_in_it_was_left(world: World) -> None:
    change(world, ONE, annotations={PRUNE: "disabled"})

    left, stays = world.prune(ONE, SPACE)

    assert left[0] == "Left"
    assert stays == (
        "Failed",
        "Namespace shop holds ConfigMap shop/one, which would be deleted with it; it was not deleted. Move them away or "
        "delete them by hand, or annotate Namespace shop with undrift.dev/prune: disabled to let it stay",
    )
    assert world.fake.deleted == []


def test_a_namespace_annotated_to_stay_is_left_and_asks_for_nothing_more(world: World) -> None:
    change(world, ONE, annotations={PRUNE: "disabled"})
    change(world, SPACE, annotations={PRUNE: "disabled"})

    assert [result for result, _ in world.prune(ONE, SPACE)] == ["Left", "Left"]


def test_a_namespace_waits_for_what_is_still_going_in_it(world: World) -> None:
    change(world, ONE, finalizers=["example.com/hold"])

    _, waits = world.prune(ONE, SPACE)

    assert waits == ("Deleting", "waits for ConfigMap shop/one to be gone from it")
    assert SPACE in world.fake.objects


def test_a_namespace_waits_for_a_member_whose_kind_is_not_served_now(world: World) -> None:
    gadget = ObjectKey("gone.example.com", "Gadget", "shop", "g")

    _, waits = world.prune(gadget, SPACE)

    assert "holds ConfigMap shop/one" in waits[1]
    assert world.prune(gadget, ONE, SPACE)[-1] == (
        "Deleting",
        "waits for Gadget.gone.example.com shop/g to be gone from it",
    )


@pytest.mark.parametrize(
    ("kind", "name", "more"),
    [
        ("ConfigMap", "theirs", {}),
        ("Secret", "of-another-application", {"labels": {PART_OF: "another"}}),
        ("Secret", "ours-but-forgotten", {"labels": {PART_OF: applyset.part_of(KEY)}}),
        ("Secret", "token-of-theirs", {"annotations": {"kubernetes.io/service-account.name": "robot"}}),
        ("ServiceAccount", "robot", {}),
        ("Widget", "w", {"group": "example.com"}),
        ("Secret", "owned", {"ownerReferences": [{"kind": "Widget", "name": "w"}]}),
        ("Secret", "made-outside", {"ownerReferences": [OUTSIDE]}),
        ("Secret", "made-by-a-stranger", {"ownerReferences": [{**INSIDE, "kind": "Stranger"}]}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_namespace_stays_while_anything_of_others_lives_in_it(
    world: World, kind: str, name: str, more: dict[str, Any]
) -> None:
    world.put(kind, name, **more)

    assert f"shop/{name}" in world.prune(ONE, SPACE)[-1][1]
    assert SPACE in world.fake.objects


@pytest.mark.parametrize(
    ("kind", "name", "more"),
    [
        ("ConfigMap", "kube-root-ca.crt", {}),
        ("ServiceAccount", "default", {}),
        ("Secret", "default-token-abcde", {"annotations": {"kubernetes.io/service-account.name": "default"}}),
        ("Event", "one.17", {}),
        ("PodMetrics", "web-1", {"group": "metrics.k8s.io"}),
        ("ConfigMap", "made", {"ownerReferences": [INSIDE]}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_comes_and_goes_by_itself_keeps_no_namespace(
    world: World, kind: str, name: str, more: dict[str, Any]
) -> None:
    world.put(kind, name, **more)

    assert world.prune(ONE, SPACE)[-1] == ("Deleted", "")


def test_a_definition_stays_while_somebody_s_object_of_it_lives_anywhere(world: World) -> None:
    world.put("Widget", "theirs", group="example.com")

    assert "holds Widget.example.com shop/theirs" in world.prune(CRD)[0][1]
    assert CRD in world.fake.objects


def test_a_definition_stays_while_a_controller_s_objects_of_it_live(world: World) -> None:
    """Their owner is of another kind and does not go with it."""
    world.put("Widget", "managed", group="example.com", ownerReferences=[OUTSIDE])

    assert "holds Widget.example.com shop/managed" in world.prune(CRD)[0][1]


def test_a_refused_definition_does_not_keep_another_namespace(world: World) -> None:
    """Each is judged by what it holds itself: a look at the Namespace tells the same as without the first."""
    other = ObjectKey("", "Namespace", "", "empty")
    world.fake.apply(of(other), manager=KEY.manager, force=False)
    world.inventory = world.inventory.__class__(
        "one", {**world.inventory.members, other: Member(world.fake.clock.now())}, world.inventory.intent
    )
    world.put("Widget", "theirs", group="example.com")

    assert [result for result, _ in world.prune(CRD, other)] == ["Failed", "Deleted"]


def test_a_definition_that_was_never_established_goes(world: World) -> None:
    world.fake.objects[CRD] = {**world.fake.objects[CRD], "status": {}}

    assert world.prune(CRD) == [("Deleted", "")]


def test_a_definition_whose_kind_is_not_served_now_stays(world: World) -> None:
    world.fake.stale_groups = frozenset({"example.com"})

    assert world.prune(CRD)[0][0] == "Failed"


def test_a_namespace_stays_while_a_group_can_t_be_looked_at(world: World) -> None:
    world.fake.stale_groups = frozenset({"example.com"})

    assert world.prune(ONE, SPACE)[-1] == (
        "Failed",
        "cluster fake: example.com can't be looked at now, and a namespace may hold objects of it",
    )


def test_a_namespace_stays_where_we_may_not_look(world: World) -> None:
    lists = []

    def denied(number: int, verb: str, key: ObjectKey | None) -> AccessDenied | None:
        lists.append(verb == "LIST")
        return AccessDenied("forbidden") if lists[-1] else None

    world.fake.before = denied

    assert "not allowed to list" in world.prune(ONE, SPACE)[-1][1]
    assert SPACE in world.fake.objects


def test_no_more_than_three_are_named(world: World) -> None:
    for name in "abcde":
        world.put("ConfigMap", name)

    said = world.prune(ONE, SPACE)[-1][1]

    assert "holds ConfigMap shop/a, ConfigMap shop/b, ConfigMap shop/c and more, which" in said


def test_anything_else_is_not_looked_into(world: World) -> None:
    before = world.api.requests

    world.prune(ONE)

    assert world.api.requests == before + 5  # fence, look, trash, delete, look


def test_the_error_says_that_trying_again_makes_sense() -> None:
    assert NotEmpty("").retry == 60.0
