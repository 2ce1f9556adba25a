"""What is left out of an apply for others to own, and what stays in it so that nothing is lost."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.model.drift import IgnoredDifference
from reconciler.model.manifest import ObjectKey
from reconciler.objects import ignored

DEPLOYMENT = ObjectKey("apps", "Deployment", "shop", "web")
OURS = "undrift:default/web"


def rule(*pointers: str, managers: tuple[str, ...] = ()) -> IgnoredDifference:
    return IgnoredDifference(group="*", kind="*", json_pointers=pointers, managed_fields_managers=managers)


def owned(manager: str, fields: dict[str, Any], operation: str = "Update") -> dict[str, Any]:
    return {"manager": manager, "operation": operation, "fieldsV1": fields}


def live(spec: dict[str, Any], *entries: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": "web", "managedFields": list(entries)}, "spec": spec}


BODY = {"metadata": {"name": "web"}, "spec": {"replicas": 2, "paused": False}}
REPLICAS = {"f:spec": {"f:replicas": {}, "f:paused": {}}}


def test_a_field_that_another_owns_is_left_out():
    found = live(
        {"replicas": 9},
        owned(OURS, {"f:spec": {"f:paused": {}}}, "Apply"),
        owned("hpa", {"f:spec": {"f:replicas": {}}}),
    )

    assert ignored.without(BODY, found, OURS, [rule("/spec/replicas")])["spec"] == {"paused": False}


def test_a_field_that_is_ours_alone_keeps_its_live_value():
    """Left out, the API server would delete it: a Deployment would fall back to one replica."""
    found = live({"replicas": 5, "paused": False}, owned(OURS, REPLICAS, "Apply"))

    assert ignored.without(BODY, found, OURS, [rule("/spec/replicas")])["spec"] == {"replicas": 5, "paused": False}


def test_a_field_that_we_share_is_given_up():
    found = live({"replicas": 2}, owned(OURS, REPLICAS, "Apply"), owned("hpa", {"f:spec": {"f:replicas": {}}}, "Apply"))

    assert "replicas" not in ignored.without(BODY, found, OURS, [rule("/spec/replicas")])["spec"]


def test_what_git_does_not_declare_is_not_declared_by_us():
    found = live({"replicas": 5}, owned("hpa", {"f:spec": {"f:replicas": {}}}))
    body = {"metadata": {"name": "web"}, "spec": {"paused": False}}

    assert ignored.without(body, found, OURS, [rule("/spec/replicas", "/spec/template/metadata")]) == body


def test_a_map_that_is_emptied_goes_with_its_field():
    body = {"metadata": {"name": "web"}, "data": {"a": "1"}}

    assert ignored.without(body, live({}), OURS, [rule("/data/a")]) == {"metadata": {"name": "web"}}


def test_of_a_map_the_keys_that_are_ours_alone_stay_with_their_live_values():
    entry = owned(OURS, {"f:data": {"f:a": {}, "f:b": {}}}, "Apply")
    found = {
        "metadata": {"managedFields": [entry, owned("x", {"f:data": {"f:b": {}, "f:c": {}}})]},
        "data": {"a": "live", "b": "2", "c": "3"},
    }
    body = {"metadata": {}, "data": {"a": "git", "b": "git"}}

    assert ignored.without(body, found, OURS, [rule("/data")])["data"] == {"a": "live"}


def test_items_of_a_list_are_found_by_their_merge_key_wherever_they_stand():
    key = 'k:{"name":"web"}'
    fields = {"f:spec": {"f:containers": {key: {".": {}, "f:name": {}, "f:image": {}}}}}
    found = live(
        {"containers": [{"name": "sidecar", "image": "s:1"}, {"name": "web", "image": "web:7"}]},
        owned(OURS, fields, "Apply"),
    )
    body = {"metadata": {}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}

    assert ignored.without(body, found, OURS, [rule("/spec/containers/0/image")])["spec"]["containers"] == [
        {"name": "web", "image": "web:7"}
    ]


def test_all_that_a_named_manager_owns_is_left_out():
    key = 'k:{"name":"web"}'
    fields = {"f:spec": {"f:replicas": {}, "f:containers": {key: {"f:image": {}}}}}
    body = {"metadata": {}, "spec": {"replicas": 2, "paused": True, "containers": [{"name": "web", "image": "web:1"}]}}

    assert ignored.without(body, live({}, owned("updater", fields)), OURS, [rule(managers=("updater",))])["spec"] == {
        "paused": True,
        "containers": [{"name": "web"}],
    }


def test_the_body_that_was_given_is_not_changed():
    found = live({}, owned("hpa", {"f:spec": {"f:replicas": {}}}))

    ignored.without(BODY, found, OURS, [rule("/spec/replicas", "/spec/paused")])

    assert BODY["spec"] == {"replicas": 2, "paused": False}


@pytest.mark.parametrize(
    ("group", "kind", "name", "concerns"),
    [
        ("apps", "Deployment", "", True),
        ("*", "*", "", True),
        ("", "Deployment", "", False),
        ("apps", "StatefulSet", "", False),
        ("apps", "Deployment", "web", True),
        ("apps", "Deployment", "api", False),
    ],
)
def test_a_rule_concerns_what_it_names(group: str, kind: str, name: str, concerns: bool):
    found = IgnoredDifference(group=group, kind=kind, name=name, json_pointers=("/spec/replicas",))

    assert bool(ignored.rules_for(DEPLOYMENT, [found])) is concerns


@pytest.mark.parametrize(
    ("field", "manager", "expected"),
    [
        (".spec.replicas", "hpa", True),
        (".spec.replicasets", "hpa", False),
        (".spec.template.spec", "hpa", True),
        (".spec.paused", "hpa", False),
        (".spec.paused", "updater", True),
        (".metadata.annotations.a/b", "hpa", True),
    ],
)
def test_a_field_is_known_as_ignored_by_its_path(field: str, manager: str, expected: bool):
    rules = [rule("/spec/replicas", "/spec/template", "/metadata/annotations/a~1b", managers=("updater",))]

    assert ignored.is_ignored(field, rules, manager) is expected


@pytest.mark.parametrize("pointers", [(), ("/metadata/name",), ("spec/replicas",), ("/",)])
def test_a_rule_that_names_nothing_or_an_identity_is_refused(pointers: tuple[str, ...]):
    with pytest.raises(ValueError):
        rule(*pointers)
