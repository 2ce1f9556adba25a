"""The fleet in Redis: what publishing it again says of what changed."""

from __future__ import annotations

import pytest

from reconciler.clock import SystemClock
from reconciler.fleet import expand
from reconciler.model.instance import InstanceKey
from tests.fleets import application, cluster, documents, fleet
from workers.store import open_store, specs
from workers.store.fleet import Published

KEY, US = InstanceKey.parse("web@eu-1"), InstanceKey.parse("web@us-1")


def test_a_label_of_a_cluster_is_seen_by_selectors_and_makes_nothing_due(valkey: str):
    store = open_store(valkey, SystemClock())

    def publish(**labels: str) -> Published:
        found = expand(fleet(documents(cluster("eu-1", **labels), cluster("us-1"), application("web"))))
        return store.fleet.publish(found.specs, found.clusters, found.repositories())

    publish(env="test")
    published = publish(env="prod")

    assert (published.new, published.changed) == (frozenset(), frozenset())
    assert {key.cluster: labels for key, labels in store.specs.labels()} == {"eu-1": {"env": "prod"}, "us-1": {}}
    assert store.specs.clusters()["eu-1"].labels == {"env": "prod"}
    store.redis.close()


def test_what_is_published_is_read_as_it_was_in_any_order(valkey: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(specs, "READ_AHEAD", 2)
    store = open_store(valkey, SystemClock())
    names = ("web", "web-api", "web2", "web.old")  # as texts and as keys they have another order
    found = expand(fleet(documents(*map(cluster, "abc"), *map(application, names))))
    store.fleet.publish(found.specs, found.clusters, found.repositories())

    known = store.specs.known()

    assert dict(known) == found.specs
    assert {key: known[key] for key in sorted(found.specs, reverse=True)} == found.specs
    store.redis.close()


def test_a_spec_that_is_lost_is_missing_and_the_others_are_read(valkey: str):
    store = open_store(valkey, SystemClock())
    found = expand(fleet(documents(cluster("eu-1"), cluster("us-1"), application("web"))))
    store.fleet.publish(found.specs, found.clusters, found.repositories())
    known = store.specs.known()
    store.redis.hdel("undrift:specs", found.specs[KEY].digest.removeprefix("sha256:")[:32])

    assert known.get(KEY) is None
    assert [key for key, _ in store.specs.labels()] == [US]
    assert known.get(US) == found.specs[US]
    assert known.get(InstanceKey.parse("web@nowhere")) is None
    store.redis.close()


def test_of_many_or_long_problems_the_first_are_kept_and_the_others_counted(valkey: str):
    store = open_store(valkey, SystemClock())

    store.fleet.note("3fa2c1b", [*["x" * 100_000] * 500, "last"], ["one"])

    told = store.fleet.told()
    assert len(told["problems"]) == 201
    assert max(map(len, told["problems"])) == 1000
    assert told["problems"][-1] == "and 301 more: `undrift fleet validate` prints all of them"
    assert told["notes"] == ["one"]
    store.redis.close()
