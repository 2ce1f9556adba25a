"""An admission policy that rewrites our fields as we apply them: told, and no fight over what nobody changed since."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reconciler.model.live import Resource
from reconciler.model.record import Sync
from tests.fixtures.installation import eventually
from tests.integration.pipeline.conftest import CONFIG_MAP, World, config_map
from tests.integration.pipeline.test_sync import patch

GROUP = "admissionregistration.k8s.io"
POLICY = Resource(GROUP, "v1", "MutatingAdmissionPolicy", "mutatingadmissionpolicies", False)
BINDING = Resource(GROUP, "v1", "MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings", False)


@pytest.fixture
def rewriting(world: World) -> Iterator[None]:
    """Every ConfigMap of the world's namespace gets `a: rewritten`, whatever was sent."""
    match = {
        "resourceRules": [
            {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE", "UPDATE"]}
        ],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": world.name}},
    }
    spec = {
        "matchConstraints": match,
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "mutations": [
            {
                "patchType": "JSONPatch",
                "jsonPatch": {"expression": '[JSONPatch{op: "add", path: "/data/a", value: "rewritten"}]'},
            }
        ],
    }
    api, meta = world.api, {"name": world.name}
    version = {"apiVersion": f"{GROUP}/v1"}
    binding = {"policyName": world.name}
    made = [
        (POLICY, api.create(POLICY, {**version, "kind": POLICY.kind, "metadata": meta, "spec": spec})),
        (BINDING, api.create(BINDING, {**version, "kind": BINDING.kind, "metadata": meta, "spec": binding})),
    ]
    yield
    for resource, one in made:
        api.delete(resource, "", world.name, uid=one["metadata"]["uid"])


def awaited(world: World) -> None:
    """Until the policy is in force, which the API server does not tell."""
    meta = {"name": "probe", "namespace": world.name}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"a": "sent"}}
    eventually(
        lambda: world.api.apply(CONFIG_MAP, body, manager="probe", force=True)["data"]["a"] != "sent", "in force"
    )


def test_a_field_that_admission_rewrites_is_told_and_is_no_drift(world: World, rewriting: None) -> None:
    awaited(world)
    world.write({"a.yaml": config_map("one", a="1", b="2")})

    first, again = world.sync(), world.sync()

    assert first.sync is Sync.SYNCED
    assert [one for one in first.warnings if '.data.a from "1" to "rewritten"' in one]
    assert (again.sync, again.drift, again.counts) == (Sync.SYNCED, (), {})


def test_a_rewriter_of_somebody_elses_write_is_healed_once_and_named(world: World, rewriting: None) -> None:
    """It rewrites on every write, ours too, so that what stands is its value; still no pass after it writes again."""
    awaited(world)
    world.write({"a.yaml": config_map("one", a="1", b="2")})
    world.sync()
    patch(world, [{"op": "add", "path": "/data/b", "value": "by hand"}])

    healed, after = world.sync(), world.sync()

    live = world.config_map("one")
    assert live is not None
    assert healed.counts == {"Healed": 1}
    assert live["data"] == {"a": "rewritten", "b": "2"}
    assert after.counts == {}
