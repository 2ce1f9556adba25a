"""A full cluster behaves: Deployments become ready, failures fail, namespaces really go."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3

from reconciler import devcluster
from tests.fixtures.clusters import make_namespace
from tests.fixtures.installation import eventually

pytestmark = pytest.mark.cluster


class Kube:
    """A namespace of a cluster, as its admin."""

    def __init__(self, cluster: devcluster.Running, http: urllib3.PoolManager) -> None:
        self.namespace, self._cluster, self._http = make_namespace(cluster), cluster, http

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {self._cluster.token}"}
        answer = self._http.request(method, self._cluster.server_url + path, headers=headers, json=body)
        return answer.status, json.loads(answer.data)

    def deploy(self, image: str) -> None:
        labels = {"app": "web"}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": image}]}}
        body = {"metadata": {"name": "web"}, "spec": {"selector": {"matchLabels": labels}, "template": template}}
        status, _ = self.ask("POST", f"/apis/apps/v1/namespaces/{self.namespace}/deployments", body)
        assert status == 201

    def waiting(self) -> str:
        _, pods = self.ask("GET", f"/api/v1/namespaces/{self.namespace}/pods")
        states = [pod["status"].get("containerStatuses", [{}])[0].get("state", {}) for pod in pods["items"]]
        return str(states[0].get("waiting", {}).get("reason", "")) if states else ""

    def ready(self) -> bool:
        _, found = self.ask("GET", f"/apis/apps/v1/namespaces/{self.namespace}/deployments/web")
        return bool(found["status"].get("readyReplicas") == 1)


@pytest.fixture
def kube(full_cluster: devcluster.Running) -> Iterator[Kube]:
    with urllib3.PoolManager(ca_cert_data=full_cluster.ca) as http:
        yield Kube(full_cluster, http)


def test_a_deployment_becomes_ready(kube: Kube) -> None:
    kube.deploy("web:1.0")

    eventually(kube.ready, "the Deployment is ready", within_s=45)


@pytest.mark.parametrize(("tag", "reason"), [("broken", "ImagePullBackOff"), ("crash", "CrashLoopBackOff")])
def test_an_image_tag_makes_a_pod_fail(kube: Kube, tag: str, reason: str) -> None:
    kube.deploy(f"web:{tag}")

    eventually(lambda: kube.waiting() == reason, f"its Pod says {reason}", within_s=45)
    assert not kube.ready()


def test_a_deleted_namespace_really_goes(kube: Kube) -> None:
    path = f"/api/v1/namespaces/{kube.namespace}"
    assert kube.ask("DELETE", path)[0] == 200

    eventually(lambda: kube.ask("GET", path)[0] == 404, "the namespace is gone", within_s=45)
