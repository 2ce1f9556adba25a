"""Long lists in pieces: a long command keeps Redis busy, and Lua hands no more than some thousand words to one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

AT_ONCE = 1000
"""Keys and fields in one command."""
T = TypeVar("T")


def at_most(many: Iterable[T], count: int = AT_ONCE) -> Iterator[list[T]]:
    """The same, in their order, in lists of so many."""
    left = iter(many)
    while piece := list(islice(left, count)):
        yield piece
