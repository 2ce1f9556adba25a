"""The fleet in Redis: what publishing it again says of what changed."""

from __future__ import annotations

from reconciler.clock import SystemClock
from reconciler.fleet import expand
from reconciler.model.instance import InstanceKey
from tests.fleets import application, cluster, documents, fleet
from workers.store import open_store
from workers.store.specs import Published

KEY = InstanceKey.parse("web@eu-1")


def test_a_label_of_a_cluster_is_seen_by_selectors_and_makes_nothing_due(valkey: str):
    store = open_store(valkey, SystemClock())

    def publish(**labels: str) -> Published:
        found = expand(fleet(documents(cluster("eu-1", **labels), cluster("us-1"), application("web"))))
        return store.specs.publish(found.specs, found.clusters, found.repositories())

    publish(env="test")
    published = publish(env="prod")

    assert (published.new, published.changed) == (frozenset(), frozenset())
    assert {key.cluster: one.cluster.labels for key, one in store.specs.all().items()} == {
        "eu-1": {"env": "prod"},
        "us-1": {},
    }
    assert store.specs.clusters()["eu-1"].labels == {"env": "prod"}
    store.redis.close()
