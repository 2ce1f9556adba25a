"""What a chart generates anew at each render: refused, or generated once and kept as it is live."""

from __future__ import annotations

import base64

from reconciler.model.live import Resource
from reconciler.model.record import Phase, Sync
from tests.integration.pipeline.conftest import World

SECRETS = Resource("", "v1", "Secret", "secrets", True)
CHART = "apiVersion: v2\nname: web\nversion: 1.0.0\n"
TEMPLATE = """apiVersion: v1
kind: Secret
metadata: {name: login}
stringData: {password: '{{ randAlphaNum 20 }}', user: '%s'}
data: {token: '{{ randAlphaNum 20 | b64enc }}'}
"""
KEPT = {"kind": "Secret", "name": "login", "paths": ["/stringData/password", "/data/token"]}


def data(world: World) -> dict[str, str]:
    live = world.api.get(SECRETS, world.name, "login") or {}
    return {key: base64.b64decode(value).decode() for key, value in live["data"].items()}


def test_a_chart_of_random_values_is_refused_and_nothing_is_applied(world: World) -> None:
    world.write({"Chart.yaml": CHART, "templates/s.yaml": TEMPLATE % "a"})

    record = world.sync()

    assert (record.phase, record.reason, record.wrote) == (Phase.FAILED, "NotRepeatable", False)
    assert "/stringData/password" in record.message
    assert world.api.get(SECRETS, world.name, "login") is None


def test_what_is_generated_once_stays_while_the_rest_follows_git(world: World) -> None:
    world.options["render"] = {"helm": {"keepGenerated": [KEPT]}}
    world.write({"Chart.yaml": CHART, "templates/s.yaml": TEMPLATE % "a"})
    assert world.sync().sync is Sync.SYNCED
    first = data(world)

    again = world.sync(full=True)
    world.write({"templates/s.yaml": TEMPLATE % "b"})
    changed = world.sync()

    assert (again.sync, again.wrote, again.drift) == (Sync.SYNCED, True, ())
    assert (changed.sync, changed.counts) == (Sync.SYNCED, {"Configured": 1})
    assert data(world) == {**first, "user": "b"}
    assert len(first["password"]) == len(first["token"]) == 20
