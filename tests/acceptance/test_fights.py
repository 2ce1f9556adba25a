"""Other writers and bad moments, on the processes as shipped: a fight that is lost politely, a namespace and a definition
that are deleted under us, an object that changes its application."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from kubernetes import client, config

from reconciler.devcluster import Running
from tests.acceptance.test_freeze import undrift
from tests.acceptance.test_kills import filled
from tests.fixtures.installation import Install, Installation, eventually


@contextmanager
def core(cluster: Running) -> Iterator[Any]:
    with config.new_client_from_config(str(cluster.kubeconfig)) as api:
        yield client.CoreV1Api(api)


@contextmanager
def fighting(cluster: Running, namespace: str, name: str) -> Iterator[None]:
    """A writer that sets a field of ours every second."""
    ended = threading.Event()

    def fight() -> None:
        with core(cluster) as api:
            while not ended.wait(1.0):
                body = {"data": {"value": "9"}}
                api.patch_namespaced_config_map(name, namespace, body, field_manager="autoscaler")

    thread = threading.Thread(target=fight)
    thread.start()
    yield
    ended.set()
    thread.join()


def only(installation: Installation) -> Any:
    (status,) = installation.statuses().values()
    return status


@pytest.mark.timeout(240)
def test_a_writer_that_fights_every_second_is_named_and_ended_by_ignoring_it(
    install: Install, bare_cluster: Running
) -> None:
    name = f"fight-{os.getpid()}"
    installation = install([bare_cluster])
    filled(installation, 1, name)
    folder, object_ = f"{name}-0", f"{name}-0-a"
    installation.start_scheduler()
    installation.start_worker(0)
    eventually(lambda: installation.are_synced(1), "it is applied")

    with fighting(bare_cluster, name, object_), core(bare_cluster) as api:
        eventually(lambda: only(installation).reason == "Contested", "the fight is given up for a while", 90.0)
        status = only(installation)
        assert status.sync == "OutOfSync"
        assert f"ConfigMap {name}/{object_}" in status.message
        assert ".data.value" in status.message
        assert "autoscaler" in status.message
        explained = undrift(installation, "app", "explain", folder).stdout
        assert "from " in explained
        assert '"9"' in explained

        ignored = "[{kind: ConfigMap, jsonPointers: [/data/value]}]"
        installation.write_application(
            folder, namespace=name, sync="{createNamespace: true}", ignoreDifferences=ignored
        )
        eventually(lambda: installation.are_synced(1), "ignoring it ends the fight", 60.0)
        before = len(installation.store.events.last(500))
        eventually(
            lambda: api.read_namespaced_config_map(object_, name).data["value"] == "9", "the field is the other's"
        )
        assert installation.are_synced(1)
        assert len(installation.store.events.last(500)) - before <= 1


@pytest.mark.timeout(240)
def test_a_namespace_that_is_deleted_under_us_comes_back_whole(install: Install, full_cluster: Running) -> None:
    name = f"gone-{os.getpid()}"
    installation = install([full_cluster])
    filled(installation, 2, name)
    installation.start_scheduler()
    installation.start_worker(0)
    eventually(lambda: installation.are_synced(2), "all is applied")

    with core(full_cluster) as api:
        old = api.read_namespace(name).metadata.uid
        api.delete_namespace(name)

        def is_back() -> bool:
            found = [one for one in api.list_namespace().items if one.metadata.name == name]
            return bool(found) and found[0].metadata.uid != old

        eventually(is_back, "the namespace is another one", 120.0)
        eventually(lambda: installation.are_synced(2), "all is healed", 120.0)
        names = {one.metadata.name for one in api.list_namespaced_config_map(name).items}
    assert {f"{name}-{number}-{part}" for number in (0, 1) for part in "abc"} <= names


DEFINITION = """apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: {plural}.example.com}}
spec:
  group: example.com
  scope: Namespaced
  names: {{plural: {plural}, singular: {singular}, kind: {kind}}}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}
"""


@pytest.mark.timeout(240)
def test_a_definition_that_is_deleted_with_its_objects_comes_back_with_them(
    install: Install, full_cluster: Running
) -> None:
    name = f"defined{os.getpid()}"
    kind = name.capitalize()
    installation = install([full_cluster])
    widget = f"apiVersion: example.com/v1\nkind: {kind}\nmetadata: {{name: one}}\nspec: {{size: 3}}\n"
    text = DEFINITION.format(plural=f"{name}s", singular=name, kind=kind)
    installation.repo.commit({f"{name}/crd.yaml": text, f"{name}/widget.yaml": widget})
    installation.write_application(name)
    installation.start_scheduler()
    installation.start_worker(0)
    eventually(lambda: installation.are_synced(1), "all is applied")

    with config.new_client_from_config(str(full_cluster.kubeconfig)) as api:
        custom = client.CustomObjectsApi(api)
        client.ApiextensionsV1Api(api).delete_custom_resource_definition(f"{name}s.example.com")

        def is_back() -> bool:
            try:
                found = custom.get_namespaced_custom_object("example.com", "v1", name, f"{name}s", "one")
            except client.ApiException:
                return False
            return bool(found["spec"] == {"size": 3})

        eventually(lambda: not is_back(), "it is gone")
        eventually(is_back, "the object is back", 25.0)
    eventually(lambda: installation.are_synced(1), "all is healed", 120.0)


@pytest.mark.timeout(200)
def test_an_object_that_changes_its_application_is_the_new_ones_soon(install: Install, bare_cluster: Running) -> None:
    name = f"changing-{os.getpid()}"
    installation = install([bare_cluster])
    filled(installation, 2, name)
    installation.start_scheduler()
    installation.start_worker(0)
    eventually(lambda: installation.are_synced(2), "all is applied")

    text = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}-0-a}}\ndata: {{value: '1'}}\n"
    installation.repo.commit({f"{name}-0/a.yaml": None, f"{name}-1/moved.yaml": text})

    with core(bare_cluster) as api:

        def owner() -> str:
            try:
                found = api.read_namespaced_config_map(f"{name}-0-a", name)
            except client.ApiException:
                return ""
            managers = [one.manager for one in found.metadata.managed_fields if one.operation == "Apply"]
            return str(managers[0]) if managers else ""

        eventually(lambda: owner() == f"undrift:default/{name}-1", "it is the other's", 30.0)
    eventually(lambda: installation.are_synced(2), "both are in sync", 30.0)
