"""A teardown on a real cluster: what others have put into a Namespace or made of a kind survives it."""

from __future__ import annotations

import pytest

from reconciler.model.live import Resource
from reconciler.objects.keys import PRUNE
from reconciler.pipeline.teardown import TeardownReport, teardown
from tests.fixtures.installation import eventually
from tests.integration.pipeline.conftest import CONFIG_MAP, OpenLease, World, config_map

NAMESPACE = Resource("", "v1", "Namespace", "namespaces", False)
DEFINITION = Resource("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", False)


def torn_down(world: World) -> TeardownReport:
    return teardown(world.key, world.target, world.memory, OpenLease(), world.rooms)


def home(world: World) -> str:
    return f"{world.name}-home"


def in_home(world: World, name: str, **annotations: str) -> str:
    notes = ", ".join(f"{key}: {value}" for key, value in annotations.items())
    meta = f"{{name: {name}, namespace: {home(world)}, annotations: {{{notes}}}}}"
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {meta}\ndata: {{a: '1'}}\n"


def left(report: TeardownReport) -> list[tuple[str, str]]:
    return [(str(one.key), one.note) for one in report.changes if one.result == "Left"]


@pytest.fixture
def owner(world: World) -> World:
    """An application that brings its own namespace and something in it."""
    namespace = f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {home(world)}}}\n"
    world.write({"0.yaml": namespace, "a.yaml": in_home(world, "mine")})
    assert world.sync().counts == {"Created": 2}
    return world


def is_there(world: World, name: str) -> bool:
    live = world.api.get(CONFIG_MAP, home(world), name)
    return live is not None and not live["metadata"].get("deletionTimestamp")


def is_going(world: World) -> bool:
    live = world.api.get(NAMESPACE, "", home(world))
    return live is None or bool(live["metadata"].get("deletionTimestamp"))


def test_a_namespace_goes_with_its_application(owner: World) -> None:
    torn_down(owner)

    assert is_going(owner)
    assert not is_there(owner, "mine")


def test_a_namespace_that_another_application_uses_survives_the_one_that_brought_it(owner: World) -> None:
    other = owner.other(f"{owner.name}-other", namespace=home(owner))
    other.write({"b.yaml": config_map("theirs")})
    assert other.sync().counts == {"Created": 1}

    report = torn_down(owner)

    assert report.is_done
    assert left(report) == [(f"Namespace {home(owner)}", f"ConfigMap {home(owner)}/theirs lives in it")]
    assert not is_going(owner)
    assert (is_there(owner, "theirs"), is_there(owner, "mine")) == (True, False)


def test_a_namespace_that_another_application_uses_is_not_pruned_though_a_person_approved(owner: World) -> None:
    other = owner.other(f"{owner.name}-other", namespace=home(owner))
    other.write({"b.yaml": config_map("theirs")})
    other.sync()
    owner.write({"0.yaml": None, "a.yaml": None, "rest.yaml": config_map("rest")})
    held = owner.sync()

    record = owner.sync(approved_plan=held.plan_id)

    assert held.phase == "Held"
    assert f"left alone: Namespace {home(owner)} (ConfigMap {home(owner)}/theirs lives in it)" in record.message
    assert not is_going(owner)
    assert is_there(owner, "theirs")


def test_what_is_kept_on_purpose_keeps_its_namespace(owner: World) -> None:
    owner.write({"k.yaml": in_home(owner, "kept", **{PRUNE: "disabled"})})
    owner.sync()

    report = torn_down(owner)

    assert [key for key, _ in left(report)] == [f"ConfigMap {home(owner)}/kept", f"Namespace {home(owner)}"]
    assert is_there(owner, "kept")
    assert not is_going(owner)


def test_a_definition_of_which_somebody_has_made_something_is_left(world: World) -> None:
    group = f"{world.name}.example.com"
    world.write({"crd.yaml": DEFINED.replace("GROUP", group)})
    world.sync()
    widget = Resource(group, "v1", "Widget", "widgets", True)
    eventually(lambda: world.api.discovery(refresh=True).find(widget.group_kind), "the kind is served")
    body = {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": "w", "namespace": world.name}}
    eventually(lambda: _made(world, widget, body), "the kind can be made")

    report = torn_down(world)

    ((_, why),) = left(report)
    assert why == f"Widget.{group} {world.name}/w is of the kind that it defines"
    assert world.api.get(widget, world.name, "w") is not None
    live = world.api.get(widget, world.name, "w") or {}
    world.api.delete(widget, world.name, "w", uid=live["metadata"]["uid"])
    defined = world.api.get(DEFINITION, "", f"widgets.{group}") or {}
    world.api.delete(DEFINITION, "", f"widgets.{group}", uid=defined["metadata"]["uid"])


def _made(world: World, widget: Resource, body: dict[str, object]) -> bool:
    if world.api.get(widget, world.name, "w") is None:
        world.api.create(widget, body)
    return True


DEFINED = """apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.GROUP}
spec:
  group: GROUP
  names: {kind: Widget, plural: widgets}
  scope: Namespaced
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
"""
