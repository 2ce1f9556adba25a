"""The watcher on one real cluster: edits of others make an instance due at once, and nothing else does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from reconciler.model.live import Resource
from reconciler.model.manifest import ObjectKey
from reconciler.objects import keys
from tests.fixtures.installation import eventually
from tests.integration.workers.test_scanning import CONFIG_MAP, Site, site
from workers import wiring
from workers.messages import Lane, Work
from workers.tasks import syncing
from workers.watchers import Watcher
from workers.watchers.cluster import ClusterWatch

pytestmark = pytest.mark.cluster
__all__ = ["site"]

STATUS = Resource("", "v1", "ConfigMap", "configmaps", True)


@pytest.fixture
def watch(site: Site) -> Iterator[ClusterWatch]:
    """The site's application is synced, and its kinds are followed."""
    site.synced()
    rooms = wiring.open_watching_rooms(wiring.settings())
    watcher = Watcher(site.store, rooms, "test", watches_all=True)
    watcher.tend()
    (_, watch) = watcher._watches["bare"]
    eventually(lambda: watch.kinds == 1 and len(watch._sightings) >= 1, "its kinds are followed")
    site.store.due.forget([Work("scan", "bare")])
    yield watch
    watcher.stop()
    rooms.clusters.close()


@pytest.fixture
def watched(site: Site, watch: ClusterWatch) -> Site:
    """Its application is synced, and watched."""
    return site


def hear_all(site: Site, watch: ClusterWatch) -> None:
    """Wait until the watch has worked out all changes so far: it tells them in their order, a new object last."""
    last = ObjectKey("", "ConfigMap", site.name, "last")
    metadata = {"name": last.name, "namespace": last.namespace, "labels": {keys.PART_OF: "a-test"}}
    site.api.create(CONFIG_MAP, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    eventually(lambda: watch._sightings.get(last), "all that was changed is told")


def edit(site: Site, **data: str) -> None:
    patch = [{"op": "add", "path": f"/data/{key}", "value": value} for key, value in data.items()]
    site.api.patch_json(CONFIG_MAP, site.name, "one", patch)


def drifted(site: Site) -> bool:
    state = site.store.queued.states().get(Work("sync", str(site.key)))
    return state is not None and state[0] == "due" and state[1] <= site.store.due.now_ms()


def heal(site: Site) -> None:
    (due,) = site.due()
    assert (due.lane, "drift" in due.reasons) == (Lane.DRIFT, True)
    syncing.run(due.work.subject, due.fence)
    assert site.live()["data"] == {"a": "1"}


def remove(site: Site) -> None:
    live = site.live()
    site.api.delete(CONFIG_MAP, site.name, "one", uid=live["metadata"]["uid"])


def relabel(site: Site) -> None:
    site.api.patch_json(CONFIG_MAP, site.name, "one", [{"op": "remove", "path": "/metadata/labels"}])


def force(site: Site) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", "namespace": site.name}}
    site.api.apply(CONFIG_MAP, {**body, "data": {"a": "2"}}, manager="tool", force=True)


def replace(site: Site) -> None:
    site.api.replace(CONFIG_MAP, {**site.live(), "data": {"a": "9"}})


@pytest.mark.parametrize(
    "change", [lambda site: edit(site, a="by hand"), remove, relabel, force, replace],
    ids=["edit", "delete", "relabel", "forced apply", "replace"],
)  # fmt: skip
def test_what_others_change_of_ours_is_due_at_once_and_healed(watched: Site, change: Callable[[Site], Any]) -> None:
    assert not drifted(watched)

    change(watched)

    eventually(lambda: drifted(watched), "it is due")
    heal(watched)


def test_what_concerns_nothing_of_ours_makes_nothing_due(watched: Site, watch: ClusterWatch) -> None:
    """Fields of others, and a hundred updates that only touch those; then an edit shows that all of them were heard."""
    for number in range(100):
        edit(watched, others=str(number))
    hear_all(watched, watch)
    assert not drifted(watched)

    edit(watched, a="by hand")
    eventually(lambda: drifted(watched), "it is due")


def test_our_own_syncs_make_nothing_due(watched: Site, watch: ClusterWatch) -> None:
    watched.write({"a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\ndata: {a: '2', b: '1'}\n"})
    time.sleep(1.1)  # managedFields tell times to the second: two applies within one look like another's
    watched.run(Work("refresh", watched.repo.url))
    (due,) = watched.due()
    syncing.run(due.work.subject, due.fence)

    hear_all(watched, watch)
    assert not drifted(watched)


def test_clusters_are_shared_and_taken_over(site: Site) -> None:
    shares = site.store.shares
    names = ["c1", "c2", "c3", "c4"]

    assert shares.take("one", names) == set(names)
    shares.take("two", names)
    first = shares.take("one", names)
    second = shares.take("two", names)

    assert (len(first), len(second), first & second) == (2, 2, frozenset())
    shares.release("one", first)
    assert shares.take("two", names) == set(names)


def test_a_share_is_told_without_a_look_at_every_key(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each watcher asks every five seconds: what is stored of a hundred thousand instances is none of it."""
    monkeypatch.setattr(type(site.store.redis), "scan_iter", lambda *_, **__: pytest.fail("all keys are looked at"))

    assert site.store.shares.take("one", ["c1"]) == {"c1"}


def test_a_watcher_that_was_not_heard_of_lately_is_none(site: Site) -> None:
    site.store.redis.zadd(f"{site.store.prefix}watchers", {"dead": int(time.time()) - 31})  # type: ignore[misc]

    assert site.store.shares.take("one", ["c1", "c2"]) == {"c1", "c2"}
