from __future__ import annotations

from datetime import UTC, datetime

import pytest

from reconciler import health
from reconciler.model.health import Health, ObjectHealth
from reconciler.model.manifest import ObjectKey

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CLAIM = ObjectKey("", "PersistentVolumeClaim", "shop", "data")
CONFIG = ObjectKey("", "ConfigMap", "shop", "settings")


def claim(phase: str) -> dict[str, object]:
    meta = {"name": "data", "namespace": "shop"}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "status": {"phase": phase}}


def test_an_object_that_is_not_there_is_missing():
    assert health.assess(None, NOW) == ObjectHealth(Health.MISSING, "NotFound", "it does not exist")


def test_an_instance_is_as_well_as_its_worst_object():
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}}

    report = health.report({CONFIG: config, CLAIM: claim("Lost")}, NOW)

    assert report.objects[CONFIG].health is Health.HEALTHY
    assert report.worst is Health.DEGRADED


def test_an_instance_without_objects_is_healthy():
    assert health.report({}, NOW).worst is Health.HEALTHY


def test_a_namespace_that_goes_says_what_still_holds_it():
    body = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "shop", "deletionTimestamp": "2026-01-01T00:00:00Z"},
        "status": {"conditions": [{"type": "NamespaceContentRemaining", "status": "True", "message": "1 Pod is left"}]},
    }

    assert health.assess(body, NOW).message == "being deleted: 1 Pod is left"


def test_an_object_that_goes_names_its_finalizers():
    body = claim("Bound")
    body["metadata"] = {
        "name": "data",
        "deletionTimestamp": "2026-01-01T00:00:00Z",
        "finalizers": ["kubernetes.io/pvc-protection"],
    }

    assert "kubernetes.io/pvc-protection" in health.assess(body, NOW).message


@pytest.mark.parametrize(
    "status", ["done", ["done"], {"conditions": "Ready"}, {"conditions": ["Ready", None]}, 7, None]
)
def test_a_custom_resource_may_have_a_status_of_any_shape(status):
    body = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "status": status}

    assert health.assess(body, NOW).health is Health.HEALTHY
