"""What a prune refuses, one reason at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from reconciler import apply
from reconciler.errors import FencedOut, Unreachable
from reconciler.model.inventory import NEVER_PRUNED, Intent, Inventory, Member
from reconciler.model.manifest import ObjectKey
from reconciler.model.plan import Action, Cause, Change
from reconciler.objects import applyset
from reconciler.objects.keys import PART_OF, PRUNE, SYSTEM_NAMESPACE
from reconciler.testing.cluster import FakeCluster
from reconciler.testing.cluster_api import FakeApi
from tests.worlds import KEY

ONE = ObjectKey("", "ConfigMap", "shop", "one")
TWO = ObjectKey("", "ConfigMap", "shop", "two")


class Lease:
    fence = 7

    def remaining_s(self) -> float:
        return 30.0

    def require_unfrozen(self) -> None:
        return None


class World:
    """One object of ours, and an inventory that lists it."""

    def __init__(self) -> None:
        self.fake = FakeCluster("shop", SYSTEM_NAMESPACE)
        self.api = FakeApi(self.fake, Lease())
        self.inventories = apply.Inventories("one", self.fake.clock)
        for key in (ONE, TWO):
            self.fake.apply(body(key), manager=KEY.manager, force=False)
        now = self.fake.clock.now()
        members = {ONE: Member(now), TWO: Member(now)}
        intent = Intent(7, "3fa2c1b", "", now)
        self.inventory = self.inventories.begin(self.api, KEY, Inventory("one"), intent, members)

    def change(self, **metadata: Any) -> None:
        live = self.fake.objects[ONE]
        self.fake.objects[ONE] = {**live, "metadata": {**live["metadata"], **metadata}}

    def prune(self, *keys: ObjectKey) -> list[tuple[str, str]]:
        changes = [Change(key, Action.DELETE, Cause.STALE) for key in keys or (ONE,)]
        found = apply.prune(self.api, changes, key=KEY, inventory=self.inventory)
        return [(str(outcome.result), outcome.note) for outcome in found]


def body(key: ObjectKey) -> dict[str, Any]:
    meta = {"name": key.name, "namespace": key.namespace, "labels": {PART_OF: applyset.part_of(KEY)}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"a": "1"}}


@pytest.fixture
def world() -> World:
    return World()


def another_label(world: World) -> None:
    world.change(labels={PART_OF: "another"})


def copied_label(world: World) -> None:
    entries = world.fake.objects[ONE]["metadata"]["managedFields"]
    world.change(managedFields=[{**entry, "manager": "kube-controller-manager"} for entry in entries])


def no_managed_fields(world: World) -> None:
    world.change(managedFields=[])


def controlled(world: World) -> None:
    world.change(ownerReferences=[{"kind": "Widget", "name": "w", "controller": True}])


def older(world: World) -> None:
    since = world.fake.clock.now() + timedelta(seconds=1)
    world.inventory = replace(world.inventory, members={ONE: Member(since)})


def adopted(world: World) -> None:
    world.inventory = replace(world.inventory, members={ONE: Member(world.fake.clock.now(), adopted=True)})


def no_member(world: World) -> None:
    world.inventory = replace(world.inventory, members={})


def kept_by_annotation(world: World) -> None:
    world.change(annotations={PRUNE: "disabled"})


def kept_by_helm(world: World) -> None:
    world.change(annotations={"helm.sh/resource-policy": "keep"})


@pytest.mark.parametrize(
    ("doubt", "said"),
    [
        (another_label, "it does not carry our part-of label any more"),
        (copied_label, "its part-of label was not put there by us"),
        (no_managed_fields, "its part-of label was not put there by us"),
        (controlled, "a controller owns it"),
        (older, NEVER_PRUNED),
        (adopted, NEVER_PRUNED),
        (no_member, "it is not in the inventory"),
        (kept_by_annotation, "annotated undrift.dev/prune: disabled"),
        (kept_by_helm, "annotated helm.sh/resource-policy: keep"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_doubt_leaves_the_object(world: World, doubt: Callable[[World], None], said: str) -> None:
    doubt(world)

    assert world.prune() == [("Left", said)]
    assert world.fake.deleted == []


def test_what_is_provably_ours_goes(world: World) -> None:
    assert world.prune() == [("Deleted", "")]
    assert ONE not in world.fake.objects
    assert TWO in world.fake.objects


def test_what_is_gone_already_is_gone(world: World) -> None:
    del world.fake.objects[ONE]

    assert world.prune() == [("Gone", "")]


def test_a_finalizer_is_named_while_it_holds(world: World) -> None:
    world.change(finalizers=["example.com/hold"])

    said = [("Deleting", "being deleted, waits for finalizers example.com/hold")]
    assert world.prune() == said
    assert world.prune() == said
    assert len(world.fake.deleted) == 1


@pytest.mark.parametrize("fence", ["8", "6", "0"])
def test_another_fence_in_the_inventory_stops_everything(world: World, fence: str) -> None:
    parent = ObjectKey("", "Secret", SYSTEM_NAMESPACE, KEY.inventory_name)
    live = world.fake.objects[parent]
    annotations = {**live["metadata"]["annotations"], "undrift.dev/fence": fence}
    world.fake.objects[parent] = {**live, "metadata": {**live["metadata"], "annotations": annotations}}

    with pytest.raises(FencedOut) as refused:
        world.prune()

    assert refused.value.fence == int(fence)
    assert world.fake.deleted == []


def test_a_lost_inventory_stops_everything(world: World) -> None:
    del world.fake.objects[ObjectKey("", "Secret", SYSTEM_NAMESPACE, KEY.inventory_name)]

    with pytest.raises(FencedOut):
        world.prune()


def test_a_kind_that_is_not_served_now_is_left_for_later(world: World) -> None:
    widget = ObjectKey("example.com", "Widget", "shop", "w")

    assert world.prune(widget) == [("Deleting", "its kind is not served now; nothing is concluded from that")]


def test_the_first_failure_stops_the_rest(world: World) -> None:
    world.fake.before = lambda number, verb, key: Unreachable("gone") if key == ONE else None

    assert world.prune(ONE, TWO) == [("Failed", "")]
    assert world.fake.deleted == []


def test_an_object_that_changes_while_we_look_is_looked_at_again_by_the_next_pass(world: World) -> None:
    def touch(number: int, verb: str, key: ObjectKey | None) -> None:
        if verb == "GET" and key == ONE:
            world.change(resourceVersion="999")

    world.fake.after = touch  # type: ignore[assignment]  # it never fails, it only changes what was read

    assert world.prune() == [("Deleting", "it changed while we looked; the next pass looks again")]
    assert world.fake.deleted == []


def test_a_prune_of_nothing_asks_nothing(world: World) -> None:
    before = world.fake.requests

    assert list(apply.prune(world.api, (), key=KEY, inventory=world.inventory)) == []
    assert world.fake.requests == before
