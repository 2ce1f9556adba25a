"""Waves against a real API server: first contact, drift, refusals in the server's own words, replacement."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from reconciler import apply
from reconciler.devcluster import Running
from reconciler.model.instance import InstanceKey
from reconciler.model.inventory import Applied, Intent, Inventory, Member, Proof
from reconciler.model.live import Resource
from reconciler.model.manifest import ObjectKey
from reconciler.model.plan import Action, Cause, Change
from reconciler.objects.keys import PART_OF, PRUNE, REPLACE
from reconciler.objects.kinds import NAMESPACES
from tests.integration.apply.conftest import CONFIGS, World, api_of

pytestmark = pytest.mark.cluster

JOBS = Resource("batch", "v1", "Job", "jobs", True)


def foreign(world: World, manager: str = "kubectl-client-side-apply", **metadata: Any) -> None:
    """An object that somebody else made, under a manager's name."""
    body = world.config(a="1")
    body["metadata"] |= metadata
    live = world.api.create(CONFIGS, body)
    entries = [{**entry, "manager": manager} for entry in live["metadata"]["managedFields"]]
    patch = [{"op": "replace", "path": "/metadata/managedFields", "value": entries}]
    world.api.patch_json(CONFIGS, world.namespace, "one", patch)


def edit(world: World, path: str, value: Any, op: str = "replace") -> None:
    world.api.patch_json(CONFIGS, world.namespace, "one", [{"op": op, "path": path, "value": value}])


def only(outcomes: list[Any]) -> tuple[str, str]:
    (outcome,) = outcomes
    return str(outcome.result), outcome.error.reason if outcome.error else ""


# ── first contact


@pytest.mark.parametrize(
    ("metadata", "claim"),
    [
        ({"annotations": {"argocd.argoproj.io/tracking-id": "web:/ConfigMap:x/one"}}, "Argo CD"),
        ({"labels": {"argocd.argoproj.io/instance": "web"}}, "Argo CD"),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "web"}}, "Flux Kustomization"),
        ({"labels": {"helm.toolkit.fluxcd.io/name": "web"}}, "Flux HelmRelease"),
        ({"annotations": {"meta.helm.sh/release-name": "web"}}, "Helm release"),
        ({"labels": {PART_OF: "applyset-another-v1"}}, "ApplySet applyset-another-v1"),
        (
            {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": True}]},
            "its controller Pod p",
        ),
    ],
    ids=["Argo CD annotation", "Argo CD label", "Flux", "HelmRelease", "Helm", "ApplySet", "controller"],
)
def test_what_another_tool_claims_is_left_as_it_is(world: World, metadata: dict[str, Any], claim: str) -> None:
    foreign(world, **metadata)
    before = world.live()

    (outcome,) = world.send(world.config(a="1"))

    assert outcome.error is not None
    assert outcome.error.reason == "FirstContact"
    assert claim in outcome.error.message
    assert world.live() == before


def test_unclaimed_fields_that_differ_are_listed_and_nothing_is_written(world: World) -> None:
    foreign(world)
    before = world.live()

    (outcome,) = world.send(world.config(a="2"))

    assert outcome.error is not None
    assert outcome.error.reason == "FirstContact"
    assert '.data.a ("2" where "1" stands, by kubectl-client-side-apply)' in outcome.error.message
    assert world.live() == before, "not even its managedFields"


def test_adopt_never_leaves_what_exists(world: World) -> None:
    foreign(world)

    assert only(world.send(world.config(), adopt="Never")) == ("Failed", "FirstContact")


def test_adopt_always_takes_even_what_is_claimed(world: World) -> None:
    foreign(world, labels={"argocd.argoproj.io/instance": "web"})

    assert only(world.send(world.config(a="2"), adopt="Always")) == ("Adopted", "")
    assert world.live()["data"]["a"] == "2"


def test_what_we_made_in_a_pass_that_died_is_ours(world: World) -> None:
    world.send(world.config(a="1"))

    assert only(world.send(world.config(a="2"))) == ("Configured", "")


def test_the_second_application_is_refused_with_both_named(world: World) -> None:
    world.send(world.config(a="1"))
    other = InstanceKey("default", "other", "bare")

    for action in (Action.CREATE, Action.APPLY, Action.ADOPT):
        (outcome,) = world.send(world.config(a="1"), of=other, action=action, adopt="Always")
        assert outcome.error is not None
        assert outcome.error.reason == "OwnedByAnother"
        assert f"default/{world.namespace}" in outcome.error.message
        assert "default/other" in outcome.error.message


# ── members


def test_a_wave_costs_one_request_an_object(world: World) -> None:
    world.api.discovery()
    before = world.api.requests

    found = world.send(*(world.config(f"c{number}") for number in range(20)))

    assert {str(outcome.result) for outcome in found} == {"Created"}
    assert [outcome.key.name for outcome in found] == [f"c{number}" for number in range(20)]
    assert world.api.requests == before + 20


def test_drift_is_healed_with_field_writer_and_both_values(world: World) -> None:
    world.send(world.config(a="1"))
    edit(world, "/data/a", "by hand")
    before = world.api.requests

    (outcome,) = world.send(world.config(a="1"), action=Action.APPLY, cause=Cause.DRIFT)

    assert outcome.result == "Healed"
    (drift,) = outcome.drift
    assert (drift.field, drift.manager, drift.ours, drift.theirs) == (".data.a", "undrift", '"1"', '"by hand"')
    assert world.api.requests == before + 3  # refused, looked at, forced


def test_an_object_put_back_is_called_deleted_and_one_relabelled_is_not(world: World) -> None:
    live = world.send(world.config(a="1"))[0].live or {}
    world.api.delete(CONFIGS, world.namespace, "one", uid=live["metadata"]["uid"])

    (gone,) = world.send(world.config(a="1"), action=Action.APPLY, cause=Cause.GONE)
    time.sleep(1.1)  # managedFields tell times to the second only
    edit(world, "/metadata/labels", None, op="remove")
    (unlabelled,) = world.send(world.config(a="1"), action=Action.APPLY, cause=Cause.GONE)

    assert [drift.field for drift in gone.drift] == ["(deleted)"]
    assert [drift.field for drift in unlabelled.drift] == [f".metadata.labels.{PART_OF}"]


# ── refusals


def broken_type(world: World) -> dict[str, Any]:
    return {**world.config(), "data": {"a": 1}}


def unknown_field(world: World) -> dict[str, Any]:
    return {**world.config(), "dta": {"a": "1"}}


def bad_name(world: World) -> dict[str, Any]:
    return world.config("Not A Name")


def too_large(world: World) -> dict[str, Any]:
    return world.config(a="x" * (4 << 20))


def no_namespace(world: World) -> dict[str, Any]:
    body = world.config()
    body["metadata"]["namespace"] = "no-such-namespace"
    return body


def unknown_kind(world: World) -> dict[str, Any]:
    return {**world.config(), "apiVersion": "example.com/v1", "kind": "Widget"}


def unknown_version(world: World) -> dict[str, Any]:
    return {**world.config(), "apiVersion": "v2"}


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (broken_type, "InvalidObject"),
        (unknown_field, "InvalidObject"),
        (bad_name, "InvalidObject"),
        (too_large, "InvalidObject"),
        (no_namespace, "NamespaceMissing"),
        (unknown_kind, "UnknownKind"),
        (unknown_version, "UnknownKind"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_refusal_is_told_and_the_other_objects_go_on(
    world: World, make: Callable[[World], dict[str, Any]], reason: str
) -> None:
    bad, good = world.send(make(world), world.config("good"))

    assert bad.error is not None
    assert bad.error.reason == reason, bad.error.message
    assert bad.key.name in bad.error.message
    assert len(bad.error.message) < 1100
    assert good.result == "Created"


def test_a_terminating_namespace_is_told_apart(world: World) -> None:
    namespaces = Resource("", "v1", "Namespace", "namespaces", False)
    live = world.api.get(namespaces, "", world.namespace) or {}
    world.api.delete(namespaces, "", world.namespace, uid=live["metadata"]["uid"])

    assert only(world.send(world.config())) == ("Failed", "NamespaceTerminating")


def test_a_user_without_rights_is_told_what_is_missing(bare_cluster: Running, world: World, tmp_path: Any) -> None:
    folder = tmp_path / "powerless"
    folder.mkdir()
    text = bare_cluster.kubeconfig.read_text().replace(bare_cluster.token, bare_cluster.powerless_token)
    for api in api_of(bare_cluster, folder, text):
        (outcome,) = World(api, world.namespace, world.inventories).send(world.config())

        assert outcome.error is not None
        assert outcome.error.reason == "AccessDenied"
        assert 'cannot patch resource "configmaps"' in outcome.error.message


def test_a_refused_secret_keeps_its_value_to_itself(world: World) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "namespace": world.namespace},
        "data": {"pin": 907, "deep": {"x": "hunter2secret"}, "word": "hunter2secret"},
    }

    (outcome,) = world.send(secret)

    assert outcome.error is not None
    assert outcome.error.reason == "InvalidObject"
    assert "hunter2" not in outcome.error.message
    assert "907" not in outcome.error.message


# ── replacement


def job(world: World, image: str, **annotations: str) -> dict[str, Any]:
    meta = {"name": "one", "namespace": world.namespace, "annotations": annotations}
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": image}]}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": {"template": {"spec": pod}}}


def job_uid(world: World) -> str:
    return str((world.api.get(JOBS, world.namespace, "one") or {})["metadata"]["uid"])


def test_an_immutable_field_says_the_way_out(world: World) -> None:
    world.send(job(world, "a:1"))

    (outcome,) = world.send(job(world, "a:2"), action=Action.APPLY, cause=Cause.CHANGED)

    assert outcome.error is not None
    assert outcome.error.reason == "ImmutableField"
    assert "spec.template" in outcome.error.message
    assert REPLACE in outcome.error.message
    assert len(outcome.error.message) < 900


def test_an_annotated_object_of_ours_is_made_anew(world: World) -> None:
    key = ObjectKey("batch", "Job", world.namespace, "one")
    world.begin(key)
    world.send(job(world, "a:1", **{REPLACE: "true"}))
    before = job_uid(world)

    found = world.send(job(world, "a:2", **{REPLACE: "true"}), action=Action.REPLACE, cause=Cause.IMMUTABLE)

    assert only(found) == ("Replaced", "")
    assert job_uid(world) != before


def test_an_object_that_existed_before_us_is_never_replaced(world: World) -> None:
    """The annotation stands in Git; the object is not ours to delete all the same."""
    world.api.create(JOBS, job(world, "a:1"))
    before = job_uid(world)
    time.sleep(1.1)  # creation is told to the second only
    world.begin(ObjectKey("batch", "Job", world.namespace, "one"))

    (outcome,) = world.send(job(world, "a:2", **{REPLACE: "true"}), adopt="Always", action=Action.REPLACE)

    assert outcome.error is not None
    assert outcome.error.reason == "ImmutableField"
    assert "existed before" in outcome.error.message or "label" in outcome.error.message
    assert job_uid(world) == before


# ── what must stand first


def definition(plural: str) -> dict[str, Any]:
    kind = plural.capitalize()
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object"}}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }


def test_a_definitions_objects_may_come_right_after_it(world: World) -> None:
    plural = f"w{uuid.uuid4().hex[:8]}"
    crd = world.send(definition(plural))
    meta = {"name": "one", "namespace": world.namespace}

    custom = world.send({"apiVersion": "example.com/v1", "kind": plural.capitalize(), "metadata": meta, "spec": {}})

    assert [only(crd), only(custom)] == [("Created", ""), ("Created", "")]


def test_a_namespace_is_made_when_missing_and_asked_for_once(world: World) -> None:
    name = f"made-{uuid.uuid4().hex[:8]}"
    body = world.config()
    body["metadata"]["namespace"] = name
    world.api.discovery()
    before = world.api.requests

    first = world.send(body, create_namespace=name)
    between = world.api.requests
    second = world.send(body, action=Action.APPLY, create_namespace=name)

    assert [only(first), only(second)] == [("Created", ""), ("Configured", "")]
    assert (between - before, world.api.requests - between) == (3, 1)
    assert world.api.get(NAMESPACES, "", name) is not None


# ── the whole way


def test_a_first_sync_of_three_objects_costs_five_requests(world: World) -> None:
    world.api.discovery()
    world.inventories.begin(world.api, InstanceKey("default", "warm", "bare"), *warm(world))
    before = world.api.requests
    bodies = [world.config(name) for name in ("a", "b", "c")]

    world.inventory = world.inventories.read(world.api, world.key)
    world.begin(*(ObjectKey.of(body) for body in bodies))
    world.send(*bodies)

    assert world.api.requests == before + 5


def warm(world: World) -> tuple[Any, Any, Any]:
    key = InstanceKey("default", "warm", "bare")
    held = world.inventories.read(world.api, key)
    now = world.api.server_time()
    assert now is not None
    return held, Intent(held.fence + 1, "c", "d", now), {}


def test_a_prune_deletes_what_a_wave_made_and_leaves_what_is_annotated(world: World) -> None:
    kept = world.config("kept")
    kept["metadata"]["annotations"] = {PRUNE: "disabled"}
    keys = [ObjectKey.of(body) for body in (world.config("one"), kept)]
    world.begin(*keys)
    world.send(world.config("one"), kept)

    changes = [Change(key, Action.DELETE, Cause.STALE) for key in keys]
    found = apply.prune(world.api, changes, key=world.key, inventory=world.inventory)

    assert [str(outcome.result) for outcome in found] == ["Deleted", "Left"]
    assert (world.live("one"), bool(world.live("kept"))) == ({}, True)


def test_a_large_inventory_is_taken_by_the_real_server(world: World) -> None:
    now = (world.api.discovery(), world.api.server_time())[1]
    assert now is not None
    keys = [ObjectKey("", "ConfigMap", world.namespace, f"object-{number:05}") for number in range(20_000)]
    proofs = {key: Proof(digest := hashlib.sha256(key.name.encode()).hexdigest(), digest[:32]) for key in keys}
    held = Inventory("tests", {key: Member(now) for key in keys}, None, Applied(7, "c", "d", now, proofs))

    stored = world.inventories.flush(world.api, world.key, held)

    assert (
        world.inventories.read(world.api, world.key)
        == stored
        == replace(held, resource_version=stored.resource_version)
    )
    world.inventories.delete(world.api, world.key, stored)
