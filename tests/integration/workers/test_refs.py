"""What a ref means to a sync: one that went is told, and what another ref once meant is not applied under a new one."""

from __future__ import annotations

import subprocess

import pytest

from reconciler.fleet import expand
from tests.fleets import application, cluster, documents, fleet
from tests.integration.workers.test_scanning import Site
from tests.integration.workers.test_scanning import site as site
from workers.messages import Lane, Mark, Work
from workers.tasks import syncing

pytestmark = pytest.mark.cluster


def config_map(value: str) -> str:
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: one}}\ndata: {{a: '{value}'}}\n"


def branch(site: Site, *words: str) -> None:
    subprocess.run(["git", "-C", site.repo.path, "branch", *words], check=True)


def look(site: Site) -> None:
    site.run(Work("refresh", site.repo.url))
    for one in site.due():
        syncing.run(one.work.subject, one.fence)


def test_a_branch_that_was_deleted_is_told_and_taken_up_again_when_it_is_back(site: Site) -> None:
    site.synced()
    branch(site, "-m", "main", "trunk")

    look(site)

    status = site.store.status.get(site.key)
    assert (status.sync, status.phase, status.reason) == ("Unknown", "Failed", "RefNotFound")
    assert site.live()["data"] == {"a": "1"}

    site.run(Work("sync", str(site.key)))
    assert site.store.status.get(site.key).reason == "RefNotFound", "not only when it is told first"

    branch(site, "-m", "trunk", "main")
    look(site)
    assert site.store.status.get(site.key).sync == "Synced"


def test_a_wish_for_a_commit_does_not_outlive_a_change_of_the_ref(site: Site) -> None:
    site.synced()
    branch(site, "other")
    site.write({"a.yaml": config_map("main")})
    site.store.due.mark([Mark(Work("sync", str(site.key)), Lane.COMMIT, "commit", commit=site.repo.head())])
    source = {"repo": site.repo.url, "path": site.name, "ref": "other"}
    app = application(site.name, source=source, namespace=site.name, sync={"createNamespace": True})
    expansion = expand(fleet(documents(app, cluster("bare"))), previous={})
    site.store.fleet.publish(expansion.specs, expansion.clusters, expansion.repositories())

    site.run(Work("sync", str(site.key)))

    assert site.live()["data"] == {"a": "1"}
    assert [one.ref for one in site.store.status.get(site.key).revisions] == ["other"]
