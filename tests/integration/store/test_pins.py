"""Pins on a real Valkey: one cluster has one name in a fleet, whoever is met first."""

from __future__ import annotations

from reconciler.fleet import expand
from tests.fleets import cluster, documents, fleet
from workers.store import Store


def put_in_force(store: Store, *names: str) -> None:
    found = expand(fleet(documents(*map(cluster, names))))
    store.fleet.publish({}, found.clusters, {})


def test_a_name_is_pinned_once(store: Store) -> None:
    put_in_force(store, "eu-1", "us-1")

    assert store.pins.pin("eu-1", "one") == (True, "")
    assert store.pins.pin("eu-1", "one") == (False, "")
    assert store.pins.pin("us-1", "two") == (True, "")
    assert store.pins.pin("eu-1", "three") == (False, "")
    assert store.pins.all() == {"eu-1": "one", "us-1": "two"}


def test_a_second_name_of_a_cluster_is_not_pinned_to_it(store: Store) -> None:
    put_in_force(store, "eu-1", "second")
    store.pins.pin("eu-1", "one")

    assert store.pins.pin("second", "one") == (False, "eu-1")
    assert store.pins.get("second") == ""


def test_a_name_that_comes_back_to_the_fleet_is_met_by_the_one_that_took_its_place(store: Store) -> None:
    """Both are pinned then: neither may be written to until a person removes one."""
    put_in_force(store, "eu-1")
    store.pins.pin("eu-1", "one")
    put_in_force(store, "renamed")
    assert store.pins.pin("renamed", "one") == (True, "")

    put_in_force(store, "eu-1", "renamed")

    assert store.pins.pin("eu-1", "one") == (False, "renamed")
    assert store.pins.pin("renamed", "one") == (False, "eu-1")


def test_what_the_journal_knows_replaces_nothing_newer(store: Store) -> None:
    put_in_force(store, "eu-1", "us-1")
    store.pins.pin("eu-1", "newer")

    store.pins.restore({"eu-1": "older", "us-1": "two", "second": "two"})
    store.pins.restore({})

    assert store.pins.all() == {"eu-1": "newer", "second": "two", "us-1": "two"}
