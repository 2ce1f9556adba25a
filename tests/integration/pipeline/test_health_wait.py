"""How long a sync has waited for its objects to become healthy."""

from __future__ import annotations

import pytest

from tests.integration.pipeline.conftest import World

pytestmark = pytest.mark.cluster


def test_another_commit_is_waited_for_anew(world: World) -> None:
    """A fix must not look slower than what it mends, nor time out because of it."""
    text = (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  selector: {matchLabels: {app: web}}\n"
        "  template:\n    metadata: {labels: {app: web}}\n    spec: {containers: [{name: web, image: 'web:%s'}]}\n"
    )
    world.write({"web.yaml": text % "broken"})
    first, again = world.sync(), world.sync()
    world.write({"web.yaml": text % "2"})

    other = world.sync()

    assert (first.reason, other.reason) == ("WaitingForHealth", "WaitingForHealth")
    assert first.memory.waiting_since == again.memory.waiting_since
    assert first.memory.waiting_since is not None
    assert other.memory.waiting_since is not None
    assert other.memory.waiting_since > again.finished_at
