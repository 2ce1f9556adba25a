"""Any fleet's life: commits, passes with failures and kills, other writers, lost memories. Whatever happens, an object is
deleted only if it is provably the instance's own, under the brakes or by a plan that a person approved, and never after an
answer of that pass was missing (invariants 5 and 6).

The engine is the real one, from `pipeline.sync` down; the clusters are modelled (`reconciler.testing.cluster`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler import apply
from reconciler.errors import UndriftError, Unreachable
from reconciler.model.instance import InstanceKey
from reconciler.model.manifest import Manifest, ObjectKey, Raw
from reconciler.model.record import Memory, Order, SyncRecord
from reconciler.model.revision import Checkout, Revision
from reconciler.model.rules import Guards, KindRule, ProjectRules
from reconciler.model.spec import InstanceSpec
from reconciler.objects import applyset, managedfields
from reconciler.objects.keys import PART_OF, SYSTEM_NAMESPACE
from reconciler.pipeline.sync import sync
from reconciler.testing.cluster import FakeCluster
from reconciler.testing.cluster_api import FakeApi
from tests.worlds import Lease, desired, spec

APPLICATIONS, CLUSTERS, NAMES = ("shop", "cart"), ("eu-1", "us-1"), "abcdefgh"
KINDS = {"ConfigMap": "v1", "Deployment": "apps/v1"}


class Killed(BaseException):
    """The process ends between two instructions."""


@dataclass(frozen=True, slots=True)
class Commit:
    application: str
    names: frozenset[str]
    value: str


@dataclass(frozen=True, slots=True)
class Pass:
    application: str
    cluster: str
    fails: frozenset[int]
    lost: bool
    killed_at: int
    stale: bool
    full: bool
    approves: bool


@dataclass(frozen=True, slots=True)
class Deed:
    """What others do: to objects, to our memory, to our inventory."""

    what: str
    cluster: str
    names: frozenset[str]
    writer: str


names = st.frozensets(st.sampled_from(NAMES))
most_names = st.frozensets(st.sampled_from(NAMES), max_size=2).map(lambda less: frozenset(NAMES) - less)
rarely = st.sampled_from((False, False, False, True))
passes = st.builds(
    Pass,
    st.sampled_from(("shop", "shop", "cart")),
    st.sampled_from(("eu-1", "eu-1", "us-1")),
    st.just(frozenset()) | st.frozensets(st.integers(0, 16), min_size=1, max_size=2),
    st.booleans(),
    st.just(-1) | st.integers(0, 16),
    rarely,
    rarely,
    st.booleans(),
)
deeds = st.builds(
    Deed,
    st.sampled_from(("writes", "copies", "makes anew", "owns", "clears", "forgets", "loses the inventory")),
    st.sampled_from(("eu-1", "eu-1", "us-1")),
    names,
    st.sampled_from(("kubectl-edit", "helm", "kube-controller-manager", "undrift:default/cart")),
)
commits = st.builds(
    Commit, st.sampled_from(("shop", "shop", "cart")), most_names | most_names | names, st.sampled_from("12")
)
seasons = st.tuples(commits | deeds, commits | deeds, passes, passes)
steps = st.lists(seasons, min_size=2, max_size=6).map(lambda found: [step for season in found for step in season])
CALM = Pass("shop", "eu-1", frozenset(), lost=False, killed_at=-1, stale=False, full=False, approves=False)
BEGINNING = (Commit("shop", frozenset(NAMES), "1"), CALM)
"""A life in which nothing was ever applied has nothing to lose."""
guards = st.builds(Guards, max_deletions=st.integers(0, 50), max_deletion_percent=st.integers(0, 30))


def manifest(application: str, name: str, value: str) -> Manifest:
    kind = "Deployment" if name in "gh" else "ConfigMap"
    key = ObjectKey(KINDS[kind].rpartition("/")[0], kind, "shop", name)
    meta = {"name": name, "namespace": "shop"}
    data = {"data": {"a": value, "of": application}} if kind == "ConfigMap" else {"spec": {"replicas": int(value)}}
    return Manifest(key, {"apiVersion": KINDS[kind], "kind": kind, "metadata": meta, **data}, f"{name}.yaml")


@dataclass
class Fleet:
    """Two applications on two clusters, and all that was ever decided about them."""

    guards: Guards
    clusters: dict[str, FakeCluster] = field(default_factory=dict)
    wanted: dict[str, tuple[Manifest, ...]] = field(default_factory=lambda: dict.fromkeys(APPLICATIONS, ()))
    memories: dict[InstanceKey, Memory] = field(default_factory=dict)
    plans: dict[InstanceKey, str] = field(default_factory=dict)
    fence: int = 0

    def __post_init__(self) -> None:
        for number, name in enumerate(CLUSTERS):
            self.clusters[name] = FakeCluster("shop")
            self.clusters[name].uid = f"cluster-{number}"
        clock = self.clusters[CLUSTERS[0]].clock
        self.rooms: Any = SimpleNamespace(
            source=self, renderer=self, clusters=self, inventories=apply.Inventories("one", clock), clock=clock
        )
        for fake in self.clusters.values():
            fake.clock = clock

    # ── the rooms that a pass needs besides the real ones

    def api(self, target: Any, guard: Any, *, agent: str) -> FakeApi:
        return FakeApi(self.clusters[target.name], guard, target.name)

    def resolve(self, repo: Any, ref: Any) -> Revision:
        return Revision("repo", "main", "3fa2c1b")

    @contextlib.contextmanager
    def checkout(self, source: Any, commit: str) -> Iterator[Checkout]:
        yield Checkout(Revision("repo", "main", commit), None, source.path)  # type: ignore[arg-type]  # nobody reads it

    def render(self, found: Checkout, of: InstanceSpec, discovery: Any, *, is_anew: bool) -> Any:
        return desired(*self.wanted[of.application])

    # ── what happens

    def spec(self, one: Pass) -> InstanceSpec:
        rules = ProjectRules(namespaces=("*",), namespaced_kinds=(KindRule(),), guards=self.guards)
        plain = spec(rules=rules.model_dump(by_alias=True))
        target = plain.cluster.model_copy(update={"name": one.cluster})
        return plain.model_copy(update={"application": one.application, "cluster": target})

    def carry_out(self, one: Pass) -> SyncRecord | None:
        self.fence += 1
        of, fake = self.spec(one), self.clusters[one.cluster]
        fake.stale_groups = frozenset({"apps"}) if one.stale else frozenset()
        approved = self.plans.get(of.key) if one.approves else None
        order = Order(reasons=("test",), full=one.full, approved_plan=approved, cluster_uid=fake.uid)
        try:
            record = sync(of, order, self.memories.get(of.key, Memory()), Lease(self.fence), self.rooms)
        except Killed:
            return None
        self.memories[of.key] = record.memory
        self.plans[of.key] = record.plan_id
        return record

    def suffer(self, deed: Deed) -> None:
        fake = self.clusters[deed.cluster]
        if deed.what == "forgets":
            self.memories.clear()
        elif deed.what == "loses the inventory":
            for key in [key for key in fake.objects if key.namespace == SYSTEM_NAMESPACE]:
                del fake.objects[key]
        else:
            for name in sorted(deed.names):
                self._meddle(fake, deed, manifest("other", name, "1").key)

    def _meddle(self, fake: FakeCluster, deed: Deed, key: ObjectKey) -> None:
        live = fake.objects.get(key)
        body: dict[str, Any] = {"apiVersion": KINDS[key.kind], "kind": key.kind}
        meta: dict[str, Any] = {"name": key.name, "namespace": key.namespace}
        if deed.what == "writes":
            fake.put({**body, "metadata": meta, "data": {"a": "by hand"}}, manager=deed.writer)
        elif deed.what == "copies":
            label = applyset.part_of(InstanceKey("default", "shop", deed.cluster))
            fake.put({**body, "metadata": {**meta, "labels": {PART_OF: label}}}, manager=deed.writer)
        elif deed.what == "makes anew" and live is not None:
            del fake.objects[key]
            fake.put({**body, "metadata": meta, "data": {"b": "another"}}, manager=deed.writer)
        elif deed.what == "owns" and live is not None:
            owners = [{"kind": "Widget", "name": "w", "controller": True}]
            fake.objects[key] = {**live, "metadata": {**live["metadata"], "ownerReferences": owners}}
        elif deed.what == "clears" and live is not None:
            fake.objects[key] = {**live, "metadata": {**live["metadata"], "managedFields": []}}

    def owned(self, key: InstanceKey) -> dict[ObjectKey, Raw]:
        """What is provably an instance's: its label, by its own apply, and no controller's."""
        return {
            found: live
            for found, live in self.clusters[key.cluster].objects.items()
            if _is_owned(live, key) and found.namespace != SYSTEM_NAMESPACE
        }


def _is_owned(live: Raw, key: InstanceKey) -> bool:
    meta = live["metadata"]
    is_controlled = any(owner.get("controller") for owner in meta.get("ownerReferences") or ())
    is_labelled = (meta.get("labels") or {}).get(PART_OF) == applyset.part_of(key)
    return is_labelled and not is_controlled and managedfields.owns_label(live, key.manager, PART_OF)


def faulty(fake: FakeCluster, one: Pass) -> list[int]:
    """Let some requests fail, with or without their effect, and the process end at one; how many objects had been deleted
    when the first of these happened."""
    first, met = fake.requests + 1, list[int]()

    def fault(number: int, verb: str, key: ObjectKey | None) -> UndriftError | None:
        index = number - first
        if index == one.killed_at:
            met.append(len(fake.deleted))
            raise Killed
        if index in one.fails:
            met.append(len(fake.deleted))
            return Unreachable(f"{verb} {key}: no answer")
        return None

    fake.before, fake.after = (None, fault) if one.lost else (fault, None)
    return met


@settings(max_examples=400, deadline=None)
@given(steps, guards)
def test_only_what_is_ours_is_deleted_and_only_as_far_as_somebody_allows(
    steps: list[Commit | Pass | Deed], guards: Guards
) -> None:
    fleet = Fleet(guards)
    for step in (*BEGINNING, *steps):
        fleet.rooms.clock.advance(5)
        if isinstance(step, Commit):
            found = (manifest(step.application, name, step.value) for name in sorted(step.names))
            fleet.wanted[step.application] = tuple(found)
        elif isinstance(step, Deed):
            fleet.suffer(step)
        else:
            _pass_is_careful(fleet, step)


def _pass_is_careful(fleet: Fleet, step: Pass) -> None:
    key = fleet.spec(step).key
    fake, elsewhere = (
        fleet.clusters[step.cluster],
        [one for name, one in fleet.clusters.items() if name != step.cluster],
    )
    before, owned = len(fake.deleted), fleet.owned(key)
    others = [len(one.deleted) for one in elsewhere]
    approved = fleet.plans.get(key) if step.approves else None
    met = faulty(fake, step)
    fleet.carry_out(step)
    fake.before = fake.after = None
    fake.stale_groups = frozenset()

    gone = [(found, live) for found, live in fake.deleted[before:] if found.namespace != SYSTEM_NAMESPACE]
    wanted = {one.key for one in fleet.wanted[step.application]}
    assert [len(one.deleted) for one in elsewhere] == others
    for found, live in gone:
        assert _is_owned(live, key)
        assert found in owned
        assert found not in wanted
        assert not (step.stale and found.group == "apps")
    if met:
        allowed = met[0] + (1 if step.lost else 0)  # a delete of which only the answer was lost has happened
        assert len(fake.deleted) <= allowed, "deleted after an answer was missing"
    if gone and approved is None:
        _under_the_brakes(len(gone), len(owned), fleet.guards)


def _under_the_brakes(gone: int, owned: int, guards: Guards) -> None:
    assert gone <= guards.max_deletions
    assert gone < owned
    assert gone < 3 or 100 * gone <= guards.max_deletion_percent * owned


def test_the_life_deletes_at_all() -> None:
    """So that the property above is about something: a removed file is pruned, and many are once they are approved."""
    fleet = Fleet(Guards())
    fleet.wanted["shop"] = tuple(manifest("shop", name, "1") for name in NAMES)
    fleet.carry_out(CALM)
    fleet.wanted["shop"] = fleet.wanted["shop"][1:]
    fleet.rooms.clock.advance(5)
    fleet.carry_out(CALM)
    assert [key.name for key, _ in fleet.clusters["eu-1"].deleted] == ["a"]

    fleet.wanted["shop"] = fleet.wanted["shop"][4:]
    fleet.carry_out(CALM)
    assert len(fleet.clusters["eu-1"].deleted) == 1
    fleet.carry_out(replace(CALM, approves=True))
    assert len(fleet.clusters["eu-1"].deleted) == 5
