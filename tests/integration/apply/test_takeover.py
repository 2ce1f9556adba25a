"""Objects that `kubectl apply` or `kubectl create` made, client-side: taken over without a loss that nobody was told of."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler import apply
from reconciler.apply import takeover
from reconciler.apply.job import Job
from reconciler.errors import FirstContact
from reconciler.model.changeset import Outcome
from reconciler.model.drift import IgnoredDifference
from reconciler.model.live import Resource
from reconciler.model.manifest import ObjectKey
from reconciler.model.plan import Action, Cause, Change, Wave
from reconciler.objects import managedfields
from reconciler.objects.keys import LAST_APPLIED
from tests.integration.apply.conftest import CONFIGS, World, manifest

pytestmark = pytest.mark.cluster

DEPLOYMENTS = Resource("apps", "v1", "Deployment", "deployments", True)
REPLICAS = IgnoredDifference(group="apps", kind="Deployment", json_pointers=("/spec/replicas",))
IMAGE = IgnoredDifference(
    group="apps", kind="Deployment", json_pointers=("/spec/template/spec/containers/0/image", "/metadata/labels/team")
)
BY_KUBECTL = IgnoredDifference(group="apps", kind="Deployment", managed_fields_managers=("kubectl-client-side-apply",))


def made_by_kubectl(world: World, resource: Resource, body: dict[str, Any], manager: str) -> dict[str, Any]:
    """An object as kubectl leaves it: one Update entry that holds every field, the defaults too."""
    annotations = {LAST_APPLIED: "{}"} if manager == "kubectl-client-side-apply" else {}
    metadata = {**body["metadata"], "annotations": {**body["metadata"].get("annotations", {}), **annotations}}
    live = world.api.create(resource, {**body, "metadata": metadata})
    entries = [{**entry, "manager": manager} for entry in managedfields.entries(live)]
    patch = [{"op": "replace", "path": "/metadata/managedFields", "value": entries}]
    return dict(world.api.patch_json(resource, world.namespace, body["metadata"]["name"], patch))


def config(world: World, **data: str) -> dict[str, Any]:
    return made_by_kubectl(world, CONFIGS, world.config(**data), "kubectl-client-side-apply")


def deployment(world: World, **spec: Any) -> dict[str, Any]:
    pod = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": world.namespace},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": pod, **spec},
    }


def send(world: World, body: dict[str, Any], *ignored: IgnoredDifference, action: Action = Action.CREATE) -> Outcome:
    change = Change(ObjectKey.of(body), action, Cause.NEW, manifest(body))
    (outcome,) = apply.apply_wave(
        world.api, Wave((change,)), key=world.key, inventory=world.inventory, adopt="Unclaimed", ignored=ignored
    )
    return outcome


def live_of(world: World) -> dict[str, Any]:
    return dict(world.api.get(DEPLOYMENTS, world.namespace, "web") or {})


def managers(live: dict[str, Any]) -> set[str]:
    return {str(entry["manager"]) for entry in managedfields.entries(live)}


@pytest.mark.parametrize("manager", ["kubectl-client-side-apply", "kubectl-create"])
def test_what_is_as_git_says_is_taken_and_nothing_of_it_changes(world: World, manager: str) -> None:
    made = made_by_kubectl(world, DEPLOYMENTS, deployment(world, replicas=3), manager)

    outcome = send(world, deployment(world, replicas=3))

    live = live_of(world)
    assert (outcome.error, outcome.result) == (None, "Adopted")
    assert outcome.fingerprint == managedfields.fingerprint(live, world.key.manager)
    assert live["spec"] == made["spec"], "the defaults that kubectl's entry held stand as they stood"
    unchanged = ("uid", "generation", "annotations")
    assert [live["metadata"].get(one) for one in unchanged] == [made["metadata"].get(one) for one in unchanged]
    theirs = [one["fieldsV1"] for one in managedfields.entries(live) if one["manager"] == manager]
    its_own = {f".metadata.annotations.{LAST_APPLIED}"} if manager.endswith("apply") else set()
    assert {path for one in theirs for path in managedfields.paths(one)} == its_own


def test_what_git_does_not_declare_is_not_lost_without_a_word(world: World) -> None:
    made = config(world, a="1", extra="handmade")

    outcome = send(world, world.config(a="1"))

    assert isinstance(outcome.error, FirstContact)
    assert '.data.extra ("handmade")' in outcome.error.message
    assert world.live() == made, "not even its managedFields"


def test_a_default_that_would_come_in_the_place_of_a_value_is_told(world: World) -> None:
    made = made_by_kubectl(world, DEPLOYMENTS, deployment(world, replicas=3), "kubectl-client-side-apply")

    outcome = send(world, deployment(world))

    assert isinstance(outcome.error, FirstContact)
    assert ".spec.replicas (3 would be 1)" in outcome.error.message
    assert live_of(world) == made


@pytest.mark.parametrize("manager", ["kubectl-client-side-apply", "some-tool"])
def test_another_order_is_told_and_another_writing_of_the_same_value_is_no_question(world: World, manager: str) -> None:
    pods = [{"name": one, "image": "web:1", "resources": {"limits": {"memory": "1Gi"}}} for one in ("a", "b")]
    body = deployment(world)
    body["spec"]["template"]["spec"]["containers"] = pods
    made = made_by_kubectl(world, DEPLOYMENTS, body, manager)
    other = [{**one, "resources": {"limits": {"memory": "1024Mi"}}} for one in pods]

    def git(containers: list[dict[str, Any]]) -> dict[str, Any]:
        wanted = deployment(world)
        wanted["spec"]["template"]["spec"]["containers"] = containers
        return wanted

    held = send(world, git(other[::-1]))
    taken = send(world, git(other))

    assert isinstance(held.error, FirstContact)
    assert 'containers[order] (["b","a"] where ["a","b"] stands)' in held.error.message
    assert "memory" not in held.error.message
    assert (taken.error, taken.result) == (None, "Adopted")
    live = world.api.get(DEPLOYMENTS, world.namespace, "web") or {}
    assert live["metadata"]["generation"] == made["metadata"]["generation"]


def test_what_is_refused_stays_whose_it_was(world: World) -> None:
    """A person let it through, and the API server refuses it: nothing of it is ours then."""
    config(world, a="1")
    world.api.patch_json(CONFIGS, world.namespace, "one", [{"op": "add", "path": "/immutable", "value": True}])
    before = world.live()

    outcome = send(world, world.config(a="2"), action=Action.ADOPT)

    assert outcome.error is not None
    assert outcome.error.reason == "ImmutableField"
    assert world.live() == before


def test_with_a_persons_word_it_goes(world: World) -> None:
    config(world, a="2", extra="handmade")

    outcome = send(world, world.config(a="1"), action=Action.ADOPT)

    assert (outcome.error, outcome.result) == (None, "Adopted")
    assert world.live()["data"] == {"a": "1"}


@pytest.mark.parametrize("action", [Action.CREATE, Action.ADOPT])
@pytest.mark.parametrize("declared", [{}, {"replicas": 5}], ids=["not declared", "declared"])
def test_an_ignored_field_stays_kubectls_and_as_it_is(world: World, action: Action, declared: dict[str, int]) -> None:
    made_by_kubectl(world, DEPLOYMENTS, deployment(world, replicas=3), "kubectl-client-side-apply")

    outcome = send(world, deployment(world, **declared), REPLICAS, action=action)
    send(world, deployment(world, **declared, minReadySeconds=1), REPLICAS, action=Action.APPLY)

    live = live_of(world)
    assert (outcome.error, outcome.result) == (None, "Adopted")
    assert (live["spec"]["replicas"], live["spec"]["minReadySeconds"]) == (3, 1)
    (theirs,) = [one for one in managedfields.entries(live) if one["manager"] == "kubectl-client-side-apply"]
    assert managedfields.paths(theirs["fieldsV1"]) == {".spec.replicas", f".metadata.annotations.{LAST_APPLIED}"}


def test_ignored_fields_in_lists_and_maps_stay_too(world: World) -> None:
    body = deployment(world, replicas=3)
    body["metadata"]["labels"] = {"team": "blue"}
    made_by_kubectl(world, DEPLOYMENTS, body, "kubectl-client-side-apply")
    wanted = deployment(world, replicas=3)
    wanted["spec"]["template"]["spec"]["containers"][0]["image"] = "web:2"

    outcome = send(world, wanted, IMAGE)

    live = live_of(world)
    assert (outcome.error, outcome.result) == (None, "Adopted")
    assert live["spec"]["template"]["spec"]["containers"][0]["image"] == "web:1"
    assert live["metadata"]["labels"]["team"] == "blue"


def test_all_that_an_ignored_manager_wrote_stays_its_own(world: World) -> None:
    made_by_kubectl(world, DEPLOYMENTS, deployment(world, replicas=3), "kubectl-client-side-apply")

    outcome = send(world, deployment(world), BY_KUBECTL)

    assert (outcome.error, outcome.result) == (None, "Adopted")
    assert live_of(world)["spec"]["replicas"] == 3
    assert "kubectl-client-side-apply" in managers(live_of(world))


def test_what_others_own_besides_kubectl_is_not_lost(world: World) -> None:
    config(world, a="1", extra="shared")
    other = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", "namespace": world.namespace}}
    world.api.apply(CONFIGS, {**other, "data": {"extra": "shared"}}, manager="tool", force=True)

    outcome = send(world, world.config(a="1"))

    assert (outcome.error, outcome.result) == (None, "Adopted")
    assert world.live()["data"] == {"a": "1", "extra": "shared"}


@pytest.mark.parametrize("is_whole", [True, False], ids=["as Git says", "with more than Git says"])
def test_one_that_was_stopped_between_is_met_as_it_was_met_before(
    world: World, monkeypatch: pytest.MonkeyPatch, is_whole: bool
) -> None:
    config(world, a="1", **({} if is_whole else {"extra": "handmade"}))

    fold = takeover._fold

    def dies(job: Job, live: dict[str, Any]) -> None:
        fold(job, live)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(takeover, "_fold", dies)
        with pytest.raises(KeyboardInterrupt):
            send(world, world.config(a="1"), action=Action.CREATE if is_whole else Action.ADOPT)
    assert world.key.manager in managers(world.live())

    again = send(world, world.config(a="1"))

    if is_whole:
        assert (again.error, world.live()["data"]) == (None, {"a": "1"})
    else:
        assert isinstance(again.error, FirstContact)
        assert '.data.extra ("handmade")' in again.error.message
        assert world.live()["data"] == {"a": "1", "extra": "handmade"}


def test_somebody_who_writes_in_between_is_not_overwritten(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    config(world, a="1")
    look, looks = Job.look, []

    def looked(job: Job) -> Any:
        found = look(job)
        if not looks:
            looks.append(found)
            patch = [{"op": "add", "path": "/data/extra", "value": "just now"}]
            world.api.patch_json(CONFIGS, world.namespace, "one", patch)
        return found

    monkeypatch.setattr(Job, "look", looked)

    outcome = send(world, world.config(a="1"))

    assert (outcome.error, outcome.result) == (None, "Adopted")
    assert world.live()["data"] == {"a": "1", "extra": "just now"}
