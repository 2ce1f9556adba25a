"""`undrift app wait`: what was pushed before it counts."""

from __future__ import annotations

import pytest

from tests.integration.workers.test_scanning import Site, site  # noqa: F401  # a fixture
from workers.cli import looking

pytestmark = pytest.mark.cluster
CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\ndata: {a: '%s'}\n"


def test_what_was_pushed_before_is_waited_for(site: Site) -> None:  # noqa: F811
    site.synced()
    site.write({"a.yaml": CONFIG % "2"})

    with site.working():
        assert looking.wait_for(site.store, [site.key], 30.0) == 0

    assert site.live()["data"] == {"a": "2"}


def test_a_repository_that_nobody_looks_at_is_not_well(site: Site, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    site.synced()

    assert looking.wait_for(site.store, [site.key], 0.5) == looking.TIMED_OUT
    assert "no worker has looked" in capsys.readouterr().err


def test_a_repository_that_can_t_be_looked_at_is_told(site: Site, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    site.synced()
    site.repo.path.rename(site.repo.path.with_name("away.git"))

    with site.working():
        looking.wait_for(site.store, [site.key], 2.0)

    assert f"{site.repo.url}: GitDenied" in capsys.readouterr().err
