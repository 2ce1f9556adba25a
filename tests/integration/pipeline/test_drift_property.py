"""Whatever others do to objects of ours, with whatever manager and verb: an instance is due whenever an owned value differs,
and its drift is told only when healing changed a value. The API server's own dry run of our apply is the oracle.

Left out: what admission changes, and managedFields forged by hand, which no look at metadata can see.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from reconciler.apply import takeover
from reconciler.apply.job import make_job
from reconciler.model.drift import DriftPolicy
from reconciler.model.plan import Action, Cause, Change
from reconciler.objects import diff
from reconciler.pipeline.contact import apply_options
from reconciler.pipeline.scan import ScanReport, judge
from reconciler.pipeline.sight import Proven, look
from tests.integration.pipeline.conftest import CONFIG_MAP, DEPLOYMENT, OpenLease, World

TEXT = """apiVersion: apps/v1
kind: Deployment
metadata: {name: web, annotations: {owner: us}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: 'web:1', env: [{name: A, value: '1'}, {name: B, value: '2'}]}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: one}
data: {a: '1', b: '2'}
"""
CONFIG = TEXT.partition("---\n")[2]
OURS = "undrift:default/{}"
managers = st.sampled_from(["kubectl-edit", "tool", "ours"])
values = st.sampled_from(["1", "2", "9"])
edits = st.one_of(
    st.tuples(st.just("put"), managers, st.sampled_from(["a", "b", "c"]), values),
    st.tuples(st.just("apply"), managers, st.sampled_from(["a", "b", "c"]), values),
    st.tuples(st.just("drop"), managers, st.sampled_from(["a", "b"]), values),
    st.tuples(st.just("image"), managers, st.just("image"), st.sampled_from(["web:1", "web:2"])),
    st.tuples(st.just("env"), managers, st.just("env"), values),
    st.tuples(st.just("scale"), managers, st.just("replicas"), st.sampled_from(["2", "5"])),
    st.tuples(st.just("status"), managers, st.just("status"), values),
    st.tuples(st.just("label"), managers, st.sampled_from(["theirs", "gone"]), values),
    st.tuples(st.just("anew"), managers, st.sampled_from(["a", "b"]), values),
    st.tuples(st.just("delete"), managers, st.just("one"), values),
)

on_configs = edits.filter(lambda edit: edit[0] not in ("image", "env", "scale", "status"))


def carry_out(world: World, edit: tuple[str, str, str, str]) -> None:
    """One edit, as its writer makes it. What does not apply to what is there now is no edit."""
    verb, who, what, value = edit
    manager = OURS.format(world.name) if who == "ours" else who
    one, web = world.config_map("one"), world.api.get(DEPLOYMENT, world.name, "web")
    if web is not None and verb in ("image", "env", "scale", "status"):
        change_web(world, verb, manager, value)
    elif verb == "put" and one is not None:
        data = {**one.get("data", {}), what: value}
        patch(world, CONFIG_MAP, "one", {"op": "add", "path": "/data", "value": data})
    elif verb == "apply":
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", "namespace": world.name}}
        world.api.apply(CONFIG_MAP, {**body, "data": {what: value}}, manager=manager, force=True)
    elif verb == "drop" and one is not None and what in one.get("data", {}):
        patch(world, CONFIG_MAP, "one", {"op": "remove", "path": f"/data/{what}"})
    elif verb == "label" and one is not None:
        labels = {**one["metadata"].get("labels", {}), "theirs": value} if what == "theirs" else {"theirs": value}
        patch(world, CONFIG_MAP, "one", {"op": "add", "path": "/metadata/labels", "value": labels})
    elif verb in ("anew", "delete") and one is not None:
        world.api.delete(CONFIG_MAP, world.name, "one", uid=str(one["metadata"]["uid"]))
        if verb == "anew":
            meta = {"name": "one", "namespace": world.name, "labels": one["metadata"].get("labels", {})}
            world.api.create(
                CONFIG_MAP, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {what: value}}
            )


def change_web(world: World, verb: str, manager: str, value: str) -> None:
    container = "/spec/template/spec/containers/0"
    if verb == "image":
        patch(world, DEPLOYMENT, "web", {"op": "replace", "path": f"{container}/image", "value": value})
    elif verb == "env":
        patch(
            world,
            DEPLOYMENT,
            "web",
            {"op": "add", "path": f"{container}/env/0", "value": {"name": "C", "value": value}},
        )
    elif verb == "scale":
        body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": world.name}}
        world.api.apply(
            DEPLOYMENT,
            {**body, "spec": {"replicas": int(value)}},
            manager="autoscaler" if manager.startswith("undrift") else manager,
            force=True,
        )
    else:
        patch(world, DEPLOYMENT, "web", {"op": "add", "path": "/metadata/annotations/seen", "value": value})


def patch(world: World, resource: Any, name: str, *operations: dict[str, Any]) -> None:
    world.api.patch_json(resource, world.name, name, operations)


def values_differ(world: World) -> list[Any]:
    """What our apply would change of values now, by the API server's own word."""
    spec, inventory = world.spec(), world.inventory()
    with world.rooms.source.checkout(spec.source) as files:
        desired = world.rooms.renderer.render(files, spec, world.api.discovery())
    found: list[Any] = []
    for manifest in desired:
        key = type(manifest.key)(manifest.key.group, manifest.key.kind, world.name, manifest.key.name)
        change = Change(key, Action.APPLY, Cause.CHANGED, type(manifest)(key, manifest.body, manifest.origin))
        job = make_job(world.api, change, inventory=inventory, **apply_options(spec))
        live = job.look()
        found += takeover.differences(job, live)
    return found


def shown(world: World) -> list[Any]:
    return [world.config_map("one"), world.api.get(DEPLOYMENT, world.name, "web")]


def scanned(world: World, proven: Proven) -> ScanReport:
    known = {world.key: repr(world.memory).encode()}
    sight = look(world.target, known, OpenLease(), world.rooms, proven=proven)
    return judge(sight, {world.key: world.memory}, world.rooms, policies={world.key: DriftPolicy()})


@settings(
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(script=st.lists(edits, min_size=1, max_size=4))
@pytest.mark.timeout(600)
def test_an_instance_is_due_whenever_an_owned_value_differs(world: World, script: list[Any]) -> None:
    if world.repo.head() is None:
        world.write({"all.yaml": TEXT})
    world.sync(full=True)
    world.memory = replace(world.memory, heals={})  # one example's edits are no fight with the next one's
    time.sleep(1.05)  # managedFields tell times to the second: an apply under our own name must not share ours
    for edit in script:
        carry_out(world, edit)
    differs, before = values_differ(world), shown(world)

    finding = scanned(world, Proven()).findings[world.key]
    event(f"differs: {bool(differs)}, due: {bool(finding.drift)}")
    if differs:
        assert finding.drift, (script, differs)

    record = world.sync(reasons=("drift",), by_operator=False)
    changed = any(diff.differences(old, new) for old, new in zip(before, shown(world), strict=True))
    left = values_differ(world)
    assert not left, (script, record.message, left)
    if not changed:
        assert (record.drift, record.memory.heals) == ((), {}), (script, record.drift)


@settings(
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(script=st.lists(on_configs, max_size=3))
@pytest.mark.timeout(600)
def test_a_look_that_only_compares_hides_nothing(world: World, script: list[Any]) -> None:
    if world.repo.head() is None:
        world.write({"all.yaml": CONFIG})
    carry_out(world, ("delete", "tool", "one", ""))  # with what others left on it in the example before
    world.sync(full=True)
    world.memory = replace(world.memory, heals={})
    scanned(world, Proven())  # writes what the sync left into the inventory, whose text is another then
    quiet = scanned(world, Proven())
    assert world.key in scanned(world, quiet.proven).same, "nothing happened in between"
    for edit in script:
        carry_out(world, edit)

    compared, judged = scanned(world, quiet.proven), scanned(world, Proven()).findings[world.key]

    event(f"same: {world.key in compared.same}")
    if world.key in compared.same:
        assert judged.is_proven, (script, judged)
        assert judged.foreign == ()
    else:
        assert compared.findings[world.key] == judged
