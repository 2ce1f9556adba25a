"""A short name means one application, or is an error that names those it might mean."""

from __future__ import annotations

import pytest

from reconciler.fleet import expand
from reconciler.model.instance import InstanceKey
from tests.fleets import application, cluster, document, documents, fleet
from workers.asking import in_several_projects
from workers.cli import offline
from workers.cli.offline import Meant
from workers.cli.selecting import NotFound

KEYS = [InstanceKey.parse(one) for one in ("web@eu-1", "web@us-1", "shop/web@eu-1")]


def test_an_application_of_one_project_is_meant_by_its_name_alone():
    assert in_several_projects(KEYS[:2], "web") == ""
    assert in_several_projects(KEYS, "web") == "'web' is in several projects; name one: default/web, shop/web"


@pytest.mark.parametrize(
    ("name", "found"),
    [("default/web", ["web@eu-1"]), ("shop/web", ["shop/web@eu-1"]), ("shop/web@eu-1", ["shop/web@eu-1"])],
)
def test_a_fleets_files_are_asked_the_same_way(name: str, found: list[str]):
    spec = {"repos": ["*"], "clusters": {"names": ["*"]}, "namespaces": ["*"]}
    read = fleet(
        documents(
            cluster("eu-1"), document("Project", "shop", **spec), application("web"), application("web", project="shop")
        )
    )

    assert [one.short for one in offline.chosen(Meant(".", name), read, expand(read))] == found
    with pytest.raises(NotFound, match="'web' is in several projects; name one: default/web, shop/web"):
        offline.chosen(Meant(".", "web"), read, expand(read))


@pytest.mark.parametrize(
    ("name", "count"), [("web", 2), ("shop/web", 1), ("default/web", 1), ("shop/web@eu-1", 1), ("api", 0)]
)
def test_problems_are_told_of_the_application_that_is_meant(name: str, count: int):
    read = fleet(documents(application("web", a=1), application("web", a=1, project="shop"), cluster("eu-1")))

    assert len(offline.problems(Meant(".", name), read, expand(read))) == count
