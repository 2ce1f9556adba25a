"""The task `refresh`: one look at a real repository makes due the instances that it concerns, at its newest commit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from reconciler.fleet import expand
from reconciler.model.instance import InstanceKey
from reconciler.testing.git import Repo
from tests.fleets import application, cluster, documents, fleet
from workers.messages import Grant, Lane, Mark, Work
from workers.store import Store
from workers.tasks import refreshing

WEB, API = InstanceKey.parse("default/web@eu-1"), InstanceKey.parse("default/api@eu-1")


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    made = Repo(tmp_path / "apps.git")
    made.commit({"web/a.yaml": "kind: ConfigMap", "api/a.yaml": "kind: ConfigMap"})
    return made


@pytest.fixture
def look(store: Store, repo: Repo) -> Work:
    """The look at a repository that two applications use."""
    publish(store, *(application(name, source={"repo": repo.url, "path": name}) for name in ("web", "api")))
    return Work("refresh", repo.url)


def publish(store: Store, *applications: Mapping[str, object]) -> None:
    expansion = expand(fleet(documents(*applications, cluster("eu-1"))), previous={})
    store.specs.publish(expansion.specs, expansion.clusters, expansion.repositories())


def refresh(store: Store, look: Work) -> dict[str, Grant]:
    """Run the look; the syncs that are due after it."""
    store.due.mark([Mark(look, Lane.COMMIT, "periodic")])
    (grant,) = [one for one in store.due.grant(10, 5.0) if one.work == look]
    refreshing.run(look.subject, grant.fence)
    return {one.work.subject: one for one in store.due.grant(10, 5.0)}


def test_new_instances_are_due_at_the_newest_commit_by_one_look(store: Store, look: Work, repo: Repo):
    store.status.unjudge({WEB: "new", API: "new"})

    due = refresh(store, look)

    assert {name: (one.commit, one.reasons) for name, one in due.items()} == {
        "default/web@eu-1": (repo.head(), ("new",)),
        "default/api@eu-1": (repo.head(), ("new",)),
    }
    assert store.status.unjudged() == {}
    assert refresh(store, look) == {}


def test_a_changed_spec_is_due_though_the_commit_is_the_same(store: Store, look: Work, repo: Repo):
    store.status.judge({WEB: repo.head(), API: repo.head()})
    store.status.unjudge({WEB: "fleet changed"})

    assert {name: one.reasons for name, one in refresh(store, look).items()} == {"default/web@eu-1": ("fleet changed",)}


def test_an_instance_of_which_nothing_is_known_is_left_to_the_scan(store: Store, look: Work):
    assert refresh(store, look) == {}


def test_a_host_that_is_away_is_told_by_each_instance_itself(store: Store, look: Work, repo: Repo):
    store.status.unjudge({WEB: "new"})
    repo.path.rename(repo.path.with_name("moved.git"))

    due = refresh(store, look)

    assert {name: (one.commit, one.reasons) for name, one in due.items()} == {"default/web@eu-1": ("", ("new",))}
    assert store.status.lookups()[repo.url]["reason"] == "GitDenied"


def test_a_missing_branch_is_told_by_those_that_name_it(store: Store, look: Work, repo: Repo):
    publish(store, application("web", source={"repo": repo.url, "path": "web", "ref": "gone"}))
    store.status.unjudge({WEB: "new"})

    assert {name: one.reasons for name, one in refresh(store, look).items()} == {
        "default/web@eu-1": ("its ref is missing",)
    }
