"""Durations as people write them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from reconciler.clock import SystemClock
from reconciler.model.shape import LONGEST_S, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("90s", 90), ("1h30m", 5400), ("1.5h", 5400), ("250ms", 0.25), ("876000h", LONGEST_S)],
)
def test_a_go_duration_is_read(text: str, seconds: float):
    found = parse_duration(text)

    assert found == timedelta(seconds=seconds)
    assert isinstance(found, timedelta)
    assert parse_duration(format_duration(found)) == found


@pytest.mark.parametrize("text", ["", "90", "1d", "-1s", "1h 30m", "876001h", "9" * 30 + "s", ["1s"], None, 90])
def test_what_is_none_is_refused_as_the_field_of_a_document(text: object):
    with pytest.raises(ValueError, match="expected a duration such as 90s"):
        parse_duration(text)


def test_a_text_that_is_too_long_is_refused_before_it_is_looked_at():
    """Digits without a unit took the square of their number, and nothing else ran meanwhile."""
    begun = SystemClock().boot_s()

    with pytest.raises(ValueError, match="expected a duration such as 90s"):
        parse_duration("1" * 20_000)

    assert SystemClock().boot_s() - begun < 1
