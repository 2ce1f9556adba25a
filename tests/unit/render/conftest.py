from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.render import Renderer


@pytest.fixture(scope="session")
def renderer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Renderer]:
    """One renderer for all tests, as a worker has one: no render may spoil the next."""
    work: Path = tmp_path_factory.mktemp("renders") / "work"
    found = Renderer(work)
    yield found
    found.close()
    assert not work.exists()
