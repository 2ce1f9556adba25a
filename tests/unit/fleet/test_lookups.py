"""Look-ups: shared where a repository is reached in one way, and never where projects reach it in different ones."""

from __future__ import annotations

import pytest

from reconciler.fleet import Expansion, expand
from reconciler.model.instance import InstanceKey
from tests.fleets import application, documents, fleet
from tests.unit.fleet.test_expand import EU, GIT, expanded, project, repository, spec
from workers.messages import Work, git_host

URL = "https://git.example.com/apps.git"
TENANTS = [EU, project("a"), project("b"), application("web", project="a"), application("api", project="b")]


def used(found: Expansion) -> dict[str, str | None]:
    """Whose credentials each look-up uses."""
    tokens = {name: one.credentials.token for name, one in found.repositories().items()}
    return {name: token.file if token else None for name, token in tokens.items()}


def test_projects_without_credentials_and_those_with_the_same_share_one_look_up():
    same = [repository(f"git-{name}", GIT, project=name, credentials={"token": {"file": "git"}}) for name in "ab"]

    assert used(expanded(*TENANTS)) == {URL: None}
    assert used(expanded(*TENANTS, *same)) == {URL: "git"}


@pytest.mark.parametrize(
    ("repositories", "expected"),
    [
        pytest.param([("a", {})], {f"{URL} (a)": "a", f"{URL} (b)": None}, id="one has none"),
        pytest.param([("a", {}), ("b", {})], {f"{URL} (a)": "a", f"{URL} (b)": "b"}, id="each its own"),
        pytest.param(
            [("a", {}), ("b", {"poll": "1s", "credentials": {}})],
            {f"{URL} (a)": "a", f"{URL} (b)": None},
            id="the one who looks more often has none",
        ),
        pytest.param(
            [("a", {"credentials": {}}), ("b", {"credentials": {}, "limits": {"objects": 1}})],
            {f"{URL} (a)": None, f"{URL} (b)": None},
            id="one takes less",
        ),
    ],
)
def test_each_projects_instances_are_looked_up_by_its_own_access(repositories, expected):
    docs = [repository(name, GIT, project=name, **given) for name, given in repositories]

    found = expanded(*TENANTS, *docs)

    assert used(found) == expected
    for key, one in found.specs.items():
        assert one.source.repo.subject == f"{URL} ({key.project})"
        assert found.repositories()[one.source.repo.subject].credentials == one.source.repo.credentials


def test_another_tenants_arrival_makes_nobodys_instances_due():
    alone = expanded(*[one for one in TENANTS if one["metadata"] != {"name": "api"}], repository("a", GIT, project="a"))

    found = expanded(*TENANTS, repository("a", GIT, project="a"), previous=alone.specs)

    before, after = spec(alone, "a/web@eu-1"), spec(found, "a/web@eu-1")
    assert (before.source.repo.subject, after.source.repo.subject) == (URL, f"{URL} (a)")
    assert before.digest == after.digest
    assert (
        spec(expanded(*TENANTS[:-1], repository("a", GIT, project="a"), previous=found.specs), "a/web@eu-1") == before
    )


def test_what_a_broken_document_keeps_at_old_credentials_is_looked_up_by_these():
    docs = documents(*TENANTS[:-1], application("kept", project="a"))
    before = expand(fleet({"a.yaml": docs, "r.yaml": documents(repository("old", GIT, project="a"))}))
    broken = documents(*TENANTS[:-1], application("kept", project="a", rollouts={}))

    found = expand(
        fleet({"a.yaml": broken, "r.yaml": documents(repository("new", GIT, project="a"))}), previous=before.specs
    )

    assert used(found) == {f"{URL} (a)": "new", f"{URL} (a, 2)": "old"}
    assert found.repositories()[found.specs[InstanceKey.parse("a/kept@eu-1")].source.repo.subject].credentials.token


@pytest.mark.parametrize(
    ("url", "host"),
    [
        (URL, "git.example.com"),
        ("https://git.example.com", "git.example.com"),
        ("git@host:a", "host"),
        ("file:///a", ""),
    ],
)
def test_a_look_up_keeps_its_host_busy_whatever_it_is_called(url: str, host: str):
    assert git_host(url) == git_host(f"{url} (shop)") == host
    assert Work.parse(f"refresh {url} (shop)").destination == (f"git {host}" if host else "")
