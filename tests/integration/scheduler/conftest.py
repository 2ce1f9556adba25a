"""For the scheduler's turns, which tests take one by one."""

from __future__ import annotations

import pytest

from workers.scheduler import loop


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn has seen what it looked at, however busy the machine is."""
    monkeypatch.setattr(loop, "PATIENCE_S", 30.0)
