"""Which instances of a fleet a command means, and that it reads no more of the fleet for one of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reconciler.errors import UndriftError
from reconciler.model.instance import InstanceKey
from reconciler.model.spec import LOCAL, ClusterAccess, InstanceSpec, KubeconfigRef
from workers import asking
from workers.cli import activating, app, brakes, cluster, repo, selecting
from workers.cli.output import Format
from workers.store import Store

API, WEB = InstanceKey.parse("api@eu-1"), InstanceKey.parse("web@eu-1")


@pytest.fixture
def left(store: Store) -> InstanceKey:
    """An instance that left the fleet, and of which no status is known."""
    kept = {key: spec for key, spec in store.specs.known().items() if key != API}
    store.fleet.publish(kept, store.specs.clusters(), store.specs.repositories())
    return API


@pytest.fixture
def gone(store: Store) -> InstanceKey:
    """One that no fleet file tells of, and that has a status."""
    key = InstanceKey.parse("shop/old@eu-9")
    store.status.put(store.status.get(key))
    return key


def test_one_instance_is_meant_by_its_key_as_long_as_anything_is_known_of_it(
    store: Store, left: InstanceKey, gone: InstanceKey
):
    assert [selecting.one(store, name) for name in ("web@eu-1", "api@eu-1", "shop/old@eu-9")] == [WEB, left, gone]
    with pytest.raises(selecting.NotFound, match="no instance old@eu-9; did you mean shop/old@eu-9"):
        selecting.one(store, "old@eu-9")
    with pytest.raises(selecting.NotFound, match=r"expected .*application@cluster"):
        selecting.one(store, "web@eu@1")


def test_the_names_of_the_fleet_are_not_read_for_one_key(store: Store, monkeypatch: pytest.MonkeyPatch):
    for reads, name in ((store.specs, "instance_keys"), (store.specs, "left"), (store.status, "known")):
        monkeypatch.delattr(type(reads), name)

    assert selecting.one(store, "web@eu-1") == WEB
    assert selecting.defined(store, "web@eu-1") == [WEB]
    assert selecting.remembered(store, "web@eu-1") == []


@pytest.mark.parametrize("name", ["web", "default/web", "web@eu-1", "default/web@eu-1"])
def test_what_a_fleet_file_defines_is_not_deleted(store: Store, name: str):
    with pytest.raises(selecting.NotFound, match="web@eu-1: a fleet file defines it"):
        app.delete(name, yes=True)


@pytest.mark.parametrize("name", ["old", "shop/old", "shop/old@eu-9"])
def test_what_left_is_asked_to_go_by_any_of_its_names(store: Store, gone: InstanceKey, name: str):
    assert selecting.remembered(store, name) == [gone]


@pytest.mark.parametrize("name", ["other", "shop/other", "old@eu-9"])
def test_nothing_is_deleted_that_is_not_known(store: Store, gone: InstanceKey, name: str):
    with pytest.raises(UndriftError, match="that left the fleet"):
        app.delete(name, yes=True)


def test_labels_mean_by_what_stands_in_the_file_and_else_by_the_cluster(store: Store):
    specs = dict(store.specs.known())
    specs[API] = specs[API].model_copy(update={"labels": {"env": "canary", "team": "web"}})
    store.fleet.publish(specs, store.specs.clusters(), store.specs.repositories())

    assert asking.selected(store, "env=canary,team=web") == [API]
    assert selecting.instances(store, "", selector="env=prod") == [WEB]
    assert asking.chosen(store, None, None, "env=test") == [InstanceKey.parse("web@us-1")]


def test_no_spec_is_held_to_its_form_for_its_labels(store: Store, monkeypatch: pytest.MonkeyPatch):
    """A selector is asked of every instance of the fleet, by anybody who may ask for a resync."""
    monkeypatch.setattr(InstanceSpec, "model_validate_json", None)

    assert set(asking.selected(store, "env=prod")) == {API, WEB}


def test_each_cluster_is_told_with_its_own_instances(store: Store, capsys: pytest.CaptureFixture[str]):
    now = store.clock.now()
    store.status.put(store.status.get(WEB).model_copy(update={"sync": "Synced", "last_sync": now, "observed_at": now}))

    cluster.list_(Format.TABLE)

    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [(row[0], row[3]) for row in rows] == [("eu-1", "1/2"), ("us-1", "0/1")]


@pytest.mark.parametrize("command", [app.sync, app.wait], ids=["sync", "wait"])
def test_a_command_for_nothing_says_what_may_be_given(store: Store, command: Callable[[], None]):
    with pytest.raises(selecting.NotFound, match=r"^give a NAME or an INSTANCE, --selector LABELS, or --all$"):
        command()


def test_a_look_at_no_repository_says_what_may_be_given(store: Store):
    with pytest.raises(selecting.NotFound, match=r"^give a URL, or --all$"):
        repo.refresh()


def local(store: Store, file: str) -> None:
    """Reach cluster eu-1 by this kubeconfig of Undrift's own."""
    clusters = dict(store.specs.clusters())
    access = ClusterAccess(kubeconfig=KubeconfigRef(file=LOCAL + file))
    clusters["eu-1"] = clusters["eu-1"].model_copy(update={"access": access})
    store.fleet.publish(store.specs.known(), clusters, store.specs.repositories())


def test_what_is_no_cluster_of_a_context_is_not_activated_and_told_as_what_it_is(store: Store):
    with pytest.raises(selecting.NotFound, match="is defined in the fleet: `mode` in its Cluster document"):
        activating.activate("eu-1")

    local(store, "eu-1/kubeconfig")
    with pytest.raises(selecting.NotFound, match="is a local one of `up --dev-clusters`: it is written to from the"):
        activating.activate("eu-1")


def test_what_was_activated_says_how_all_of_it_is_stopped(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    local(store, "contexts/eu-1.yaml")
    monkeypatch.setattr(brakes, "KEPT_WITHIN_S", 0.1)

    activating.activate("eu-1", yes=True)

    assert "`undrift freeze --cluster eu-1 --reason WHY` stops it" in capsys.readouterr().out
    assert store.pins.activated() == {"eu-1"}
