"""Fields that others add to our objects: left, or taken away where the policy says so, on a real API server."""

from __future__ import annotations

from typing import Any

from reconciler.model.changeset import Drift
from reconciler.model.drift import DriftPolicy, ForeignRule
from reconciler.model.manifest import ObjectKey
from reconciler.model.record import Sync
from reconciler.pipeline.scan import ScanReport, judge
from reconciler.pipeline.sight import look
from tests.integration.pipeline.conftest import CONFIG_MAP, OpenLease, World, config_map

REMOVE = DriftPolicy(foreign_fields=(ForeignRule(managers=("kubectl*",), action="Remove"),))


def annotate(world: World, manager: str, name: str) -> None:
    meta = {"name": "one", "namespace": world.name, "annotations": {name: "by hand"}}
    world.api.apply(
        CONFIG_MAP, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}, manager=manager, force=False
    )


def annotations(world: World) -> dict[str, Any]:
    live = world.config_map()
    assert live is not None
    return dict(live["metadata"].get("annotations") or {})


def scanned(world: World, policy: DriftPolicy) -> ScanReport:
    sight = look(world.target, {}, OpenLease(), world.rooms)
    return judge(sight, {world.key: world.memory}, world.rooms, policies={world.key: policy})


def test_what_a_person_added_is_told_and_stays(world: World) -> None:
    world.write({"a.yaml": config_map()})
    world.sync()
    annotate(world, "kubectl-annotate", "hand.example.com/a")
    annotate(world, "some-controller", "controller.example.com/b")

    finding = scanned(world, DriftPolicy()).findings[world.key]

    assert [(key.name, one.field, one.action) for key, one in finding.foreign] == [
        ("one", ".metadata.annotations.hand.example.com/a", "Report")
    ]
    assert finding.is_proven
    assert world.sync(full=True).sync is Sync.SYNCED
    assert set(annotations(world)) == {"hand.example.com/a", "controller.example.com/b"}


def test_what_is_to_be_removed_goes_and_nothing_else(world: World) -> None:
    world.options["drift"] = REMOVE
    world.write({"a.yaml": config_map(a="1")})
    world.sync()
    annotate(world, "kubectl-annotate", "hand.example.com/a")
    annotate(world, "some-controller", "controller.example.com/b")

    record = world.sync()

    assert annotations(world) == {"controller.example.com/b": "by hand"}
    assert (record.sync, record.counts) == (Sync.SYNCED, {"Healed": 1})
    key = ObjectKey("", "ConfigMap", world.name, "one")
    assert record.drift == (
        Drift(key, ".metadata.annotations.hand.example.com/a", "kubectl-annotate", "", '"by hand"'),
    )
    assert world.sync().counts == {}
    assert scanned(world, REMOVE).findings[world.key].foreign == ()


def test_what_is_to_be_removed_is_only_told_where_drift_is_only_told(world: World) -> None:
    world.options["drift"] = REMOVE.model_copy(update={"action": "Report"})
    world.write({"a.yaml": config_map(a="1")})
    world.sync()
    annotate(world, "kubectl-annotate", "hand.example.com/a")

    record = world.sync(by_operator=False)

    assert (record.sync, record.reason) == (Sync.OUT_OF_SYNC, "Drifted")
    assert ".metadata.annotations.hand.example.com/a" in record.message
    assert annotations(world) == {"hand.example.com/a": "by hand"}
