"""What a person is asked about an object that exists: all that their word changes, and what stands after it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from reconciler.errors import FirstContact, InvalidObject
from reconciler.model.manifest import ObjectKey
from reconciler.model.record import Memory, Order
from reconciler.objects import diff, managedfields
from reconciler.pipeline.preview import Preview, diffs, preview
from tests.integration.pipeline.conftest import World
from workers.cli import activating, looking

CONTAINERS = ".spec.template.spec.containers"
PROBE = {"httpGet": {"path": "/ready", "port": 80}, "periodSeconds": 5}


def deployment(
    image: str, name: str = "podinfo", labels: Mapping[str, str] | None = None, **spec: Any
) -> dict[str, Any]:
    pod = {"metadata": {"labels": {"app": "podinfo"}}, "spec": {"containers": [{"name": name, "image": image}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "podinfo", "labels": dict(labels or {})},
        "spec": {"selector": {"matchLabels": {"app": "podinfo"}}, "template": pod, **spec},
    }


def config(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": data}


def secret(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "one"}, "stringData": data}


def made_by_kubectl(world: World, body: dict[str, Any]) -> Mapping[str, Any]:
    """An object as `kubectl create` leaves it: one Update entry that holds every field, the defaults too."""
    resource = resource_of(world, body)
    live = world.api.create(resource, {**body, "metadata": {**body["metadata"], "namespace": world.name}})
    entries = [{**one, "manager": "kubectl-create"} for one in managedfields.entries(live)]
    patch = [{"op": "replace", "path": "/metadata/managedFields", "value": entries}]
    return world.api.patch_json(resource, world.name, body["metadata"]["name"], patch)


def resource_of(world: World, body: dict[str, Any]) -> Any:
    return world.api.discovery().find(ObjectKey.of(body).group_kind)


def looked(world: World) -> Preview:
    return preview(world.spec(), Order(reasons=("preview",)), Memory(), world.rooms)


def told(world: World) -> str:
    """Why the one object of the plan is held."""
    (refusal,) = looked(world).refused.values()
    assert isinstance(refusal, FirstContact)
    return refusal.message


@pytest.fixture
def contacted(world: World) -> World:
    """What the newcomer had: made by `kubectl create deployment podinfo --image=old:1`, and Git wants another."""
    made_by_kubectl(world, deployment("old:1", "old", {"app": "podinfo"}, replicas=1))
    world.write({"all.yaml": json.dumps(deployment("new:2", replicas=3))})
    return world


def test_what_goes_is_told_beside_the_values_that_differ(contacted: World) -> None:
    message = told(contacted)

    assert "Git wants other values: .spec.replicas (3 where 1 stands, by kubectl-create)" in message
    assert '.metadata.labels.app ("podinfo")' in message
    assert CONTAINERS + '[name=old] ({"name":"old","image":"old:1"' in message
    assert "Git adds: " + CONTAINERS + '[name=podinfo] ({"name":"podinfo","image":"new:2"' in message
    assert contacted.sync().reason == "FirstContact"
    assert looked(contacted).refused, "nothing was written"


def test_the_hold_itself_names_each_kind_of_change(contacted: World) -> None:
    shown = looked(contacted).plan.holds[0].message
    record = contacted.sync()

    for message in (shown, record.message):
        assert "changes .spec.replicas, takes away" in message
        assert ", takes away " + CONTAINERS + "[name=old], .metadata.labels.app, " in message
        assert "adds " + CONTAINERS + "[name=podinfo]" in message


@pytest.mark.parametrize(
    "adopt",
    [{}, {"adopt": "Never"}, {"labels": {"argocd.argoproj.io/instance": "a"}}],
    ids=["free", "never", "claimed"],
)
def test_a_field_that_goes_is_told_whatever_the_cause(world: World, adopt: dict[str, Any]) -> None:
    body = config(color="red", extra="handmade")
    body["metadata"]["labels"] = adopt.get("labels", {})
    made_by_kubectl(world, body)
    world.options["sync"] = {"adopt": adopt.get("adopt", "Unclaimed")}
    world.write({"all.yaml": json.dumps(config(color="blue", more="1"))})

    message = told(world)

    for part in ('.data.color ("blue" where "red" stands', '.data.extra ("handmade")', 'Git adds: .data.more ("1")'):
        assert part in message


def test_many_changes_are_told_by_the_first_and_a_count(world: World) -> None:
    made_by_kubectl(world, config(**{f"k{number:02}": "x" * 5000 for number in range(25)}))
    world.write({"all.yaml": json.dumps(config(k00="y", k01="y"))})

    message = told(world)

    assert ".data.k01" in message
    assert ".data.k11" in message
    assert ".data.k12" not in message
    assert "and 13 more" in message
    assert len(message) < 2500
    assert "takes away .data.k02, .data.k03 and 21 more" in looked(world).plan.holds[0].message


def test_a_value_that_is_false_or_empty_is_lost_too(world: World) -> None:
    body = deployment("web:1", replicas=1)
    body["spec"]["template"]["spec"]["automountServiceAccountToken"] = False
    made_by_kubectl(world, body)
    world.write({"all.yaml": json.dumps(deployment("web:1", replicas=1))})

    assert ".spec.template.spec.automountServiceAccountToken (false)" in told(world)


def with_probe() -> dict[str, Any]:
    body = deployment("old:1", replicas=2)
    pod = body["spec"]["template"]["spec"]
    pod["containers"][0] |= {
        "livenessProbe": PROBE,
        "ports": [{"containerPort": 80}],
        "env": [{"name": "A", "value": "1"}],
    }
    pod |= {"volumes": [{"name": "tmp", "emptyDir": {}}], "terminationGracePeriodSeconds": 7, "restartPolicy": "Always"}
    return body


@pytest.mark.parametrize(
    ("stands", "wanted"),
    [
        (deployment("old:1", "old", {"app": "podinfo"}, replicas=1), deployment("new:2", replicas=3)),
        (with_probe(), deployment("new:2")),
        (with_probe(), with_probe() | {"metadata": {"name": "podinfo", "annotations": {"a/b": "1"}}}),
        (deployment("a:1", strategy={"type": "Recreate"}), deployment("a:1")),
        (config(a="1", extra="x"), config(a="2")),
        (config(extra="x"), {**config(), "data": {}}),
        (secret(a="1", extra="x"), secret(a="2")),
    ],
    ids=["another container", "a probe goes", "annotated", "strategy", "config map", "all of a map", "secret"],
)
def test_a_diff_shows_exactly_what_an_approval_then_changes(
    world: World, stands: dict[str, Any], wanted: dict[str, Any]
) -> None:
    made_by_kubectl(world, stands)
    world.write({"all.yaml": json.dumps(wanted)})
    resource, name = resource_of(world, stands), stands["metadata"]["name"]
    before = world.api.get(resource, world.name, name)
    found = looked(world)
    (shown,) = diffs(world.spec(), found, world.rooms)

    records = [world.sync(), world.sync(approved_plan=found.plan.id)]

    after = world.api.get(resource, world.name, name)
    assert {"Adopted": 1} in [one.counts for one in records]
    assert shown.differences == diff.differences(before, after)


def test_what_the_server_does_not_take_for_a_whole_object_is_told_as_far_as_is_known(
    contacted: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: Any, **__: Any) -> None:
        raise InvalidObject("no")

    monkeypatch.setattr(type(contacted.api), "patch_json", refuses)

    message = told(contacted)

    assert CONTAINERS + '[name=old] ({"name":"old","image":"old:1"' in message
    assert ".metadata.labels.app" in message


def test_a_diff_is_told_with_the_names_of_items_and_values_as_json(
    contacted: World, capsys: pytest.CaptureFixture[str]
) -> None:
    (shown,) = diffs(contacted.spec(), looked(contacted), contacted.rooms)

    looking._print_diff(shown)

    said = capsys.readouterr().out
    assert "  .spec.replicas: 1 -> 3\n" in said
    assert "  " + CONTAINERS + '[name=old]: {"name":"old","image":"old:1"' in said
    assert "  " + CONTAINERS + '[name=podinfo]: (none) -> {"name":"podinfo","image":"new:2"' in said
    for default in ("schedulerName", "restartPolicy", "dnsPolicy", "strategy", "a value", "None"):
        assert default not in said


def test_values_of_a_secret_stay_hidden(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    made_by_kubectl(world, secret(password="hunter22", extra="hunter33"))
    world.write({"all.yaml": json.dumps(secret(password="hunter44"))})
    (shown,) = diffs(world.spec(), looked(world), world.rooms)

    looking._print_diff(shown)

    said = capsys.readouterr().out + told(world) + looked(world).plan.holds[0].message
    assert ".data.extra" in said
    for number in ("22", "33", "44"):
        assert f"hunter{number}" not in said
    assert "aHVudGVy" not in said


def test_activation_tells_what_is_changed_without_a_question(world: World) -> None:
    made_by_kubectl(world, config(a="1", extra="handmade"))
    world.options["sync"] = {"adopt": "Always"}
    world.write({"all.yaml": json.dumps(config(a="2"))})
    found = looked(world)
    (change,) = found.changes

    assert activating._why(change, found, world.spec()) == (
        'it exists, and sync.adopt is Always; it changes .data.a: "1" -> "2", .data.extra: "handmade" -> (none)'
    )
