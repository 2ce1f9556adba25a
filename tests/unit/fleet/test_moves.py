"""`spec.movedFrom`: which instances an application was before, and when that is in force."""

from __future__ import annotations

from reconciler.model.instance import InstanceKey
from tests.fleets import application, cluster
from tests.unit.fleet.test_expand import EU, US, expanded, spec

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
    elsewhere = {"kind": "Project", "apiVersion": EU["apiVersion"], "metadata": {"name": "team"}, "spec": ALL}
    found = expanded(cluster("eu-1"), elsewhere, application("web", project="team", movedFrom=[{"project": "default"}]))

    assert spec(found, "team/web@eu-1").formers == (InstanceKey.parse("default/web@eu-1"),)


ALL = {"repos": ["*"], "clusters": {"names": ["eu-1"]}, "namespaces": ["*"], "namespacedKinds": [{}]}
