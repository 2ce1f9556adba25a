"""What a wave does when the world changes between its requests."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler import apply
from reconciler.errors import LeaseLost, NamespaceMissing, UndriftError
from reconciler.model.changeset import Outcome
from reconciler.model.inventory import Intent, Inventory, Member
from reconciler.model.manifest import Manifest, ObjectKey
from reconciler.model.plan import Action, Cause, Change, Wave
from reconciler.objects.keys import REPLACE, SYSTEM_NAMESPACE
from reconciler.testing.cluster import FakeCluster
from reconciler.testing.cluster_api import FakeApi
from tests.worlds import KEY

ONE = ObjectKey("", "ConfigMap", "shop", "one")


class Lease:
    fence = 7

    def __init__(self) -> None:
        self.requests_left = 99

    def remaining_s(self) -> float:
        self.requests_left -= 1
        if self.requests_left < 0:
            raise LeaseLost("over")
        return 30.0

    def require_unfrozen(self) -> None:
        return None


class World:
    def __init__(self) -> None:
        self.fake = FakeCluster("shop", SYSTEM_NAMESPACE)
        self.lease = Lease()
        self.api = FakeApi(self.fake, self.lease)
        now = self.fake.clock.now()
        inventories = apply.Inventories("one", self.fake.clock)
        intent = Intent(7, "3fa2c1b", "", now)
        self.inventory = inventories.begin(self.api, KEY, Inventory("one"), intent, {ONE: Member(now)})

    def send(self, *names: str, value: str = "1", action: Action = Action.CREATE, adopt: str = "Unclaimed") -> Any:
        cause = Cause.NEW if action is Action.CREATE else Cause.CHANGED
        changes = tuple(Change(body.key, action, cause, body) for body in (manifest(name, value) for name in names))
        found = apply.apply_wave(self.api, Wave(changes), key=KEY, inventory=self.inventory, adopt=adopt)
        return list(found)


def manifest(name: str, value: str, namespace: str = "shop") -> Manifest:
    meta = {"name": name, "namespace": namespace, "annotations": {REPLACE: "true"}}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"a": value}, "immutable": True}
    return Manifest(ObjectKey("", "ConfigMap", namespace, name), body, f"{name}.yaml")


@pytest.fixture
def world() -> World:
    return World()


def error(outcome: Outcome) -> UndriftError:
    assert outcome.error is not None
    return outcome.error


@pytest.mark.parametrize("size", [1, 5])
def test_a_lease_that_ends_on_the_way_ends_the_wave(world: World, size: int) -> None:
    world.lease.requests_left = size - 1

    with pytest.raises(LeaseLost):
        world.send(*"abcde"[:size])


def test_what_goes_while_we_look_at_it_is_created(world: World) -> None:
    world.fake.put(manifest("one", "1").body)

    def goes(number: int, verb: str, key: ObjectKey | None) -> None:
        if verb == "APPLY" and key == ONE:
            return
        world.fake.objects.pop(ONE, None)

    world.fake.before = goes  # type: ignore[assignment]  # it never fails, it only changes the world

    (outcome,) = world.send("one")

    assert outcome.result == "Created"


def test_an_immutable_object_of_ours_is_made_anew_after_a_look_at_the_fence(world: World) -> None:
    world.send("one")
    uid = world.fake.objects[ONE]["metadata"]["uid"]

    (outcome,) = world.send("one", value="2", action=Action.REPLACE)

    assert outcome.result == "Replaced"
    assert world.fake.objects[ONE]["metadata"]["uid"] != uid
    assert world.fake.objects[ONE]["data"] == {"a": "2"}


def test_an_immutable_object_is_replaced_only_by_a_plan_that_says_so(world: World) -> None:
    """The brakes have to let it through first."""
    world.send("one")

    (outcome,) = world.send("one", value="2", action=Action.APPLY)

    assert error(outcome).reason == "NeedsReplacing"
    assert world.fake.deleted == []


def test_nothing_is_replaced_once_another_run_took_over(world: World) -> None:
    world.send("one")
    parent = ObjectKey("", "Secret", SYSTEM_NAMESPACE, KEY.inventory_name)
    del world.fake.objects[parent]

    with pytest.raises(UndriftError) as refused:
        world.send("one", value="2", action=Action.REPLACE)

    assert refused.value.reason == "FencedOut"
    assert world.fake.deleted == []


def test_an_object_that_another_makes_anew_while_it_is_replaced_is_left_to_them(world: World) -> None:
    world.send("one")

    def makes_anew(number: int, verb: str, key: ObjectKey | None) -> None:
        if verb == "DELETE" and key == ONE:
            world.fake.put({**manifest("one", "theirs").body})

    world.fake.after = makes_anew  # type: ignore[assignment]  # it never fails, it only changes the world

    (outcome,) = world.send("one", value="2", action=Action.REPLACE)

    assert error(outcome).reason == "PreconditionFailed"
    assert world.fake.objects[ONE]["data"] == {"a": "theirs"}


def test_a_namespace_that_went_is_looked_for_again_by_the_next_pass(world: World) -> None:
    world.api.known_namespaces.add("gone")
    body = manifest("one", "1", "gone")

    wave = Wave((Change(body.key, Action.CREATE, Cause.NEW, body),))
    (outcome,) = apply.apply_wave(world.api, wave, key=KEY, inventory=world.inventory, adopt="Unclaimed")

    assert isinstance(outcome.error, NamespaceMissing)
    assert "one.yaml" in outcome.error.message
    assert world.api.known_namespaces == set()


def test_adopt_always_forces_only_after_a_conflict(world: World) -> None:
    world.fake.put({**manifest("two", "theirs").body, "immutable": None})
    before = world.fake.requests

    (outcome,) = world.send("two", adopt="Always")

    assert outcome.result == "Adopted"
    assert world.fake.requests - before == 5, "create, look, whether it would be taken, unforced, forced"
