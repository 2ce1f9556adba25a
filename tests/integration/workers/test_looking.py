"""What commands that ask a cluster say of one application there."""

from __future__ import annotations

import pytest

from reconciler.fleet import expand
from tests.fleets import application, cluster, documents, fleet
from tests.integration.workers.test_scanning import Site, site
from workers.cli import app, looking, restoring
from workers.messages import Work

pytestmark = pytest.mark.cluster
__all__ = ["site"]


def test_a_plan_says_of_what_would_be_refused_why_and_not_of_what_the_sync_makes_first(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: two, namespace: scan-nowhere}\n"
    site.write({"b.yaml": elsewhere})
    site.run(Work("refresh", site.repo.url))

    with pytest.raises(SystemExit) as ended:
        looking.plan(site.key.short)

    assert ended.value.code == 1
    rows = [line.split(maxsplit=4) for line in capsys.readouterr().out.splitlines() if line.startswith("Create")]
    assert [(row[2], row[4:]) for row in rows if row[2].endswith("/one")] == [(f"{site.name}/one", [])]
    (refused,) = [row[4] for row in rows if row[2] == "scan-nowhere/two"]
    assert "its namespace scan-nowhere does not exist" in refused


def test_that_nobody_else_writes_and_nothing_was_deleted_is_said(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.synced()
    capsys.readouterr()

    looking.diff(site.key.short, foreign=True)
    restoring.restore(site.key.short, listed=True)

    assert capsys.readouterr().out.splitlines() == [
        f"nobody else owns fields of the objects of {site.key.short}",
        f"{site.key.short}: nothing in the trash",
    ]


def test_a_dry_run_of_many_shows_the_plan_of_each(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    source = {"repo": site.repo.url, "path": site.name}
    names = [site.name, f"{site.name}-b"]
    apps = [application(name, source=source, namespace=name, sync={"createNamespace": True}) for name in names]
    expansion = expand(fleet(documents(*apps, cluster("bare"))), previous={})
    site.store.fleet.publish(expansion.specs, expansion.clusters, expansion.repositories())

    with pytest.raises(SystemExit) as ended:
        app.sync(everything=True, dry_run=True)

    assert ended.value.code == 1
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("plan of ")]
    assert [line.split()[2] for line in told] == [f"{name}@bare" for name in names]
