"""The wiring of one process over the test's own Valkey, as a task meets it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.fleet import expand
from tests.fleets import application, cluster, documents, fleet
from workers import wiring
from workers.store import Store


@pytest.fixture
def store(valkey: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The store of this process. Three instances are in force: web on two clusters, api on one of them."""
    monkeypatch.setenv("UNDRIFT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("UNDRIFT_REDIS_URL", valkey)
    monkeypatch.setenv("UNDRIFT_LEASE", "5")
    forget()
    opened = wiring.store()
    opened.due.seen_before(quarantine_s=0.0)  # or nothing is granted
    found = fleet(
        documents(
            application("web"),
            application("api", clusters={"names": ["eu-1"]}),
            cluster("eu-1", env="prod"),
            cluster("us-1", env="test"),
        )
    )
    expansion = expand(found, previous={})
    opened.fleet.publish(expansion.specs, expansion.clusters, expansion.repositories())
    yield opened
    opened.redis.close()
    forget()


def forget() -> None:
    for cached in (wiring.settings, wiring.store, wiring.rooms):
        cached.cache_clear()
