"""What stays put when an object of others is taken over, even with a person's word: its scale, and its last restart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from kubernetes import client, config

from reconciler.devcluster import Running
from reconciler.model.drift import IgnoredDifference
from reconciler.model.record import Phase, Sync
from reconciler.model.spec import SyncPolicy
from tests.integration.pipeline.conftest import CONFIG_MAP, DEPLOYMENT, World, config_map
from tests.integration.pipeline.test_ignored import REPLICAS, TEXT, live

RESTARTED = {"kubectl.kubernetes.io/restartedAt": "2026-11-24T00:00:00Z"}
Scale = Callable[[int, str], None]


@pytest.fixture
def scale(world: World, bare_cluster: Running) -> Scale:
    """Scales the Deployment by its subresource, as autoscalers and `kubectl scale` do."""

    def patch(replicas: int, manager: str) -> None:
        with config.new_client_from_config(str(bare_cluster.kubeconfig)) as api:
            client.AppsV1Api(api).patch_namespaced_deployment_scale(
                "web", world.name, {"spec": {"replicas": replicas}}, field_manager=manager
            )

    return patch


def existing(world: World) -> dict[str, Any]:
    """A Deployment that somebody made, and restarted."""
    pod = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": world.name},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": pod},
    }
    made = dict(world.api.create(DEPLOYMENT, body))
    template = {"metadata": {"annotations": RESTARTED}, "spec": {}}
    restarted = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": body["metadata"],
        "spec": {"template": template},
    }
    world.api.apply(DEPLOYMENT, restarted, manager="kubectl-rollout", force=True)
    return made


@pytest.mark.parametrize("adopt", ["Unclaimed", "Always"])
def test_what_an_autoscaler_scales_is_not_scaled_by_an_adoption(world: World, scale: Scale, adopt: str) -> None:
    existing(world)
    scale(7, "horizontal-pod-autoscaler")
    before = live(world)
    world.write({"web.yaml": TEXT % 1})
    world.options["sync"] = SyncPolicy(adopt=adopt)

    record = world.sync()

    assert (record.phase, record.reason) == (Phase.FAILED, "OwnedByAutoscaler")
    assert "scaled by horizontal-pod-autoscaler, to 7; Git declares 2" in record.message
    assert live(world) == before


@pytest.mark.parametrize(
    "options", [{"ignore_differences": (REPLICAS,)}, {"text": "replicas: 7"}], ids=["ignored", "as it stands"]
)
def test_the_ways_out_adopt_without_a_restart(world: World, scale: Scale, options: dict[str, Any]) -> None:
    existing(world)
    scale(7, "horizontal-pod-autoscaler")
    before = live(world)
    text = (TEXT % 1).replace("replicas: 2", options.get("text", "replicas: 2"))
    world.write({"web.yaml": text})
    ignored: tuple[IgnoredDifference, ...] = options.get("ignore_differences", ())
    world.options |= {"ignore_differences": ignored}

    record = world.sync()

    assert (record.sync, record.counts) == (Sync.SYNCED, {"Adopted": 1})
    after = live(world)
    assert after["spec"]["replicas"] == 7
    assert after["spec"]["template"]["metadata"]["annotations"] == RESTARTED
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert world.sync(full=True).sync is Sync.SYNCED
    assert live(world)["metadata"]["generation"] == before["metadata"]["generation"]


def test_a_scale_by_hand_is_no_autoscaler(world: World, scale: Scale) -> None:
    existing(world)
    scale(5, "kubectl-scale")
    world.write({"web.yaml": TEXT % 1})
    world.options["sync"] = SyncPolicy(adopt="Always")

    assert world.sync().counts == {"Adopted": 1}
    assert live(world)["spec"]["replicas"] == 2


def test_what_was_refused_and_never_ours_is_no_member(world: World) -> None:
    """Its manifest left Git, and `app plan` told that somebody's object would be deleted."""
    world.write({"two.yaml": config_map("two")})
    world.sync()
    meta = {"name": "one", "namespace": world.name}
    theirs = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"a": "theirs"}, "immutable": True}
    world.api.create(CONFIG_MAP, theirs)
    world.write({"one.yaml": config_map()})
    assert world.sync().reason == "ImmutableField"

    world.write({"one.yaml": None})
    record = world.sync()

    assert "Left" not in record.counts
    world.sync(full=True)  # which writes what is remembered
    assert {key.name for key in world.inventory().members} == {"two"}
    assert (world.config_map() or {})["data"] == {"a": "theirs"}
