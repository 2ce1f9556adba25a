"""Fields that belong to another writer: sent on creation, then left to it, without a fight and without a loss."""

from __future__ import annotations

from typing import Any

from reconciler.model.drift import DriftPolicy, IgnoredDifference
from reconciler.model.record import Sync
from tests.integration.pipeline.conftest import DEPLOYMENT, World

TEXT = """apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: 'web:%s'}]}
"""
REPLICAS = IgnoredDifference(group="apps", kind="Deployment", json_pointers=("/spec/replicas",))


def autoscaler(world: World, replicas: int) -> None:
    """Another writer, under its own name, as the scale subresource or a controller writes."""
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": world.name}}
    world.api.apply(DEPLOYMENT, {**body, "spec": {"replicas": replicas}}, manager="autoscaler", force=True)


def live(world: World) -> Any:
    return world.api.get(DEPLOYMENT, world.name, "web")


def begun(world: World, **options: Any) -> None:
    world.options = {"ignore_differences": (REPLICAS,)} | options
    world.write({"web.yaml": TEXT % 1})
    assert world.sync().sync == Sync.SYNCED


def test_an_ignored_field_is_sent_when_the_object_is_created(world: World) -> None:
    begun(world)

    assert live(world)["spec"]["replicas"] == 2


def test_a_change_of_something_else_leaves_the_field_to_its_owner(world: World) -> None:
    begun(world)
    autoscaler(world, 7)
    world.write({"web.yaml": TEXT % 2})

    record = world.sync()

    assert (record.sync, record.drift) == (Sync.SYNCED, ())
    assert live(world)["spec"]["replicas"] == 7
    assert live(world)["spec"]["template"]["spec"]["containers"][0]["image"] == "web:2"


def test_a_field_that_nobody_took_over_yet_is_not_lost(world: World) -> None:
    """Left out of the second apply, our replicas would be deleted, and the Deployment scaled down to one."""
    begun(world)
    world.write({"web.yaml": (TEXT % 2).replace("replicas: 2", "replicas: 5")})

    assert world.sync().sync == Sync.SYNCED
    assert live(world)["spec"]["replicas"] == 2
    autoscaler(world, 9)
    world.sync(full=True)
    assert live(world)["spec"]["replicas"] == 9


def test_drift_of_an_ignored_field_is_none_and_is_looked_at_once(world: World) -> None:
    begun(world)
    autoscaler(world, 7)

    record = world.sync(reasons=("drift",))
    assert (record.sync, record.drift, record.counts) == (Sync.SYNCED, (), {"Unchanged": 1})
    assert record.memory.heals == {}

    autoscaler(world, 8)  # the field is the autoscaler's now: our proof does not change with it
    again = world.sync(reasons=("drift",))
    assert (again.wrote, again.requests) == (False, 2)
    assert live(world)["spec"]["replicas"] == 8


def test_drift_of_another_field_beside_it_is_healed(world: World) -> None:
    begun(world)
    autoscaler(world, 7)
    patch = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "evil:1"}]
    world.api.patch_json(DEPLOYMENT, world.name, "web", patch)

    record = world.sync(reasons=("drift",))

    assert record.counts == {"Healed": 1}
    assert live(world)["spec"]["template"]["spec"]["containers"][0]["image"] == "web:1"
    assert live(world)["spec"]["replicas"] == 7


def test_a_policy_that_reports_drift_does_not_report_it(world: World) -> None:
    begun(world, drift=DriftPolicy(action="Report"))
    autoscaler(world, 7)

    record = world.sync(reasons=("drift",))

    assert (record.sync, record.drift, record.memory.heals) == (Sync.SYNCED, (), {})


def test_all_fields_of_a_named_manager_are_left_to_it(world: World) -> None:
    rule = IgnoredDifference(group="apps", kind="Deployment", managed_fields_managers=("autoscaler",))
    begun(world, ignore_differences=(rule,))
    autoscaler(world, 7)
    world.write({"web.yaml": TEXT % 2})

    assert world.sync().sync == Sync.SYNCED
    assert live(world)["spec"]["replicas"] == 7


def test_a_fight_ends_when_the_field_is_given_up(world: World) -> None:
    begun(world, ignore_differences=())
    for replicas in (5, 6, 7, 8):
        autoscaler(world, replicas)
        record = world.sync(reasons=("drift",), by_operator=False)
    assert (record.reason, record.sync) == ("Contested", Sync.OUT_OF_SYNC)
    assert "autoscaler" in record.message
    assert ".spec.replicas" in record.message

    world.options = {"ignore_differences": (REPLICAS,)}
    record = world.sync(reasons=("fleet changed",), by_operator=False)

    assert (record.sync, record.drift, record.memory.heals) == (Sync.SYNCED, (), {})
    autoscaler(world, 9)
    assert world.sync(reasons=("drift",), by_operator=False).sync == Sync.SYNCED
    assert live(world)["spec"]["replicas"] == 9
