"""A person lets exactly one plan through: the one that was shown, whole, and of the objects that were there then."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.model.record import Order, Phase, Sync
from reconciler.model.rules import Guards, KindRule, ProjectRules
from reconciler.pipeline.preview import preview
from tests.integration.pipeline.conftest import CONFIG_MAP, World, config_map


def theirs(world: World, **data: str) -> dict[str, Any]:
    """An object of somebody else, under a name that Git declares."""
    meta = {"name": "one", "namespace": world.name}
    return dict(world.api.create(CONFIG_MAP, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}))


def made_anew(world: World, live: dict[str, Any]) -> dict[str, Any]:
    world.api.delete(CONFIG_MAP, world.name, "one", uid=live["metadata"]["uid"])
    return theirs(world, a="of somebody else again")


def test_an_approval_is_of_the_object_that_was_there_and_of_none_made_since(world: World) -> None:
    live = theirs(world, a="theirs")
    world.write({"a.yaml": config_map("one")})
    held = world.sync()
    other = made_anew(world, live)

    again = world.sync(approved_plan=held.plan_id)

    assert (held.reason, again.reason, again.phase) == ("FirstContact", "FirstContact", Phase.HELD)
    assert again.plan_id != held.plan_id
    assert world.config_map() == other
    assert world.sync(approved_plan=again.plan_id).counts == {"Adopted": 1}


def test_a_preview_names_the_plan_that_a_sync_holds(world: World) -> None:
    theirs(world, a="theirs")
    world.write({"a.yaml": config_map("one")})
    held = world.sync()

    shown = preview(world.spec(), Order(reasons=("preview",)), world.memory, world.rooms)

    assert shown.plan.id == held.plan_id


@pytest.fixture
def strict(world: World) -> World:
    """A project in which a held deletion holds the whole plan; a commit deletes four of five objects, and declares one that
    somebody else has."""
    guards = Guards(hold="Plan")
    world.options["rules"] = ProjectRules(namespaces=("*",), namespaced_kinds=(KindRule(),), guards=guards)
    world.write({f"{n}.yaml": config_map(f"c{n}") for n in range(5)})
    assert world.sync().sync is Sync.SYNCED
    theirs(world, a="theirs")
    world.write({f"{n}.yaml": None for n in range(1, 5)} | {"one.yaml": config_map("one")})
    return world


def test_a_plan_that_is_held_whole_goes_by_one_approval_with_what_it_would_find(strict: World) -> None:
    held = strict.sync()
    shown = preview(strict.spec(), Order(reasons=("preview",)), strict.memory, strict.rooms)

    record = strict.sync(approved_plan=held.plan_id)

    assert (held.phase, held.counts, held.plan_id) == (Phase.HELD, {}, shown.plan.id)
    assert (record.sync, record.counts) == (Sync.SYNCED, {"Adopted": 1, "Deleted": 4})
    assert strict.sync().plan_id == ""


def test_nothing_of_a_plan_that_is_held_whole_is_written_by_another_approval(strict: World) -> None:
    live = strict.config_map()
    held = strict.sync()
    assert live is not None
    other = made_anew(strict, dict(live))

    record = strict.sync(approved_plan=held.plan_id)

    assert (record.phase, record.counts) == (Phase.HELD, {})
    assert strict.config_map() == other
    assert strict.config_map("c1") is not None
