"""`undrift app explain`: sentences about some of a fleet."""

from __future__ import annotations

import pytest

from workers.cli import main as cli
from workers.store import Store, composed


def test_statuses_are_put_together_once_however_many_are_explained(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, real = [], composed.statuses
    monkeypatch.setattr(composed, "statuses", lambda *given: looks.append(given) or real(*given))

    with pytest.raises(SystemExit):
        cli.main(["app", "explain", "web"])

    assert capsys.readouterr().out.count("  Reason ") == 2
    assert len(looks) == 1
