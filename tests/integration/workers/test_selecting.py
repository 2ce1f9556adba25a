"""Which instances of a fleet a command means, and that it reads no more of the fleet for one of them."""

from __future__ import annotations

import pytest

from reconciler.errors import UndriftError
from reconciler.model.instance import InstanceKey
from reconciler.model.spec import InstanceSpec
from workers import asking
from workers.cli import app, cluster, selecting
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
