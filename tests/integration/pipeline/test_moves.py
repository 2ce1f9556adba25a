"""An application under another name: its objects go on living, and belong to the new name whole."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.errors import ClusterIdentityChanged
from reconciler.model.record import Memory, Phase, Sync
from reconciler.objects import applyset
from reconciler.objects.keys import PART_OF
from reconciler.pipeline.teardown import hand_over, release, teardown
from tests.integration.pipeline.conftest import OpenLease, World, config_map
from tests.integration.pipeline.test_sync import patch


def renamed(world: World) -> World:
    """The same folder and namespace, declared by an application that says it was `world`."""
    other = world.other(f"{world.name}-new", namespace=world.name, moved_from=(str(world.key),))
    other.path = world.name
    return other


def owners(world: World, name: str = "one") -> set[tuple[str, str]]:
    live = world.config_map(name)
    assert live is not None
    return {(one["manager"], one["operation"]) for one in live["metadata"]["managedFields"]}


def handed_over(world: World) -> Any:
    return hand_over(world.key, world.target, Memory(), OpenLease(), world.rooms)


def test_a_renamed_application_takes_its_objects_over_as_they_are(world: World) -> None:
    world.write({"a.yaml": config_map("one", a="1", b="2"), "b.yaml": config_map("two")})
    world.sync()
    before = world.config_map("one")
    new = renamed(world)

    record = new.sync()

    live = world.config_map("one")
    assert before is not None
    assert live is not None
    assert (record.sync, record.counts) == (Sync.SYNCED, {"Moved": 2})
    assert live["metadata"]["uid"] == before["metadata"]["uid"]
    assert live["metadata"]["labels"][PART_OF] == applyset.part_of(new.key)
    assert owners(world) == {(new.key.manager, "Apply")}
    assert not any(one.adopted for one in new.inventory().members.values())
    assert handed_over(world).is_done
    assert not world.inventory().exists
    assert world.config_map("two") is not None


def test_a_field_that_goes_with_the_rename_is_removed(world: World) -> None:
    world.write({"a.yaml": config_map("one", a="1", b="2")})
    world.sync()
    world.write({"a.yaml": config_map("one", a="1")})

    renamed(world).sync()

    live = world.config_map("one")
    assert live is not None
    assert live["data"] == {"a": "1"}


def test_what_the_new_name_does_not_declare_is_kept_and_named(world: World) -> None:
    world.write({"a.yaml": config_map("one"), "b.yaml": config_map("two")})
    world.sync()
    world.write({"b.yaml": None})

    renamed(world).sync()
    report = handed_over(world)

    assert [key.name for key, _ in report.remaining] == ["two"]
    assert world.config_map("two") is not None
    assert world.inventory().exists


def test_what_moved_can_be_pruned_under_its_new_name(world: World) -> None:
    """Membership goes with the objects: else they would be older than it, and never pruned."""
    world.write({f"{n}.yaml": config_map(f"c{n}") for n in range(4)})
    world.sync()
    new = renamed(world)
    new.sync()
    world.write({"3.yaml": None})

    assert new.sync().counts == {"Deleted": 1}
    assert world.config_map("c3") is None


def test_a_move_that_was_cut_short_is_completed(world: World) -> None:
    """The ownership was handed over, and the process died before its apply."""
    world.write({"a.yaml": config_map("one")})
    world.sync()
    new = renamed(world)
    live = world.config_map("one")
    assert live is not None
    entries = [{**one, "manager": new.key.manager} for one in live["metadata"]["managedFields"]]
    patch(world, [{"op": "replace", "path": "/metadata/managedFields", "value": entries}])

    assert new.sync().counts == {"Moved": 1}


def test_without_a_word_the_objects_of_another_application_are_not_taken(world: World) -> None:
    world.write({"a.yaml": config_map("one")})
    world.sync()
    new = renamed(world)
    new.options["moved_from"] = ()

    record = new.sync()

    assert (record.phase, record.reason) == (Phase.FAILED, "OwnedByAnother")
    assert "movedFrom" in record.message


def test_nothing_is_torn_down_on_a_cluster_that_is_not_the_one_its_name_meant(world: World) -> None:
    """Under two names one inventory is read: what is deleted for the one would be the other's."""
    world.write({"a.yaml": config_map("one")})
    world.sync()

    for way in (teardown, release, hand_over):
        with pytest.raises(ClusterIdentityChanged):
            way(world.key, world.target, Memory(), OpenLease(), world.rooms, pinned="another")

    assert world.config_map("one") is not None
    assert world.inventory().exists
