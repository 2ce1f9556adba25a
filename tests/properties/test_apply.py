"""For any fleet of objects and a failure at any request, applying and pruning delete nothing that is not ours."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler import apply, cluster, plan
from reconciler.errors import UndriftError, Unreachable
from reconciler.model.instance import InstanceKey
from reconciler.model.inventory import Intent, Inventory, Member
from reconciler.model.manifest import Manifest, ObjectKey
from reconciler.model.plan import Action, Cause, Change, Wave
from reconciler.model.record import Order
from reconciler.objects import applyset, managedfields
from reconciler.objects.keys import PART_OF, SYSTEM_NAMESPACE
from reconciler.testing.cluster import FakeCluster
from reconciler.testing.cluster_api import FakeApi
from tests.worlds import Lease, desired, spec

SHOP = InstanceKey("default", "shop", "eu-1")
CART = InstanceKey("default", "cart", "eu-1")
NAMES = "abcdef"
REQUESTS = 40
WRITERS = ("kubectl-edit", "helm", "kube-controller-manager", CART.manager)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens: a pass of ours or of the other application, or another writer's deed."""

    who: str
    names: frozenset[str] = frozenset()
    value: str = "1"
    fails_at: int = REQUESTS
    lost: bool = False
    writer: str = WRITERS[0]
    adopt: str = "Unclaimed"


names = st.frozensets(st.sampled_from(NAMES), min_size=1)
steps = st.lists(
    st.builds(
        Step,
        who=st.sampled_from(("shop", "shop", "shop", "cart", "writes", "copies", "makes anew", "owns", "clears")),
        names=names,
        value=st.sampled_from("12"),
        fails_at=st.integers(0, REQUESTS),
        lost=st.booleans(),
        writer=st.sampled_from(WRITERS),
        adopt=st.sampled_from(("Unclaimed", "Always", "Never")),
    ),
    min_size=1,
    max_size=8,
)


def manifest(name: str, value: str) -> Manifest:
    key = ObjectKey("", "ConfigMap", "shop", name)
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "shop", "annotations": {"undrift.dev/replace": "true"}},
        "data": {"a": value},
        "immutable": name in "ab",
    }
    return Manifest(key, body, f"{name}.yaml")


def run(fake: FakeCluster, inventories: apply.Inventories, key: InstanceKey, step: Step, fence: int) -> None:
    """What a sync does, from inventory to prune."""
    api = FakeApi(fake, Lease(fence))
    inventory = inventories.read(api, key)
    seen = cluster.observe(api, inventory, key, fake.clock)
    wanted = desired(*(manifest(name, step.value) for name in sorted(step.names)))
    order = Order(reasons=("test",), approved_plan=None)
    of = spec(adopt=step.adopt)
    decided = plan.make_plan(wanted, inventory, seen, spec=of, order=order, heals={}, now=fake.clock.now())
    new = {
        change.key: Member(fake.clock.now())
        for wave in decided.waves
        for change in wave.changes
        if change.key not in inventory.members
    }
    intent = Intent(fence, "3fa2c1b", decided.digest, fake.clock.now())
    begun = inventories.begin(api, key, inventory, intent, new)
    for wave in decided.waves:
        apply.apply_wave(api, wave, key=key, inventory=begun, adopt=step.adopt)
    apply.prune(api, decided.prune, key=key, inventory=begun)


def another_writer(fake: FakeCluster, step: Step) -> None:
    """Things that people and controllers do to objects."""
    for name in sorted(step.names):
        key = ObjectKey("", "ConfigMap", "shop", name)
        live = fake.objects.get(key)
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "shop"}}
        if step.who == "writes":
            fake.put({**body, "data": {"a": "by hand"}}, manager=step.writer)
        elif step.who == "copies":
            labelled = {**body["metadata"], "labels": {PART_OF: applyset.part_of(SHOP)}}
            fake.put({**body, "metadata": labelled}, manager=step.writer)
        elif step.who == "makes anew" and live is not None:
            del fake.objects[key]
            fake.put({**body, "data": {"b": "another"}}, manager=step.writer)
        elif step.who == "owns" and live is not None:
            owners = [{"kind": "Widget", "name": "w", "controller": True}]
            fake.objects[key] = {**live, "metadata": {**live["metadata"], "ownerReferences": owners}}
        elif step.who == "clears" and live is not None:
            fake.objects[key] = {**live, "metadata": {**live["metadata"], "managedFields": []}}


def fault(fake: FakeCluster, step: Step) -> None:
    """Fail every request from the given one on, with or without its effect."""
    first = fake.requests + step.fails_at

    def failing(number: int, verb: str, key: ObjectKey | None) -> UndriftError | None:
        return Unreachable(f"{verb} {key} failed") if number >= first else None

    fake.before, fake.after = (None, failing) if step.lost else (failing, None)


@given(steps)
def test_nothing_is_deleted_but_what_is_provably_ours(steps: list[Step]) -> None:
    fake = FakeCluster("shop")
    inventories = apply.Inventories("one", fake.clock)
    for number, step in enumerate(steps, start=1):
        fake.clock.advance(5)
        if step.who not in ("shop", "cart"):
            another_writer(fake, step)
            continue
        key = SHOP if step.who == "shop" else CART
        before = len(fake.deleted)
        fault(fake, step)
        with contextlib.suppress(UndriftError):
            run(fake, inventories, key, step, fence=number)
        fake.before = fake.after = None
        for deleted, live in fake.deleted[before:]:
            if deleted.namespace == SYSTEM_NAMESPACE:
                continue
            inventory = inventories.read(FakeApi(fake, Lease(0)), key)
            assert deleted in inventory.members
            assert managedfields.owns_label(live, key.manager, PART_OF)
            assert live["metadata"]["labels"][PART_OF] == applyset.part_of(key)
            assert not any(owner.get("controller") for owner in live["metadata"].get("ownerReferences") or ())
            assert deleted.name not in step.names or live["immutable"]


@given(steps)
def test_every_object_that_we_made_is_a_member_whatever_failed(steps: list[Step]) -> None:
    """Else nobody would ever delete it: the inventory is written before the first object is."""
    fake = FakeCluster("shop")
    inventories = apply.Inventories("one", fake.clock)
    for number, step in enumerate((one for one in steps if one.who == "shop"), start=1):
        fake.clock.advance(5)
        fault(fake, step)
        with contextlib.suppress(UndriftError):
            run(fake, inventories, SHOP, step, fence=number)
        fake.before = fake.after = None

    members = inventories.read(FakeApi(fake, Lease(0)), SHOP).members
    ours = {key for key, live in fake.objects.items() if managedfields.owns_label(live, SHOP.manager, PART_OF)}
    assert ours <= set(members)


@given(st.frozensets(st.sampled_from(NAMES)), st.frozensets(st.sampled_from(NAMES)), st.integers(0, 9))
def test_a_prune_of_anything_deletes_no_more_than_the_inventory(
    listed: frozenset[str], members: frozenset[str], fails_at: int
) -> None:
    """Even a plan that lists objects that were never ours."""
    fake = FakeCluster("shop", SYSTEM_NAMESPACE)
    inventories = apply.Inventories("one", fake.clock)
    api = FakeApi(fake, Lease(7))
    for name in NAMES:
        body = dict(manifest(name, "1").body)
        body["metadata"] = {**body["metadata"], "labels": {PART_OF: applyset.part_of(SHOP)}}
        fake.apply(body, manager=SHOP.manager, force=False)
    held = {manifest(name, "1").key: Member(fake.clock.now()) for name in members}
    intent = Intent(7, "3fa2c1b", "", fake.clock.now())
    inventory = inventories.begin(api, SHOP, Inventory("one"), intent, held)
    fault(fake, Step("shop", fails_at=fails_at))

    changes = [Change(manifest(name, "1").key, Action.DELETE, Cause.STALE) for name in sorted(listed)]
    with contextlib.suppress(UndriftError):
        apply.prune(api, changes, key=SHOP, inventory=inventory)

    assert {key.name for key, _ in fake.deleted} <= members & listed


@pytest.mark.parametrize("age_s", [1, 3600], ids=["a second older", "an hour older"])
def test_an_object_older_than_its_membership_is_left(age_s: int) -> None:
    fake = FakeCluster("shop", SYSTEM_NAMESPACE)
    inventories = apply.Inventories("one", fake.clock)
    api = FakeApi(fake, Lease(7))
    body = dict(manifest("a", "1").body)
    body["metadata"] = {**body["metadata"], "labels": {PART_OF: applyset.part_of(SHOP)}}
    fake.apply(body, manager=SHOP.manager, force=False)
    key = manifest("a", "1").key
    since = fake.clock.now() + timedelta(seconds=age_s)
    intent = Intent(7, "3fa2c1b", "", fake.clock.now())
    inventory = inventories.begin(api, SHOP, Inventory("one"), intent, {key: Member(since)})

    found = apply.prune(api, [Change(key, Action.DELETE, Cause.STALE)], key=SHOP, inventory=inventory)

    assert [outcome.result for outcome in found] == ["Left"]
    assert fake.deleted == []


def test_two_applications_that_declare_one_object_are_both_named_whoever_came_first() -> None:
    for first, second in ((SHOP, CART), (CART, SHOP)):
        fake = FakeCluster("shop")
        api = FakeApi(fake, Lease(1))
        wave = Wave((Change(manifest("a", "1").key, Action.CREATE, Cause.NEW, manifest("a", "1")),))
        empty = Inventory("one")
        apply.apply_wave(api, wave, key=first, inventory=empty, adopt="Always")

        for action in (Action.CREATE, Action.ADOPT, Action.APPLY):
            again = Wave((replace(wave.changes[0], action=action),))
            (outcome,) = apply.apply_wave(api, again, key=second, inventory=empty, adopt="Always")

            assert outcome.error is not None
            assert outcome.error.reason == "OwnedByAnother"
            assert "default/shop" in outcome.error.message
            assert "default/cart" in outcome.error.message
