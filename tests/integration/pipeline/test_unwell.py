"""Why a workload is not well, as its Pods say, on a cluster whose Pods really fail."""

from __future__ import annotations

import pytest

from reconciler.clock import SystemClock
from reconciler.model.live import Resource
from reconciler.model.manifest import ObjectKey
from reconciler.objects.kinds import NAMESPACES
from reconciler.pipeline.unwell import pods_say
from tests.fixtures.installation import eventually
from tests.integration.pipeline.conftest import World
from tests.integration.pipeline.test_bad_cluster import full_world

__all__ = ["full_world"]

pytestmark = pytest.mark.cluster
DEPLOYMENTS = Resource("apps", "v1", "Deployment", "deployments", True)


def make_namespace(world: World) -> None:
    world.api.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": world.name}})


@pytest.mark.parametrize(
    ("image", "says"),
    [("web:broken", "container web: ImagePullBackOff"), ("web:crash", "container web: CrashLoopBackOff")],
)
def test_a_deployment_whose_pods_do_not_start_is_told_by_them(full_world: World, image: str, says: str) -> None:
    labels = {"app": "web", "tier": "front"}
    containers = [{"name": "web", "image": image}]
    selector = {
        "matchLabels": {"app": "web"},
        "matchExpressions": [{"key": "tier", "operator": "In", "values": ["front"]}],
    }
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
    metadata = {"name": "web", "namespace": full_world.name}
    spec = {"selector": selector, "template": template}
    make_namespace(full_world)
    full_world.api.create(
        DEPLOYMENTS, {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}
    )
    workload = ObjectKey("apps", "Deployment", full_world.name, "web")
    others = [
        ObjectKey("", "ConfigMap", full_world.name, "web"),
        ObjectKey("apps", "Deployment", full_world.name, "none"),
    ]

    def said() -> dict[ObjectKey, str]:
        return pods_say(full_world.api, [workload, *others], SystemClock().now())

    eventually(lambda: says in said().get(workload, ""), "its Pod says why")
    assert said().keys() == {workload}
