"""The closure diff over trees that a hostile commit holds."""

from __future__ import annotations

import pytest

from reconciler.errors import SourceTooLarge
from reconciler.source import changed_folders
from reconciler.testing.trees import MemoryTree
from tests.fixtures import bombs

EMPTY = MemoryTree({})


@pytest.mark.parametrize("levels", [7, 30], ids=["ten million paths", "more than can be counted"])
def test_a_tree_that_multiplies_is_given_up(levels: int) -> None:
    """Before, each path of it was walked: nine levels took hours, and the look at the repository was killed and parked."""
    with pytest.raises(SourceTooLarge, match="more than 500000 entries"):
        changed_folders(EMPTY, bombs.nested(levels, 10))


def test_a_tree_without_end_is_given_up() -> None:
    """Before, it was a RecursionError."""
    with pytest.raises(SourceTooLarge, match="deep"):
        changed_folders(bombs.nested(1500, 1), EMPTY)


def test_a_folder_of_a_hundred_thousand_files_is_compared() -> None:
    assert changed_folders(EMPTY, bombs.wide(100_000)) == {""}


def test_a_folder_that_became_a_file_is_walked_as_it_was() -> None:
    before = MemoryTree({"a/b/c.yaml": "one", "same/d.yaml": "x"})
    after = MemoryTree({"a": "a file now", "same/d.yaml": "x"})

    assert changed_folders(before, after) == {"", "a", "a/b"}
