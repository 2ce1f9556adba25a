"""What `undrift doctor` says of the render helper."""

from __future__ import annotations

from reconciler.errors import RenderLimit
from workers.cli.doctor import render_helper


def _fails() -> bool:
    raise RenderLimit("it took too long")


def test_a_helper_that_could_not_leave_the_network_is_a_warning_that_says_what_it_means() -> None:
    found = render_helper(lambda: False)

    assert (found.level, found.check) == ("warn", "render helper")
    assert "unshare is refused" in found.message
    assert "NetworkPolicy" in found.message


def test_a_helper_that_left_the_network_is_well_and_one_that_does_not_start_is_not() -> None:
    assert render_helper(lambda: True).level == "ok"
    assert render_helper(_fails).level == "fail"
