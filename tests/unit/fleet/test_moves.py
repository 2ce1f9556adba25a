"""`spec.movedFrom`: which instances an application was before, and when that is in force."""

from __future__ import annotations

import pytest

from reconciler.fleet import expand
from reconciler.model.instance import InstanceKey
from tests.fleets import application, document, documents, fleet
from tests.unit.fleet.test_expand import EU, US, expanded, spec


def project(name, **spec):
    given = {"repos": ["*"], "clusters": {"names": ["*"]}, "namespaces": ["*"]}
    return document("Project", name, **{**given, **spec})


OLD = InstanceKey.parse("old@eu-1")


def test_a_renamed_application_was_its_former_name_on_each_of_its_clusters():
    found = expanded(EU, US, application("new", movedFrom=[{"name": "old"}]))

    assert spec(found, "new@eu-1").formers == (OLD,)
    assert found.moved[OLD] == (InstanceKey.parse("new@eu-1"),)
    assert found.moved[InstanceKey.parse("old@us-1")] == (InstanceKey.parse("new@us-1"),)


def test_what_moved_to_another_cluster_has_nothing_to_take_over_there():
    found = expanded(EU, US, application("web", clusters={"names": ["us-1"]}, movedFrom=[{"cluster": "eu-1"}]))

    assert spec(found, "web@us-1").moved_from == ("default/web@eu-1",)
    assert spec(found, "web@us-1").formers == ()
    assert found.moved == {InstanceKey.parse("web@eu-1"): (InstanceKey.parse("web@us-1"),)}


def test_nothing_moves_from_what_is_still_defined():
    found = expanded(EU, application("old"), application("new", movedFrom=[{"name": "old"}]))

    assert spec(found, "new@eu-1").moved_from == ()
    assert found.moved == {}
    assert "spec.movedFrom[0]: old@eu-1 is still defined" in str(found.problems[0])


def test_in_a_fleet_that_does_not_read_cleanly_nothing_goes_down():
    found = expanded(EU, application("new", movedFrom=[{"name": "old"}]), {**US, "spec": {}})

    assert found.moved == {}
    assert spec(found, "new@eu-1").formers == (OLD,)  # taking over deletes nothing


def test_a_move_names_something():
    found = expanded(EU, application("new", movedFrom=[{}]))

    assert "expected project, name or cluster" in str(found.problems[0])


def test_a_project_is_a_place_too():
    found = expanded(EU, project("team"), application("web", project="team", movedFrom=[{"project": "default"}]))

    assert spec(found, "team/web@eu-1").formers == (InstanceKey.parse("default/web@eu-1"),)


@pytest.mark.parametrize(
    ("former", "is_allowed"),
    [
        pytest.param([], False, id="a project that is gone"),
        pytest.param([project("shop")], False, id="a project that lists nobody"),
        pytest.param([project("shop", movesTo=["others"])], False, id="a project that lists another"),
        pytest.param([project("shop", movesTo=["team"])], True, id="a project that lists it"),
        pytest.param([project("shop", movesTo=["*"])], True, id="a project that lists any"),
    ],
)
def test_nothing_moves_to_another_project_unless_the_former_one_lists_it(former, is_allowed):
    """Otherwise a tenant would be the heir of whatever another removes."""
    mine = application("web", project="team", movedFrom=[{"project": "shop"}])

    found = expanded(EU, project("team"), *former, mine)

    assert spec(found, "team/web@eu-1").moved_from == (("shop/web@eu-1",) if is_allowed else ())
    assert list(found.moved) == ([InstanceKey.parse("shop/web@eu-1")] if is_allowed else [])
    says = "spec.movedFrom[0]: Project 'shop' does not list 'team' in its movesTo"
    assert [says in str(one) for one in found.problems] == ([] if is_allowed else [True])


def test_nothing_moves_from_a_default_project_that_may_be_limited_in_text_that_can_not_be_read():
    mine = documents(EU, project("team"), application("web", project="team", movedFrom=[{"project": "default"}]))

    for hidden in ("undrift: [", documents({**project("default"), "spec": {"repo": []}})):
        found = expand(fleet({"a.yaml": mine, "b.yaml": hidden}))

        assert spec(found, "team/web@eu-1").moved_from == ()
