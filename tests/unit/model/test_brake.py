"""What a freeze or pause covers, how long, and how it says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.model.brake import Brake, cluster_scopes, scopes
from reconciler.model.instance import InstanceKey

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
WEB = InstanceKey("shop", "web", "eu-1")


def brake(scope: str, until: datetime | None = None) -> Brake:
    return Brake(scope, "incident 4711", "ada", NOW, until)


@pytest.mark.parametrize(
    ("scope", "covered"),
    [
        ("all", True),
        ("project:shop", True),
        ("project:sho", False),
        ("cluster:eu-1", True),
        ("cluster:eu-11", False),
        ("application:shop/web", True),
        ("application:default/web", False),
        ("instance:shop/web@eu-1", True),
        ("instance:shop/web@eu-2", False),
    ],
)
def test_a_brake_covers_its_scope_and_nothing_beside_it(scope: str, covered: bool):
    assert brake(scope).covers(WEB) is covered


def test_scopes_go_from_the_widest_to_the_narrowest():
    assert scopes(WEB) == (
        "all",
        "project:shop",
        "cluster:eu-1",
        "application:shop/web",
        "instance:shop/web@eu-1",
    )
    assert set(cluster_scopes("eu-1")) < set(scopes(WEB))


def test_a_brake_is_over_at_its_end_and_never_without_one():
    ends = brake("all", NOW + timedelta(hours=1))

    assert not ends.is_over(NOW + timedelta(minutes=59))
    assert ends.is_over(NOW + timedelta(hours=1))
    assert not brake("all").is_over(NOW + timedelta(days=4000))


@pytest.mark.parametrize(
    ("scope", "way_out"),
    [
        ("all", "`undrift thaw --all`"),
        ("project:shop", "`undrift thaw --project shop`"),
        ("cluster:eu-1", "`undrift thaw --cluster eu-1`"),
        ("application:default/web", "`undrift app resume web`"),
        ("instance:shop/web@eu-1", "`undrift app resume shop/web@eu-1`"),
    ],
)
def test_its_sentence_says_who_why_until_when_and_the_way_out(scope: str, way_out: str):
    sentence = brake(scope, NOW + timedelta(hours=1)).sentence

    for part in ("ada", "incident 4711", "2026-11-24 13:00:00 UTC", way_out):
        assert part in sentence
