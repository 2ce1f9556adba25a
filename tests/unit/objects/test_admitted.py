"""What admission changed on the way in, told from what the server merely writes in another way."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.objects.admitted import changed


def deployment(**container: Any) -> dict[str, Any]:
    containers = [{"name": "web", "image": "web:1", **container}]
    meta = {"name": "web", "labels": {"app": "web"}}
    return {"kind": "Deployment", "metadata": meta, "spec": {"replicas": 2, "template": {"containers": containers}}}


@pytest.mark.parametrize(
    ("sent", "stands"),
    [
        ("1000m", "1"),
        ("0.5", "500m"),
        (1, "1"),
        ("1024Mi", "1Gi"),
        ("1e3", "1k"),
        ("500m", "500m"),
    ],
)
def test_a_quantity_written_in_another_way_is_the_same(sent: Any, stands: Any):
    left, right = ({"limits": {"cpu": value}} for value in (sent, stands))

    assert changed(deployment(resources=left), deployment(resources=right)) == ()


def test_what_others_add_and_what_is_defaulted_is_no_change_of_ours():
    live = deployment(imagePullPolicy="Always")
    live["spec"]["template"]["containers"].insert(0, {"name": "sidecar", "image": "proxy:1"})
    live["metadata"] |= {"uid": "1", "annotations": {"theirs": "1"}}
    live["status"] = {"replicas": 7}

    assert changed(deployment(env=[], resources={}), live) == ()


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda live: live["spec"].update(replicas=3), ".spec.replicas"),
        (lambda live: live["metadata"]["labels"].update(app="other"), ".metadata.labels.app"),
        (lambda live: live["spec"].pop("replicas"), ".spec.replicas"),
        (
            lambda live: live["spec"]["template"]["containers"][0].update(image="mirror/web:1"),
            '.spec.template.containers[name="web"].image',
        ),
    ],
)
def test_a_field_that_stands_otherwise_than_it_was_sent_is_named(change: Any, path: str):
    live = deployment()
    change(live)

    assert changed(deployment(), live) == (path,)


def test_a_truth_is_no_number():
    assert changed({"spec": {"on": True}}, {"spec": {"on": 1.0}}) == ()  # as JSON says, so does Python
    assert changed({"spec": {"on": True}}, {"spec": {"on": "1"}}) == (".spec.on",)
