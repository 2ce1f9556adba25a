"""Selectors as they are typed for a resync."""

from __future__ import annotations

import pytest

from workers.asking import BadRequest, matches, parse_selector


def test_all_pairs_of_a_selector_must_match():
    wanted = parse_selector("env=prod, team=web")

    assert matches({"env": "prod", "team": "web", "ring": "canary"}, wanted)
    assert not matches({"env": "prod"}, wanted)


@pytest.mark.parametrize("text", ["", ",", "env", "=prod", "env=prod,team"])
def test_an_empty_or_broken_selector_means_nobody_and_is_refused(text: str):
    """An empty selector is an error, never everything."""
    with pytest.raises(BadRequest, match="expected key=value"):
        parse_selector(text)
