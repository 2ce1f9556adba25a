"""Fields that others add: which are told, which are removed, and what nobody may take away."""

from __future__ import annotations

from typing import Any

from reconciler.model.drift import DriftPolicy, ForeignRule
from reconciler.objects.foreign import found, removal_patch, removals

OURS = "undrift:default/web"
REMOVE = (ForeignRule(managers=("kubectl*",), action="Remove"),)
IMAGE = {"f:image": {}}


def entry(manager: str, fields: dict[str, Any], operation: str = "Update", **more: str) -> dict[str, Any]:
    return {"manager": manager, "operation": operation, "time": "2026-11-24T00:00:00Z", "fieldsV1": fields, **more}


def live(*entries: dict[str, Any]) -> dict[str, Any]:
    containers = [{"name": "web", "image": "a", "env": [{"name": "X", "value": "1"}]}, {"name": "debug", "image": "b"}]
    annotations = {"ours": "1", "by/hand": "2", "kubectl.kubernetes.io/restartedAt": "now"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "annotations": annotations, "managedFields": list(entries)},
        "spec": {"replicas": 3, "containers": containers, "finalizers": ["a", "b"]},
    }


def annotated(name: str) -> dict[str, Any]:
    return {"f:metadata": {"f:annotations": {f"f:{name}": {}}}}


DEFAULT = DriftPolicy().foreign_fields


def fields(body: dict[str, Any], rules: Any = DEFAULT) -> list[tuple[str, str]]:
    return [(one.field, one.action) for one in found(body, OURS, rules)]


def test_by_default_what_peoples_tools_wrote_is_told_and_controllers_are_not():
    body = live(
        entry("kubectl-annotate", annotated("by/hand")),
        entry("kube-controller-manager", annotated("deployment.kubernetes.io/revision")),
        entry(OURS, annotated("ours"), "Apply"),
    )

    assert fields(body) == [(".metadata.annotations.by/hand", "Report")]
    assert removals(body, OURS, DriftPolicy().foreign_fields) == ()


def test_a_field_that_somebody_else_owns_as_well_is_nobodys_to_remove():
    body = live(
        entry("kubectl-edit", annotated("ours")),
        entry(OURS, annotated("ours"), "Apply"),
    )

    assert fields(body, REMOVE) == []
    assert removals(body, OURS, REMOVE) == ()


def test_a_scale_and_a_restart_are_asked_for():
    restarted = annotated("kubectl.kubernetes.io/restartedAt")
    body = live(entry("kubectl-rollout", {**restarted, "f:spec": {"f:replicas": {}}}))

    assert fields(body, REMOVE) == []
    assert removals(body, OURS, REMOVE) == ()


def test_what_is_removed_is_the_smallest_that_is_theirs_alone():
    theirs = {
        **annotated("by/hand"),
        "f:spec": {
            "f:containers": {
                'k:{"name":"debug"}': {".": {}, "f:name": {}, "f:image": {}},
                'k:{"name":"web"}': {"f:env": {'k:{"name":"X"}': {".": {}, "f:name": {}, "f:value": {}}}},
            },
            "f:finalizers": {'v:"a"': {}, 'v:"b"': {}},
        },
    }
    ours = {"f:spec": {"f:containers": {'k:{"name":"web"}': {".": {}, "f:name": {}, **IMAGE}}}}
    body = live(entry("kubectl-edit", theirs), entry(OURS, ours, "Apply"))

    assert [one["path"] for one in removals(body, OURS, REMOVE)] == [
        "/spec/finalizers/1",
        "/spec/finalizers/0",
        "/spec/containers/1",
        "/spec/containers/0/env/0",
        "/metadata/annotations/by~1hand",
    ]


def test_an_item_that_another_writes_into_stays():
    theirs = {"f:spec": {"f:containers": {'k:{"name":"debug"}': {".": {}, "f:name": {}, "f:image": {}}}}}
    injector = {"f:spec": {"f:containers": {'k:{"name":"debug"}': {"f:env": {}}}}}
    body = live(entry("kubectl-edit", theirs), entry("injector", injector))

    assert [one["path"] for one in removals(body, OURS, REMOVE)] == ["/spec/containers/1/image"]


def test_the_first_rule_that_matches_counts():
    rules = (ForeignRule(managers=("kubectl-label",), action="Ignore"), *REMOVE)

    assert fields(live(entry("kubectl-label", annotated("by/hand"))), rules) == []
    assert fields(live(entry("kubectl-edit", annotated("by/hand"))), rules) != []


def test_writers_of_a_status_are_not_meant():
    assert fields(live(entry("kubectl", annotated("by/hand"), subresource="status")), REMOVE) == []


def test_a_map_in_which_nothing_is_kept_goes_as_a_whole():
    """Without its fields a probe would be none: it would say neither what to ask nor where."""
    body = {"probe": {"httpGet": {"path": "/", "port": 1}, "period": 5}}
    held = {"f:probe": {".": {}, "f:httpGet": {".": {}, "f:path": {}, "f:port": {}}, "f:period": {}}}

    def gone(*kept: str) -> list[str]:
        return sorted(one["path"] for one in removal_patch(held, body, frozenset(kept)))

    assert gone() == ["/probe"]
    assert gone(".probe.period") == ["/probe/httpGet"]
    assert gone(".probe.httpGet.port") == ["/probe/httpGet/path", "/probe/period"]
