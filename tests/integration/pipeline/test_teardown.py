"""What goes with an application, and what must not: a Namespace or a CRD takes all that is in it along."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.model.live import Resource
from reconciler.model.record import Memory, Phase, Sync
from reconciler.objects.kinds import NAMESPACES
from reconciler.pipeline.teardown import TeardownReport, teardown
from tests.integration.pipeline.conftest import CONFIG_MAP, OpenLease, World, config_map

DEFINITIONS = Resource("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", False)


def namespace(world: World) -> str:
    return f"{world.name}-own"


def in_it(world: World, name: str, **annotations: str) -> str:
    told = ", ".join(f'{key}: "{value}"' for key, value in annotations.items())
    meta = f"{{name: {name}, namespace: {namespace(world)}, annotations: {{{told}}}}}"
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {meta}\n"


def declare(world: World, *more: str) -> None:
    """An application that declares its own Namespace, and what lives in it."""
    own = f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace(world)}}}\n"
    world.write({"own.yaml": "---\n".join((own, *more)), "base.yaml": config_map("base")})
    assert world.sync().phase is Phase.IDLE


def torn_down(world: World) -> TeardownReport:
    return teardown(world.key, world.target, world.memory, OpenLease(), world.rooms)


def stands(world: World) -> bool:
    live = world.api.get(NAMESPACES, "", namespace(world))
    return live is not None and not live["metadata"].get("deletionTimestamp")


def by_somebody(world: World, name: str = "theirs") -> None:
    meta = {"name": name, "namespace": namespace(world)}
    world.api.create(CONFIG_MAP, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta})


@pytest.mark.parametrize(
    "annotation", ["undrift.dev/prune: disabled", "helm.sh/resource-policy: keep"], ids=["prune", "helm"]
)
def test_a_deleted_application_leaves_the_namespace_of_what_is_told_to_stay(world: World, annotation: str) -> None:
    name, _, value = annotation.partition(": ")
    declare(world, in_it(world, "keepme", **{name: value}))

    report = torn_down(world)

    assert {str(one.key.name): str(one.result) for one in report.changes} == {
        "base": "Deleted",
        "keepme": "Left",
        namespace(world): "Failed",
    }
    assert report.refusal is not None
    assert f"holds ConfigMap {namespace(world)}/keepme" in report.remaining[0][1]
    assert "undrift.dev/prune: disabled" in report.remaining[0][1]
    assert stands(world)
    assert world.inventory().exists


def test_a_deleted_application_leaves_the_namespace_in_which_others_live(world: World) -> None:
    """Of an application with an inventory of its own, and of a person."""
    declare(world)
    guest = world.other(f"{world.name}-guest", namespace=namespace(world))
    guest.write({"a.yaml": config_map("of-guest")})
    guest.sync()
    by_somebody(world)

    report = torn_down(world)

    assert f"holds ConfigMap {namespace(world)}/of-guest, ConfigMap {namespace(world)}/theirs" in report.remaining[0][1]
    assert stands(world)


def test_a_deleted_application_takes_a_namespace_with_only_its_own_objects_along(world: World) -> None:
    declare(world, in_it(world, "mine"))

    report = torn_down(world)

    assert not stands(world)
    assert report.refusal is None


def test_what_is_annotated_in_the_cluster_is_let_go_and_the_application_forgotten(world: World) -> None:
    """The way out that the message names."""
    declare(world)
    by_somebody(world)
    assert not torn_down(world).is_done
    patch: list[dict[str, Any]] = [
        {"op": "add", "path": "/metadata/annotations", "value": {"undrift.dev/prune": "disabled"}}
    ]
    world.api.patch_json(NAMESPACES, "", namespace(world), patch)
    world.memory = Memory()

    assert torn_down(world).is_done
    assert stands(world)
    assert not world.inventory().exists


def test_a_pruned_namespace_stays_while_others_live_in_it(world: World) -> None:
    declare(world)
    by_somebody(world)
    world.write({"own.yaml": None})
    held = world.sync()

    record = world.sync(approved_plan=held.plan_id)

    assert (held.phase, record.phase, record.reason) == (Phase.HELD, Phase.FAILED, "NotEmpty")
    assert f"ConfigMap {namespace(world)}/theirs" in record.message
    assert stands(world)
    assert any(key.name == namespace(world) for key in world.inventory().members)


def test_a_deleted_application_leaves_the_definition_of_objects_that_others_made(world: World) -> None:
    group = f"{world.name}.example.com"
    names = "{kind: Widget, listKind: WidgetList, plural: widgets, singular: widget}"
    version = "{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}"
    definition = (
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n"
        f"metadata: {{name: widgets.{group}}}\n"
        f"spec: {{group: {group}, scope: Namespaced, names: {names}, versions: [{version}]}}\n"
    )
    world.write({"crd.yaml": definition, "base.yaml": config_map("base")})
    assert world.sync().sync is Sync.SYNCED
    widgets = Resource(group, "v1", "Widget", "widgets", True)
    theirs = {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": "theirs", "namespace": world.name}}
    world.api.create(widgets, theirs)

    report = torn_down(world)

    assert f"holds Widget.{group} {world.name}/theirs" in report.remaining[0][1]
    live = world.api.get(DEFINITIONS, "", f"widgets.{group}")
    assert live is not None
    assert not live["metadata"].get("deletionTimestamp")
