"""For any cluster, any deeds of others and any failure: tearing an instance down, the one deletion that no brake holds,
deletes only what is provably its own, and no Namespace in which something else lives (invariant 5)."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler import apply
from reconciler.errors import UndriftError, Unreachable
from reconciler.model.instance import InstanceKey
from reconciler.model.inventory import Intent, Inventory, Member
from reconciler.model.manifest import Manifest, ObjectKey, Raw
from reconciler.model.plan import Action, Cause, Change, Wave
from reconciler.model.record import Memory
from reconciler.objects import applyset, managedfields
from reconciler.objects.keys import PART_OF, PRUNE, SYSTEM_NAMESPACE
from reconciler.pipeline.teardown import TeardownReport, teardown
from reconciler.testing.cluster import FakeCluster
from reconciler.testing.cluster_api import FakeApi
from tests.worlds import Lease, spec

SHOP, CART = InstanceKey("default", "shop", "eu-1"), InstanceKey("default", "cart", "eu-1")
TARGET = spec().cluster
HOME = ObjectKey("", "Namespace", "", "home")
NAMES = "abcdef"
KINDS = {"a": "Secret", "b": "Service", "c": "Deployment"}
DEEDS = ("writes", "copies", "makes anew", "owns", "clears", "keeps", "adds", "declares", "holds")


@dataclass(frozen=True, slots=True)
class Deed:
    """What somebody does to some objects before a pass."""

    what: str
    names: frozenset[str]
    writer: str


@dataclass(frozen=True, slots=True)
class Pass:
    """A pass of which a request fails, with or without its effect."""

    fails_at: int
    lost: bool
    stale: bool


deeds = st.builds(
    Deed,
    st.sampled_from(DEEDS),
    st.frozensets(st.sampled_from(NAMES), min_size=1),
    st.sampled_from(("kubectl-edit", "helm", "kube-controller-manager", CART.manager)),
)
passes = st.builds(Pass, st.integers(0, 60) | st.just(1000), st.booleans(), st.sampled_from((False, False, True)))


def key_of(name: str) -> ObjectKey:
    kind = KINDS.get(name, "ConfigMap")
    return ObjectKey("apps" if kind == "Deployment" else "", kind, HOME.name, name)


def body_of(key: ObjectKey, **metadata: Any) -> dict[str, Any]:
    meta = {"name": key.name} | ({"namespace": key.namespace} if key.namespace else {}) | metadata
    version = f"{key.group}/v1" if key.group else "v1"
    return {"apiVersion": version, "kind": key.kind, "metadata": meta, "data": {"a": "1"}}


class World:
    """An application that brought its own namespace; some of its members it had found there."""

    def __init__(self, members: frozenset[str], adopted: frozenset[str]) -> None:
        self.fake = FakeCluster(SYSTEM_NAMESPACE)
        self.inventories = apply.Inventories("one", self.fake.clock)
        self.rooms: Any = SimpleNamespace(clusters=self, inventories=self.inventories, clock=self.fake.clock)
        self.fence = 1
        keys = (HOME, *(key_of(name) for name in sorted(members)))
        since = self.fake.clock.now()
        owned = {key: Member(since, adopted=key.name in adopted) for key in keys}
        self.inventory = self.inventories.begin(
            self.api(TARGET, Lease(1), agent=""), SHOP, Inventory("one"), Intent(1, "c", "", since), owned
        )
        for key in keys:
            self.declare(SHOP, key, self.inventory)

    def api(self, target: Any, guard: Any, *, agent: str) -> FakeApi:
        return FakeApi(self.fake, guard, "eu-1")

    def declare(self, of: InstanceKey, key: ObjectKey, inventory: Inventory) -> None:
        change = Change(key, Action.CREATE, Cause.NEW, Manifest(key, body_of(key), "a.yaml"))
        api = FakeApi(self.fake, Lease(1))
        apply.apply_wave(api, Wave((change,)), key=of, inventory=inventory, adopt="Never")

    def suffer(self, deed: Deed) -> None:
        if HOME not in self.fake.objects:
            return
        for name in sorted(deed.names):
            self._meddle(deed, key_of(name))

    def _meddle(self, deed: Deed, key: ObjectKey) -> None:
        fake, live = self.fake, self.fake.objects.get(key)
        other = ObjectKey("", "ConfigMap", HOME.name, f"other-{key.name}")
        if deed.what == "writes":
            fake.put({**body_of(key), "data": {"a": "by hand"}}, manager=deed.writer)
        elif deed.what == "copies":
            fake.put(body_of(key, labels={PART_OF: applyset.part_of(SHOP)}), manager=deed.writer)
        elif deed.what == "adds":
            fake.put(body_of(other), manager=deed.writer)
        elif deed.what == "declares":
            self.declare(CART, other, Inventory("one"))
        elif live is not None and deed.what == "makes anew":
            del fake.objects[key]
            fake.put({**body_of(key), "data": {"b": "another"}}, manager=deed.writer)
        elif live is not None:
            changed: dict[str, dict[str, Any]] = {
                "owns": {"ownerReferences": [{"kind": "Widget", "name": "w", "controller": True}]},
                "clears": {"managedFields": []},
                "keeps": {"annotations": {PRUNE: "disabled"}},
                "holds": {"finalizers": ["example.com/hold"]},
            }
            fake.objects[key] = {**live, "metadata": {**live["metadata"], **changed[deed.what]}}

    def tear_down(self, one: Pass) -> TeardownReport | None:
        """One pass, judged as it deletes; None when it failed."""
        self.fence += 1
        self.fake.clock.advance(5)
        self.fake.stale_groups = frozenset({"apps"}) if one.stale else frozenset()
        first = self.fake.requests + 1

        def before(number: int, verb: str, key: ObjectKey | None) -> UndriftError | None:
            if verb == "DELETE" and key is not None and key.namespace != SYSTEM_NAMESPACE:
                self.require_ours(key)
            return failed(number, verb) if not one.lost else None

        def failed(number: int, verb: str, key: ObjectKey | None = None) -> UndriftError | None:
            return Unreachable(f"{verb}: no answer") if number - first == one.fails_at else None

        self.fake.before, self.fake.after = before, failed if one.lost else None
        try:
            with contextlib.suppress(UndriftError):
                return teardown(SHOP, TARGET, Memory(), Lease(self.fence), self.rooms)
            return None
        finally:
            self.fake.before = self.fake.after = None

    def require_ours(self, key: ObjectKey) -> None:
        live = self.fake.objects[key]
        meta, member = live["metadata"], self.inventory.members.get(key)
        assert member is not None, f"{key} was never a member"
        assert not member.adopted
        assert meta["labels"][PART_OF] == applyset.part_of(SHOP)
        assert managedfields.owns_label(live, SHOP.manager, PART_OF)
        assert not meta.get("ownerReferences")
        assert (meta.get("annotations") or {}).get(PRUNE) != "disabled"
        if key == HOME:
            assert [str(one) for one, held in self.fake.objects.items() if self._is_held(one, held)] == []

    def _is_held(self, key: ObjectKey, live: Raw) -> bool:
        meta = live["metadata"]
        return key.namespace == HOME.name and not (meta.get("deletionTimestamp") or meta.get("ownerReferences"))


@settings(max_examples=300, deadline=None)
@given(
    st.frozensets(st.sampled_from(NAMES)),
    st.frozensets(st.sampled_from(NAMES), max_size=2),
    st.lists(st.tuples(st.lists(deeds, max_size=2), passes), min_size=1, max_size=4),
)
def test_a_teardown_deletes_only_what_is_provably_ours(
    members: frozenset[str], adopted: frozenset[str], seasons: list[tuple[list[Deed], Pass]]
) -> None:
    world = World(members, adopted)
    for done, one in seasons:
        for deed in done:
            world.suffer(deed)
        world.tear_down(one)


def test_what_nobody_touched_is_deleted_whole() -> None:
    """So that the property above is about something."""
    world = World(frozenset(NAMES), frozenset())

    report = world.tear_down(Pass(1000, lost=False, stale=False))

    assert report is not None
    assert report.is_done
    assert {key for key in world.fake.objects if key.namespace == HOME.name or key == HOME} == set()


def test_a_namespace_in_which_another_application_lives_stays() -> None:
    world = World(frozenset(NAMES), frozenset())
    world.suffer(Deed("declares", frozenset("a"), ""))

    report = world.tear_down(Pass(1000, lost=False, stale=False))

    assert report is not None
    ((key, why),) = report.remaining
    assert key == HOME
    assert "ConfigMap home/other-a" in why
    assert HOME in world.fake.objects
