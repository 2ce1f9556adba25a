"""Scans that only compare: what a scan had nothing to tell of is not judged anew until something of it changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.devcluster import Running
from reconciler.objects.kinds import SECRETS
from reconciler.pipeline.sight import Proven
from reconciler.testing.git import Repo
from tests.integration.workers.test_scanning import CONFIG_MAP, Site, make_site
from workers.messages import Work
from workers.tasks import scanning, syncing

pytestmark = pytest.mark.cluster
CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\ndata: {a: '%s'}\n"


@pytest.fixture
def site(
    bare_cluster: Running, valkey: str, git_repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    """A site whose application was synced, and then scanned until a scan had nothing to do but to compare."""
    for made in make_site(bare_cluster, valkey, git_repo, tmp_path, monkeypatch):
        made.synced()
        made.scan()  # writes what the sync left
        made.scan()  # judges it, and has nothing to tell
        yield made


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each scan judged the site's application."""
    found, judge = list[bool](), scanning.judge

    def watched(*given: Any, **options: Any) -> Any:
        report = judge(*given, **options)
        found.append(bool(report.findings.keys() & options["policies"].keys()))
        return report

    monkeypatch.setattr(scanning, "judge", watched)
    return found


def test_what_is_as_before_is_seen_and_not_judged(site: Site, judged: list[bool]) -> None:
    before = site.store.status.get(site.key)

    site.scan()

    after = site.store.status.get(site.key)
    assert judged == [False]
    assert (after.sync, after.reason, after.health) == ("Synced", before.reason, "Healthy")
    assert before.observed_at is not None
    assert after.observed_at is not None
    assert after.observed_at == after.in_sync_at > before.observed_at
    assert site.due() == []


def _by_hand(site: Site) -> None:
    site.api.patch_json(CONFIG_MAP, site.name, "one", [{"op": "replace", "path": "/data/a", "value": "by hand"}])


def _note(site: Site, **annotations: str) -> None:
    """What a person adds, and takes away by an apply without it."""
    meta = {"name": "one", "namespace": site.name} | ({"annotations": annotations} if annotations else {})
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}
    site.api.apply(CONFIG_MAP, body, manager="kubectl-annotate", force=False)


def _label(site: Site) -> None:
    path = "/metadata/labels/applyset.kubernetes.io~1part-of"
    site.api.patch_json(CONFIG_MAP, site.name, "one", [{"op": "remove", "path": path}])


def _delete(site: Site) -> None:
    site.api.delete(CONFIG_MAP, site.name, "one", uid=str(site.live()["metadata"]["uid"]))


def _inventory(site: Site) -> None:
    change = [{"op": "replace", "path": "/data/inventory", "value": "cnViYmlzaA=="}]
    site.api.patch_json(SECRETS, "undrift-system", site.key.inventory_name, change)


def _no_inventory(site: Site) -> None:
    parent = site.api.get(SECRETS, "undrift-system", site.key.inventory_name) or {}
    site.api.delete(SECRETS, "undrift-system", site.key.inventory_name, uid=str(parent["metadata"]["uid"]))


DUE = {"drift", "its inventory can't be read", "its inventory is gone"}


@pytest.mark.parametrize("change", [_by_hand, _label, _delete, _inventory, _no_inventory])
def test_what_happens_to_what_is_ours_makes_it_due(site: Site, change: Callable[[Site], None]) -> None:
    site.scan()
    assert site.due() == []

    change(site)
    site.scan()

    assert [DUE & set(one.reasons) != set() for one in site.due()] == [True]


def test_what_others_add_is_told_until_it_is_gone(site: Site, judged: list[bool]) -> None:
    _note(site, seen="by me")
    site.scan()
    assert [one.field for one in site.store.status.get(site.key).foreign] == [".metadata.annotations.seen"]

    site.scan()
    assert judged == [True, True], "there is something to tell"
    _note(site)
    site.scan()
    assert site.store.status.get(site.key).foreign == ()


def test_what_is_not_at_rest_is_judged(site: Site, judged: list[bool]) -> None:
    status = site.store.status.get(site.key)
    site.store.status.put(status.model_copy(update={"sync": "Unknown", "lags": True, "in_sync_at": None}))

    site.scan()

    after = site.store.status.get(site.key)
    assert judged == [True]
    assert (after.sync, after.in_sync_at) == ("Unknown", None)


def test_a_sync_is_followed_by_a_judgement(site: Site, judged: list[bool]) -> None:
    site.write({"a.yaml": CONFIG % "2"})
    site.run(Work("refresh", site.repo.url))
    (due,) = site.due()
    syncing.run(due.work.subject, due.fence)

    for _ in range(3):
        site.scan()

    assert judged == [True, True, False]
    assert site.store.status.get(site.key).sync == "Synced"


def test_what_was_proven_is_kept_for_some_hours_by_instance(site: Site) -> None:
    kept = site.store.proven.get("bare")

    assert site.key in kept.marks
    assert any(site.name in namespaces for namespaces in kept.places.values())
    assert 0 < int(site.store.redis.ttl(f"{site.store.prefix}proven:bare")) <= 6 * 3600  # type: ignore[arg-type]
    site.store.proven.put("bare", Proven(), kept)
    assert site.store.proven.get("bare").marks == {}


@pytest.mark.parametrize(
    ("name", "text", "is_judged"),
    [("places", "{", True), ("places", "[1]", True), ("places", "null", True), ("no instance", "x", False)],
)
def test_what_something_wrote_over_is_judged(
    site: Site, judged: list[bool], name: str, text: str, is_judged: bool
) -> None:
    site.store.redis.hset(f"{site.store.prefix}proven:bare", name, text)

    site.scan()
    site.scan()

    assert judged == [is_judged, False]
    assert (site.due(), site.store.status.get(site.key).sync) == ([], "Synced")
