"""What a preview says of single objects, by real dry runs, beside what a sync then does."""

from __future__ import annotations

import json

from reconciler.errors import FirstContact, ImmutableField
from reconciler.model.plan import Action
from reconciler.model.record import Memory, Order
from reconciler.objects.keys import REPLACE
from reconciler.pipeline.preview import ObjectDiff, diffs, preview
from tests.integration.pipeline.conftest import CONFIG_MAP, World, config_map

FIXED = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "immutable": True}


def looked(world: World) -> list[ObjectDiff]:
    found = preview(world.spec(), Order(reasons=("preview",)), Memory(), world.rooms)
    return list(diffs(world.spec(), found, world.rooms))


def exists_already(world: World, data: dict[str, str], **metadata: object) -> None:
    meta = {"name": "one", "namespace": world.name, **metadata}
    world.api.create(CONFIG_MAP, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data})


def test_a_new_object_is_created_and_shown_whole(world: World) -> None:
    world.write({"a.yaml": config_map("one")})

    (found,) = looked(world)

    assert (found.action, found.exists, found.error) == (Action.CREATE, False, None)
    assert [(one.path, one.before) for one in found.differences] == [("", None)]


def test_an_unclaimed_object_that_is_as_git_says_is_adopted(world: World) -> None:
    world.write({"a.yaml": config_map("one", a="1")})
    exists_already(world, {"a": "1"})

    (found,) = looked(world)

    assert (found.action, found.exists, found.error) == (Action.ADOPT, True, None)
    assert all(one.path.startswith(".metadata.labels") for one in found.differences)
    assert world.sync().counts == {"Adopted": 1}


def test_an_unclaimed_object_of_other_values_is_first_contact(world: World) -> None:
    world.write({"a.yaml": config_map("one", a="1")})
    exists_already(world, {"a": "2"})

    (found,) = looked(world)

    assert isinstance(found.error, FirstContact)
    assert 'Git wants other values: .data.a ("1" where "2" stands' in found.error.message
    assert world.sync().reason == "FirstContact"


def test_with_adopt_always_it_is_taken_and_what_changes_is_shown(world: World) -> None:
    world.options["sync"] = {"adopt": "Always"}
    world.write({"a.yaml": config_map("one", a="1")})
    exists_already(world, {"a": "2"}, labels={"app.kubernetes.io/managed-by": "Helm"})

    (found,) = looked(world)

    assert (found.action, found.error) == (Action.ADOPT, None)
    assert (".data.a", "2", "1") in [(one.path, one.before, one.after) for one in found.differences]
    assert world.sync().counts == {"Adopted": 1}


def test_an_immutable_field_is_refused_or_replaces_the_object_where_that_is_asked_for(world: World) -> None:
    def write(value: str, annotations: dict[str, str]) -> None:
        body = json.loads(json.dumps(FIXED)) | {"data": {"a": value}}
        body["metadata"]["annotations"] = annotations
        world.write({"a.yaml": json.dumps(body)})

    write("1", {})
    world.sync()

    write("2", {})
    (refused,) = looked(world)
    write("2", {REPLACE: "true"})
    (replaced,) = looked(world)

    assert (type(refused.error), refused.action) == (ImmutableField, Action.APPLY)
    assert (replaced.error, replaced.action) == (None, Action.REPLACE)


def test_a_deletion_of_what_is_gone_is_told_from_one_of_what_is_there(world: World) -> None:
    world.write({"a.yaml": config_map("one"), "b.yaml": config_map("two"), "c.yaml": config_map("three")})
    world.sync()
    live = world.config_map("two") or {}
    world.api.delete(CONFIG_MAP, world.name, "two", uid=live["metadata"]["uid"])
    world.write({"a.yaml": None, "b.yaml": None})

    found = {one.key.name: one for one in looked(world) if one.action is Action.DELETE}

    assert {name: one.exists for name, one in found.items()} == {"one": True, "two": False}


def test_the_plan_that_is_shown_is_the_plan_that_is_held_and_approved(world: World) -> None:
    world.write({"a.yaml": config_map("one", a="1"), "b.yaml": config_map("two")})
    exists_already(world, {"a": "2"})
    shown = preview(world.spec(), Order(reasons=("preview",)), Memory(), world.rooms)

    held = world.sync()
    again = preview(world.spec(), Order(reasons=("preview",)), world.memory, world.rooms)

    assert [(one.action, one.key.name) for one in shown.held] == [(Action.ADOPT, "one")]
    assert [(one.action, one.key.name) for one in shown.plan.changes] == [(Action.CREATE, "two")]
    assert [one.reason for one in shown.plan.holds] == ["FirstContact"]
    assert shown.plan.id == held.plan_id == again.plan.id
    approved = Order(reasons=("preview",), approved_plan=held.plan_id)
    through = preview(world.spec(), approved, world.memory, world.rooms)
    assert (through.held, [one.action for one in through.plan.changes]) == ((), [Action.ADOPT])
    assert world.sync(approved_plan=held.plan_id).counts == {"Adopted": 1}


def test_what_letting_it_through_would_change_is_shown_before(world: World) -> None:
    world.write({"a.yaml": config_map("one", a="1")})
    made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", "namespace": world.name}}
    live = world.api.create(CONFIG_MAP, {**made, "data": {"a": "2", "extra": "handmade"}})
    entries = [{**one, "manager": "kubectl-create"} for one in live["metadata"]["managedFields"]]
    patch = [{"op": "replace", "path": "/metadata/managedFields", "value": entries}]
    world.api.patch_json(CONFIG_MAP, world.name, "one", patch)

    (found,) = looked(world)

    assert (found.action, type(found.error)) == (Action.ADOPT, FirstContact)
    changed = {one.path: (one.before, one.after) for one in found.differences if one.path.startswith(".data")}
    assert changed == {".data.a": ("2", "1"), ".data.extra": ("handmade", None)}


def test_in_observe_what_exists_is_not_called_missing(world: World) -> None:
    world.options["sync"] = {"mode": "Observe"}
    world.write({"a.yaml": config_map("one", a="1"), "b.yaml": config_map("two")})
    exists_already(world, {"a": "2"})

    record = world.sync()

    assert record.reason == "Observed"
    assert "2 changes would be made (1 of them to objects that exist and are not ours yet)" in record.message
    assert {one.key.name: str(one.health) for one in record.objects} == {"one": "Healthy", "two": "Missing"}
