"""How long a child that ended waits until it is started again."""

from __future__ import annotations

from pathlib import Path

from workers.supervise import LONG_LIFE_S, Child


def child() -> Child:
    return Child("one", ["true"], {}, Path("one.log"))


def test_each_wait_is_twice_the_last_up_to_half_a_minute():
    one = child()

    assert [one.wait_before_next(0.1) for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]


def test_a_child_that_ran_for_a_while_waits_a_second_again():
    one = child()
    for _ in range(5):
        one.wait_before_next(0.1)

    assert one.wait_before_next(LONG_LIFE_S + 1) == 1
    assert one.wait_before_next(0.1) == 2
