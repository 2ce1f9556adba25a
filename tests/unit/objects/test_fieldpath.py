"""From the path in a conflict to the value that it means."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.objects import fieldpath

BODY: dict[str, Any] = {
    "metadata": {"labels": {"app": "a", "app.kubernetes.io/name": "web"}},
    "spec": {
        "replicas": 2,
        "containers": [
            {"name": "api", "image": "api:1"},
            {"name": "web", "image": "web:1", "ports": [{"port": 80, "p": "TCP"}]},
        ],
        "finalizers": ["x/y", "z"],
    },
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (".spec.replicas", "2"),
        ('.spec.containers[name="web"].image', '"web:1"'),
        ('.spec.containers[name="web"].ports[port=80,p="TCP"].port', "80"),
        ('.spec.containers[name="gone"].image', ""),
        (".metadata.labels.app.kubernetes.io/name", '"web"'),
        (".metadata.labels.app", '"a"'),
        ('.spec.finalizers[="x/y"]', '"x/y"'),
        (".spec.paused", ""),
        (".spec.replicas.more", ""),
    ],
)
def test_a_path_leads_to_its_value(path: str, value: str):
    assert fieldpath.shown(BODY, path) == value


def test_a_secret_s_value_is_never_shown():
    secret = {"apiVersion": "v1", "kind": "Secret", "data": {"password": "aHVudGVyMg=="}, "type": "Opaque"}

    assert "aHVudGVyMg" not in fieldpath.shown(secret, ".data.password")
    assert "aHVudGVyMg" not in fieldpath.shown(secret, ".data")
    assert fieldpath.shown(secret, ".type") == '"Opaque"'


def test_a_long_value_is_cut():
    assert len(fieldpath.shown({"data": {"a": "x" * 5000}}, ".data.a")) == fieldpath.LONGEST
