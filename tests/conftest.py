"""Fixtures of every tier: real servers on 127.0.0.1, started once per session and stopped at its end."""

from __future__ import annotations

import os

import pytest

from reconciler.devcluster import binaries
from reconciler.devcluster.folders import cache_folder

pytest_plugins = [
    "tests.fixtures.clusters",
    "tests.fixtures.git",
    "tests.fixtures.valkey",
    "tests.fixtures.stores",
    "tests.fixtures.installation",
    "tests.fixtures.terminal",
]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fetch or build the programs of the API servers before the first test: on an empty cache that takes minutes, which
    no test's time limit allows for."""
    if not session.config.option.collectonly and any(_wants_cluster(one) for one in session.items):
        binaries.find(cache_folder(os.environ), os.environ, progress=lambda line: print(line, flush=True))


def _wants_cluster(item: pytest.Item) -> bool:
    fixtures = {"bare_cluster", "full_cluster", "three_clusters"}
    return item.get_closest_marker("cluster") is not None or bool(fixtures & set(getattr(item, "fixturenames", ())))
