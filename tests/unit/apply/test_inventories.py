"""The inventory as it is stored: what is refused, what is split, and that nothing is lost on the way."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler import apply
from reconciler.apply import document
from reconciler.apply.inventories import PART_LABEL, read_fence
from reconciler.errors import FencedOut, InventoryError, PreconditionFailed
from reconciler.model.instance import InstanceKey
from reconciler.model.inventory import Applied, HistoryEntry, Intent, Inventory, Member, Proof
from reconciler.model.manifest import GroupKind, ObjectKey
from reconciler.model.revision import Closure
from reconciler.objects import applyset, keys
from reconciler.testing.cluster import FakeCluster
from reconciler.testing.cluster_api import FakeApi
from tests.worlds import KEY

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
PARENT = ObjectKey("", "Secret", keys.SYSTEM_NAMESPACE, KEY.inventory_name)


class Lease:
    fence = 7

    def remaining_s(self) -> float:
        return 30.0

    def require_unfrozen(self) -> None:
        return None


@pytest.fixture
def fake() -> FakeCluster:
    return FakeCluster("shop")


@pytest.fixture
def api(fake: FakeCluster) -> FakeApi:
    return FakeApi(fake, Lease())


@pytest.fixture
def inventories(fake: FakeCluster) -> apply.Inventories:
    return apply.Inventories("one", fake.clock)


def intent(fence: int = 7) -> Intent:
    return Intent(fence, "3fa2c1b", "sha256:1", NOW)


def config(name: str) -> ObjectKey:
    return ObjectKey("", "ConfigMap", "shop", name)


def full() -> Inventory:
    key = config("one")
    closure = Closure({"a.yaml": "3fa2"}, "inputs", {"kube": "v1"})
    applied = Applied(7, "3fa2c1b", "sha256:1", NOW, {key: Proof("d", "f")}, frozenset({config("x")}), closure=closure)
    history = (HistoryEntry(NOW, "3fa2c1b", "commit", "Synced", "all well", 7),)
    return Inventory("one", {key: Member(NOW, adopted=True)}, intent(), applied, history)


def parts(fake: FakeCluster) -> list[str]:
    return [key.name for key, live in fake.objects.items() if PART_LABEL in (live["metadata"].get("labels") or {})]


def edit(fake: FakeCluster, **changed: Any) -> None:
    fake.objects[PARENT] = {**fake.objects[PARENT], **changed}


def annotate(fake: FakeCluster, **annotations: str) -> None:
    meta = fake.objects[PARENT]["metadata"]
    edit(fake, metadata={**meta, "annotations": {**meta["annotations"], **annotations}})


def test_what_is_written_is_read_back(fake, api, inventories) -> None:
    stored = inventories.flush(api, KEY, full())

    assert inventories.read(api, KEY) == stored == replace(full(), resource_version=stored.resource_version)


def test_the_first_write_costs_one_request_where_the_namespace_is(fake, api, inventories) -> None:
    inventories.begin(api, InstanceKey("default", "other", "eu-1"), Inventory("one"), intent(), {})
    before = api.requests

    inventories.begin(api, KEY, Inventory("one"), intent(), {config("one"): Member(NOW)})

    assert api.requests == before + 1


def test_the_parent_is_an_applyset_with_the_superset_of_kinds_and_namespaces(fake, api, inventories) -> None:
    first = inventories.begin(api, KEY, Inventory("one"), intent(), {config("one"): Member(NOW)})
    role = ObjectKey("rbac.authorization.k8s.io", "ClusterRole", "", "r")

    inventories.begin(api, KEY, first, intent(8), {role: Member(NOW)})

    meta = fake.objects[PARENT]["metadata"]
    assert meta["labels"] == {keys.APPLYSET_ID: applyset.part_of(KEY)}
    assert meta["annotations"][keys.CONTAINS_GROUP_KINDS] == "ClusterRole.rbac.authorization.k8s.io,ConfigMap"
    assert meta["annotations"][keys.ADDITIONAL_NAMESPACES] == "shop"
    assert meta["annotations"][keys.TOOLING].startswith("undrift/")
    assert read_fence(api, KEY) == 8


@pytest.mark.parametrize("fence", [6, 7])
def test_a_fence_that_is_not_above_the_one_there_is_refused(fake, api, inventories, fence: int) -> None:
    begun = inventories.begin(api, KEY, Inventory("one"), intent(7), {})

    with pytest.raises(FencedOut) as refused:
        inventories.begin(api, KEY, begun, intent(fence), {})

    assert refused.value.fence == 7


@pytest.mark.parametrize("existed", [True, False])
def test_of_two_runs_that_read_the_same_one_is_fenced_out(fake, api, inventories, existed: bool) -> None:
    read = inventories.begin(api, KEY, Inventory("one"), intent(7), {}) if existed else Inventory("one")
    inventories.begin(api, KEY, read, intent(9), {})

    with pytest.raises(FencedOut) as refused:
        inventories.begin(api, KEY, read, intent(8), {})

    assert refused.value.fence == 9


def test_a_flush_of_a_scan_costs_a_sync_nothing(fake, api, inventories) -> None:
    """It only writes what the sync holds already: taken for another run, the sync would wait a whole lease."""
    read = inventories.begin(api, KEY, Inventory("one"), intent(7), {})
    result = Applied(7, "3fa2c1b", "sha256:1", NOW, {config("one"): Proof("d", "f")})
    inventories.flush(api, KEY, read.flushed(result, None))

    begun = inventories.begin(api, KEY, read.flushed(result, None), intent(9), {config("two"): Member(NOW)})

    stored = inventories.read(api, KEY)
    assert (stored.fence, stored.applied, set(stored.members)) == (9, result, {config("two")})
    assert stored.resource_version == begun.resource_version


def test_an_inventory_that_was_taken_over_meanwhile_is_not_written_back(fake, api, inventories) -> None:
    read = inventories.begin(api, KEY, Inventory("one"), intent(7), {})
    assert apply.Inventories("two", fake.clock).take_over(api, KEY.inventory_name, "one")

    with pytest.raises(FencedOut):
        inventories.begin(api, KEY, read, intent(9), {})

    assert apply.Inventories("two", fake.clock).read(api, KEY).fence == 7


def test_an_inventory_that_was_deleted_meanwhile_is_not_made_anew_by_a_run_that_had_read_it(api, inventories) -> None:
    read = inventories.begin(api, KEY, Inventory("one"), intent(7), {})
    inventories.delete(api, KEY, read)

    with pytest.raises(FencedOut):
        inventories.begin(api, KEY, read, intent(9), {})


def test_another_installations_inventory_is_refused_and_named(fake, api, inventories) -> None:
    inventories.flush(api, KEY, full())

    with pytest.raises(InventoryError, match=r"another installation \(one\)"):
        apply.Inventories("two", fake.clock).read(api, KEY)


def test_two_instances_whose_names_make_one_secret_are_both_told(fake, api, inventories) -> None:
    dotted, other = InstanceKey("a.b", "c", "eu-1"), InstanceKey("a", "b.c", "eu-1")
    inventories.begin(api, dotted, Inventory("one"), intent(), {})

    with pytest.raises(InventoryError, match=r"a\.b/c@eu-1"):
        inventories.read(api, other)


@pytest.mark.parametrize(
    "data",
    [None, {}, {"inventory": "%"}, {"inventory": "AAAA"}, {"inventory": document.to_data(b"\x1f\x8b short")}],
    ids=["no data", "empty", "no base64", "no gzip", "cut"],
)
def test_a_damaged_inventory_is_refused(fake, api, inventories, data: Mapping[str, str] | None) -> None:
    inventories.flush(api, KEY, full())
    edit(fake, data=data)

    with pytest.raises(InventoryError):
        inventories.read(api, KEY)


def test_a_fence_that_is_no_number_is_refused(fake, api, inventories) -> None:
    inventories.flush(api, KEY, full())
    annotate(fake, **{keys.FENCE: "high"})

    with pytest.raises(InventoryError):
        read_fence(api, KEY)


def test_a_large_inventory_is_split_and_read_back(fake, api, inventories) -> None:
    """Twenty thousand members with their proofs: several Secrets, none above what the API server takes."""
    members = {config(f"object-{number:05}"): Member(NOW) for number in range(20_000)}
    digests = {key: hashlib.sha256(key.name.encode()).hexdigest() for key in members}
    proofs = {key: Proof(digest, digest[:32]) for key, digest in digests.items()}
    held = Inventory("one", members, intent(), Applied(7, "c", "d", NOW, proofs))

    stored = inventories.flush(api, KEY, held)

    assert parts(fake)
    assert all(len(str(live.get("data"))) < 1_000_000 for live in fake.objects.values())
    assert inventories.read(api, KEY) == stored


def test_a_missing_part_is_damage(fake, api) -> None:
    inventories = apply.Inventories("one", fake.clock, part_size=100)
    inventories.flush(api, KEY, full())
    del fake.objects[ObjectKey("", "Secret", keys.SYSTEM_NAMESPACE, parts(fake)[0])]

    with pytest.raises(InventoryError, match="missing"):
        inventories.read(api, KEY)


def test_parts_that_no_parent_names_are_swept_once_they_are_old(fake, api) -> None:
    """Young ones may belong to a run that is about to write the parent for them."""
    inventories = apply.Inventories("one", fake.clock, part_size=100)
    stored = inventories.flush(api, KEY, full())
    old = set(parts(fake))
    changed = inventories.flush(api, KEY, replace(stored, intent=intent(8)))
    assert old < set(parts(fake))

    fake.clock.advance(3600)
    inventories.flush(api, KEY, changed)

    assert len(parts(fake)) == len(fake.objects[PARENT]["metadata"]["annotations"]["undrift.dev/parts"].split(","))


def test_a_deleted_instance_leaves_nothing(fake, api) -> None:
    inventories = apply.Inventories("one", fake.clock, part_size=100)
    stored = inventories.flush(api, KEY, full())

    inventories.delete(api, KEY, stored)

    assert PARENT not in fake.objects
    assert parts(fake) == []
    inventories.delete(api, KEY, stored)


def test_an_inventory_that_changed_since_is_not_deleted(fake, api, inventories) -> None:
    stored = inventories.flush(api, KEY, full())
    inventories.flush(api, KEY, stored)

    with pytest.raises(PreconditionFailed):
        inventories.delete(api, KEY, replace(stored, resource_version="1"))


def test_a_lost_inventory_is_rebuilt_from_what_is_provably_ours(fake, api, inventories) -> None:
    labels = {keys.PART_OF: applyset.part_of(KEY)}
    for name, manager in (("ours", KEY.manager), ("copied", "kube-controller-manager")):
        meta = {"name": name, "namespace": "shop", "labels": labels}
        fake.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}, manager=manager, force=False)

    found = inventories.rebuild(api, KEY, {GroupKind("", "ConfigMap"), GroupKind("example.com", "Gone")})

    assert set(found.members) == {config("ours")}
    assert found.rebuilt


def test_all_of_a_cluster_are_read_by_one_list_and_those_not_ours_left_out(fake, api, inventories) -> None:
    other = InstanceKey("team", "web", "eu-1")
    inventories.flush(api, KEY, full())
    inventories.flush(api, other, full())
    apply.Inventories("two", fake.clock).flush(api, InstanceKey("x", "y", "eu-1"), Inventory("two"))
    before = api.requests

    found, unreadable = inventories.read_all(api)

    assert {str(key.project) for key in found} == {KEY.project, "team"}
    assert {str(key): "another installation" in why.message for key, why in unreadable.items()} == {"x/y@fake": True}
    assert api.requests == before + 1


@given(st.binary(max_size=60))
def test_no_bytes_are_taken_for_an_inventory(data: bytes) -> None:
    with pytest.raises(InventoryError):
        document.decode(data, resource_version="1", subject="it")


@given(st.sampled_from(["format", "installation", "intent", "applied", "members", "history"]), st.data())
def test_a_field_of_another_shape_is_damage(field: str, data: st.DataObject) -> None:
    whole = orjson.loads(gzip.decompress(document.encode(full())))
    junk = data.draw(st.one_of(st.integers(2, 9), st.just("junk"), st.just([1]), st.just({"a": 1}), st.just(["a|b"])))
    broken = gzip.compress(orjson.dumps({**whole, field: junk}))

    try:
        document.decode(broken, resource_version="1", subject="it")
    except InventoryError:
        return
    assert field == "installation"
